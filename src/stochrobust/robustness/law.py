"""Sensitivity by transport: how far the law of the outputs moves when the input does (Eq. 4 and 5 of the paper)."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stochrobust._tensors import Tree, per_sample, squared_change, working
from stochrobust.attacks.ascent import Found, Method, finite_outputs, full_length_point, prepare, records
from stochrobust.attacks.balls import L2, Ball
from stochrobust.attacks.by_gradient import EVALUATION
from stochrobust.attacks.measured import ascend
from stochrobust.estimators.contract import Estimator
from stochrobust.estimators.diagnosis import Concern, concerns_about, warn
from stochrobust.estimators.left_as_found import autograd_possible
from stochrobust.estimators.same_seed import SameSeed
from stochrobust.estimators.seeds import Randomness, SampleZ
from stochrobust.transport.w2 import gaussian_w2_squared, optimal_matching, w2_squared


@dataclass(frozen=True)
class W2Sensitivity:
    """What a measurement of Eq. 4 found, per sample; all distances squared, of the drawn seeds, at one ``delta``.

    ``gelbrich <= value <= same_seed`` always holds, up to rounding. All three are of these S outputs, and not of the
    law that they come from: of 8 outputs of a law that does not move at all each may be large, since the outputs of the
    seeds have moved. ``mean_shift`` alone is unbiased for something of the law.

    Attributes:
        value: (B,) W2^2 between the outputs at y and at y + delta, on seeds that did not choose delta if ``held_out``.
        gelbrich: (B,) the bound from below by their means and covariances.
        same_seed: (B,) the bound from above: the change at common seeds (Eq. 6's objective).
        floor: (B,) W2^2 between two independent draws of outputs at y: what S seeds cannot tell from zero. An
            estimate from unpaired samples could not go below it; NaN where the caller gave ``z``.
        mean_shift: (B,) the squared length of the shift of the law's mean, a bound from below for Eq. 4, without bias:
            ``sum over s != t of d_s^T d_t / (S (S - 1))``, d_s the change of the output of seed s. So it may be below
            zero; NaN for one seed.
        identity: (B,) whether no matching of the outputs is better than that of each seed with itself: then ``value``
            is ``same_seed``, and says no more than Eq. 6 does. So it is where outputs are few and far apart.
        delta: (B, ...) the perturbation found.
        z: the seeds that chose it.
        in_sample: (B,) W2^2 on those seeds.
        held_out: whether the values are on other seeds.
        stalled: (B,) True where both ascents' gradients vanished.
        n_seeds: S; W2 of S points is biased upwards as an estimate of Eq. 4.
        concerns: as in :class:`~stochrobust.Sensitivity`.

    Example:
        >>> import torch
        >>> sample_z = lambda y, generator: torch.randn(y.shape, generator=generator)
        >>> found = w2_sensitivity(lambda y, z: 2 * y + z, torch.zeros(1, 2), 0.1, 4, sample_z=sample_z)
        >>> round(found.gelbrich.item(), 4), round(found.same_seed.item(), 4)  # a translation by 2 * eps
        (0.04, 0.04)
    """

    value: Tensor
    gelbrich: Tensor
    same_seed: Tensor
    floor: Tensor
    mean_shift: Tensor
    identity: Tensor
    delta: Tensor
    z: Tree
    in_sample: Tensor
    held_out: bool
    stalled: Tensor
    n_seeds: int
    concerns: tuple[Concern, ...] = ()


def w2_sensitivity(
    G: Estimator,
    y: Tensor,
    eps: float | Tensor,
    n_seeds: int = 1,
    *,
    z: Tree = None,
    sample_z: SampleZ | None = None,
    cond: Tree = None,
    attack: Method = EVALUATION,
    ball: Ball = L2(),  # noqa: B008 (a frozen value)
    module: nn.Module | None = None,
    generator: Randomness = None,
    max_batch: int | None = None,
) -> W2Sensitivity:
    r"""Sensitivity of the law of a stochastic estimator's outputs, squared.

    ``max_{||delta|| <= eps} W_2^2(p(x_hat | y), p(x_hat | y + delta))`` (Eq. 4), each law represented by the outputs
    at S common seeds. Two ascents are made, one on the transport (its gradient through the optimal matching), one on
    the same-seed change; for each sample the delta with the larger W2 counts.

    Args:
        n_seeds: seeds per input, S; the assignment costs O(S^3) per step and sample.
        G, y, eps, z, sample_z, cond, attack, ball, module, generator, max_batch: as in
            :func:`~stochrobust.sensitivity`.

    Returns:
        The measurement; no gradients.

    Raises:
        ValueError, TypeError: as :func:`~stochrobust.sensitivity`.

    Example:
        >>> import torch
        >>> sample_z = lambda y, generator: torch.randn(len(y), 1, generator=generator)
        >>> G = lambda y, z: y * z  # the law at y is N(0, y^2): W2 = eps = 0.1
        >>> found = w2_sensitivity(G, torch.ones(1, 1), 0.1, 500, sample_z=sample_z)
        >>> bool(0.008 < found.value.item() < 0.012)
        True

    Source: Eq. 4 of the paper; its relation to Eq. 6 in App. D.
    """
    options: dict[str, Any] = {
        "sample_z": sample_z, "cond": cond, "module": module, "generator": generator, "max_batch": max_batch
    }  # fmt: skip
    with torch.no_grad(), autograd_possible():
        held = SameSeed(G, y, n_seeds, z=z, **options)
        radii, centre = prepare(held, eps, ball, attack)
        clean = finite_outputs(held, None, "at y")
        pairings = (functools.partial(_matched, n_seeds), None)
        away_from = held.reference(recording=records(attack))
        runs = [ascend(held, away_from, ball, attack, centre, radii, generator, pairing) for pairing in pairings]
        delta, in_sample = _larger(held, clean, runs, n_seeds)
        fresh, fresh_clean = held, clean
        floor = torch.full_like(in_sample, torch.nan)
        if held.draws_seeds:
            fresh = SameSeed(G, y, n_seeds, first_seed=n_seeds, **options)
            fresh_clean = finite_outputs(fresh, None, "at y, with held-out seeds")
            floor = w2_squared(_points(clean, n_seeds), _points(fresh_clean, n_seeds))
        attacked = finite_outputs(fresh, delta, "at y + delta")
        pair = _points(fresh_clean, n_seeds), _points(attacked, n_seeds)
        laws, stalled = _between(*pair), runs[0].stalled & runs[1].stalled
        random = fresh.outputs(full_length_point(ball, centre, radii, generator))
        concerns = concerns_about(
            fresh, fresh_clean, radii, laws["value"], w2_squared(pair[0], _points(random, n_seeds)), stalled, attacked,
            delta, fresh.mean_over_seeds(squared_change(fresh_clean, random)),
        )  # fmt: skip
        warn(concerns)
        return W2Sensitivity(
            **laws,
            floor=floor,
            delta=delta,
            z=held.z,
            in_sample=in_sample,
            held_out=held.draws_seeds,
            stalled=stalled,
            n_seeds=n_seeds,
            concerns=concerns,
        )


def _matched(n_seeds: int, clean: Tensor, attacked: Tensor) -> Tensor:
    """For each attacked row the clean row of its sample that the optimal transport pairs it with."""
    points, moved = _points(clean, n_seeds), _points(attacked, n_seeds)
    index = optimal_matching(moved, points)
    return points.gather(1, index[..., None].expand_as(points)).reshape(clean.shape)


def _larger(held: SameSeed, clean: Tensor, runs: list[Found], n_seeds: int) -> tuple[Tensor, Tensor]:
    """Of two deltas, for each sample the one with the larger W2, and that W2."""
    points = _points(clean, n_seeds)
    values = [w2_squared(points, _points(held.outputs(run.delta), n_seeds)) for run in runs]
    first = values[0] >= values[1]
    delta = torch.where(per_sample(first, runs[0].delta), runs[0].delta, runs[1].delta)
    return delta, torch.where(first, values[0], values[1])


def _between(clean: Tensor, attacked: Tensor) -> dict[str, Tensor]:
    """What two sets of outputs (B, S, n) of the same seeds say of how far apart they and their laws are."""
    value = w2_squared(clean, attacked)
    same_seed = (clean.double() - attacked.double()).square().sum(2).mean(1).to(clean.dtype)
    return {
        "value": value,
        "gelbrich": gaussian_w2_squared(clean, attacked),
        "same_seed": same_seed,
        "mean_shift": _mean_shift(clean, attacked),
        "identity": value >= same_seed * (1 - 1e-5),
    }


def _mean_shift(clean: Tensor, attacked: Tensor) -> Tensor:
    """``||E d||^2`` from pairs of different seeds, whose errors are independent, for points (B, S, n)."""
    changes, n_seeds = attacked.double() - clean.double(), clean.shape[1]
    if n_seeds == 1:
        return torch.full_like(clean[:, 0, 0], torch.nan)
    pairs = changes.sum(1).square().sum(1) - changes.square().sum((1, 2))
    return (pairs / (n_seeds * (n_seeds - 1))).to(clean.dtype)


def _points(outputs: Tensor, n_seeds: int) -> Tensor:
    """(B * S, ...) outputs as point sets (B, S, d), in float32 or better."""
    return working(outputs).reshape(-1, n_seeds, outputs[0].numel())
