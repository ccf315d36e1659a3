"""What the digits say of the paper's conclusions from Table 1."""

from __future__ import annotations

from reference_experiments.arms import ARMS
from reference_experiments.findings import Finding
from reference_experiments.four_models import Numbers, conclusions
from reference_experiments.study import Results


def findings(results: Results) -> list[Finding]:
    """Of the four models, training seed by training seed."""
    return conclusions(numbers(results), results["training_digits"])


def numbers(results: Results) -> Numbers:
    """The stored rows."""
    found = {}
    for arm in ARMS:
        values = {name: number["values"] for name, number in results["arms"][arm.name].items()}
        found[arm] = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    return found
