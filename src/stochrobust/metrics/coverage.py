"""Whether the law of the outputs is the posterior's: where x ranks among them by its distance from a reference."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from stochrobust._arguments import check_callable_or_none, check_count, check_finite, check_tensor, describe
from stochrobust.estimators.seeds import Randomness, check_generator, draw_like
from stochrobust.metrics.calibration import samples_and_sources

ORDERS = 4
"""Shapes of a rank histogram that the test looks for: slope, U, and the next two."""


def coverage_ranks(
    samples: Tensor,
    x: Tensor,
    n_seeds: int,
    *,
    reference: Tensor,
    features: Callable[[Tensor], Tensor] | None = None,
    generator: Randomness = None,
) -> Tensor:
    r"""Where the source ranks among the outputs of its input, by the distance from a reference.

    ``rank = #{s : ||f(x_s) - f(r)|| < ||f(x) - f(r)||}``, from 0 to S; equal distances are put in order at random. For
    samples of the posterior x and the outputs are S + 1 draws of one law, so that every rank is as likely as any other:
    exactly, at any S and any number of inputs, for every r and f that know nothing of x but what y says. Nothing of the
    kind holds for r made of x. One reference sees one fault and another another; take several, and put them to
    :func:`coverage_test`: other images, ``D^+ y``, the mean of a disjoint half of the seeds, any of them in a space
    where the real images are white, or along random directions.

    Costs S + 1 distances an input, and as many times what the features cost.

    Args:
        samples: ``(B*S, ...)`` outputs, sample-major: row ``b*S + s`` is input b with seed s; any range.
        x: ``(B, ...)`` sources, in the same units.
        n_seeds: S, at least 1.
        reference: ``(B, ...)`` images r, one for each input, or ``(1, ...)`` one for all.
        features: f, from ``(n, ...)`` images to ``(n, d)`` vectors, row by row; None: the elements themselves.
        generator: draws the ranks among equals: a ``torch.Generator``, :class:`~stochrobust.SampleKeys`, or None for
            torch's global generator.

    Returns:
        ``(B,)`` ranks, int64.

    Raises:
        TypeError: if a tensor is not of a real floating-point dtype, or ``n_seeds`` no integer.
        ValueError: if shapes or devices do not fit, or a value is not finite.

    Example:
        >>> import torch
        >>> samples, x = torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([[4.0]])
        >>> coverage_ranks(samples, x, 3, reference=torch.zeros(1, 1))  # 1 and 3 are nearer to 0
        tensor([2])

    Source: P. Lemos et al., Sampling-based accuracy testing of posterior estimators for general inference (TARP), ICML
    2023; S. Talts et al., Validating Bayesian inference algorithms with simulation-based calibration, 2018.
    """
    samples_and_sources(samples, x, n_seeds)
    check_tensor("reference", reference, min_ndim=1)
    if reference.shape[1:] != x.shape[1:] or len(reference) not in (1, len(x)) or reference.device != x.device:
        raise ValueError(f"reference must have one row or those of x, {describe(x)}, got {describe(reference)}")
    check_finite("reference", reference)
    check_callable_or_none("features", features)
    check_generator(generator)
    seen = _elements if features is None else features
    centre = _features(seen, reference)
    own = torch.linalg.vector_norm(_features(seen, x) - centre, dim=1)
    others = _features(seen, samples).unflatten(0, (len(x), n_seeds))
    distances = torch.linalg.vector_norm(others - centre[:, None], dim=2)
    below, equal = (distances < own[:, None]).sum(1), (distances == own[:, None]).sum(1)
    within = draw_like(own, generator, "coverage", uniform=True) * (equal + 1)
    ranks: Tensor = below + torch.minimum(within.long(), equal)
    return ranks


class CoverageTest(NamedTuple):
    """Whether ranks are those of a posterior sampler, for each reference.

    Attributes:
        p_value: (R,) the probability, for a posterior sampler, of ranks as uneven as these by at least one of the R
            references (Holm).
        gap: (R,) how far the coverage is off at worst: the largest difference between the share of sources among the
            nearest part of the outputs and that part; 0 for a posterior sampler of many inputs, at most 1.

    Example:
        >>> import torch
        >>> coverage_test(torch.arange(4).repeat(25), 3).gap.item()
        0.0
    """

    p_value: Tensor
    gap: Tensor


def coverage_test(ranks: Tensor, n_seeds: int) -> CoverageTest:
    r"""Are ranks even, beyond chance? For one reference or several.

    ``sum_k N (mean_i phi_k(r_i))^2`` over k = 1 to min(4, S), with phi_k the k-th orthonormal polynomial on {0, ..., S}
    under even weights: the parts of Pearson's chi-square for a slope, a U and the next two shapes, compared with
    chi-square of as many degrees of freedom; for several references Holm's correction, valid however they depend on
    each other. With the p-value comes the size of the effect, which is what decides whether it matters: at a
    million inputs nothing passes. For even ranks ``gap`` is below ``1.63 / sqrt(N)`` in 99 of 100 cases
    (Kolmogorov), and in more where S is small.

    In simulations of even ranks (S = 4 and 15, N = 60, 200 and 1,000, 20,000 each) p-values below 0.05 and 0.01 came up
    in 4.8 to 5.2 % and 0.9 to 1.2 % of cases.

    Args:
        ranks: ``(N,)`` integers from 0 to S, or ``(R, N)`` of R references, as :func:`coverage_ranks` gives them.
        n_seeds: S, at least 1.

    Returns:
        A :class:`CoverageTest` of float64, ``(R,)`` each, R = 1 for a vector.

    Raises:
        TypeError: if ``ranks`` is not a tensor of integers.
        ValueError: if there are none, or one is not from 0 to S.

    Example:
        >>> import torch
        >>> even = torch.arange(16).repeat(30)
        >>> narrow = torch.where(even < 8, 0, 15)  # the source is always outside of the outputs
        >>> found = coverage_test(torch.stack([even, narrow]), 15)
        >>> found.p_value[0].item(), bool(found.p_value[1] < 1e-9), found.gap.tolist()
        (1.0, True, [0.0, 0.4375])

    Source: I. Jolliffe and C. Primo, Evaluating rank histograms using decompositions of the chi-square test statistic,
    Monthly Weather Review 2008; S. Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    check_count("n_seeds", n_seeds)
    if not isinstance(ranks, Tensor) or ranks.is_floating_point() or ranks.dtype == torch.bool or ranks.is_complex():
        raise TypeError(f"ranks must be a tensor of integers, got {describe(ranks)}")
    if ranks.ndim not in (1, 2) or ranks.numel() == 0:
        raise ValueError(f"ranks must be (N,) or (R, N) and not empty, got {describe(ranks)}")
    if ranks.is_meta or ranks.layout != torch.strided:
        raise ValueError(f"ranks must be dense and hold numbers, got {describe(ranks)}")
    if int(ranks.min()) < 0 or int(ranks.max()) > n_seeds:
        raise ValueError(f"ranks must be from 0 to {n_seeds}, got {int(ranks.min())} to {int(ranks.max())}")
    rows = ranks.reshape(-1, ranks.shape[-1]).cpu()
    shares = torch.stack([(rows == rank).double().mean(1) for rank in range(n_seeds + 1)], 1)
    shapes = _orthonormal(n_seeds + 1)
    statistic = rows.shape[1] * (shares @ shapes.T).square().sum(1)
    even = torch.arange(1, n_seeds + 2) / (n_seeds + 1)
    gap = (shares.cumsum(1) - even.double()).abs().amax(1)
    return CoverageTest(holm(_chi_square_tail(statistic, len(shapes))), gap)


