"""What is judged in an audit: which of its numbers are large, and which small."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from stochrobust.auditing.findings import AuditNumber
from stochrobust.auditing.thresholds import (
    ENOUGH_PAIRS,
    FRECHET_EXCESS,
    LARGE_AMPLIFICATION,
    LARGE_CHANGE,
    LARGE_SHORTFALL,
    LOW_RECALL,
    ONE_INPUT,
    OVERDISPERSED,
    PROJECTOR_PSNR,
    SMALL_SPREAD,
    STEEP,
    STEEP_SHARE,
    UNDERDISPERSED,
    UNEVEN_GAP,
    UNEVEN_P,
    WEAK_BY,
    WRONG_GAP,
)

DOUBTS = ("batch-dependent", "irreproducible", "input ignored", "outside the range")
"""Codes of what the library says of a G whose numbers mean nothing; each is the name of the verdict."""
ATTACK_DOUBTS = ("zero gradient", "weaker than random")
"""And of an attack that was none."""


@dataclass(frozen=True)
class Case:
    """What is judged, and what the rules ask of it; None where it is not known.

    Attributes:
        concerns: the library's doubts by their codes.
    """

    numbers: dict[str, AuditNumber]
    stochastic: bool
    takes_seeds: bool
    concerns: dict[str, str]
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
        """Whether the attack moves the outputs by much, at some of the inputs or in the mean over them."""
        gain, change = self.value("amplification"), self.value("change_over_error")
        share = self.value("steep_share") or 0.0
        if gain is None or share >= STEEP_SHARE:
            return None if gain is None else True
        if gain <= max(LARGE_AMPLIFICATION, STEEP * (self.value("amplification_reference") or 0.0)):
            return False
        return None if change is None else change > LARGE_CHANGE

    @property
    def decided(self) -> bool:
        """Whether there are pairs enough to say what is much; without a reference, any number of them."""
        reference = self.numbers.get("amplification_reference")
        return reference is None or reference.n >= ENOUGH_PAIRS

    @property
    def uneven(self) -> bool | None:
        """Whether x is covered by the outputs as by no posterior sampler's."""
        gap, p_value = self.value("coverage_gap"), self.value("coverage_p")
        return None if gap is None or p_value is None else gap > UNEVEN_GAP and p_value < UNEVEN_P

    @property
    def wrong_law(self) -> bool:
        """Whether they cover x so badly that their variety is another one."""
        return bool(self.uneven) and (self.value("coverage_gap") or 0.0) > WRONG_GAP

    @property
    def misplaced(self) -> bool | None:
        """Whether the outputs vary too little or too much in some directions, or depend on y as x does not."""
        names = ("spread_principal", "spread_elsewhere")
        parts = [self.numbers[name] for name in names if name in self.numbers]
        value, null = self.numbers.get("conditional_frechet"), self.numbers.get("conditional_frechet_null")
        if len(parts) < len(names) or value is None or null is None:
            return None
        off = any(part.high < UNDERDISPERSED or part.low > OVERDISPERSED for part in parts)
        return off or value.estimate > max(null.high, FRECHET_EXCESS * null.estimate)

    @property
    def unnatural(self) -> bool:
        """Whether fewer outputs than real images look real."""
        number = self.numbers.get("precision_shortfall")
        return number is not None and number.low > 0 and number.estimate > LARGE_SHORTFALL

    @property
    def lawful(self) -> bool:
        """Whether all evidence says that the outputs are samples of the posterior: then any steepness is right."""
        spread, steep = self.numbers.get("spread_error"), self.numbers.get("spread_steep")
        there = steep is None or steep.estimate >= UNDERDISPERSED * (1 - ONE_INPUT / math.sqrt(steep.n))
        within = spread is not None and spread.high >= UNDERDISPERSED and spread.low <= OVERDISPERSED
        known = self.stochastic and self.uneven is False and self.misplaced is False
        return known and within and there and not self.unnatural and self.decided

    @property
    def erratic(self) -> bool:
        """Whether it is more sensitive than the data ask for."""
        return bool(self.sensitive) and self.decided and not self.lawful

    @property
    def diverse(self) -> bool | None:
        """Whether the seeds of one input give outputs of about the variety that there is."""
        spread = self.value("spread_error") if self.stochastic else 0.0
        return None if spread is None else spread >= SMALL_SPREAD

    @property
    def collapsed(self) -> bool:
        """The paper's diagnosis."""
        return self.erratic and self.diverse is False and (self.takes_seeds or self.stochastic)

    @property
    def blurred(self) -> bool:
        """Whether robustness is had by saying the same of all that looks alike in y."""
        return self.sensitive is False and self.diverse is False and self.is_below("recall", LOW_RECALL)

    @property
    def meaningless(self) -> bool:
        """Whether G is no function of one input and one seed that looks at its input."""
        return bool(self.concerns.keys() & set(DOUBTS))

    @property
    def weak_attack(self) -> bool:
        """Whether robustness cannot be told from these numbers."""
        strong = self.value("robustness_strong")
        others = ("robustness_random", "robustness_paper")
        beaten = strong is not None and any(self.is_below(name, strong - WEAK_BY) for name in others)
        return beaten or bool(self.concerns.keys() & set(ATTACK_DOUBTS))

    @property
    def settled(self) -> bool:
        """Whether it is as sensitive and diverse with all numbers at either end of their intervals.

        Save the share of steep inputs, which is a count: of none in 64 the interval reaches 6 %.
        """
        return all(
            (end.sensitive, end.diverse) == (self.sensitive, self.diverse)
            for end in (self._at("low"), self._at("high"))
        )

    def _at(self, end: Literal["low", "high"]) -> Case:
        numbers = {
            name: number if name == "steep_share" else replace(number, estimate=getattr(number, end))
            for name, number in self.numbers.items()
        }
        return replace(self, numbers=numbers)
