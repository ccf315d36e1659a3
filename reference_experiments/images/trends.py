"""What section 6.1.2 concludes from Figure 3: how the four models fare as super-resolution's factor grows."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from reference_experiments.arms import ARMS, Arm
from reference_experiments.images.findings import (
    BARELY,
    DET_ROBUST,
    SPREADS,
    STO_ERRATIC,
    STO_ROBUST,
    Finding,
    Verdict,
    at_floor,
    cost,
    judged,
)
from reference_experiments.images.summary import Row, Rows, Statistic, check_alike, compared

Factors = Mapping[int, Rows]
"""The rows of each factor."""
ALIKE = 0.1
"""Precision, of at most 1, that differs by less is roughly the same."""
OF_A_TASK = ("eps", "eps_in_db")
"""What differs from factor to factor."""


def trends(factors: Factors) -> list[Finding]:
    """Of super-resolution by at least two factors.

    Args:
        factors: rows measured alike, of one set.

    Raises:
        ValueError: if there is one factor only, or rows were measured otherwise.
    """
    models = compared_by_factor(factors)
    return [
        _growing(models, "fid", "Fréchet distance", 1, sign=1),
        _growing(models, "recall", "recall", 3, sign=-1),
        _worst(models),
        _precision(models),
        _variety(models),
    ]


def compared_by_factor(factors: Factors) -> dict[int, dict[Arm, Row]]:
    """The summarized rows in the order of the factors."""
    if len(factors) < 2:
        raise ValueError(f"factors must be at least two, for a trend, got {list(factors)}")
    check_alike([row for rows in factors.values() for row in rows[ARMS[0]]], ignoring=OF_A_TASK)
    return {factor: compared(factors[factor]) for factor in sorted(factors)}


def _growing(models: dict[int, dict[Arm, Row]], name: str, words: str, digits: int, *, sign: int) -> Finding:
    costs = {
        factor: [cost(of_factor, name, stochastic=kind, sign=sign) for kind in (False, True)]
        for factor, of_factor in models.items()
    }
    steps = [after[0] - before[0] for before, after in pairwise(costs.values())]
    figures = "; ".join(
        f"x{factor}: {deterministic.text(digits)}, the stochastic one {stochastic.text(digits)}"
        for factor, (deterministic, stochastic) in costs.items()
    )
    claim = f"Robustness costs the deterministic model more {words} as the factor grows"
    silent = name == "recall" and at_floor(row[name] for of_factor in models.values() for row in of_factor.values())
    return Finding(claim, "cannot tell" if silent else _least_of([judged(step) for step in steps]), figures)


def _worst(models: dict[int, dict[Arm, Row]]) -> Finding:
    margins = {
        factor: min(
            (of_factor[DET_ROBUST]["fid"] - of_factor[arm]["fid"] for arm in ARMS if arm != DET_ROBUST),
            key=lambda margin: margin.mean,
        )
        for factor, of_factor in models.items()
    }
    return Finding(
        "The robust deterministic model has the largest Fréchet distance at every factor",
        _least_of([judged(margin) for margin in margins.values()]),
        "; ".join(f"x{factor}: {margin.text(1)} above the next" for factor, margin in margins.items()),
    )


def _precision(models: dict[int, dict[Arm, Row]]) -> Finding:
    values = {(factor, arm): row[arm]["precision"] for factor, row in models.items() for arm in ARMS}
    lowest, highest = (choose(values, key=lambda key: values[key].mean) for choose in (min, max))
    apart = values[highest] - values[lowest]
    names = [f"{values[key].text(3)} ({key[1].name}, x{key[0]})" for key in (lowest, highest)]
    return Finding(
        f"Precision is roughly the same, within {ALIKE}, for all models and factors",
        "cannot tell" if at_floor(values.values()) else "confirmed" if apart.mean <= ALIKE else "not confirmed",
        f"from {names[0]} to {names[1]}",
    )


def _variety(models: dict[int, dict[Arm, Row]]) -> Finding:
    robust, erratic = ([row[arm]["std"] for row in models.values()] for arm in (STO_ROBUST, STO_ERRATIC))
    verdicts = [judged(after - before) for before, after in pairwise(robust)]
    verdicts += [_small(std) for std in erratic]
    figures = "; ".join(
        f"x{factor}: {mine.text(4)} against {theirs.text(4)}"
        for factor, mine, theirs in zip(models, robust, erratic, strict=True)
    )
    claim = "The robust stochastic model varies more as the factor grows, and the erratic one barely at any"
    return Finding(claim, _least_of(verdicts), f"per-pixel std {figures}")


def _small(std: Statistic) -> Verdict:
    return "confirmed" if std.mean + SPREADS * std.spread < BARELY else "not confirmed"


def _least_of(verdicts: list[Verdict]) -> Verdict:
    order: tuple[Verdict, ...] = ("not confirmed", "in direction only", "confirmed")
    return min(verdicts, key=order.index)
