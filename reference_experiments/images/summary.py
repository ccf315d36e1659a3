"""The rows of several trainings of one model as one row, and all that must agree for rows to be compared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from reference_experiments.arms import ARMS, Arm
from reference_experiments.four_models import Numbers
from reference_experiments.spread import Row, Spread

Rows = Mapping[Arm, Sequence[dict[str, Any]]]
"""Of each of the four models what :func:`reference_experiments.images.evaluation.evaluate` gave, a training each."""


def by_arm(task: Mapping[str, Sequence[dict[str, Any]]]) -> Rows:
    """The rows of a task as they are stored, which must have been measured alike.

    Raises:
        ValueError: if a protocol differs from the first: another number of images, for instance.
    """
    rows = {arm: task[arm.name] for arm in ARMS}
    check_alike([row for of_arm in rows.values() for row in of_arm])
    return rows


def estimates(rows: Rows) -> Numbers:
    """The numbers alone."""
    return {arm: [_plain(row) for row in of_arm] for arm, of_arm in rows.items()}


def _plain(row: dict[str, Any]) -> dict[str, float]:
    numbers = {name: number["estimate"] for name, number in row["values"].items()}
    return numbers | {"frechet": numbers["fid"]}


def summarize(rows: Sequence[dict[str, Any]]) -> Row:
    """Means over the trainings; of a single one the spread is the standard error over images."""
    return {
        name: Spread.of([row["values"][name]["estimate"] for row in rows], alone=number["standard_error"] or 0.0)
        for name, number in rows[0]["values"].items()
    }


def check_alike(rows: Sequence[dict[str, Any]], *, ignoring: Sequence[str] = ()) -> None:
    """Rows do not compare unless everything that their numbers depend on agrees."""
    first = rows[0]["protocol"]
    for row in rows[1:]:
        other = row["protocol"]
        names = sorted((first.keys() | other.keys()) - set(ignoring))
        if different := [name for name in names if _text(first.get(name)) != _text(other.get(name))]:
            name = different[0]
            raise ValueError(
                f"rows measured otherwise do not compare: {', '.join(different)} differ; "
                f"{name} is {first.get(name)!r} and {other.get(name)!r}"
            )


def spread_of(rows: Rows) -> str:
    """What ± means."""
    n = min(len(of_arm) for of_arm in rows.values())
    if n > 1:
        return f"Mean ± standard deviation of {n} trainings of each model"
    return "One training of each model; ± one standard error over images, by halves for FID, precision and recall"


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)