def holm(p_values: Tensor) -> Tensor:
    """P-values (R,) corrected for being R, by S. Holm's step-down procedure."""
    order = p_values.argsort()
    factors = torch.arange(len(p_values), 0, -1, dtype=p_values.dtype)
    corrected = (p_values[order] * factors).cummax(0).values.clamp(max=1)
    return torch.empty_like(p_values).scatter_(0, order, corrected)


def _orthonormal(n: int) -> Tensor:
    """(min(4, n - 1), n): polynomials of degree 1 and on, orthonormal under weights 1 / n on {0, ..., n - 1}."""
    degrees = min(ORDERS, n - 1)
    places = torch.linspace(-1, 1, n, dtype=torch.float64)
    basis = torch.linalg.qr(torch.stack([places**degree for degree in range(degrees + 1)], 1)).Q
    found: Tensor = basis[:, 1:].T * math.sqrt(n)
    return found


def _chi_square_tail(statistic: Tensor, freedom: int) -> Tensor:
    tail: Tensor = torch.special.gammaincc(torch.full_like(statistic, freedom / 2), statistic / 2)
    return tail


def _elements(images: Tensor) -> Tensor:
    return images.flatten(1) if images.ndim > 1 else images[:, None]


def _features(features: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """(n, d) in float64."""
    found = features(images)
    check_tensor("what features returns", found, ndim=2)
    if len(found) != len(images):
        raise ValueError(f"what features returns must have a row for each image, {len(images)}, got {describe(found)}")
    return found.detach().double()
