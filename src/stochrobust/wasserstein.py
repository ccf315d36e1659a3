"""The Wasserstein distance W2 between point sets of equal size: exact, and the Gaussian bound from below.

Both are a cost under the best matching of the points: by a permutation (exact), or by a rotation of the centred sets
(Gaussian). The matching is found on detached values and the cost recomputed from it, in float64: exact at zero,
without cancellation for near-equal sets, and differentiable (the optimal matching is locally constant, or stationary).
"""

from __future__ import annotations

import torch
from torch import Tensor

from stochrobust._arguments import check_alike, check_choice, check_finite, check_tensor, describe


def w2_squared(a: Tensor, b: Tensor, *, method: str = "auto") -> Tensor:
    """The exact squared Wasserstein distance between two sets of n equally weighted points, per sample.

    ``W2^2(a, b) = min over permutations p of (1/n) sum_i ||a_i - b_p(i)||^2``

    Of drawn samples this is an estimate of Eq. 4, biased upwards; for samples drawn with the same seeds it is at most
    their same-seed change, and at least :func:`gaussian_w2_squared`.

    Args:
        a: (B, n, d) points.
        b: (B, n, d) points, of the same dtype and device.
        method: "sort" (d = 1 only, on the device), "assignment" (any d, on the CPU, O(n^3)), or "auto": sort if d = 1.

    Returns:
        (B,), in the dtype of a or float32, whichever is wider; differentiable in a and b at the found matching.

    Raises:
        TypeError: a or b is no floating-point tensor.
        ValueError: the shapes differ (unequal sizes have no matching), a value is not finite, or method does not fit.

    Example:
        >>> import torch
        >>> w2_squared(torch.tensor([[[0.0], [1.0]]]), torch.tensor([[[3.0], [2.0]]]))
        tensor([4.])

    Source: Eq. 4 of the paper; Peyre and Cuturi, "Computational Optimal Transport", 2019, sections 2.2 and 2.6.
    """
    index = optimal_matching(a, b, method=method)
    matched = b.gather(1, index[..., None].expand_as(b))
    return _mean_cost(a, matched).to(_result_dtype(a))


def w2_distance(a: Tensor, b: Tensor, *, method: str = "auto") -> Tensor:
    """The exact Wasserstein distance between two sets of n equally weighted points, per sample.

    ``W2(a, b) = sqrt(w2_squared(a, b))``; the gradient where it is zero is given as zero.

    Args:
        a: (B, n, d) points.
        b: (B, n, d) points, of the same dtype and device.
        method: as in :func:`w2_squared`.

    Returns:
        (B,), in the dtype of a or float32, whichever is wider, and in the unit of the points.

    Raises:
        TypeError, ValueError: as :func:`w2_squared`.

    Example:
        >>> import torch
        >>> w2_distance(torch.zeros(1, 5, 2), torch.tensor([3.0, 4.0]).expand(1, 5, 2))
        tensor([5.])

    Source: Eq. 4 of the paper.
    """
    squared = w2_squared(a, b, method=method)
    positive = squared > 0
    return torch.where(positive, torch.where(positive, squared, 1).sqrt(), 0)


def optimal_matching(a: Tensor, b: Tensor, *, method: str = "auto") -> Tensor:
    """The permutation that moves b onto a at the least cost: ``b[s, index[s, i]]`` is matched to ``a[s, i]``.

    Args:
        a: (B, n, d) points.
        b: (B, n, d) points, of the same dtype and device.
        method: as in :func:`w2_squared`.

    Returns:
        (B, n) integers, without gradient; sorted by a stable sort, or found on squared distances taken in float64.

    Raises:
        TypeError, ValueError: as :func:`w2_squared`.

    Example:
        >>> import torch
        >>> optimal_matching(torch.tensor([[[0.0], [1.0]]]), torch.tensor([[[3.0], [2.0]]]))
        tensor([[1, 0]])

    Source: Peyre and Cuturi, "Computational Optimal Transport", 2019, sections 2.2 and 2.6.
    """
    _check_point_sets(a, b)
    check_choice("method", method, ("auto", "sort", "assignment"))
    one_dimensional = a.shape[2] == 1
    if method == "sort" and not one_dimensional:
        raise ValueError(f'method "sort" needs points of dimension 1, got {describe(a)}')
    a, b = a.detach(), b.detach()
    if one_dimensional and method != "assignment":
        return _match_by_sorting(a.squeeze(2), b.squeeze(2))
    return _match_by_assignment(a, b)


