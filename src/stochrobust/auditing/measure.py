"""A batch in, numbers out: what is measured of the outputs at y, and of what attacks do to them.

Each number is (B, ...), of each input, under a name that a row of :mod:`stochrobust.auditing.numbers` makes use of.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import torch
from torch import Tensor

from stochrobust._tensors import flat_norm, rounded_step, working
from stochrobust.attacks.ascent import Method, full_length_point
from stochrobust.attacks.by_gradient import EVALUATION, PAPER
from stochrobust.auditing.data import Batch
from stochrobust.auditing.law import AT_MOST, sketch
from stochrobust.auditing.pictures import Attacked, Pictures, measure_examples
from stochrobust.auditing.plan import Plan
from stochrobust.consistency.noise import noise_consistency
from stochrobust.consistency.score import as_8_bit, consistency_psnr
from stochrobust.estimators.diagnosis import AttackWarning, Concern
from stochrobust.metrics.calibration import crps, rank_histogram, squared_spread_and_error
from stochrobust.metrics.distortion import psnr
from stochrobust.metrics.diversity import per_pixel_std
from stochrobust.robustness.decibels import adversarial_input_psnr, robustness_psnr
from stochrobust.robustness.outputs import Sensitivity, sensitivity

Numbers = dict[str, Tensor]
"""Of each input, (B, ...)."""
ATTACKS: dict[str, Method] = {"paper": PAPER, "strong": EVALUATION}
"""Unless the caller says otherwise, or G has no gradient."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured of a batch: numbers of each input on the CPU, doubts, and pictures."""

    numbers: Numbers
    concerns: tuple[Concern, ...] = ()
    pictures: Pictures = field(default_factory=Pictures)


def measure(plan: Plan, batch: Batch, *, real_features: bool) -> Measured:
    """All that a batch is asked for.

    Args:
        plan: what to measure.
        batch: the inputs.
        real_features: whether the features of x are wanted too, as ``real``.
    """
    numbers, concerns, attacked = measure_outputs(plan, batch), tuple[Concern, ...](), None
    if real_features:
        numbers["real"] = plan.features(plan.pixels.unit(batch.x))
    n_attacked = min(len(batch), max(0, plan.settings.n_attacked - batch.first))
    if n_attacked:
        of_attacks, delta, concerns = measure_attacks(plan, batch.part(0, n_attacked))
        attacked = Attacked(delta, of_attacks["change"], of_attacks["robustness_strong 1.0"])
        numbers |= of_attacks
    pictures = measure_examples(plan, batch, attacked)
    return Measured({name: kept(values) for name, values in numbers.items()}, concerns, pictures)


def kept(values: Tensor) -> Tensor:
    """On the CPU, in a dtype that numpy has too."""
    values = values.detach().cpu()
    return values.float() if values.dtype == torch.bfloat16 else values


# -- of the outputs at y -----------------------------------------------------------------------------------------------


