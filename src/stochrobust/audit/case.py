"""When a number of an audit is large or small: the thresholds with their reasons, and what follows from them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from stochrobust.audit.findings import AuditNumber

PROJECTOR_PSNR = 20 * math.log10(255 * math.sqrt(12))
"""58.9 dB: what rounding to 8 bits leaves. A projector in float32 is above 100 dB, one in half precision about 66."""
CONSISTENT_PSNR = 45.0
"""What the NTIRE 2021 challenge on the space of super-resolutions asked of a consistent restoration."""
LARGE_AMPLIFICATION = 2.0
"""6 dB. What is consistent passes delta on, by 1 or a little more; the demo's robust GANs have 1.7 and 2.8, its erratic
ones 15 and 16."""
LARGE_CHANGE = 0.5
"""Half. Two draws of the posterior differ by as much as one draw errs: an output that an unseen change moves by half of
its error hangs on that change. The demo's robust GANs have 0.26 and 0.35, its erratic ones 2.0."""
SMALL_SPREAD = 1 / 3
"""Samples of the posterior have 1, however ill-posed the problem; at 1/3 nine tenths of their variance lack. The demo's
robust stochastic GAN has 0.96, its erratic one 0.04."""
UNDERDISPERSED, OVERDISPERSED = 0.8, 1.25
"""At 0.8 a third of the posterior's variance lacks; at 1.25 there is half too much."""
LOW_RECALL = 0.5
"""Half. Real images of another draw have 0.9 and more; the demo's robust deterministic GAN has 0.02 and its other three
0.7 to 0.9; the exact mean of a posterior that leaves three tenths of the variance open has 0.4 (a test)."""
VISIBLE_PSNR = 20.0
"""Noise of a tenth of the range, which anybody sees. The paper's attacks have 33 to 35 dB."""
WEAK_BY = 1.0
"""dB by which something else must beat the strong attack: more than new seeds change (under 0.3 on 64 inputs)."""

DOUBTS = {
    "depends on the other samples of the batch": "batch-dependent",
    "is not the same function in two calls": "irreproducible",
    "is exactly the same at y and at y + delta": "input ignored",
}
"""What the library says of a G whose numbers mean nothing, and the name of the verdict."""
ATTACK_DOUBTS = ("the gradient of G with respect to y was zero", "the attack found less")
"""And of an attack that was none."""


@dataclass(frozen=True)
class Case:
    """What is judged, and what the rules ask of it; None where it is not known."""

    numbers: dict[str, AuditNumber]
    stochastic: bool
    takes_seeds: bool
    concerns: tuple[str, ...]
    projector_residual_psnr: float | None

    def value(self, name: str) -> float | None:
        """A number, if it was measured."""
        number = self.numbers.get(name)
        return None if number is None or math.isnan(number.estimate) else number.estimate

    def is_below(self, name: str, threshold: float) -> bool:
        """Whether a number was measured and is below."""
        value = self.value(name)
        return value is not None and value < threshold

    @property
    def broken_projector(self) -> bool:
        """Whether the projector alone does not do what it is for."""
        return self.projector_residual_psnr is not None and self.projector_residual_psnr < PROJECTOR_PSNR

    @property
    def sensitive(self) -> bool | None:
        """Whether the attack moves the outputs by much."""
        gain, change = self.value("amplification"), self.value("change_over_error")
        if gain is None or gain <= LARGE_AMPLIFICATION:
            return None if gain is None else False
        return None if change is None else change > LARGE_CHANGE

    @property
    def diverse(self) -> bool | None:
        """Whether the seeds of one input give outputs of about the variety that there is."""
        spread = self.value("spread_error") if self.stochastic else 0.0
        return None if spread is None else spread >= SMALL_SPREAD

    @property
    def collapsed(self) -> bool:
        """The paper's diagnosis."""
        return bool(self.sensitive) and self.diverse is False and (self.takes_seeds or self.stochastic)

    @property
    def blurred(self) -> bool:
        """Whether robustness is had by saying the same of all that looks alike in y."""
        return self.sensitive is False and self.diverse is False and self.is_below("recall", LOW_RECALL)

    @property
    def meaningless(self) -> bool:
        """Whether G is no function of one input and one seed that looks at its input."""
        return any(doubt in concern for concern in self.concerns for doubt in DOUBTS)

    @property
    def weak_attack(self) -> bool:
        """Whether robustness cannot be told from these numbers."""
        strong = self.value("robustness_strong")
        others = ("robustness_random", "robustness_paper")
        beaten = strong is not None and any(self.is_below(name, strong - WEAK_BY) for name in others)
        return beaten or any(doubt in concern for concern in self.concerns for doubt in ATTACK_DOUBTS)

    @property
    def settled(self) -> bool:
        """Whether it is as sensitive and diverse with all numbers at either end of their intervals."""
        return all(
            (end.sensitive, end.diverse) == (self.sensitive, self.diverse)
            for end in (self._at("low"), self._at("high"))
        )

    def _at(self, end: Literal["low", "high"]) -> Case:
        numbers = {name: replace(number, estimate=getattr(number, end)) for name, number in self.numbers.items()}
        return replace(self, numbers=numbers)


def decibels(value: float | None) -> str:
    """Such as ``31.6 dB``."""
    return "not measured" if value is None else "infinite" if math.isinf(value) else f"{value:.1f} dB"


def times(value: float | None) -> str:
    """Such as ``1.6 times``."""
    return f"{value or 0.0:.2g} times"
