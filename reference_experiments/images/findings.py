"""The conclusions of section 6.1.2 as sentences that the measured numbers confirm or not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from reference_experiments.arms import ARMS, Arm
from reference_experiments.images.summary import Row, Rows, Statistic, compared

Verdict = Literal["confirmed", "in direction only", "not confirmed", "cannot tell"]
SPREADS = 2.0
"""A difference counts when it is more than so many of its spreads."""
MUCH = 2.0
"""The deterministic model loses much more than the stochastic one when it loses so many times as much."""
BARELY = 0.02
"""Per-pixel std of pixels in [0, 1], five levels of 255, below which outputs are said to vary barely (paper: 0.007)."""
FLOOR = 0.02
"""Precision or recall that no model exceeds says nothing of their differences."""
SEVERAL = 3.0
"""Times as large."""
CONSISTENT_DB = 100.0
NEAR_DB = 3.0
"""Robustness that differs by less is roughly the same (paper: 26.2 and 23.7 dB)."""
STO_ERRATIC, STO_ROBUST, DET_ERRATIC, DET_ROBUST = ARMS


class Finding(NamedTuple):
    """A conclusion of the paper's, and what the numbers say of it."""

    claim: str
    verdict: Verdict
    figures: str

    @property
    def text(self) -> str:
        """One sentence."""
        return f"{self.claim}: {self.verdict} ({self.figures})."


def findings(rows: Rows) -> list[Finding]:
    """Of the four models of one task.

    Args:
        rows: measured alike.
    """
    models = compared(rows)
    return [
        _price(models, "recall", "recall", 3, sign=-1),
        _price(models, "fid", "Fréchet distance", 1, sign=1),
        _barely(models[STO_ERRATIC]["std"], models[STO_ROBUST]["std"]),
        _several(models[STO_ERRATIC]["std"], models[STO_ROBUST]["std"]),
        _consistent(models),
        *(_gained(models, name, attack) for name, attack in (("paper", "paper's"), ("evaluation", "strong"))),
    ]


def judged(difference: Statistic, *, enough: bool = True) -> Verdict:
    """Of a difference that should be positive, and large ``enough``."""
    if difference.mean <= 0:
        return "not confirmed"
    return "confirmed" if enough and difference.mean > SPREADS * difference.spread else "in direction only"


def at_floor(numbers: Iterable[Statistic]) -> bool:
    """Whether all of some precisions or recalls are too low to be compared."""
    return all(number.mean < FLOOR for number in numbers)


def cost(models: Mapping[Arm, Row], name: str, *, stochastic: bool, sign: int) -> Statistic:
    """What robustness costs a model of a number that is worse upwards (sign 1) or downwards (sign -1)."""
    erratic, robust = (models[Arm(stochastic, robust)][name] for robust in (False, True))
    return robust - erratic if sign > 0 else erratic - robust


def _price(models: Mapping[Arm, Row], name: str, words: str, digits: int, *, sign: int) -> Finding:
    """(a)"""
    deterministic, stochastic = (cost(models, name, stochastic=kind, sign=sign) for kind in (False, True))
    enough = deterministic.mean >= MUCH * stochastic.mean
    changes = " and ".join(
        f"{kind} {models[erratic][name].text(digits)} -> {models[robust][name].text(digits)}"
        for kind, erratic, robust in (
            ("deterministic", DET_ERRATIC, DET_ROBUST), ("stochastic", STO_ERRATIC, STO_ROBUST)
        )
    )  # fmt: skip
    silent = name == "recall" and at_floor(row[name] for row in models.values())
    return Finding(
        f"(a) Robustness costs the deterministic model much more {words} than the stochastic one",
        "cannot tell" if silent else judged(deterministic - stochastic, enough=enough),
        f"{changes}; costs {deterministic.text(digits)} and {stochastic.text(digits)}",
    )


def _barely(erratic: Statistic, robust: Statistic) -> Finding:
    """(b)"""
    share = erratic / robust
    of_robust = f", {100 * share.mean:.0f} % of the robust one's" if math.isfinite(share.mean) else ""
    return Finding(
        "(b) The erratic stochastic model barely varies",
        judged(robust - erratic, enough=erratic.mean + SPREADS * erratic.spread < BARELY),
        f"per-pixel std {erratic.text(4)}, {255 * erratic.mean:.1f} levels of 255{of_robust}",
    )


def _several(erratic: Statistic, robust: Statistic) -> Finding:
    """(c)"""
    ratio = robust / erratic
    times = f"{ratio.text(1)} times" if math.isfinite(ratio.mean) else "from nothing"
    return Finding(
        "(c) Robustness raises the stochastic model's per-pixel std several times over",
        judged(robust - erratic, enough=ratio.mean >= SEVERAL),
        f"{erratic.text(4)} -> {robust.text(4)}, {times}",
    )


def _consistent(models: Mapping[Arm, Row]) -> Finding:
    """(d)"""
    least, rounded = (
        min(_least(row[name]) for row in models.values()) for name in ("consistency", "consistency_8bit")
    )  # fmt: skip
    return Finding(
        f"(d) Every model is consistent, at least {CONSISTENT_DB:.0f} dB in float32",
        "confirmed" if least >= CONSISTENT_DB else "not confirmed",
        f"the least of any image {_decibels(least)}, and {_decibels(rounded)} after clamping and rounding to 8 bits",
    )


def _gained(models: Mapping[Arm, Row], name: str, attack: str) -> Finding:
    """Beside (a): that what was paid for was got, by both."""
    of = {arm: row[f"robustness_{name}"] for arm, row in models.items()}
    gains = [of[STO_ROBUST] - of[STO_ERRATIC], of[DET_ROBUST] - of[DET_ERRATIC]]
    apart = abs((of[STO_ROBUST] - of[DET_ROBUST]).mean)
    worst = min(gains, key=lambda gain: gain.mean)
    return Finding(
        f"Under the {attack} attack both models gain robustness, and end within {NEAR_DB:.0f} dB of each other",
        judged(worst, enough=apart <= NEAR_DB),
        f"stochastic {of[STO_ERRATIC].text(1)} -> {of[STO_ROBUST].text(1)} dB, deterministic "
        f"{of[DET_ERRATIC].text(1)} -> {of[DET_ROBUST].text(1)} dB",
    )


def _least(number: Statistic) -> float:
    return number.mean if number.least is None else number.least


def _decibels(value: float) -> str:
    return "exact" if math.isinf(value) else f"{value:.1f} dB"
