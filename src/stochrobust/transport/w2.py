"""The Wasserstein distance W2 between point sets: exact, of two Gaussians, and sliced.

Exact and Gaussian are a cost under the best matching of the points: by a permutation or a plan (exact), or by a
rotation of the centred sets (Gaussian). The matching is found on detached values and the cost recomputed from it, in
float64: exact at zero, without cancellation for near-equal sets, and differentiable (the optimal matching is locally
constant, or stationary).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from stochrobust._arguments import check_choice, check_count, describe
from stochrobust._tensors import result_dtype
from stochrobust.transport.matching import match, partners
from stochrobust.transport.plans import planned_cost, sorted_cost
from stochrobust.transport.points import check_point_sets, paired_costs, some_samples


def w2_squared(a: Tensor, b: Tensor, *, method: str = "auto") -> Tensor:
    """The exact squared Wasserstein distance between two sets of equally weighted points, per sample.

    ``W2^2(a, b) = min over plans P of sum_ij P_ij ||a_i - b_j||^2``, where row i of P sums to 1 / n, column j to 1 / m;
    for n = m this is ``min over permutations p of (1/n) sum_i ||a_i - b_p(i)||^2``

    Of drawn samples this is an estimate of Eq. 4, biased upwards; for samples drawn with the same seeds it is at most
    their same-seed change, and at least :func:`gaussian_w2_squared`. Where the optimum matches the points by index, as
    it mostly does for common seeds, that is proven on their device. Else the matching is an assignment on the CPU,
    O(n^3); on a GPU, large problems are solved there first, and go to the CPU where that is not proven optimal. For
    n != m the plan is a linear program on the CPU, which takes seconds for 1,000 points; with the extra
    ``stochrobust[transport]`` (POT) a tenth of that, wherever the result is proven.

    Args:
        a: (B, n, d) points.
        b: (B, m, d) points, of the same dtype and device.
        method: "sort" (d = 1 only, on the device), "assignment" (any d), or "auto": sort if d = 1.

    Returns:
        (B,), in the dtype of a or float32, whichever is wider; differentiable in a and b at the found matching. The
        matching is optimal to 1e-9 of the cost, as far as float64 tells squared distances apart.

    Raises:
        TypeError: a or b is no floating-point tensor.
        ValueError: B or d differ, a value is not finite or its square not in float64, or method does not fit.

    Example:
        >>> import torch
        >>> w2_squared(torch.tensor([[[0.0], [1.0]]]), torch.tensor([[[3.0], [2.0]]]))
        tensor([4.])

    Source: Eq. 4 of the paper; Peyre and Cuturi, "Computational Optimal Transport", 2019, sections 2.2, 2.6 and 3.
    """
    check_point_sets(a, b, sizes_may_differ=True)
    if _sorts(a, method):
        squared = sorted_cost(a.squeeze(2), b.squeeze(2))
    elif a.shape[1] == b.shape[1]:
        squared = torch.cat([_matched_cost(x, y) for x, y in some_samples(a, b)])
    else:
        squared = torch.cat([planned_cost(x, y) for x, y in some_samples(a, b)])
    return squared.to(result_dtype(a))


def w2_distance(a: Tensor, b: Tensor, *, method: str = "auto") -> Tensor:
    """The exact Wasserstein distance between two sets of equally weighted points, per sample.

    ``W2(a, b) = sqrt(w2_squared(a, b))``; the gradient where it is zero is given as zero.

    Args:
        a: (B, n, d) points.
        b: (B, m, d) points, of the same dtype and device.
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
        (B, n) integers, without gradient; sorted by a stable sort, or optimal as in :func:`w2_squared`.

    Raises:
        TypeError, ValueError: as :func:`w2_squared`, or the sizes differ.

    Example:
        >>> import torch
        >>> optimal_matching(torch.tensor([[[0.0], [1.0]]]), torch.tensor([[[3.0], [2.0]]]))
        tensor([[1, 0]])

    Source: Peyre and Cuturi, "Computational Optimal Transport", 2019, sections 2.2 and 2.6.
    """
    check_point_sets(a, b)
    a, b = a.detach(), b.detach()
    if _sorts(a, method):
        return _match_by_sorting(a.squeeze(2), b.squeeze(2))
    by_index = torch.arange(a.shape[1], device=a.device)
    found = []
    for x, y in some_samples(a, b):
        index = match(x, y, paired_costs(x, y))
        found.append(by_index.expand(x.shape[:2]) if index is None else index)
    return torch.cat(found)


def gaussian_w2_squared(a: Tensor, b: Tensor) -> Tensor:
    """The squared Wasserstein distance of two Gaussians with the moments of the points (Gelbrich), per sample.

    ``||m_a - m_b||^2 + tr(S_a + S_b - 2 (S_a^{1/2} S_b S_a^{1/2})^{1/2})``, covariances with divisors n and m

    Never more than :func:`w2_squared` of the same points, up to rounding. No root of a covariance is taken: with A and
    B the centred points over sqrt(n) and sqrt(m), and rows of zeros where one has fewer, the trace is
    ``min ||A - W B||^2`` over orthogonal matrices W, a matching that need not be a permutation, and the singular
    vectors of ``A B^T`` give W. The span of the points suffices, so that the cost is O(n d min(n, d)) and no
    covariance need have full rank.

    Args:
        a: (B, n, d) points.
        b: (B, m, d) points, of the same dtype and device.

    Returns:
        (B,), in the dtype of a or float32, whichever is wider; differentiable in a and b.

    Raises:
        TypeError: a or b is no floating-point tensor.
        ValueError: B or d differ, a value is not finite or its square not in float64.

    Example:
        >>> import torch
        >>> a = torch.tensor([[[-1.0], [1.0]]])
        >>> gaussian_w2_squared(a, 3 * a + 5)  # means 0 and 5, standard deviations 1 and 3
        tensor([29.])

    Source: Gelbrich, "On a formula for the L2 Wasserstein metric between measures on Euclidean and Hilbert spaces",
    Mathematische Nachrichten 147, 1990.
    """
    check_point_sets(a, b, sizes_may_differ=True)
    wide_a, wide_b = a.double(), b.double()
    mean_a, mean_b = wide_a.mean(1, keepdim=True), wide_b.mean(1, keepdim=True)
    reduced_a, reduced_b = _in_span(wide_a - mean_a), _in_span(wide_b - mean_b) * (a.shape[1] / b.shape[1]) ** 0.5
    rows = max(reduced_a.shape[1], reduced_b.shape[1])
    reduced_a, reduced_b = (F.pad(part, (0, 0, 0, rows - part.shape[1])) for part in (reduced_a, reduced_b))
    left, _, right = torch.linalg.svd((reduced_a @ reduced_b.mT).detach())
    change: Tensor = reduced_a - left @ right @ reduced_b
    squared = (mean_a - mean_b).square().sum((1, 2)) + change.square().sum((1, 2)) / a.shape[1]
    return squared.to(result_dtype(a))


def sliced_w2_squared(
    a: Tensor, b: Tensor, *, n_projections: int = 128, generator: torch.Generator | None = None
) -> Tensor:
    """The sliced squared Wasserstein distance, per sample: the mean of W2^2 along random lines.

    ``SW2^2(a, b) = mean over unit vectors u of W2^2({<u, a_i>}, {<u, b_j>})``, here of uniform random u

    Sorting makes it O(n log n), and on the device. It is not W2: along every line it is at most :func:`w2_squared`,
    and a translation by v gives ``||v||^2 / d`` in expectation, for d = 1 both are equal.

    Args:
        a: (B, n, d) points.
        b: (B, m, d) points, of the same dtype and device.
        n_projections: lines, the same for all samples.
        generator: draws the lines; None is torch's global one.

    Returns:
        (B,), in the dtype of a or float32, whichever is wider; differentiable in a and b.

    Raises:
        TypeError: a or b is no floating-point tensor, or n_projections no integer.
        ValueError: B or d differ, a value is not finite or its square not in float64, or n_projections < 1.

    Example:
        >>> import torch
        >>> a, v = torch.rand(1, 50, 4), torch.tensor([3.0, 0.0, 4.0, 0.0])
        >>> squared = sliced_w2_squared(a, a + v, n_projections=1000)  # 25 / 4
        >>> bool((squared - 6.25).abs() < 1)
        True

    Source: Bonneel, Rabin, Peyre and Pfister, "Sliced and Radon Wasserstein barycenters of measures", 2015.
    """
    check_point_sets(a, b, sizes_may_differ=True)
    check_count("n_projections", n_projections)
    if not (generator is None or isinstance(generator, torch.Generator)):
        raise TypeError(f"generator must be a torch.Generator or None, got {describe(generator)}")
    device = a.device if generator is None else generator.device
    normal = torch.randn(a.shape[2], n_projections, dtype=torch.float64, device=device, generator=generator)
    lines = F.normalize(normal, dim=0, eps=0).to(a.device)
    squared = sorted_cost((a.double() @ lines).mT, (b.double() @ lines).mT)
    return squared.mean(1).to(result_dtype(a))


def _in_span(points: Tensor) -> Tensor:
    """(B, min(n, d), d): the same Gram matrix ``points^T points`` from no more rows than there are dimensions."""
    if points.shape[1] <= points.shape[2]:
        return points
    basis: Tensor = torch.linalg.qr(points.detach()).Q
    return basis.mT @ points


def _sorts(a: Tensor, method: str) -> bool:
    """Whether the points are matched by sorting."""
    check_choice("method", method, ("auto", "sort", "assignment"))
    one_dimensional = a.shape[2] == 1
    if method == "sort" and not one_dimensional:
        raise ValueError(f'method "sort" needs points of dimension 1, got {describe(a)}')
    return one_dimensional and method != "assignment"


def _match_by_sorting(a: Tensor, b: Tensor) -> Tensor:
    """(B, n) numbers: the i-th smallest of one goes to the i-th smallest of the other."""
    order_a, order_b = a.argsort(dim=1, stable=True), b.argsort(dim=1, stable=True)
    return torch.empty_like(order_a).scatter_(1, order_a, order_b)


def _matched_cost(a: Tensor, b: Tensor) -> Tensor:
    """(B,) float64 mean cost of the optimal matching."""
    paired = paired_costs(a, b)
    index = match(a.detach(), b.detach(), paired.detach())
    return (paired if index is None else paired_costs(a, partners(b, index))).mean(1)
