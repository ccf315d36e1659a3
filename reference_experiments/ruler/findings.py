"""Whether each ruler passes its gate."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from reference_experiments.findings import Finding
from reference_experiments.ruler.gate import JUDGED, NOISE_SHARE, Row, fall_under_noise, falls, faults
from reference_experiments.study import Results

TITLES = {"features": "The classifier's features", "pixels": "Raw pixels"}


def findings(results: Results) -> list[Finding]:
    """For each ruler; the effect is the smallest margin by which it passes, negative where it does not."""
    dropped, sigma = results["settings"]["dropped"], results["settings"]["noise"][0]
    return [_passes(rows, TITLES[name], dropped, sigma) for name, rows in results["rows"].items()]


def _passes(rows: dict[str, Row], title: str, dropped: Sequence[int], sigma: float) -> Finding:
    margins, found = [], []
    for measure in JUDGED:
        by_class, under_noise = falls(rows, measure, dropped), fall_under_noise(rows, measure, sigma)
        margins += [min(by_class), NOISE_SHARE * fmean(by_class) - under_noise]
        found.append(
            f"{measure} falls by {min(by_class):.3f} to {max(by_class):.3f} with a class, {fmean(by_class):.3f} on "
            f"average, and by {under_noise:.3f} under the noise"
        )
    return Finding(
        f"{title} notice every class that is missing, and noise of {sigma:g} less than half as much", "none",
        "; ".join([*found, *faults(rows, dropped, sigma)]), 0, min(margins), unit="recall or coverage",
    )  # fmt: skip
