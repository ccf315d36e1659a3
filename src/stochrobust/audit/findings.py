"""What an audit found: numbers with intervals, curves and pictures, and what they mean in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

Level = Literal["good", "note", "bad"]


@dataclass(frozen=True)
class AuditNumber:
    """A number and where its expectation over inputs is likely to lie.

    Attributes:
        estimate: the number; a mean over inputs leaves infinite ones out.
        low, high: ends of its interval; equal to ``estimate`` where it has none.
        n: inputs, or images, those with an infinite number included.
        n_infinite: inputs left out, since theirs is infinite (the PSNR of equal images).
    """

    estimate: float
    low: float
    high: float
    n: int
    n_infinite: int = 0


@dataclass(frozen=True)
class Verdict:
    """One thing the numbers say.

    Attributes:
        name: a short fixed name, such as "conditional mode collapse"; see :mod:`stochrobust.audit.verdicts`.
        level: "good", "note" or "bad".
        sentence: what was found, with the figures it rests on, and what to do about it.
    """

    name: str
    level: Level
    sentence: str


@dataclass(frozen=True)
class Curve:
    """Robustness over the size of the attack: one entry per radius, ascending.

    Attributes:
        eps: radii, in units of y.
        ai_psnr: PSNR of y and y + delta for a delta of that length, in dB.
        attacked, random: robustness (Eq. 9) in dB under the strong attack, and along random directions.
    """

    eps: tuple[float, ...]
    ai_psnr: tuple[float, ...]
    attacked: tuple[AuditNumber, ...]
    random: tuple[AuditNumber, ...]


@dataclass(frozen=True)
class Example:
    """Pictures of one input, on the CPU, (C, H, W) as they are (not clamped); ``y`` may have another size than x.

    Attributes:
        number: of the input in the data.
        y, x: input and source.
        samples: (S, C, H, W), a few outputs at y; one of a deterministic estimator.
        mean, std: (C, H, W) over all the seeds that were drawn; None for a deterministic estimator.
        y_attacked: y + delta of the strong attack; None where it was not attacked.
        attacked: (S, C, H, W), outputs at y_attacked with the same seeds as ``clean``.
        clean: (S, C, H, W), outputs at y with those seeds.
        robustness: Eq. 9 of this input, in dB.
    """

    number: int
    y: Tensor
    x: Tensor
    samples: Tensor
    mean: Tensor | None = None
    std: Tensor | None = None
    y_attacked: Tensor | None = None
    attacked: Tensor | None = None
    clean: Tensor | None = None
    robustness: float | None = None


@dataclass(frozen=True)
class Findings:
    """What :func:`stochrobust.audit` found: the data of an :class:`~stochrobust.AuditReport`.

    Attributes:
        title: of the estimator.
        stochastic: whether two seeds gave different outputs.
        takes_seeds: whether it was given seeds ``z``.
        numbers: by the names of :data:`NUMBERS`; one that was not measured is absent.
        per_input: of the numbers over inputs, the value of each, in order, whose mean (of the finite ones) is the
            number; what ``compare`` pairs. Of a ratio of means (``spread_error``, ``amplification``, ...) they are that
            ratio plus each input's first-order share in it.
        curve: robustness over the size of the attack.
        trace: the squared change found by the strong attack before each gradient and at the end, best so far, as a
            share of what it ended with; mean over inputs.
        ranks: share of pixels whose source has 0, 1, ..., S of the S outputs below it; empty if deterministic.
        verdicts: in order of weight.
        concerns: the library's doubts about single numbers, in sentences.
        protocol: all that the numbers depend on, JSON-ready.
        examples: pictures of the first inputs; not part of the JSON.
        worst: pictures of the inputs that the strong attack moved most; not part of the JSON.
    """

    title: str
    stochastic: bool
    takes_seeds: bool
    numbers: dict[str, AuditNumber]
    per_input: dict[str, tuple[float, ...]]
    curve: Curve
    trace: tuple[float, ...]
    ranks: tuple[float, ...]
    verdicts: tuple[Verdict, ...]
    concerns: tuple[str, ...]
    protocol: dict[str, Any]
    examples: tuple[Example, ...] = field(default=(), repr=False)
    worst: tuple[Example, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class NumberInfo:
    """How a number is shown.

    Attributes:
        title: for tables.
        unit: "dB", or empty.
        better: "high", "low", or empty where neither is.
        about: one sentence for the reader.
    """

    title: str
    unit: str
    better: Literal["high", "low", ""]
    about: str


GROUPS: dict[str, dict[str, NumberInfo]] = {
    "Quality": {
        "frechet": NumberInfo("Fréchet distance", "", "low", "distance of the outputs' features from the real ones'"),
        "precision": NumberInfo("precision", "", "high", "share of outputs that look real"),
        "recall": NumberInfo("recall", "", "high", "share of real images that the outputs cover"),
        "density": NumberInfo("density", "", "high", "how deep inside the real images the outputs lie"),
        "coverage": NumberInfo("coverage", "", "high", "share of real images with an output near them"),
    },
    "Consistency": {
        "consistency": NumberInfo("PSNR of D(x_hat) and y", "dB", "high", "of outputs as they are"),
        "consistency_8bit": NumberInfo(
            "the same after 8 bits", "dB", "high", "of outputs clamped and rounded to 8 bits"
        ),
    },
    "Diversity": {
        "std": NumberInfo("per-pixel std", "", "high", "over the seeds of one input, in units of x"),
    },
    "Distortion": {
        "psnr_sample": NumberInfo("PSNR of one output and x", "dB", "high", ""),
        "psnr_mean": NumberInfo("PSNR of the mean output and x", "dB", "high", "of the mean over all seeds"),
    },
    "Calibration": {
        "spread_error": NumberInfo(
            "spread over error", "", "", "1 for samples of the posterior, 0 if there is no spread"
        ),
        "crps": NumberInfo("CRPS", "", "low", "per pixel, in units of x; a deterministic output's mean absolute error"),
        "rank_deviation": NumberInfo(
            "unevenness of the ranks", "", "low", "0 if x ranks evenly among the outputs, at most 1"
        ),
    },
    "Robustness": {
        "robustness_paper": NumberInfo(
            "robustness, paper's attack", "dB", "high", "Eq. 9, on seeds that did not choose it"
        ),
        "robustness_strong": NumberInfo(
            "robustness, strong attack", "dB", "high", "Eq. 9, on seeds that did not choose it"
        ),
        "robustness_random": NumberInfo(
            "the same, random direction", "dB", "", "a perturbation of the same length: the baseline"
        ),
        "ai_psnr_strong": NumberInfo("AI-PSNR of the strong attack", "dB", "", "PSNR of y and y + delta"),
        "amplification": NumberInfo(
            "amplification", "", "low", "RMS change of an output over RMS of delta, strong attack"
        ),
        "change_over_spread": NumberInfo(
            "change over spread", "", "low", "RMS change over the RMS spread of the seeds"
        ),
        "change_over_error": NumberInfo(
            "change over error", "", "low", "RMS change over the RMS error of the mean output"
        ),
    },
}
"""Every number, in the order of the tables."""
NUMBERS: dict[str, NumberInfo] = {name: info for group in GROUPS.values() for name, info in group.items()}
