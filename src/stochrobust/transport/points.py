"""Batches of point sets: what they must be, and squared distances, directly or quickly within a proven error."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from stochrobust._arguments import check_alike, check_finite, check_tensor, describe

UNIT = torch.finfo(torch.float64).eps / 2
_LARGEST = 1e150


def check_point_sets(a: Tensor, b: Tensor, *, sizes_may_differ: bool = False) -> None:
    """Batches of point sets of one kind, finite, whose squared norms float64 can hold."""
    check_tensor("a", a, ndim=3)
    check_tensor("b", b, ndim=3)
    check_alike("b", b, "a", a, shape=not sizes_may_differ)
    if (len(b), b.shape[2]) != (len(a), a.shape[2]):
        raise ValueError(f"b must have the batch size and dimension of a, {describe(a)}, got {describe(b)}")
    norms = [torch.linalg.vector_norm(points.detach()) for points in (a, b)]
    if bool(norms[0] + norms[1] < _LARGEST):  # nearly always, and found in a fraction of the time of the rest
        return
    for name, points in (("a", a), ("b", b)):
        check_finite(name, points)
        if not bool(torch.linalg.vector_norm(points.detach().double()) < _LARGEST):
            largest = float(points.abs().max())
            raise ValueError(f"{name} must have a norm below {_LARGEST}, for its square, got values up to {largest}")


def paired_costs(a: Tensor, b: Tensor) -> Tensor:
    """(B, n) float64: ``||a_i - b_i||^2``, from differences: exact at zero, without cancellation."""
    distances: Tensor = torch.linalg.vector_norm(a.double() - b.double(), dim=2)  # faster than squares and a sum
    return distances.square()


def direct_costs(a: Tensor, b: Tensor) -> Tensor:
    """(B, n, m) float64: ``||a_i - b_j||^2``, from differences; slow, with every digit."""
    return torch.cdist(a.double(), b.double(), compute_mode="donot_use_mm_for_euclid_dist").square()


def product_costs(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """``||a_i - b_j||^2`` of float64 points by a product, (B, n, m), and a bound (B,) on the error of each.

    With ``s`` the squared norms of the points, ``u`` the unit roundoff and ``S = max s_a + max s_b``: products and
    norms are off by at most ``2 d u S`` in whatever order they are summed, and if the points were centred before,
    that and the additions here add some ``16 u S``. The bound is ``(2 d + 64) u S``, and ``16 d`` of the smallest
    normal number for underflow; twice the bound is enough for a difference of two costs and a few additions to it.

    Source: N. Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, Section 3.1.
    """
    s_a, s_b = (torch.linalg.vector_norm(points, dim=2).square() for points in (a, b))
    costs = torch.baddbmm(s_b[:, None], a, b.mT, alpha=-2).add_(s_a[..., None])
    width = a.shape[2]
    largest = s_a.amax(1) + s_b.amax(1)
    return costs, (2 * width + 64) * UNIT * largest + 16 * width * torch.finfo(torch.float64).tiny


def some_samples(a: Tensor, b: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The samples, as many at a time as caches (on a CPU) or the memory (on a GPU) hold with all their costs."""
    n, m, d = *a.shape[1:2], *b.shape[1:]
    size = max(1, (2**26 if a.is_cuda else 2**19) // (n * m + (n + m) * d))
    yield from zip(a.split(size), b.split(size), strict=True)
