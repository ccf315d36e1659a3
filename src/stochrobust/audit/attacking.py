"""What attacks do to each input's outputs: robustness over their size, with the baseline of a random direction."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from stochrobust.ascent import Method
from stochrobust.attacks import EVALUATION, PAPER
from stochrobust.audit.inputs import Batch
from stochrobust.audit.plan import Plan
from stochrobust.balls import L2
from stochrobust.measurement import AttackWarning, full_length_point
from stochrobust.metrics.psnr import adversarial_input_psnr, robustness_psnr
from stochrobust.same_seed import working
from stochrobust.sensitivity import Sensitivity, sensitivity

ATTACKS: dict[str, Method] = {"paper": PAPER, "strong": EVALUATION}
"""Both keep the trace of their ascent; the strong one keeps the best iterate."""
BALL = L2()


@dataclass(frozen=True, eq=False)
class Attacked:
    """What attacks found at some inputs.

    Attributes:
        numbers: (B, ...) each: ``robustness_paper``, and ``robustness_strong R`` and ``robustness_random R`` for each
            radius R in units of eps, in dB; ``ai_psnr_strong``; ``change`` and ``length``, squares of the change per
            pixel of x_hat and of delta per element of y; ``trace`` (B, steps + 1), shares; NaN where nothing was found.
        delta: (B, ...) of the strong attack of length eps.
        concerns: the library's doubts, in sentences.
    """

    numbers: dict[str, Tensor]
    delta: Tensor
    concerns: tuple[str, ...]


def of_attacks(plan: Plan, batch: Batch) -> Attacked:
    """What the paper's attack and the strong one do to the inputs of a batch, group after group."""
    parts = [_of_group(plan, group) for group in plan.groups(batch, plan.attack_seeds)]
    return Attacked(
        numbers={name: torch.cat([part.numbers[name] for part in parts]) for name in parts[0].numbers},
        delta=torch.cat([part.delta for part in parts]),
        concerns=tuple(sentence for part in parts for sentence in part.concerns),
    )


@torch.no_grad()
def _of_group(plan: Plan, group: Batch) -> Attacked:
    n_seeds = plan.attack_seeds
    fresh = plan.held(group, n_seeds, first_seed=n_seeds)  # the seeds that sensitivity holds out
    clean = plan.checked(fresh.outputs(), group, n_seeds)

    def robustness(delta: Tensor) -> Tensor:
        return robustness_psnr(clean, plan.checked(fresh.outputs(delta), group, n_seeds), n_seeds=n_seeds)

    paper = _search(plan, group, ATTACKS["paper"], plan.eps)
    numbers = {"robustness_paper": robustness(paper.delta)}
    for radius in plan.settings.all_radii:
        eps = radius * plan.eps
        found = _search(plan, group, ATTACKS["strong"], eps)
        centre = working(group.y)
        random = full_length_point(BALL, centre, centre.new_full((len(centre),), eps), plan.keys(group))
        numbers |= {f"robustness_strong {radius}": robustness(found.delta)}
        numbers |= {f"robustness_random {radius}": robustness(random)}
        if radius == 1:
            strong = found
    numbers |= _of_strong(strong, group)
    # Of the paper's attack, being weak is known; of other radii, doubts are the same.
    return Attacked(numbers, strong.delta, strong.concerns)


def _of_strong(strong: Sensitivity, group: Batch) -> dict[str, Tensor]:
    trace = strong.trace[:-1].cummax(0).values  # without the mirror image of the best iterate
    return {
        "ai_psnr_strong": adversarial_input_psnr(group.y, strong.delta),
        "change": strong.value / group.x[0].numel(),
        "length": strong.norm.square() / group.y[0].numel(),
        "trace": torch.where(trace[-1] > 0, trace / trace[-1], torch.nan).T.contiguous(),
    }


def _search(plan: Plan, group: Batch, attack: Method, eps: float) -> Sensitivity:
    with warnings.catch_warnings():  # they are in the report
        warnings.simplefilter("ignore", AttackWarning)
        try:
            return sensitivity(
                plan.G, group.y, eps, plan.attack_seeds, sample_z=plan.sample_z, attack=attack, ball=BALL,
                module=plan.module, generator=plan.keys(group), max_batch=plan.max_batch,
            )  # fmt: skip
        except (ValueError, RuntimeError) as error:
            error.add_note(f"at inputs {group.ids[0]} to {group.ids[-1]} of the data, attacked with eps = {eps:.4g}")
            raise
