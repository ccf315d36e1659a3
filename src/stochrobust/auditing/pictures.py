"""The pictures of a report: which inputs are shown, and what of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stochrobust.auditing.data import Batch
from stochrobust.auditing.findings import Example
from stochrobust.auditing.plan import Plan

SHOWN = 4
"""Outputs that an example shows of its many."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Examples of a batch.

    Attributes:
        first: of the first inputs of the data.
        moved: of those that the strong attack moved most, each with the squared change of its pixels.
    """

    first: tuple[Example, ...] = ()
    moved: tuple[tuple[float, Example], ...] = ()


@dataclass(frozen=True, eq=False)
class Attacked:
    """What the strong attack did to the first inputs of a batch.

    Attributes:
        delta: (B, ...) the perturbations.
        change: (B,) squared, per pixel of x_hat.
        robustness: (B,) in dB.
    """

    delta: Tensor
    change: Tensor
    robustness: Tensor


def measure_examples(plan: Plan, batch: Batch, attacked: Attacked | None) -> Pictures:
    """The pictures that this batch may add to the report."""
    n_examples = plan.settings.n_examples
    first = range(min(len(batch), max(0, n_examples - batch.first)))
    changes = torch.empty(0) if attacked is None else attacked.change
    most = changes.argsort(descending=True, stable=True)[:n_examples].tolist()
    made = {i: example(plan, batch.part(i, i + 1), attacked, i) for i in sorted({*first, *most})}
    return Pictures(tuple(made[i] for i in first), tuple((float(changes[i]), made[i]) for i in most))


@torch.no_grad()
def example(plan: Plan, one: Batch, attacked: Attacked | None, i: int) -> Example:
    """The pictures of one input, which is number ``i`` of its batch."""
    outputs = plan.held(one, plan.n_seeds).outputs()
    unit, width = plan.pixels.unit, plan.pixels.width
    parts = {
        "samples": unit(outputs[:SHOWN]),
        "mean": unit(outputs.mean(0)) if plan.stochastic else None,
        "std": outputs.std(0) / width if plan.stochastic else None,
    }
    robustness = None
    if attacked is not None and i < len(attacked.delta):
        delta, n_seeds = attacked.delta[i : i + 1], plan.attack_seeds
        fresh = plan.held(one, n_seeds, first_seed=n_seeds)
        parts |= {
            "y_attacked": unit(one.y[0] + delta[0]),
            "attacked": unit(fresh.outputs(delta)[:SHOWN]),
            "clean": unit(fresh.outputs()[:SHOWN]),
        }
        robustness = float(attacked.robustness[i])
    pictures = {name: None if part is None else _kept(part) for name, part in parts.items()}
    samples = pictures.pop("samples")
    assert samples is not None
    return Example(one.first, _kept(unit(one.y[0])), _kept(unit(one.x[0])), samples, robustness=robustness, **pictures)


def _kept(picture: Tensor) -> Tensor:
    return picture.detach().to("cpu", torch.float32, copy=True)