@torch.no_grad()
def measure_outputs(plan: Plan, batch: Batch) -> Numbers:
    """Numbers of the outputs at y, group after group of inputs, none of which is kept."""
    sketched = batch.first < AT_MOST
    parts = [_outputs_of_group(plan, group, sketched) for group in plan.groups(batch, plan.n_seeds)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _outputs_of_group(plan: Plan, group: Batch, sketched: bool) -> Numbers:
    n_seeds, keys = plan.n_seeds, plan.keys(group)
    outputs = plan.checked(plan.held(group, n_seeds).outputs(), group, n_seeds)
    x, unit_x, unit = group.x.to(outputs.dtype), *(plan.pixels.unit(t.to(outputs.dtype)) for t in (group.x, outputs))
    image, mean = unit[::n_seeds].clamp(0, 1), unit.clamp(0, 1).unflatten(0, (-1, n_seeds)).mean(1)
    moments = squared_spread_and_error(outputs, x, n_seeds)
    numbers = {
        "psnr_sample": psnr(image, unit_x),
        "psnr_mean": psnr(mean, unit_x),
        "crps": crps(outputs, x, n_seeds),
        "error": moments.error,  # squared, per pixel, as all that follows
        "features": plan.features(image),
    }
    if plan.stochastic:
        numbers |= {
            "std": per_pixel_std(outputs, n_seeds),
            "spread": moments.spread,
            "law_error": moments.law_error(n_seeds),
            "ranks": rank_histogram(as_8_bit(unit, 1.0), as_8_bit(unit_x, 1.0), n_seeds, generator=keys),
        }
    numbers |= _consistency_of_group(plan, group, outputs)
    return numbers | (_sketches(plan, group, outputs) if sketched else {})


def _consistency_of_group(plan: Plan, group: Batch, outputs: Tensor) -> Numbers:
    if plan.projector is None:
        return {}
    projector, first, y, peak = plan.projector, outputs[:: plan.n_seeds], group.y, plan.pixels.width
    eight = plan.pixels.from_unit(as_8_bit(plan.pixels.unit(first), 1.0))
    of = {"consistency": first, "consistency_8bit": eight, "projector": plan.projected(group)}
    if group.paired:
        of["data_consistency"] = group.x
    numbers = {name: consistency_psnr(x, y, projector, data_range=peak).raw for name, x in of.items()}
    if plan.noise is not None:
        numbers["noise_consistency"] = noise_consistency(outputs, y, projector, plan.noise, plan.n_seeds)
    return numbers


def _sketches(plan: Plan, group: Batch, outputs: Tensor) -> Numbers:
    """What is kept of the images themselves, for :mod:`stochrobust.auditing.law`."""
    images = {"x": group.x, "y": group.y}
    if plan.projector is not None:
        images["lifted"] = plan.projector.pinv(group.y)
    found = {f"sketch of {name}": sketch(values) for name, values in images.items()}
    return found | {"sketch of samples": sketch(outputs).unflatten(0, (-1, plan.n_seeds))}


# -- of attacks --------------------------------------------------------------------------------------------------------


def measure_attacks(plan: Plan, batch: Batch) -> tuple[Numbers, Tensor, tuple[Concern, ...]]:
    """What the paper's attack and the strong one do to the inputs of a batch, group after group.

    Returns:
        Numbers: ``robustness_paper``, and ``robustness_strong R`` and ``robustness_random R`` for each radius R in
        units of eps, in dB; ``ai_psnr_strong``; ``change`` and ``length``, squares of the change per pixel of x_hat and
        of delta per element of y; ``trace`` (B, steps + 1), shares, NaN where nothing was found. Then delta (B, ...) of
        the strong attack of length eps, and the library's doubts.
    """
    parts = [_attacks_of_group(plan, group) for group in plan.groups(batch, plan.attack_seeds)]
    numbers = {name: torch.cat([numbers[name] for numbers, _ in parts]) for name in parts[0][0]}
    delta = torch.cat([strong.delta for _, strong in parts])
    # Of the paper's attack, being weak is known; of other radii, doubts are the same.
    return numbers, delta, tuple(concern for _, strong in parts for concern in strong.concerns)


@torch.no_grad()
def _attacks_of_group(plan: Plan, group: Batch) -> tuple[Numbers, Sensitivity]:
    n_seeds = plan.attack_seeds
    fresh = plan.held(group, n_seeds, first_seed=n_seeds)  # the seeds that sensitivity holds out
    clean = plan.checked(fresh.outputs(), group, n_seeds)

    def robustness(delta: Tensor) -> Tensor:
        attacked = plan.checked(fresh.outputs(delta), group, n_seeds)
        return robustness_psnr(clean, attacked, n_seeds=n_seeds, data_range=plan.pixels.width)

    numbers = {}
    if "paper" in plan.attacks:
        numbers["robustness_paper"] = robustness(_search(plan, group, plan.attacks["paper"], plan.eps).delta)
    for radius in plan.settings.all_radii:
        eps, centre = radius * plan.eps, working(group.y)
        found = _search(plan, group, plan.attacks["strong"], eps)
        random = full_length_point(plan.ball, centre, centre.new_full((len(centre),), eps), plan.keys(group))
        numbers |= {f"robustness_strong {radius}": robustness(found.delta)}
        numbers |= {f"robustness_random {radius}": robustness(random)}
        if radius == 1:
            strong = found
    return numbers | _strong_numbers(plan, strong, group), strong


def _strong_numbers(plan: Plan, strong: Sensitivity, group: Batch) -> Numbers:
    mirrored = getattr(plan.attacks["strong"], "keep", "") == "best"  # its last row is no step of the ascent
    trace = strong.trace[: len(strong.trace) - mirrored].cummax(0).values
    applied = rounded_step(group.y, strong.delta)
    numbers = {
        "ai_psnr_strong": adversarial_input_psnr(group.y, strong.delta, data_range=plan.pixels.width),
        "change": strong.value / group.x[0].numel(),
        "length": flat_norm(applied).square() / group.y[0].numel(),
        "trace": torch.where(trace[-1:] > 0, trace / trace[-1:], torch.nan).T.contiguous(),
    }
    observed = plan.observed(group)
    if observed is not None:
        outside = torch.where(observed, 0, applied)
        numbers["energy_outside"] = (flat_norm(outside) / flat_norm(applied)).square().nan_to_num(0.0)
    return numbers


def _search(plan: Plan, group: Batch, attack: Method, eps: float) -> Sensitivity:
    with warnings.catch_warnings():  # they are in the report
        warnings.simplefilter("ignore", AttackWarning)
        try:
            return sensitivity(
                plan.G, group.y, eps, plan.attack_seeds, sample_z=plan.sample_z, cond=group.cond, attack=attack,
                ball=plan.ball, module=plan.module, generator=plan.keys(group), max_batch=plan.max_batch,
            )  # fmt: skip
        except (ValueError, RuntimeError) as error:
            error.add_note(f"at inputs {group.ids[0]} to {group.ids[-1]} of the data, attacked with eps = {eps:.4g}")
            raise
