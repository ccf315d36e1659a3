"""What is judged in an audit: which of its numbers are large, and which small."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from stochrobust.auditing.findings import AuditNumber
from stochrobust.auditing.thresholds import (
    LARGE_AMPLIFICATION,
    LARGE_CHANGE,
    LOW_RECALL,
    PROJECTOR_PSNR,
    SMALL_SPREAD,
    WEAK_BY,
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
        """Whether it is as sensitive and diverse with all numbers at either end of their intervals."""
        return all(
            (end.sensitive, end.diverse) == (self.sensitive, self.diverse)
            for end in (self._at("low"), self._at("high"))
        )

    def _at(self, end: Literal["low", "high"]) -> Case:
        numbers = {name: replace(number, estimate=getattr(number, end)) for name, number in self.numbers.items()}
        return replace(self, numbers=numbers)
