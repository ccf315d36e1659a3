"""What the quality study says: whether each number is better for other faces than for images that are none."""

from __future__ import annotations

from reference_experiments.findings import Finding
from reference_experiments.quality.tables import TITLES
from reference_experiments.study import Results


def findings(results: Results) -> list[Finding]:
    """For each number; the effect is in standard errors, so that it is above 2 where a difference can be told."""
    best, worst = results["rows"]["other faces"], results["rows"]["no faces"]
    return [_told_apart(best[name], worst[name], title) for name, title in TITLES.items()]


def _told_apart(best: dict[str, float], worst: dict[str, float], title: str) -> Finding:
    sign = 1 if title.endswith("↑") else -1
    apart = sign * (best["estimate"] - worst["estimate"])
    error = (best["standard_error"] ** 2 + worst["standard_error"] ** 2) ** 0.5
    return Finding(
        f"{title[:-2]} is better for other faces than for images without faces, by two standard errors", "none",
        f"{best['estimate']:.3g} and {worst['estimate']:.3g}", 0, apart / error - 2 if error else apart,
        unit="standard errors above 2",
    )  # fmt: skip
