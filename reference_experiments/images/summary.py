"""The rows of several trainings of one model as one row: a mean and a spread for each number."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reference_experiments.arms import Arm
from reference_experiments.images.numbers import Number

Rows = Mapping[Arm, Sequence[dict[str, Any]]]
"""Of each of the four models what :func:`reference_experiments.images.evaluation.evaluate` gave, a training each."""


@dataclass(frozen=True)
class Statistic:
    """A number of one model.

    Attributes:
        mean: over the trainings; infinite where every image's number is.
        spread: the standard deviation over the trainings; of a single one, the standard error over images.
        least: of any image.
    """

    mean: float
    spread: float = 0.0
    least: float | None = None

    def text(self, digits: int) -> str:
        """Such as ``0.14 ± 0.02``."""
        if math.isinf(self.mean):
            return "exact"
        return f"{self.mean:.{digits}f} ± {self.spread:.{digits}f}"

    def __sub__(self, other: Statistic) -> Statistic:
        return Statistic(self.mean - other.mean, math.hypot(self.spread, other.spread))

    def __truediv__(self, other: Statistic) -> Statistic:
        """The quotient, its spread to first order."""
        if other.mean == 0:
            return Statistic(math.inf if self.mean else math.nan)
        ratio = self.mean / other.mean
        relative = self.spread / self.mean if self.mean else 0.0
        return Statistic(ratio, abs(ratio) * math.hypot(relative, other.spread / other.mean))


Row = dict[str, Statistic]


def summarize(rows: Sequence[dict[str, Any]]) -> Row:
    """One row for each training of a model -> their means and spreads, name by name."""
    found = [{name: Number.from_json(content) for name, content in row["values"].items()} for row in rows]
    return {name: _statistic([numbers[name] for numbers in found]) for name in found[0]}


def compared(rows: Rows) -> dict[Arm, Row]:
    """The four models' rows, which must have been measured alike.

    Raises:
        ValueError: if a protocol differs from the first: another number of images, for instance.
    """
    check_alike([row for of_arm in rows.values() for row in of_arm])
    return {arm: summarize(of_arm) for arm, of_arm in rows.items()}


def check_alike(rows: Sequence[dict[str, Any]], *, ignoring: Sequence[str] = ()) -> None:
    """Rows do not compare unless everything that their numbers depend on agrees."""
    first = rows[0]["protocol"]
    for row in rows[1:]:
        other = row["protocol"]
        names = sorted((first.keys() | other.keys()) - set(ignoring))
        if different := [name for name in names if _plain(first.get(name)) != _plain(other.get(name))]:
            name = different[0]
            raise ValueError(
                f"rows measured otherwise do not compare: {', '.join(different)} differ; "
                f"{name} is {first.get(name)!r} and {other.get(name)!r}"
            )


def spread_of(rows: Rows) -> str:
    """What ± means."""
    n = min(len(of_arm) for of_arm in rows.values())
    if n > 1:
        return f"mean ± standard deviation of {n} trainings of each model"
    return "one training of each model; ± one standard error over images, by halves for FID, precision and recall"


def _statistic(numbers: list[Number]) -> Statistic:
    estimates = [number.estimate for number in numbers]
    least = None if any(number.least is None for number in numbers) else min(n.least or 0.0 for n in numbers)
    finite = all(map(math.isfinite, estimates))
    if len(numbers) == 1 or not finite:
        spread = numbers[0].standard_error or 0.0
    else:
        spread = statistics.stdev(estimates)
    return Statistic(statistics.fmean(estimates), spread, least)


def _plain(value: object) -> str:
    return json.dumps(value, sort_keys=True)
