"""The rows of a run by model, set and alpha: means over images, and differences of two models image by image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from reference_experiments.images.numbers import Number, per_image

LARGE = 1e4
"""Nothing that is measured of images in [0, 1] should be as large."""
Rows = Sequence[dict[str, Any]]
"""What :func:`reference_experiments.srflow.items.rows` gave."""


@dataclass(frozen=True)
class Summary:
    """Rows of one run, measured alike.

    Attributes:
        rows: of all models, sets and alphas.
        convention: of the PSNRs that are asked for without one.
    """

    rows: Rows
    convention: str = "rgb"

    @classmethod
    def of(cls, results: dict[str, Any]) -> Summary:
        """The summary of a run's results."""
        return cls(results["rows"], results.get("convention", "rgb"))

    @property
    def models(self) -> list[str]:
        """In order."""
        return list(dict.fromkeys(row["model"] for row in self.rows))

    @property
    def sets(self) -> list[str]:
        """In order."""
        return list(dict.fromkeys(row["set"] for row in self.rows))

    @property
    def levels(self) -> list[float]:
        """The alphas, in levels of 255, the smallest first."""
        return sorted({row["levels"] for row in self.rows})

    def row(self, model: str, of_set: str, levels: float) -> dict[str, Any]:
        """One row."""
        wanted = {"model": model, "set": of_set, "levels": levels}
        return next(row for row in self.rows if all(row[name] == value for name, value in wanted.items()))

    def with_role(self, role: str) -> list[str]:
        """The models of a role."""
        return list(dict.fromkeys(row["model"] for row in self.rows if row["role"] == role))

    def values(self, model: str, of_set: str, levels: float, name: str) -> list[float | None]:
        """Of every image, None where the model exploded."""
        found = self.row(model, of_set, levels)["values"]
        values = found[name] if name in found else found[f"{self.convention}:{name}"]
        return [None if value is None else float(value) for value in values]

    def number(self, model: str, of_set: str, levels: float, name: str) -> Number | None:
        """The mean over the images at which the model did not explode, with its interval; None if there are none."""
        values = [value for value in self.values(model, of_set, levels, name) if value is not None]
        return per_image(torch.tensor(values, dtype=torch.float64)) if values else None

    def difference(
        self, model: str, other: str, of_set: str, levels: float, name: str, name_of_other: str = ""
    ) -> Number | None:
        """The mean of the first model's number less the other's over the images that have both, finite."""
        both = ((model, name), (other, name_of_other or name))
        pairs = zip(*(self.values(one, of_set, levels, of_one) for one, of_one in both), strict=True)
        finite = [a - b for a, b in pairs if a is not None and b is not None and math.isfinite(a) and math.isfinite(b)]
        return per_image(torch.tensor(finite, dtype=torch.float64)) if finite else None


def text(number: Number | None, digits: int) -> str:
    """Such as ``31.50 [29.45, 33.55]``."""
    if number is None:
        return "-"
    if math.isinf(number.estimate):
        return "unchanged"
    ends = [] if number.low is None or number.high is None else [number.low, number.high]
    estimate, *interval = (_short(value, digits) for value in (number.estimate, *ends))
    return f"{estimate} [{', '.join(interval)}]" if interval else estimate


def _short(value: float, digits: int) -> str:
    """With so many digits after the point; of a model that all but exploded, the order of magnitude."""
    return f"{value:.{digits}f}" if abs(value) < LARGE else f"{value:.0e}"
