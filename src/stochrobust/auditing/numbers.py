"""Every number of an audit: one row says how it is called, made of what was measured, shown and read; one writer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from stochrobust.auditing.findings import AuditNumber
from stochrobust.metrics.intervals import interval_of_mean
from stochrobust.metrics.ratio import interval_of_ratio

Measured: TypeAlias = Mapping[str, Tensor]
"""What :mod:`stochrobust.auditing.measure` found, by its names there, of each input: (n, ...)."""
PerInput: TypeAlias = Callable[[Measured], Tensor | None]
"""Makes of it the values (n,) whose mean over inputs is the number; None where they do not exist."""


# -- how a number is made of what was measured of each input -----------------------------------------------------------


def mean_of(name: str) -> PerInput:
    """The mean of what was measured under a name."""
    return lambda measured: measured.get(name)


def root_of(numerator: str, denominator: str) -> PerInput:
    """``sqrt(mean a / mean b)``, of the inputs that have both; the first so many have them."""

    def values(measured: Measured) -> Tensor | None:
        if not {numerator, denominator} <= measured.keys():
            return None
        top = measured[numerator]
        return root_of_ratio(top, measured[denominator][: len(top)])

    return values


def unevenness_of(name: str) -> PerInput:
    """:func:`unevenness` of shares measured under a name."""
    return lambda measured: unevenness(measured[name]) if name in measured else None


def root_of_ratio(numerators: Tensor, denominators: Tensor) -> Tensor | None:
    """Values (n,) whose mean is ``r = sqrt(mean a / mean b)`` and whose spread gives r's standard error.

    ``r (1 + a_i / (2 mean a) - b_i / (2 mean b))``, r's first-order expansion in the two means. None where it has none:
    the lower mean is not above zero.
    """
    top, bottom = numerators.double(), denominators.double()
    above, below = top.mean(), bottom.mean()
    if not below > 0:
        return None
    if not above > 0:
        return torch.zeros_like(top)
    return (above / below).sqrt() * (1 + top / (2 * above) - bottom / (2 * below))


def unevenness(ranks: Tensor) -> Tensor:
    """Values (n,) whose mean is the distance of the mean histogram of (n, S + 1) shares from a flat one, 0 to 1.

    Half the sum of the absolute differences, as a share of the most that it can be, expanded as in
    :func:`root_of_ratio`.
    """
    flat = 1 / ranks.shape[1]
    differences = ranks.double() - flat
    values: Tensor = (differences * differences.mean(0).sign()).sum(1) / (2 * (1 - flat))
    return values


def over_inputs(values: Tensor, level: float) -> AuditNumber:
    """The mean over inputs of the finite values (n,), Student's interval, and how many are infinite."""
    finite = values[values.isfinite()].double()
    n_infinite = len(values) - len(finite)
    if len(finite) < 2:
        estimate = float(finite[0]) if len(finite) else math.inf
        return AuditNumber(estimate, estimate, estimate, len(values), n_infinite)
    found = interval_of_mean(finite, level=level)
    return AuditNumber(found.estimate, found.low, found.high, len(values), n_infinite)


def root_of_means(numerators: Tensor, denominators: Tensor, level: float) -> AuditNumber:
    """``sqrt(mean a / mean b)`` over inputs with its interval; infinite where the mean of b is not above zero."""
    if len(numerators) == 1:
        value = float((numerators / denominators.clamp_min(0)).sqrt())
        return AuditNumber(value, value, value, 1)
    found = interval_of_ratio(numerators.double(), denominators.double(), level=level)
    return AuditNumber(math.sqrt(found.estimate), math.sqrt(found.low), math.sqrt(found.high), len(numerators))


# -- the rows ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NumberInfo:
    """One row.

    Attributes:
        title: for tables.
        unit: "dB", or empty.
        better: "high", "low", or empty where neither is.
        about: one sentence for the reader.
        made: of what was measured of each input; None for a number of the whole set.
        scale: of its bar: "share" from 0 to 1, "ratio" where 1 means "as much as"; empty for one of its own. Decibels
            share one.
    """

    title: str
    unit: str
    better: Literal["high", "low", ""]
    about: str
    made: PerInput | None = None
    scale: Literal["share", "ratio", ""] = ""


