"""Losses that reward an estimator for listening to its seeds: mode seeking, diversity sensitive, the std reward."""

from __future__ import annotations

import math
from numbers import Real

import torch
from torch import Tensor, nn

from stochrobust._arguments import check_scale, describe
from stochrobust._tensors import Tree, flat, tree_tensors, working
from stochrobust.estimators.contract import Estimator
from stochrobust.estimators.same_seed import SameSeed
from stochrobust.estimators.seeds import Randomness, SampleZ

TINY = 1e-5
"""What the authors of MSGAN and of DSGAN add to their denominators."""


def mode_seeking_loss(
    G: Estimator,
    y: Tensor,
    n_seeds: int = 2,
    *,
    z: Tree = None,
    sample_z: SampleZ | None = None,
    cond: Tree = None,
    module: nn.Module | None = None,
    generator: Randomness = None,
    max_batch: int | None = None,
) -> Tensor:
    r"""Mode-seeking loss: add it, weighted, to the loss that trains G.

    ``1 / (d(x_hat, x_hat') / d(z, z') + 1e-5)``, where d is the mean absolute difference over elements, samples and
    pairs of seeds of one y: the reciprocal of the ratio that the paper maximises, as in the authors' code.

    Args:
        G: the estimator ``G(y, z)``, see :mod:`stochrobust.estimators`; left as it was, as by ``robustness_loss``.
        y: (B, ...) degraded inputs, floating point.
        n_seeds: seeds per input, at least 2 (the paper: 2); all their pairs count.
        z, sample_z, cond, module, generator: as in :func:`~stochrobust.robustness_loss`; the seeds must be at hand,
            so noise that G draws inside will not do.
        max_batch: the most rows one call of G may get; bounds memory, and recomputes the passes in ``backward``.

    Returns:
        A positive scalar, differentiable in G's parameters (and in y); at most 1e5, where the seeds do nothing; not
        finite where all seeds coincide.

    Raises:
        ValueError: for bad shapes, fewer than two seeds, or seeds that are not at hand.
        TypeError: for arguments of a wrong kind.

    Example:
        >>> import torch
        >>> z = torch.tensor([[1.0], [3.0]])
        >>> round(mode_seeking_loss(lambda y, z: y + 4 * z, torch.zeros(1, 1), 2, z=z).item(), 4)  # 1 / 4
        0.25

    Source: Mao et al., Mode Seeking Generative Adversarial Networks for Diverse Image Synthesis, CVPR 2019.
    """
    held = _held(G, y, n_seeds, z, sample_z, cond, module, generator, max_batch)
    ratio = _distances(_samples(held)).mean() / _seed_distances(held, "mode_seeking_loss").mean()
    return 1 / (ratio + TINY)


def diversity_sensitive_loss(
    G: Estimator,
    y: Tensor,
    n_seeds: int = 2,
    *,
    tau: float = math.inf,
    z: Tree = None,
    sample_z: SampleZ | None = None,
    cond: Tree = None,
    module: nn.Module | None = None,
    generator: Randomness = None,
    max_batch: int | None = None,
) -> Tensor:
    r"""Diversity-sensitive loss: add it, weighted, to the loss that trains G.

    ``-E min(d(x_hat, x_hat') / (d(z, z') + 1e-5), tau)``, over samples and pairs of seeds of one y, where d is the mean
    absolute difference over elements: the negative of the term that the paper maximises.

    Args:
        G, y, n_seeds: as in :func:`mode_seeking_loss`.
        tau: where each pair's ratio is cut off, so that the reward is bounded; positive, infinite for no cut (the
            default of the authors' code).
        z, sample_z, cond, module, generator, max_batch: as in :func:`mode_seeking_loss`.

    Returns:
        A scalar in [-tau, 0], differentiable in G's parameters (and in y).

    Raises:
        ValueError: for bad shapes, fewer than two seeds, seeds that are not at hand, or a tau that is not positive.
        TypeError: for arguments of a wrong kind.

    Example:
        >>> import torch
        >>> z = torch.tensor([[1.0], [3.0]])
        >>> round(diversity_sensitive_loss(lambda y, z: y + 4 * z, torch.zeros(1, 1), 2, z=z).item(), 3)
        -4.0

    Source: Yang et al., Diversity-Sensitive Conditional Generative Adversarial Networks, ICLR 2019.
    """
    if isinstance(tau, bool) or not isinstance(tau, Real):
        raise TypeError(f"tau must be a real number, got {describe(tau)}")
    if not tau > 0 or (tau != math.inf and check_scale("tau", tau) <= 0):
        raise ValueError(f"tau must be positive, got {tau!r}")
    held = _held(G, y, n_seeds, z, sample_z, cond, module, generator, max_batch)
    ratios = _distances(_samples(held)) / (_seed_distances(held, "diversity_sensitive_loss") + TINY)
    return -ratios.clamp(max=float(tau)).mean()


