"""What an image study says of the paper's conclusions from Table 1 and, where it has several factors, Figure 3."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from statistics import fmean
from typing import Any

from reference_experiments.arms import ARMS
from reference_experiments.findings import Finding, figure, paired
from reference_experiments.four_models import ERRATIC, Numbers, conclusions, poor, trainings
from reference_experiments.images.presets import PRESETS
from reference_experiments.images.summary import Rows, by_arm, check_alike, estimates
from reference_experiments.study import Results

CONSISTENT_DB = 100.0
OF_A_TASK = ("eps", "eps_in_db")
"""What differs from factor to factor."""
FIGURE_3 = "Figure 3, which prints no numbers"


def findings(results: Results) -> list[Finding]:
    """Of each task, and of super-resolution's factors together."""
    real = {name: number["estimate"] for name, number in results["validation images"]["values"].items()}
    tasks = {name: by_arm(of_task) for name, of_task in results["tasks"].items()}
    missing = {name: blurred(rows, results.get("references", {}).get(name, {})) for name, rows in tasks.items()}
    found = []
    for name, rows in tasks.items():
        paper = "" if PRESETS[name].training.task == "inpainting" else FIGURE_3
        of_task = [*conclusions(estimates(rows), real, missing=missing[name], paper=paper), consistent(rows)]
        found += [_of(finding, name) for finding in of_task]
    if len(tasks) > 1:
        factors = {PRESETS[name].training.restoration.scale: rows for name, rows in tasks.items()}
        poorest = next(filter(None, missing.values()), "")
        found += trends(factors, real, poorest)
    return found


def _of(finding: Finding, name: str) -> Finding:
    return Finding(**{**vars(finding), "claim": f"{finding.claim} ({name})"})


def blurred(rows: Rows, references: dict[str, dict[str, Any]]) -> str:
    """Which model is further from the source than the enlarged input; empty if none is, or nothing is known of it."""
    enlarged = references.get("bicubic")
    if enlarged is None:
        return ""
    worst = min(ARMS, key=lambda arm: _distortion(rows, arm.name))
    ours, theirs = _distortion(rows, worst.name), enlarged["values"]["distortion"]["estimate"]
    return "" if ours >= theirs else (
        f"PSNR {ours:.2f} dB of the {worst.name} model is below bicubic enlargement's {theirs:.2f} dB"
    )  # fmt: skip


def _distortion(rows: Rows, name: str) -> float:
    of_arm = next(of_arm for arm, of_arm in rows.items() if arm.name == name)
    return fmean(row["values"]["distortion"]["estimate"] for row in of_arm)


def consistent(rows: Rows) -> Finding:
    """Which no training decides: the projection makes it so."""
    least, rounded = (
        min(_least(row["values"][name]) for of_arm in rows.values() for row in of_arm)
        for name in ("consistency", "consistency_8bit")
    )
    return Finding(
        f"Every model is consistent, at least {CONSISTENT_DB:.0f} dB in float32", "holds",
        f"the least of any image {_decibels(least)}, and {_decibels(rounded)} after clamping and rounding to 8 bits",
        0, least - CONSISTENT_DB, unit="dB",
    )  # fmt: skip


def trends(factors: dict[int, Rows], real: dict[str, float], missing: str = "") -> list[Finding]:
    """Of super-resolution by at least two factors, measured alike.

    Raises:
        ValueError: if there is one factor only, or rows were measured otherwise.
    """
    if len(factors) < 2:
        raise ValueError(f"factors must be at least two, for a trend, got {list(factors)}")
    check_alike([row for rows in factors.values() for row in rows[ARMS[0]]], ignoring=OF_A_TASK)
    models = {factor: estimates(factors[factor]) for factor in sorted(factors)}
    missing = missing or next(filter(None, (poor(of_factor, real) for of_factor in models.values())), "")

    def growing(claim: str, name: str, effect: Callable[..., float]) -> Finding:
        """The least growth from a factor to the next of a combination of the four models' numbers."""
        values = {factor: _each(of_factor, name, effect) for factor, of_factor in models.items()}
        steps = [[b - a for a, b in zip(*of, strict=True)] for of in pairwise(values.values())]
        return _trend(claim, [min(of) for of in zip(*steps, strict=True)], models, name, values, missing)

    def everywhere(claim: str, name: str, effect: Callable[..., float]) -> Finding:
        """The least of any factor."""
        values = {factor: _each(of_factor, name, effect) for factor, of_factor in models.items()}
        return _trend(claim, [min(of) for of in zip(*values.values(), strict=True)], models, name, values, missing)

    return [
        growing("Robustness costs the deterministic model more Fréchet distance as the factor grows", "frechet",
                lambda se, sr, de, dr: dr - de),
        growing("Robustness costs the deterministic model more recall as the factor grows", "recall",
                lambda se, sr, de, dr: de - dr),
        everywhere("The robust deterministic model has the largest Fréchet distance at every factor", "frechet",
                   lambda se, sr, de, dr: dr - max(se, sr, de)),
        growing("The robust stochastic model's per-pixel std grows with the factor", "std",
                lambda se, sr, de, dr: sr),
    ]  # fmt: skip


def _each(numbers: Numbers, name: str, effect: Callable[..., float]) -> list[float]:
    return [effect(*(row[name] for row in models)) for models in trainings(numbers)]


def _trend(
    claim: str, effects: list[float], models: dict[int, Numbers], name: str, values: dict[int, list[float]],
    missing: str,
) -> Finding:  # fmt: skip
    placebo = [abs(b) for of in models.values() for b in _each(of, name, lambda se, sr, de, dr: se - de)]
    here = "; ".join(f"x{factor}: {figure(fmean(of_factor))}" for factor, of_factor in values.items())
    return paired(claim, effects, placebo, paper=FIGURE_3, here=here, placebo_of=ERRATIC, missing=missing)


def _least(number: dict[str, Any]) -> float:
    return float(number["estimate"] if number["least"] is None else number["least"])


def _decibels(value: float) -> str:
    return "exact" if math.isinf(value) else f"{value:.1f} dB"