Row = NumberInfo
GROUPS: dict[str, dict[str, NumberInfo]] = {
    "Quality": {
        "frechet": Row("Fréchet distance", "", "low", "distance of the outputs' features from the real ones'"),
        "precision": Row("precision", "", "high", "share of outputs that look real", scale="share"),
        "precision_shortfall": Row(
            "shortfall of precision", "", "low", "by how much fewer outputs than real images lie among real images"
        ),
        "recall": Row("recall", "", "high", "share of real images that the outputs cover", scale="share"),
        "density": Row("density", "", "high", "how deep inside the real images the outputs lie", scale="ratio"),
        "coverage": Row("coverage", "", "high", "share of real images with an output near them", scale="share"),
    },
    "Consistency": {
        "consistency": Row(
            "PSNR of D(x_hat) and y", "dB", "high", "of outputs as they are", mean_of("consistency")
        ),
        "consistency_8bit": Row(
            "the same after 8 bits", "dB", "high", "of outputs clamped and rounded to 8 bits",
            mean_of("consistency_8bit"),
        ),
        "noise_consistency": Row(
            "what is left of y, in units of the noise", "", "",
            "mean square of (y - D(x_hat)) / sigma: 1 for samples of the posterior, less for means, 0 if the noise is "
            "kept", mean_of("noise_consistency"), "ratio",
        ),
        "data_consistency": Row(
            "PSNR of D(x) and y", "dB", "", "of the data themselves: the most that an output can be asked for",
            mean_of("data_consistency"),
        ),
    },
    "Diversity": {
        "std": Row("per-pixel std", "", "high", "over the seeds of one input, in units of x", mean_of("std")),
    },
    "Distortion": {
        "psnr_sample": Row("PSNR of one output and x", "dB", "high", "", mean_of("psnr_sample")),
        "psnr_mean": Row(
            "PSNR of the mean output and x", "dB", "high", "of the mean over all seeds", mean_of("psnr_mean")
        ),
    },
    "Calibration": {
        "spread_error": Row(
            "spread over error", "", "", "1 for samples of the posterior, 0 if there is no spread",
            root_of("spread", "law_error"), "ratio",
        ),
        "crps": Row(
            "CRPS", "", "low", "per pixel, in units of x; a deterministic output's mean absolute error",
            mean_of("crps"),
        ),
        "rank_deviation": Row(
            "unevenness of the ranks", "", "low", "0 if x ranks evenly among the outputs, at most 1",
            unevenness_of("ranks"), "share",
        ),
    },
    "Posterior": {
        "coverage_gap": Row(
            "gap of coverage", "", "low", "how far the outputs' coverage of x is off at worst; 0 for the posterior",
            scale="share",
        ),
        "coverage_p": Row(
            "chance of such a gap", "", "", "probability that samples of the posterior cover x as unevenly",
            scale="share",
        ),
        "spread_principal": Row(
            "spread over error, principal", "", "", "along the directions in which the outputs vary most",
            scale="ratio",
        ),
        "spread_elsewhere": Row("spread over error, elsewhere", "", "", "along all others", scale="ratio"),
        "conditional_frechet": Row(
            "conditional Fréchet distance", "", "low", "of sources and outputs given y, in squared units of x"
        ),
        "conditional_frechet_null": Row(
            "the same among outputs", "", "", "of outputs and outputs: what so many inputs cannot tell from 0"
        ),
    },
    "Robustness": {
        "robustness_paper": Row(
            "robustness, paper's attack", "dB", "high", "Eq. 9, on seeds that did not choose it",
            mean_of("robustness_paper"),
        ),
        "robustness_strong": Row(
            "robustness, strong attack", "dB", "high", "Eq. 9, on seeds that did not choose it",
            mean_of("robustness_strong 1.0"),
        ),
        "robustness_random": Row(
            "the same, random direction", "dB", "", "a perturbation of the same length: the baseline",
            mean_of("robustness_random 1.0"),
        ),
        "ai_psnr_strong": Row(
            "AI-PSNR of the strong attack", "dB", "", "PSNR of y and y + delta", mean_of("ai_psnr_strong")
        ),
        "energy_outside": Row(
            "energy outside the observed part", "", "", "share of delta's squared length on elements of y that D does "
            "not observe", mean_of("energy_outside"), "share",
        ),
        "amplification": Row(
            "amplification", "", "low", "RMS change of an output over RMS of delta, strong attack",
            root_of("change", "length"), "ratio",
        ),
        "amplification_reference": Row(
            "amplification, linear restorer", "", "", "of ridge regression on these pairs: what is to be expected",
            scale="ratio",
        ),
        "steep_share": Row(
            "share of steep inputs", "", "low", "of those attacked: moved over 3 times as far as by a linear restorer",
            scale="share",
        ),
        "spread_steep": Row(
            "spread over error, steep inputs", "", "", "1 where the outputs there are the posterior's",
            scale="ratio",
        ),
        "change_over_spread": Row(
            "change over spread", "", "low", "RMS change over the RMS spread of the seeds",
            root_of("change", "spread"), "ratio",
        ),
        "change_over_error": Row(
            "change over error", "", "low", "RMS change over the RMS error of the mean output",
            root_of("change", "error"), "ratio",
        ),
    },
}  # fmt: skip
"""Every number, in the order of the tables."""
NUMBERS: dict[str, NumberInfo] = {name: info for group in GROUPS.values() for name, info in group.items()}


