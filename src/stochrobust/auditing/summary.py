"""From the numbers of all inputs to those of the report: means, ratios of means, shares, each with its interval."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import torch
from torch import Tensor

from stochrobust.auditing.findings import AuditNumber, Curve
from stochrobust.auditing.plan import Plan
from stochrobust.metrics.intervals import interval_of_mean
from stochrobust.robustness.decibels import psnr_from_eps

MEANS = (
    "consistency", "consistency_8bit", "std", "psnr_sample", "psnr_mean", "crps", "robustness_paper", "ai_psnr_strong",
)  # fmt: skip
"""Numbers that are the mean of what was measured of each input under that name."""


def audit_number(values: Tensor, level: float) -> AuditNumber:
    """The mean over inputs of the finite values (n,), Student's interval, and how many are infinite."""
    finite = values[values.isfinite()].double()
    n_infinite = len(values) - len(finite)
    if len(finite) < 2:
        estimate = float(finite[0]) if len(finite) else math.inf
        return AuditNumber(estimate, estimate, estimate, len(values), n_infinite)
    found = interval_of_mean(finite, level=level)
    return AuditNumber(found.estimate, found.low, found.high, len(values), n_infinite)


def root_of_ratio(numerators: Tensor, denominators: Tensor) -> Tensor | None:
    """Values (n,) whose mean is ``r = sqrt(mean a / mean b)`` and whose spread gives r's standard error.

    ``r (1 + a_i / (2 mean a) - b_i / (2 mean b))``, r's first-order expansion in the two means. None where it has none:
    the lower mean is not above zero.
    """
    top, bottom = numerators.double(), denominators.double()
    above, below = top.mean(), bottom.mean()
    if below <= 0:
        return None
    if above == 0:
        return torch.zeros_like(top)
    return (above / below).sqrt() * (1 + top / (2 * above) - bottom / (2 * below))


def unevenness(ranks: Tensor) -> Tensor:
    """Values (n,) whose mean is the distance of the mean histogram of (n, S + 1) shares from a flat one, 0 to 1.

    Half the sum of the absolute differences, as a share of the most that it can be, expanded as in
    :func:`root_of_ratio`.
    """
    flat = 1 / ranks.shape[1]
    differences = ranks.double() - flat
    values: Tensor = (differences * differences.mean(0).sign()).sum(1) / (2 * (1 - flat))
    return values


def values_per_input(of_inputs: dict[str, Tensor], plan: Plan) -> dict[str, Tensor]:
    """For each number over inputs, the values whose mean it is; those that do not exist here are absent."""
    found: dict[str, Tensor | None] = {name: of_inputs.get(name) for name in MEANS}
    found["robustness_strong"] = of_inputs["robustness_strong 1.0"]
    found["robustness_random"] = of_inputs["robustness_random 1.0"]
    change, error = of_inputs["change"], of_inputs["error"]
    found["amplification"] = root_of_ratio(change, of_inputs["length"])
    found["change_over_error"] = root_of_ratio(change, error[: len(change)])
    if plan.stochastic:
        spread = of_inputs["spread"]
        found["change_over_spread"] = root_of_ratio(change, spread[: len(change)])
        found["spread_error"] = root_of_ratio(spread, error - spread / plan.n_seeds)
        found["rank_deviation"] = unevenness(of_inputs["ranks"])
    return {name: values for name, values in found.items() if values is not None}


def curve(of_inputs: dict[str, Tensor], plan: Plan, n_elements: int) -> Curve:
    """Robustness over the size of the attack; ``n_elements`` are those of one y."""
    radii, level = plan.settings.all_radii, plan.settings.level
    eps = tuple(radius * plan.eps for radius in radii)
    return Curve(
        eps=eps,
        ai_psnr=tuple(psnr_from_eps(length, n_elements) for length in eps),
        attacked=tuple(audit_number(of_inputs[f"robustness_strong {radius}"], level) for radius in radii),
        random=tuple(audit_number(of_inputs[f"robustness_random {radius}"], level) for radius in radii),
    )


def mean_trace(traces: Tensor) -> tuple[float, ...]:
    """The mean of (n, steps + 1) shares over inputs where the attack found something; empty if it never did."""
    found = traces[traces.isfinite().all(1)]
    return tuple(found.double().mean(0).tolist()) if len(found) else ()


def without_repeats(sentences: Iterable[str]) -> tuple[str, ...]:
    """Sentences that differ in more than their figures; the first of each kind."""
    kinds: dict[str, str] = {}
    for sentence in sentences:
        kinds.setdefault(re.sub(r"\d[\d.e+-]*", "#", sentence), sentence)
    return tuple(kinds.values())
