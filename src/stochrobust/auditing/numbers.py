"""Every number of an audit: how it is called, shown and read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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
