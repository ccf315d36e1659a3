"""The Frechet distance of two laws of images given y: moments that depend on y linearly."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from stochrobust._arguments import check_count, check_finite, check_tensor
from stochrobust.metrics.features import FeatureSet, gather_pair
from stochrobust.metrics.frechet import frechet_distance
from stochrobust.metrics.protocol import Score

_EMPTY = 1e-10  # standard deviations below this share of the largest are taken for none


def conditional_frechet_distance(
    *, y: Tensor, real: FeatureSet, generated: FeatureSet, components: int | None = None
) -> Score:
    r"""How far the outputs' law given y is from the sources', as far as means and covariances linear in y tell (CFID).

    ``||m_x - m_g||^2 + tr[(C_xy - C_gy) C_yy^{-1} (C_xy - C_gy)^T] + tr[S + T - 2 (S^{1/2} T S^{1/2})^{1/2}]`` with
    ``S = C_xx - C_xy C_yy^{-1} C_yx`` the covariance of x given y, and T that of the outputs; divisors N - 1. It is the
    Frechet distance of the two laws given y, averaged over y, where they are jointly Gaussian with y. Other than
    :func:`~stochrobust.frechet_distance` it sees whether an output belongs to its y: those of shuffled inputs have a
    Frechet distance of zero, and a large one here.

    It is biased upwards, by about ``2 tr(S) d / (N - 1)`` for samples of the posterior and d elements of y that vary:
    without ``components`` no two numbers with other N compare. N / 20 components keep it to a tenth of ``tr(S)``.

    For its interval, cut the rows into halves, y with them: see :func:`~stochrobust.interval_by_halves`. The cost is a
    singular value decomposition of the N inputs and that of N x N numbers.

    Args:
        y: ``(N, ...)`` inputs, any shape and range.
        real: ``(N, d)`` features, or raw vectors, of the sources, in the order of y.
        generated: ``(N, d)`` the same of one output for each input, in the same order.
        components: reduces y to so many of its principal directions, at most N - 2; None: all of y.

    Returns:
        A :class:`~stochrobust.metrics.protocol.Score`, in squared units of the features.

    Raises:
        TypeError: if a set is not of real floating-point numbers, or ``components`` no integer.
        ValueError: if the rows do not pair, a value is not finite, or y has as many directions as there are pairs, so
            that it determines x: give fewer ``components``.

    Example:
        >>> import torch
        >>> rows = torch.Generator().manual_seed(0)
        >>> y = torch.randn(20_000, 1, generator=rows)
        >>> x, x_hat = (y + torch.randn(20_000, 1, generator=rows) for _ in range(2))
        >>> right = conditional_frechet_distance(y=y, real=x, generated=x_hat)
        >>> shuffled = conditional_frechet_distance(y=y, real=x, generated=x_hat.flip(0))  # its y is another one
        >>> round(right, 2), round(shuffled, 1)  # 0; slope 0 for 1, variance 2 for 1: 1 + (2 ** 0.5 - 1) ** 2
        (0.0, 1.2)

    Source: M. Soloveitchik et al., Conditional Frechet Inception Distance, 2021.
    """
    reals, others = gather_pair(real, generated, minimum=3)
    check_tensor("y", y, min_ndim=1)
    check_finite("y", y)
    n = len(y)
    if len(reals) != n or len(others) != n or y.device != reals.values.device:
        counts = f"{n}, {len(reals)} and {len(others)}"
        raise ValueError(f"y, real and generated must have a row for each input, on one device, got {counts} rows")
    if components is not None and check_count("components", components) > n - 2:
        raise ValueError(f"components must be at most N - 2 = {n - 2}, got {components}")
    with torch.no_grad():
        basis = _directions_over_pairs(y.double().reshape(n, -1), components)
        if basis.shape[1] > n - 2:
            raise ValueError(
                f"y must vary in at most N - 2 = {n - 2} directions, got {basis.shape[1]}: give components="
            )
        x, x_hat = reals.values.double(), others.values.double()
        means = (x.mean(0) - x_hat.mean(0)).square().sum()
        explained = basis.T @ (x - x_hat)  # the basis is orthogonal to constants
        rest = [_without(basis, rows) for rows in (x, x_hat)]
    value = float(means + explained.square().sum() / (n - 1)) + frechet_distance(real=rest[0], generated=rest[1])
    told = "all of y" if components is None else f"{components} components of y"
    return Score(value, replace(reals.conditions(others), metric=f"conditional Frechet distance, {told}"))


def _directions_over_pairs(rows: Tensor, components: int | None) -> Tensor:
    """(N, p) orthonormal: the scores of the principal directions of y."""
    scores, sizes, _ = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)
    kept = int((sizes > _EMPTY * sizes[0]).sum()) if float(sizes[0]) > 0 else 0
    found: Tensor = scores[:, : kept if components is None else min(kept, components)]
    return found


def _without(basis: Tensor, rows: Tensor) -> Tensor:
    """What of centred rows the basis does not explain."""
    centred = rows - rows.mean(0)
    return centred - basis @ (basis.T @ centred)