# -- the writer of numbers: tables, page, shell, comparison and verdicts print the same figure the same way ------------


def number(value: float, unit: str = "") -> str:
    """A number without its unit: decibels to two decimals, anything else to three digits.

    Example:
        >>> number(6.218, "dB"), number(0.1337), number(-1.0), number(12345.6), number(float("inf"), "dB")
        ('6.22', '0.134', '-1.00', '12346', 'infinite')
        >>> number(2.5e-7), number(0.0), number(float("nan")), number(-0.001, "dB")
        ('2.50e-07', '0', 'none', '0.00')
    """
    if math.isnan(value):
        return "none"
    if math.isinf(value):
        return "infinite" if value > 0 else "-infinite"
    if unit == "dB":
        text = f"{value:.2f}"
        return "0.00" if text == "-0.00" else text
    size = abs(value)
    if size == 0:
        return "0"
    if size >= 1e7 or size < 1e-4:
        return f"{value:.2e}"
    return f"{value:.0f}" if size >= 999.5 else f"{value:#.3g}".rstrip(".")


def quantity(value: float | None, unit: str = "") -> str:
    """A number with its unit.

    Example:
        >>> quantity(6.218, "dB"), quantity(0.1337), quantity(float("inf"), "dB"), quantity(None, "dB")
        ('6.22 dB', '0.134', 'infinite', 'not measured')
    """
    if value is None:
        return "not measured"
    return f"{number(value, unit)} {unit}" if unit and math.isfinite(value) else number(value, unit)


def interval(value: AuditNumber, unit: str = "") -> str:
    """The ends of an interval, empty where the number has none or it is too narrow to be seen in the digits shown.

    Example:
        >>> interval(AuditNumber(0.77, 0.75, 0.79, 500)), interval(AuditNumber(0.77, 0.77, 0.77, 500))
        ('0.750 to 0.790', '')
    """
    low, high = number(value.low, unit), number(value.high, unit)
    return f"{low} to {high}" if has_interval(value) and low != high else ""


def has_interval(value: AuditNumber) -> bool:
    """Whether a number has an interval with two finite ends that differ."""
    return math.isfinite(value.low) and math.isfinite(value.high) and value.low < value.high


def percent(value: float) -> str:
    """A share in per cent.

    Example:
        >>> percent(0.5), percent(0.004), percent(0.0), percent(1e-5)
        ('50%', '0.4%', '0%', 'under 0.1%')
    """
    if 0 < value < 0.001:
        return "under 0.1%"
    return f"{100 * value:.{0 if value >= 0.0995 or value == 0 else 1}f}%"


def counted(count: int, noun: str) -> str:
    """A count with its noun.

    Example:
        >>> counted(1, "input"), counted(12, "input")
        ('1 input', '12 inputs')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"
