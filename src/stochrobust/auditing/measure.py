"""What is measured of a batch: numbers of the outputs, of the attacks, and pictures."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from stochrobust._tensors import working
from stochrobust.attacks.ascent import Method, full_length_point
from stochrobust.attacks.balls import L2
from stochrobust.attacks.by_gradient import EVALUATION, PAPER
from stochrobust.auditing.data import Batch
from stochrobust.auditing.findings import Example
from stochrobust.auditing.plan import Plan
from stochrobust.consistency.score import as_8_bit, consistency_psnr
from stochrobust.estimators.diagnosis import AttackWarning
from stochrobust.metrics.calibration import crps, rank_histogram, squared_spread_and_error
from stochrobust.metrics.distortion import psnr
from stochrobust.metrics.diversity import per_pixel_std
from stochrobust.robustness.decibels import adversarial_input_psnr, robustness_psnr
from stochrobust.robustness.outputs import Sensitivity, sensitivity

Numbers = dict[str, Tensor]
"""Of each input, (B, ...)."""


@torch.no_grad()
def measure_outputs(plan: Plan, batch: Batch, *, real_features: bool) -> Numbers:
    """Numbers of the outputs at y, group after group of inputs, none of which is kept.

    Args:
        plan: what to measure.
        batch: the inputs.
        real_features: whether those of x are wanted too.

    Returns:
        Those named in :data:`stochrobust.auditing.numbers.NUMBERS`; ``spread`` and ``error``, squared, per pixel;
        ``ranks`` (B, S + 1); ``features`` of the first output, and ``real``.
    """
    groups = plan.groups(batch, plan.n_seeds)
    parts = [_outputs_of_group(plan, group) for group in groups]
    numbers = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    if real_features:
        numbers["real"] = plan.features(batch.x)
    return numbers


def _outputs_of_group(plan: Plan, group: Batch) -> Numbers:
    n_seeds, keys = plan.n_seeds, plan.keys(group)
    outputs = plan.checked(plan.held(group, n_seeds).outputs(), group, n_seeds)
    x, image = group.x.to(outputs.dtype), outputs[::n_seeds].clamp(0, 1)
    mean = outputs.clamp(0, 1).unflatten(0, (-1, n_seeds)).mean(1)
    moments = squared_spread_and_error(outputs, x, n_seeds)
    numbers = {
        "psnr_sample": psnr(image, x),
        "psnr_mean": psnr(mean, x),
        "crps": crps(outputs, x, n_seeds),
        "error": moments.error,
        "features": plan.features(image),
    }
    if plan.stochastic:
        ranks = rank_histogram(as_8_bit(outputs, 1.0), as_8_bit(x, 1.0), n_seeds, generator=keys)
        numbers |= {"std": per_pixel_std(outputs, n_seeds), "spread": moments.spread, "ranks": ranks}
    if plan.projector is not None:
        found = consistency_psnr(outputs[::n_seeds], group.y, plan.projector)
        alone = consistency_psnr(plan.projected(group), group.y, plan.projector)
        numbers |= {"consistency": found.raw, "consistency_8bit": found.rounded, "projector": alone.raw}
    return numbers


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


def measure_attacks(plan: Plan, batch: Batch) -> Attacked:
    """What the paper's attack and the strong one do to the inputs of a batch, group after group."""
    parts = [_attacks_of_group(plan, group) for group in plan.groups(batch, plan.attack_seeds)]
    return Attacked(
        numbers={name: torch.cat([part.numbers[name] for part in parts]) for name in parts[0].numbers},
        delta=torch.cat([part.delta for part in parts]),
        concerns=tuple(sentence for part in parts for sentence in part.concerns),
    )


@torch.no_grad()
def _attacks_of_group(plan: Plan, group: Batch) -> Attacked:
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
    numbers |= _strong_numbers(strong, group)
    # Of the paper's attack, being weak is known; of other radii, doubts are the same.
    return Attacked(numbers, strong.delta, strong.concerns)


def _strong_numbers(strong: Sensitivity, group: Batch) -> dict[str, Tensor]:
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


def measure_examples(plan: Plan, batch: Batch, attacked: Attacked | None) -> Pictures:
    """The pictures that this batch may add to the report."""
    n_examples = plan.settings.n_examples
    first = range(min(len(batch), max(0, n_examples - batch.first)))
    changes = torch.empty(0) if attacked is None else attacked.numbers["change"]
    most = changes.argsort(descending=True, stable=True)[:n_examples].tolist()
    made = {i: example(plan, batch.part(i, i + 1), attacked, i) for i in sorted({*first, *most})}
    return Pictures(tuple(made[i] for i in first), tuple((float(changes[i]), made[i]) for i in most))


@torch.no_grad()
def example(plan: Plan, one: Batch, attacked: Attacked | None, i: int) -> Example:
    """The pictures of one input, which is number ``i`` of its batch."""
    outputs = plan.held(one, plan.n_seeds).outputs()
    parts = {
        "samples": outputs[:SHOWN],
        "mean": outputs.mean(0) if plan.stochastic else None,
        "std": outputs.std(0) if plan.stochastic else None,
    }
    robustness = None
    if attacked is not None and i < len(attacked.delta):
        delta, n_seeds = attacked.delta[i : i + 1], plan.attack_seeds
        fresh = plan.held(one, n_seeds, first_seed=n_seeds)
        parts |= {
            "y_attacked": one.y[0] + delta[0],
            "attacked": fresh.outputs(delta)[:SHOWN],
            "clean": fresh.outputs()[:SHOWN],
        }
        robustness = float(attacked.numbers["robustness_strong 1.0"][i])
    pictures = {name: None if part is None else _kept(part) for name, part in parts.items()}
    samples = pictures.pop("samples")
    assert samples is not None
    return Example(one.first, _kept(one.y[0]), _kept(one.x[0]), samples, robustness=robustness, **pictures)


def _kept(picture: Tensor) -> Tensor:
    return picture.detach().to("cpu", torch.float32, copy=True)
