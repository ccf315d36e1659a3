"""A number of several trainings, draws or images as one: its mean and its spread."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """A mean and, where there is one, its spread.

    Attributes:
        mean: infinite where a value is.
        spread: the standard deviation of several finite values; of a single one, what its own study says, or None.
    """

    mean: float
    spread: float | None = None

    @classmethod
    def of(cls, values: Iterable[float], alone: float | None = None) -> Spread:
        """Of some values; ``alone`` is the spread of a single one."""
        values = list(values)
        several = len(values) > 1 and all(map(math.isfinite, values))
        return cls(statistics.fmean(values), statistics.stdev(values) if several else alone)

    def text(self, digits: int = 3) -> str:
        """Such as ``0.14 ± 0.02``; ``exact`` where the mean is infinite, as only decibels are."""
        if math.isinf(self.mean):
            return "exact"
        mean = f"{self.mean:.{digits}f}"
        return mean if self.spread is None else f"{mean} ± {self.spread:.{digits}f}"


Row = dict[str, Spread]


def summarize(rows: Sequence[dict[str, float]]) -> Row:
    """The numbers of each training -> their means and spreads, name by name."""
    return {name: Spread.of([row[name] for row in rows]) for name in rows[0]}
