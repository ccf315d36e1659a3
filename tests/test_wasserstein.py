"""W2 between point sets: closed forms, another implementation, brute force, and what a distance must obey."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stochrobust.wasserstein import gaussian_w2_squared, optimal_matching, w2_distance, w2_squared

sizes = pytest.mark.parametrize(("n", "d"), [(1, 1), (7, 1), (1, 3), (6, 2), (5, 9), (40, 3)])
seeds = st.integers(0, 2**31)


def points(seed: int, batch: int = 3, n: int = 6, d: int = 2) -> Tensor:
    return torch.randn(batch, n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def paired(a: Tensor, b: Tensor) -> Tensor:
    """The cost of the matching by index."""
    return (a - b).square().sum(2).mean(1)


# -- truth -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2, 3])
def test_brute_force(d: int) -> None:
    a, b = points(0, n=5, d=d), points(1, n=5, d=d)
    every = torch.stack([paired(a, b[:, list(p)]) for p in itertools.permutations(range(5))])
    torch.testing.assert_close(w2_squared(a, b), every.min(0).values, rtol=1e-13, atol=0)


@sizes
def test_another_implementation(n: int, d: int) -> None:
    ot = pytest.importorskip("ot")
    a, b = points(0, n=n, d=d), points(1, n=n, d=d)
    expected = [ot.emd2([], [], ot.dist(x.numpy(), y.numpy())) for x, y in zip(a, b, strict=True)]
    assert w2_squared(a, b).tolist() == pytest.approx(expected, rel=1e-9)


@sizes
@pytest.mark.parametrize("method", ["auto", "assignment"])
def test_translation(n: int, d: int, method: str) -> None:
    a, v = points(0, n=n, d=d), points(1, n=1, d=d)
    b = (a + v)[:, torch.randperm(n)]
    torch.testing.assert_close(w2_distance(a, b, method=method), v.norm(dim=2).squeeze(1), rtol=1e-13, atol=0)
    torch.testing.assert_close(gaussian_w2_squared(a, b), v.square().sum((1, 2)), rtol=1e-12, atol=0)


@sizes
def test_the_matching_is_a_permutation_and_has_that_cost(n: int, d: int) -> None:
    a, b = points(0, n=n, d=d), points(1, n=n, d=d)
    index = optimal_matching(a, b)
    assert index.dtype == torch.int64
    assert torch.equal(index.sort(1).values, torch.arange(n).expand(3, n))
    matched = torch.stack([y[i] for y, i in zip(b, index, strict=True)])
    torch.testing.assert_close(paired(a, matched), w2_squared(a, b))
    shuffle = torch.randperm(n)
    assert torch.equal(optimal_matching(b[:, shuffle], b), shuffle.expand(3, n))


def test_zigzag() -> None:
    """The bound of App. C: T0 moves X, uniform on the square, onto the zigzag of f teeth at a cost of 1 / (24 f^2)."""
    f, n = 2, 24
    grid = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    x1, x2 = (axis.flatten() for axis in torch.meshgrid(grid, grid, indexing="ij"))
    cell = (2 * f * x1).floor()
    moved = (cell + torch.where(cell % 2 == 0, x2, 1 - x2)) / (2 * f)
    torch.testing.assert_close(x2, 2 * (f * moved - (f * moved).round()).abs(), msg="T0 ends on the zigzag")
    X, T0 = torch.stack([x1, x2], 1)[None], torch.stack([moved, x2], 1)[None]
    cost = paired(X, T0).item()
    assert cost == pytest.approx(1 / (24 * f**2), rel=0.03)  # the grid's own error is (2 f / n)^2
    assert 0.5 * cost < w2_squared(X, T0).item() <= cost


@pytest.mark.parametrize(("n", "d"), [(50, 1), (50, 3), (4, 7)])
def test_gaussian_closed_form(n: int, d: int) -> None:
    """With the trace of a matrix root, as it is written; S_a and S_b from the covariances with divisor n."""
    a, b = points(0, n=n, d=d), points(1, n=n, d=d) @ points(2, batch=1, n=d, d=d) + 3

    def root(S: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(S)
        square_root: Tensor = vectors @ (values.clamp(min=0).sqrt()[:, :, None] * vectors.mT)
        return square_root

    S_a, S_b = (torch.stack([torch.cov(s.T, correction=0).reshape(d, d) for s in x]) for x in (a, b))
    traces = torch.diagonal(S_a + S_b - 2 * root(root(S_a) @ S_b @ root(S_a)), dim1=1, dim2=2).sum(1)
    expected = (a.mean(1) - b.mean(1)).square().sum(1) + traces
    torch.testing.assert_close(gaussian_w2_squared(a, b), expected, rtol=1e-7, atol=0)


def test_gaussian_of_a_scaled_set() -> None:
    a = points(0, n=30, d=4)
    centred = a - a.mean(1, keepdim=True)
    expected = 0.2**2 * centred.square().sum(2).mean(1)
    torch.testing.assert_close(gaussian_w2_squared(centred, 1.2 * centred), expected, rtol=1e-12, atol=0)


def test_near_equal_sets_keep_their_digits() -> None:
    a = 1e-5 * points(0, n=20, d=3) + 1e3  # float32 would see one point
    v = torch.tensor([3e-6, 4e-6, 0], dtype=torch.float64)
    shifted = (a + v)[:, torch.randperm(20)]
    torch.testing.assert_close(w2_distance(a, shifted), torch.full((3,), 5e-6).double(), rtol=1e-6, atol=0)
    centred = points(0, n=20, d=3)
    centred -= centred.mean(1, keepdim=True)
    tiny = gaussian_w2_squared(centred, (1 + 1e-7) * centred)
    torch.testing.assert_close(tiny, 1e-14 * centred.square().sum(2).mean(1), rtol=1e-6, atol=0)


# -- what a distance obeys ---------------------------------------------------------------------------------------------


@given(seed=seeds, n=st.integers(1, 12), d=st.integers(1, 5), scale=st.floats(1e-4, 1e4))
def test_a_distance(seed: int, n: int, d: int, scale: float) -> None:
    a, b, c = (points(seed + i, n=n, d=d) for i in range(3))
    ab = w2_distance(a, b)
    torch.testing.assert_close(w2_distance(b, a), ab)
    torch.testing.assert_close(w2_distance(scale * a, scale * b), scale * ab)
    torch.testing.assert_close(ab.square(), w2_squared(a, b))
    assert (w2_distance(a, c) <= (ab + w2_distance(b, c)) * (1 + 1e-12)).all()
    assert w2_distance(a, a[:, torch.randperm(n)]).count_nonzero() == 0


@given(seed=seeds, n=st.integers(1, 12), d=st.integers(1, 5), spread=st.floats(1e-6, 10))
def test_gaussian_below_exact_below_paired(seed: int, n: int, d: int, spread: float) -> None:
    a = points(seed, n=n, d=d)
    b = a + spread * points(seed + 1, n=n, d=d)
    slack = 1 + 1e-12
    assert (gaussian_w2_squared(a, b) <= w2_squared(a, b) * slack + 1e-28).all()
    assert (w2_squared(a, b) <= paired(a, b) * slack).all()


@given(seed=seeds, n=st.integers(1, 20))
def test_sorting_is_the_assignment_of_one_dimension(seed: int, n: int) -> None:
    a, b = points(seed, n=n, d=1), points(seed + 1, n=n, d=1).round()
    torch.testing.assert_close(w2_squared(a, b, method="sort"), w2_squared(a, b, method="assignment"))


@pytest.mark.parametrize(
    ("method", "d", "assigned"), [("auto", 1, 0), ("sort", 1, 0), ("assignment", 1, 3), ("auto", 2, 3)]
)
def test_method(method: str, d: int, assigned: int) -> None:
    from scipy.optimize import linear_sum_assignment

    with mock.patch("scipy.optimize.linear_sum_assignment", wraps=linear_sum_assignment) as assignment:
        w2_squared(points(0, d=d), points(1, d=d), method=method)
        w2_distance(points(0, d=d), points(1, d=d), method=method)
    assert assignment.call_count == 2 * assigned


def test_the_gaussian_bound_ignores_the_order() -> None:
    a, b = points(0, n=30), points(1, n=30)
    torch.testing.assert_close(gaussian_w2_squared(a, b[:, torch.randperm(30)]), gaussian_w2_squared(a, b))


def test_equal_points_are_matched_by_index() -> None:
    zeros, ascending = torch.zeros(1, 50, 1), torch.arange(50.0).reshape(1, 50, 1)
    assert torch.equal(optimal_matching(zeros, ascending), torch.arange(50)[None])
    assert torch.equal(optimal_matching(ascending, zeros), torch.arange(50)[None])


@pytest.mark.parametrize("function", [w2_squared, w2_distance, gaussian_w2_squared])
@pytest.mark.parametrize("d", [1, 2])
def test_samples_do_not_mix(function: Callable[[Tensor, Tensor], Tensor], d: int) -> None:
    a, b = points(0, d=d), points(1, d=d)
    alone = torch.cat([function(a[i : i + 1], b[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(function(a, b), alone)


# -- gradients and dtypes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [w2_squared, w2_distance, gaussian_w2_squared])
@pytest.mark.parametrize(("n", "d"), [(4, 1), (5, 3), (3, 6)])
def test_gradients(function: Callable[[Tensor, Tensor], Tensor], n: int, d: int) -> None:
    a, b = points(0, n=n, d=d).requires_grad_(), points(1, n=n, d=d).requires_grad_()
    assert torch.autograd.gradcheck(function, (a, b))


def test_gradients_where_the_distance_is_zero() -> None:
    for function in (w2_squared, w2_distance, gaussian_w2_squared):
        a = points(0, n=6, d=3).requires_grad_()
        (gradient,) = torch.autograd.grad(function(a, a.detach()).sum(), a)
        assert gradient.abs().max() < 1e-14


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("d", [1, 3])
def test_short_floats_are_widened(dtype: torch.dtype, d: int) -> None:
    a, b = points(0, n=30, d=d).to(dtype), points(1, n=30, d=d).to(dtype)
    for function in (w2_squared, w2_distance, gaussian_w2_squared):
        value = function(a, b)
        assert value.dtype == torch.promote_types(dtype, torch.float32)
        torch.testing.assert_close(value.double(), function(a.double(), b.double()), rtol=1e-6, atol=0)


def test_autocast_and_inference_mode_change_nothing() -> None:
    a, b = points(0, d=3).float(), points(1, d=3).float()
    expected = [function(a, b) for function in (w2_squared, w2_distance, gaussian_w2_squared)]
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        assert (a[0] @ a[0].T).dtype == torch.bfloat16, "autocast was not on"
        found = [function(a, b) for function in (w2_squared, w2_distance, gaussian_w2_squared)]
    assert all(map(torch.equal, found, expected))


@pytest.mark.gpu
@sizes
def test_a_gpu_agrees(n: int, d: int) -> None:
    a, b = points(0, n=n, d=d), points(1, n=n, d=d)
    for function in (w2_squared, w2_distance, gaussian_w2_squared, optimal_matching):
        value = function(a.cuda(), b.cuda())
        assert value.is_cuda
        torch.testing.assert_close(value.cpu(), function(a, b), rtol=1e-12, atol=0)


# -- what must not pass ------------------------------------------------------------------------------------------------

A = torch.ones(2, 3, 2)
BAD: list[tuple[type[Exception], str, Any, Any]] = [
    (TypeError, "a must be a torch.Tensor", [[1.0]], A),
    (TypeError, "b must be a torch.Tensor", A, None),
    (TypeError, "a must have a real floating-point dtype", A.long(), A),
    (TypeError, "b must have a real floating-point dtype", A, A.to(torch.complex64)),
    (ValueError, "a must have 3 dimensions", A[0], A[0]),
    (ValueError, "b must have 3 dimensions", A, A[0]),
    (ValueError, "a must not be empty", A[:, :0], A[:, :0]),
    (
        ValueError,
        r"b must have the shape, dtype and device of a, .*\(2, 3, 2\).* got .*\(2, 4, 2\)",
        A,
        torch.ones(2, 4, 2),
    ),
    (ValueError, "b must have the shape, dtype and device of a", A, A[..., :1]),
    (ValueError, "b must have the shape, dtype and device of a", A, A[:1]),
    (ValueError, "b must have the shape, dtype and device of a", A, A.double()),
    (ValueError, "b must have the shape, dtype and device of a", A, A.to("meta")),
    (ValueError, "a must be finite", A * math.nan, A),
    (ValueError, "b must be finite", A, A * math.inf),
]


@pytest.mark.parametrize("function", [w2_squared, w2_distance, optimal_matching, gaussian_w2_squared])
@pytest.mark.parametrize(("error", "message", "a", "b"), BAD)
def test_bad_points(function: Any, error: type[Exception], message: str, a: Any, b: Any) -> None:
    with pytest.raises(error, match=message):
        function(a, b)


@pytest.mark.parametrize("function", [w2_squared, w2_distance, optimal_matching])
def test_bad_methods(function: Any) -> None:
    with pytest.raises(ValueError, match="method must be one of 'auto', 'sort', 'assignment', got 'hungarian'"):
        function(A, A, method="hungarian")
    with pytest.raises(ValueError, match='method "sort" needs points of dimension 1'):
        function(A, A, method="sort")