def gaussian_w2_squared(a: Tensor, b: Tensor) -> Tensor:
    """The squared Wasserstein distance of two Gaussians with the moments of the points (Gelbrich), per sample.

    ``||m_a - m_b||^2 + tr(S_a + S_b - 2 (S_a^{1/2} S_b S_a^{1/2})^{1/2})``, covariances with divisor n

    Never more than :func:`w2_squared` of the same points, up to rounding. No root of a covariance is taken: with A and
    B the centred points, the trace is ``(1/n) min ||A - W B||^2`` over orthogonal n x n matrices W, a matching that
    need not be a permutation, and the singular vectors of ``A B^T`` give W. The span of the points suffices, so that
    the cost is O(n d min(n, d)) and no covariance need have full rank.

    Args:
        a: (B, n, d) points.
        b: (B, n, d) points, of the same dtype and device.

    Returns:
        (B,), in the dtype of a or float32, whichever is wider; differentiable in a and b.

    Raises:
        TypeError: a or b is no floating-point tensor.
        ValueError: the shapes differ, or a value is not finite.

    Example:
        >>> import torch
        >>> a = torch.tensor([[[-1.0], [1.0]]])
        >>> gaussian_w2_squared(a, 3 * a + 5)  # means 0 and 5, standard deviations 1 and 3
        tensor([29.])

    Source: Gelbrich, "On a formula for the L2 Wasserstein metric between measures on Euclidean and Hilbert spaces",
    Mathematische Nachrichten 147, 1990.
    """
    _check_point_sets(a, b)
    wide_a, wide_b = a.double(), b.double()
    mean_a, mean_b = wide_a.mean(1, keepdim=True), wide_b.mean(1, keepdim=True)
    reduced_a, reduced_b = _in_span(wide_a - mean_a), _in_span(wide_b - mean_b)
    left, _, right = torch.linalg.svd((reduced_a @ reduced_b.mT).detach())
    change: Tensor = reduced_a - left @ right @ reduced_b
    squared = (mean_a - mean_b).square().sum((1, 2)) + change.square().sum((1, 2)) / a.shape[1]
    return squared.to(_result_dtype(a))


def _in_span(points: Tensor) -> Tensor:
    """(B, min(n, d), d): the same Gram matrix ``points^T points`` from no more rows than there are dimensions."""
    if points.shape[1] <= points.shape[2]:
        return points
    basis: Tensor = torch.linalg.qr(points.detach()).Q
    return basis.mT @ points


def _match_by_sorting(a: Tensor, b: Tensor) -> Tensor:
    """(B, n) numbers: the i-th smallest of one goes to the i-th smallest of the other."""
    order_a, order_b = a.argsort(dim=1, stable=True), b.argsort(dim=1, stable=True)
    return torch.empty_like(order_a).scatter_(1, order_a, order_b)


def _match_by_assignment(a: Tensor, b: Tensor) -> Tensor:
    """Exact assignment, one sample after the other, on direct differences (no matrix products) in float64."""
    from scipy.optimize import linear_sum_assignment

    distances = torch.cdist(a.double(), b.double(), compute_mode="donot_use_mm_for_euclid_dist")
    costs = distances.square().cpu().numpy()
    columns = [torch.from_numpy(linear_sum_assignment(cost)[1]) for cost in costs]
    return torch.stack(columns).to(a.device, torch.int64)


def _mean_cost(a: Tensor, b: Tensor) -> Tensor:
    """``(1/n) sum_i ||a_i - b_i||^2`` in float64."""
    return (a.double() - b.double()).square().sum(2).mean(1)


def _result_dtype(a: Tensor) -> torch.dtype:
    return torch.promote_types(a.dtype, torch.float32)


def _check_point_sets(a: Tensor, b: Tensor) -> None:
    check_tensor("a", a, ndim=3)
    check_tensor("b", b, ndim=3)
    check_alike("b", b, "a", a)
    check_finite("a", a)
    check_finite("b", b)
