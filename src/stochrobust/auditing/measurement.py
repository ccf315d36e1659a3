"""What is said of the measurement: the projector, the data, the outputs' agreement with y, and how the attack searched.

The rules are those of :mod:`stochrobust.auditing.verdicts`, whose table has them all.
"""

from __future__ import annotations

from collections.abc import Iterator

from stochrobust.auditing.case import Case
from stochrobust.auditing.findings import AuditNumber, Verdict
from stochrobust.auditing.numbers import interval, number, quantity
from stochrobust.auditing.thresholds import (
    AS_GOOD_AS_DATA,
    CONSISTENT_PSNR,
    NOISE_KEPT,
    NOISE_LEFT,
    NOISE_TOO_MUCH,
    PROJECTOR_PSNR,
)


def judge_projector(case: Case) -> Iterator[Verdict]:
    """Whether D and project fit together."""
    if case.broken_projector:
        found, expected = _decibels(case.projector_residual_psnr), _decibels(PROJECTOR_PSNR)
        yield Verdict(
            "broken projector",
            "bad",
            f"The projector does not do what it is for: D(project(x, y)) and y have a PSNR of {found}, and should have "
            f"above {expected}, for any x. That is no fault of the estimator's. Check that D and project are of the "
            "same degradation, scale, kernel and borders; until then no number on consistency means anything.",
        )


def judge_data(case: Case) -> Iterator[Verdict]:
    """Whether the y that were given are those of D."""
    data = case.value("data_consistency")
    if case.broken_projector or "noise_consistency" in case.numbers:
        return
    if data is not None and data < CONSISTENT_PSNR:
        yield Verdict(
            "data of another D",
            "note",
            f"The data themselves are consistent to {_decibels(data)} only: that is the PSNR of D(x) and y. Either y "
            "has noise (say so by noise=), or it was made by another D: another library's resize, rounding and "
            "clipping to 8 bits, a shift by a pixel. Outputs are not asked to be nearer to y than x is.",
        )


def judge_consistency(case: Case) -> Iterator[Verdict]:
    """Whether the outputs agree with y: to rounding, as the sources do, or to the noise."""
    raw, rounded = case.value("consistency"), case.value("consistency_8bit")
    noise = case.numbers.get("noise_consistency")
    if case.broken_projector or raw is None:
        return
    if noise is not None:
        yield _beside_noise(noise, case.stochastic)
    elif raw < CONSISTENT_PSNR and not _as_good_as_data(case, raw):
        yield Verdict(
            "inconsistent",
            "bad",
            f"The outputs do not agree with the inputs: D(x_hat) and y have a PSNR of {_decibels(raw)}, and a "
            f"consistent restoration has above {_decibels(CONSISTENT_PSNR)}. The projector itself is in order: wrap "
            "the estimator in Consistent(G, projector); or, if y has noise, give noise= and keep G as it is.",
        )
    elif rounded is not None and rounded < CONSISTENT_PSNR <= raw and not _as_good_as_data(case, rounded):
        yield Verdict(
            "inconsistent after rounding",
            "note",
            f"The outputs agree with the inputs ({_decibels(raw)}) until they are clamped to the range and rounded to "
            f"8 bits ({_decibels(rounded)}): many pixels lie outside the range. Keep floats, or train the estimator to "
            "stay inside it.",
        )


def judge_search(case: Case) -> Iterator[Verdict]:
    """What an attack without gradients can and cannot show."""
    if "no gradient" in case.concerns:
        yield Verdict(
            "searched without gradients",
            "note",
            f"{_sentence(case.concerns['no gradient'])}. What it found is there; that it found no more shows less than "
            "with gradients, and the true worst case may be well beyond. Let gradients through G to say more.",
        )


def _as_good_as_data(case: Case, found: float) -> bool:
    data = case.value("data_consistency")
    return data is not None and found >= data - AS_GOOD_AS_DATA


def _beside_noise(noise: AuditNumber, stochastic: bool) -> Verdict:
    """The readings of what is left of y, in units of the noise."""
    ends = interval(noise)
    figures = f"What is left of y, (y - D(x_hat)) / sigma, has a mean square of {number(noise.estimate)}" + (
        f" ({ends})" if ends else ""
    )
    if noise.estimate > NOISE_TOO_MUCH and noise.low > 1:
        return Verdict(
            "inconsistent",
            "bad",
            f"{figures}, and a source has 1: the outputs lie farther from y than its noise explains. They do not agree "
            "with y, or sigma is larger than was said.",
        )
    if noise.estimate < NOISE_KEPT:
        return Verdict(
            "noise kept",
            "note",
            f"{figures}: D(x_hat) is y, its noise included. Samples of the posterior leave 1. A wrapper such as "
            "Consistent is right where there is no noise; here it puts the noise into the output.",
        )
    if stochastic and noise.high < NOISE_LEFT:
        return Verdict(
            "noise averaged",
            "note",
            f"{figures}; samples of the posterior leave 1. The outputs are nearer to y than sources are: so is a mean "
            "of many outputs, but no single one should be.",
        )
    reading = "as of samples of the posterior" if stochastic else "as a mean of the posterior may, between 0 and 1"
    return Verdict("agrees with the noise", "good", f"{figures}, {reading}.")


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _decibels(value: float | None) -> str:
    return quantity(value, "dB")