def std_reward_loss(
    G: Estimator,
    y: Tensor,
    n_seeds: int = 2,
    *,
    z: Tree = None,
    sample_z: SampleZ | None = None,
    cond: Tree = None,
    module: nn.Module | None = None,
    generator: Randomness = None,
    max_batch: int | None = None,
) -> Tensor:
    r"""Standard-deviation reward of rcGAN, negative: add it to the loss that trains G.

    ``-beta E sqrt(pi / (2 P (P - 1))) sum_i |x_hat_i - mean_j x_hat_j|`` for P seeds, a mean over samples and output
    elements, with ``beta = sqrt(2 / (pi P (P + 1)))``. For Gaussian outputs the factor before the sum makes it the mean
    standard deviation. The paper's regularizer is this plus the L1 distance of the mean of the P outputs to the truth,
    also a mean over elements; with this beta the sum of the two is least at the posterior's mean and deviation where
    the posterior is Gaussian and independent. (The paper then tunes a factor near 1 of the reward.) The reward alone
    has no finite optimum.

    Args:
        G, y: as in :func:`mode_seeking_loss`; G may also draw its noise inside, row by row.
        n_seeds: seeds per input, P, at least 2 (the paper: 2).
        z, sample_z, cond, module, generator, max_batch: as in :func:`mode_seeking_loss`.

    Returns:
        A scalar, at most 0, differentiable in G's parameters (and in y); its gradient is 0 where all outputs agree.

    Raises:
        ValueError: for bad shapes or fewer than two seeds.
        TypeError: for arguments of a wrong kind.

    Example:
        The two terms from the same passes:

        >>> import torch
        >>> G, P = torch.nn.Bilinear(3, 2, 3), 2
        >>> x = y = torch.rand(8, 3)
        >>> z = torch.randn(8 * P, 2)
        >>> x_hat = G(y.repeat_interleave(P, 0), z)
        >>> l1 = torch.nn.functional.l1_loss(x_hat.reshape(8, P, 3).mean(1), x)
        >>> loss = l1 + std_reward_loss(lambda y, z: x_hat, y, P, z=z)

    Source: Bendel, Ahmad and Schniter, A Regularized Conditional GAN for Posterior Sampling in Image Recovery Problems,
    NeurIPS 2023 (the authors' code takes ``torch.std`` instead, whose gradient at 0 is not finite).
    """
    samples = _samples(_held(G, y, n_seeds, z, sample_z, cond, module, generator, max_batch))
    beta = math.sqrt(2 / (math.pi * n_seeds * (n_seeds + 1)))
    unbiased = math.sqrt(math.pi * n_seeds / (2 * (n_seeds - 1)))  # times P, as the mean below divides by it
    return -beta * unbiased * (samples - samples.mean(1, keepdim=True)).abs().mean()


def _held(
    G: Estimator,
    y: Tensor,
    n_seeds: int,
    z: Tree,
    sample_z: SampleZ | None,
    cond: Tree,
    module: nn.Module | None,
    generator: Randomness,
    max_batch: int | None,
) -> SameSeed:
    """The estimator with at least two seeds held."""
    held = SameSeed(
        G, y, n_seeds, z=z, sample_z=sample_z, cond=cond, module=module, generator=generator, max_batch=max_batch
    )
    if n_seeds < 2:
        raise ValueError(f"n_seeds must be at least 2, outputs at one y are compared, got {n_seeds}")
    return held


def _samples(held: SameSeed) -> Tensor:
    """All outputs, (B, S, elements), in float32 or better; in chunks they are made again in the backward pass."""
    outputs = held.outputs() if len(held.chunks) == 1 else held.recomputed(lambda chunk: held.rows(None, chunk))
    return working(outputs).reshape(len(held.y), held.n_seeds, -1)


def _distances(samples: Tensor) -> Tensor:
    """The mean absolute differences of all pairs of a sample's rows, (B, S, elements) -> (B, S (S - 1) / 2)."""
    first, second = torch.triu_indices(samples.shape[1], samples.shape[1], 1, device=samples.device)
    return (samples[:, first] - samples[:, second]).abs().mean(2)


def _seed_distances(held: SameSeed, name: str) -> Tensor:
    """The same for the seeds, over the elements of all their tensors."""
    leaves = [flat(working(leaf.detach())) for leaf in tree_tensors(held.z)]
    if not leaves:
        raise ValueError(f"z must be at hand for {name}: give z, sample_z or a G that has sample_z, got None")
    return _distances(torch.cat(leaves, 1).reshape(len(held.y), held.n_seeds, -1))
