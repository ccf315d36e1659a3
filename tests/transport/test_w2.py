"""W2 between point sets: closed forms, another implementation, brute force, what a distance must obey, and proofs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from stochrobust.transport import matching as assignment
from stochrobust.transport import plans
from stochrobust.transport.plans import transport_plan
from stochrobust.transport.points import direct_costs, paired_costs, product_costs
from stochrobust.transport.w2 import gaussian_w2_squared, optimal_matching, sliced_w2_squared, w2_distance, w2_squared

sizes = pytest.mark.parametrize(("n", "d"), [(1, 1), (7, 1), (1, 3), (6, 2), (5, 9), (40, 3)])
pairs_of_sizes = pytest.mark.parametrize(("n", "m", "d"), [(6, 4, 1), (1, 7, 2), (5, 1, 3), (8, 12, 2), (7, 6, 9)])
seeds = st.integers(0, 2**31)


def points(seed: int, batch: int = 3, n: int = 6, d: int = 2) -> Tensor:
    return torch.randn(batch, n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def paired(a: Tensor, b: Tensor) -> Tensor:
    """The cost of the matching by index."""
    return (a - b).square().sum(2).mean(1)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sliced(a: Tensor, b: Tensor) -> Tensor:
    return sliced_w2_squared(a, b, n_projections=20, generator=seeded(0))


@contextmanager
def counted_assignments() -> Iterator[mock.Mock]:
    """What goes to the assignment solver."""
    from scipy.optimize import linear_sum_assignment

    with mock.patch("scipy.optimize.linear_sum_assignment", wraps=linear_sum_assignment) as solver:
        yield solver


# -- truth -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2, 3])
def test_brute_force(d: int) -> None:
    a, b = points(0, n=5, d=d), points(1, n=5, d=d)
    every = torch.stack([paired(a, b[:, list(p)]) for p in itertools.permutations(range(5))])
    torch.testing.assert_close(w2_squared(a, b), every.min(0).values, rtol=1e-13, atol=0)


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("d", [1, 2, 3, 17])
def test_another_implementation(d: int, equal: bool) -> None:
    """100 problems of 1 to 40 points and dimensions 1 to 17."""
    ot = pytest.importorskip("ot")
    for seed in range(13):
        n, m = torch.randint(1, 41, (2,), generator=seeded(seed)).tolist()
        a, b = points(seed, batch=1, n=n, d=d), 2 * points(seed + 100, batch=1, n=n if equal else m, d=d) - 1
        expected = ot.emd2([], [], ot.dist(a[0].numpy(), b[0].numpy()))
        for method in ("auto", "assignment"):
            assert w2_squared(a, b, method=method).item() == pytest.approx(expected, rel=1e-9)


@pairs_of_sizes
def test_points_of_several_unit_weights(n: int, m: int, d: int) -> None:
    """n points against m are as many copies of each as make both sets as large."""
    a, b = points(0, n=n, d=d), points(1, n=m, d=d)
    size = math.lcm(n, m)
    expected = w2_squared(a.repeat(1, size // n, 1), b.repeat(1, size // m, 1), method="assignment")
    torch.testing.assert_close(w2_squared(a, b), expected, rtol=1e-13, atol=0)
    torch.testing.assert_close(w2_squared(a, b, method="assignment"), expected, rtol=1e-13, atol=0)
    assert w2_squared(a, a.repeat(1, 3, 1)).count_nonzero() == 0


def test_uniform_grids() -> None:
    """n midpoints against k n: each moves to k that surround it evenly."""
    n, k = 4, 3
    a, b = ((torch.arange(size, dtype=torch.float64).reshape(1, -1, 1) + 0.5) / size for size in (n, k * n))
    expected = torch.tensor([(1 - 1 / k**2) / (12 * n**2)], dtype=torch.float64)
    torch.testing.assert_close(w2_squared(a, b), expected, rtol=1e-13, atol=0)
    torch.testing.assert_close(sliced_w2_squared(a, b), expected, rtol=1e-13, atol=0)


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


@pytest.mark.parametrize(("n", "m", "d"), [(50, 50, 1), (50, 50, 3), (4, 4, 7), (50, 30, 3), (4, 30, 7), (6, 4, 7)])
def test_gaussian_closed_form(n: int, m: int, d: int) -> None:
    """With the trace of a matrix root, as it is written; S_a and S_b from the covariances with divisors n and m."""
    a, b = points(0, n=n, d=d), points(1, n=m, d=d) @ points(2, batch=1, n=d, d=d) + 3

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


@given(seed=seeds, sizes=st.lists(st.integers(1, 12), min_size=3, max_size=3), d=st.integers(1, 5))
@settings(max_examples=25)
def test_a_distance_between_sets_of_any_sizes(seed: int, sizes: list[int], d: int) -> None:
    a, b, c = (points(seed + i, n=n, d=d) for i, n in enumerate(sizes))
    ab = w2_distance(a, b)
    torch.testing.assert_close(w2_distance(b, a), ab)
    torch.testing.assert_close(w2_distance(1e4 * a, 1e4 * b), 1e4 * ab)
    assert (w2_distance(a, c) <= (ab + w2_distance(b, c)) * (1 + 1e-12)).all()
    for bound in (gaussian_w2_squared, sliced):
        assert (bound(a, b) <= ab.square() * (1 + 1e-10)).all()


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
    with counted_assignments() as solver:
        w2_squared(points(0, d=d), points(1, d=d), method=method)
        w2_distance(points(0, d=d), points(1, d=d), method=method)
    assert solver.call_count == 2 * assigned


def test_the_gaussian_bound_ignores_the_order() -> None:
    a, b = points(0, n=30), points(1, n=30)
    torch.testing.assert_close(gaussian_w2_squared(a, b[:, torch.randperm(30)]), gaussian_w2_squared(a, b))


def test_equal_points_are_matched_by_index() -> None:
    zeros, ascending = torch.zeros(1, 50, 1), torch.arange(50.0).reshape(1, 50, 1)
    assert torch.equal(optimal_matching(zeros, ascending), torch.arange(50)[None])
    assert torch.equal(optimal_matching(ascending, zeros), torch.arange(50)[None])


@pytest.mark.parametrize("function", [w2_squared, w2_distance, gaussian_w2_squared, sliced])
@pytest.mark.parametrize(("d", "m"), [(1, 6), (2, 6), (1, 4), (2, 4)])
def test_samples_do_not_mix(function: Callable[[Tensor, Tensor], Tensor], d: int, m: int) -> None:
    a, b = points(0, d=d), points(1, n=m, d=d)
    alone = torch.cat([function(a[i : i + 1], b[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(function(a, b), alone)


@pytest.mark.parametrize("m", [100, 70])
def test_batches_that_are_taken_in_parts(m: int) -> None:
    a, b = points(0, batch=60, n=100, d=3), points(1, batch=60, n=m, d=3)
    b[::2] = a[::2, :m] + 1e-3 * b[::2]  # every other sample matched by index, if the sizes are equal
    values = w2_squared(a, b)
    for i in (0, 31, 58, 59):
        torch.testing.assert_close(values[i], w2_squared(a[i : i + 1], b[i : i + 1])[0])
        if m == 100:
            assert torch.equal(optimal_matching(a, b)[i], optimal_matching(a[i : i + 1], b[i : i + 1])[0])


# -- proofs of a matching ----------------------------------------------------------------------------------------------


def exact_cost(a: Tensor, b: Tensor) -> Fraction:
    """The cost of the matching by index of two sets (n, d), without rounding."""
    pairs = zip(a.flatten().tolist(), b.flatten().tolist(), strict=True)
    return sum(((Fraction(x) - Fraction(y)) ** 2 for x, y in pairs), Fraction(0))


def check_optimal(a: Tensor, b: Tensor, index: Tensor, tolerance: Fraction) -> None:
    """No permutation costs less, by more than the tolerance allows."""
    cost = exact_cost(a, b[index])
    best = min(exact_cost(a, b[list(order)]) for order in itertools.permutations(range(len(a))))
    assert cost - best <= tolerance * cost, float((cost - best) / cost)


@st.composite
def hard_pairs(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Two sets (1, n, d) with ties, near-ties, duplicates, permutations, outliers; offset, scaled, in any dtype."""
    n, d = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    grid = st.lists(st.integers(-2, 2), min_size=n * d, max_size=n * d)
    a, moved = (torch.tensor(draw(grid), dtype=torch.float64).reshape(1, n, d) for _ in range(2))
    b = draw(st.sampled_from([a, moved, a.flip(1), a.roll(1, 1), 3 * a]))
    b = b + draw(st.sampled_from([1.0, 1e-3, 1e-6, 1e-8, 1e-12, 0.0])) * moved
    b = b + draw(st.sampled_from([0, 1e-7, 1e-10, 1e-13, 1e-15])) * points(draw(st.integers(0, 9)), 1, n, d)
    b = b + draw(st.sampled_from([0.0, 1.0, 1e3, 1e5, 1e8]))
    outlier = torch.zeros(1, n, 1, dtype=torch.float64)
    outlier[:, 0] = draw(st.sampled_from([0.0, 0.0, 1e4, 1e7]))  # next to it the others are close together
    dtype = draw(st.sampled_from([torch.float64, torch.float64, torch.float32, torch.float16, torch.bfloat16]))
    scale = draw(st.sampled_from([1.0, 3.0, 1e-100, 1e100])) if dtype == torch.float64 else 1.0
    offset = draw(st.sampled_from([0.0, 1e4]))
    return (scale * (a + outlier + offset)).to(dtype), (scale * (b + outlier + offset)).to(dtype)


@given(pair=hard_pairs())
@settings(max_examples=400)
def test_a_proof_is_never_wrong(pair: tuple[Tensor, Tensor]) -> None:
    a, b = pair
    assume(bool(torch.isfinite(a).all() and torch.isfinite(b).all()))
    unproven = torch.full(a.shape[:2], -1), torch.ones(1, dtype=torch.bool)
    with mock.patch.object(assignment, "_match_by_costs", return_value=unproven):
        index = assignment.match(a, b, paired_costs(a, b))
    if index is None:
        check_optimal(a[0], b[0], torch.arange(a.shape[1]), Fraction(1, 10**12))


@pytest.mark.parametrize(("far", "near"), [(1e7, 1e-4), (3e4, 1e-9)])
@pytest.mark.parametrize("d", [1, 21])
def test_an_outlier_hides_nothing(far: float, near: float, d: int) -> None:
    """Products have errors in proportion to the outlier's square, far above what the order of two others changes."""
    moves = near * (1 + points(0, batch=50, n=1, d=1).abs())
    a = torch.tensor([[[far], [0.0], [1.0]]], dtype=torch.float64).expand(50, 3, 1)
    b = torch.cat([a[:, :1], 0.5 + moves, 0.5 - moves], 1)
    a, b = (torch.cat([x, torch.zeros(50, 3, d - 1, dtype=torch.float64)], 2) for x in (a, b))
    assert torch.equal(optimal_matching(a, b, method="assignment"), torch.tensor([0, 2, 1]).expand(50, 3))


@given(pair=hard_pairs())
@settings(max_examples=200)
def test_a_proof_of_an_annealed_matching_is_never_wrong(pair: tuple[Tensor, Tensor]) -> None:
    a, b = (points.double() for points in pair)
    assume(bool(torch.isfinite(a).all() and torch.isfinite(b).all()))
    index, proven = assignment.match_by_annealing(*product_costs(a - a.mean(1), b - b.mean(1)))
    if proven.item():
        check_optimal(a[0], b[0], index[0], Fraction(1, 10**12))


@given(pair=hard_pairs())
@settings(max_examples=200)
def test_every_matching_is_optimal(pair: tuple[Tensor, Tensor]) -> None:
    """As far as float64 tells the costs apart."""
    a, b = pair
    assume(bool(torch.isfinite(a).all() and torch.isfinite(b).all()))
    a, b = a.double(), b.double()
    index = optimal_matching(a, b, method="assignment")[0]
    cost, largest = exact_cost(a[0], b[0, index]), Fraction(direct_costs(a, b).max().item())
    best = min(exact_cost(a[0], b[0, list(order)]) for order in itertools.permutations(range(a.shape[1])))
    assert cost - best <= Fraction(1, 10**9) * cost + Fraction(1, 10**14) * largest


@pytest.mark.parametrize("off", [1e-3, 1.0])
def test_costs_with_errors_mislead_nobody(off: float) -> None:
    """Errors as large as they say they may be, in directions that favour the matching by index."""
    a, b = points(0, batch=20), points(1, batch=20)
    expected = optimal_matching(a, b)

    def inexact_costs(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        signs = 1 - 2 * torch.eye(a.shape[1], dtype=torch.float64)
        return direct_costs(a, b) + off * signs, torch.full((len(a),), off, dtype=torch.float64)

    with mock.patch.object(assignment, "product_costs", inexact_costs):
        assert torch.equal(optimal_matching(a, b), expected)


def moved_apart(a: Tensor) -> dict[str, Tensor]:
    """Sets whose optimal matching with a is by index."""
    return {
        "small change": a + 1e-3 * points(9, n=a.shape[1], d=a.shape[2]),
        "translation": a + 100,
        "translation and small change": a + 1e6 + 1e-3 * points(9, n=a.shape[1], d=a.shape[2]),
        "contraction": 0.8 * a,
        "itself": a,
    }


@pytest.mark.parametrize("change", moved_apart(points(0)))
@pytest.mark.parametrize("offset", [0, 1e4])
def test_a_matching_by_index_is_proven_without_the_solver(change: str, offset: float) -> None:
    a = points(0, n=16, d=5)
    b = moved_apart(a)[change]
    with counted_assignments() as solver:
        assert torch.equal(optimal_matching(a + offset, b + offset), torch.arange(16).expand(3, 16))
        torch.testing.assert_close(w2_squared(a, b), paired(a, b))
        torch.testing.assert_close(w2_squared(a.float(), b.float()), paired(a.float(), b.float()))
    assert solver.call_count == 0


def test_a_small_change_is_proven_at_first_sight() -> None:
    a = points(0, n=16, d=40)
    with mock.patch.object(assignment, "_is_optimal", side_effect=AssertionError):
        torch.testing.assert_close(w2_squared(a, a + 1e-3), torch.full((3,), 40e-6, dtype=torch.float64))


def test_a_small_change_of_a_reordered_set_needs_no_direct_costs() -> None:
    a, order = points(0, n=16, d=40), torch.randperm(16)
    with mock.patch.object(assignment, "direct_costs", side_effect=AssertionError):
        assert torch.equal(optimal_matching(a[:, order], a + 1e-3), order.expand(3, 16))


def test_equal_outputs_need_no_solver() -> None:
    """Those of an estimator that ignores its seeds."""
    a, b = points(0, n=1, d=200).expand(3, 20, 200), points(1, n=1, d=200).expand(3, 20, 200)
    with counted_assignments() as solver:
        for one, other in ((a, b), (a, a)):
            assert torch.equal(optimal_matching(one, other), torch.arange(20).expand(3, 20))
    assert solver.call_count == 0


def test_potentials_take_rounds() -> None:
    """A plane map with a symmetric positive definite matrix: optimal by Brenier, though others are nearer."""
    a = points(0, batch=20, n=16, d=2)
    b = a @ torch.tensor([[1.2, 0.1], [0.1, 0.9]], dtype=torch.float64)
    solved = []
    for rounds in (1, 4, 16):
        with mock.patch.object(assignment, "_ROUNDS", rounds), counted_assignments() as solver:
            assert torch.equal(optimal_matching(a, b), torch.arange(16).expand(20, 16))
        solved.append(solver.call_count)
    assert solved[0] > solved[1] >= solved[2] == 0
    with counted_assignments() as solver:
        optimal_matching(a, b)
    assert solver.call_count == solved[1], "the default is 4 rounds"


def test_where_two_points_gain_by_an_exchange_no_rounds_are_taken() -> None:
    a, b = points(0, n=30), points(1, n=30)
    swapped = a[:, [1, 0, *range(2, 30)]] + 1e-2 * b
    with mock.patch.object(assignment, "_settles", side_effect=AssertionError):
        optimal_matching(a, b)
        optimal_matching(a, swapped)


def test_only_what_is_not_proven_is_assigned() -> None:
    a, b = points(0, batch=5, n=10, d=3), points(1, batch=5, n=10, d=3)
    b[[0, 2, 3]] = a[[0, 2, 3]] + 1e-3
    with counted_assignments() as solver:
        index = optimal_matching(a, b)
    assert solver.call_count == 2
    assert torch.equal(index[[0, 2, 3]], torch.arange(10).expand(3, 10))
    for i in (1, 4):
        assert torch.equal(index[i : i + 1], optimal_matching(a[i : i + 1], b[i : i + 1]))


def test_a_change_along_coordinates_that_a_first_look_leaves_out() -> None:
    """With many dimensions only some are looked at first; the points differ in others."""
    a = torch.zeros(3, 8, 256, dtype=torch.float64)
    a[..., 1] = points(0, n=8, d=1).squeeze(2)
    b = a[:, torch.randperm(8)]
    assert w2_squared(a, b).count_nonzero() == 0


@pytest.mark.parametrize("n", [1, 2, 30])
@pytest.mark.parametrize("d", [2, 40])
def test_large_problems_on_a_gpu_are_solved_there(n: int, d: int) -> None:
    """The way they go, on the CPU: annealing finds the matching, potentials prove it."""
    a, b = points(0, n=n, d=d), points(1, n=n, d=d)
    expected = optimal_matching(a, b)
    with mock.patch.object(assignment, "_worth_annealing", return_value=True), counted_assignments() as solver:
        assert torch.equal(optimal_matching(a, b), expected)
        torch.testing.assert_close(w2_squared(a, b), paired(a, b.gather(1, expected[..., None].expand_as(b))))
    assert solver.call_count == 0


def test_what_annealing_does_not_prove_is_assigned() -> None:
    a, b = points(0, n=30), points(1, n=30)
    expected = w2_squared(a, b)
    with (
        mock.patch.object(assignment, "_worth_annealing", return_value=True),
        mock.patch.object(assignment, "_ANNEALING", 1),
        counted_assignments() as solver,
    ):
        torch.testing.assert_close(w2_squared(a, b), expected, rtol=1e-13, atol=0)
    assert solver.call_count == 3


without_pot = mock.patch.object(plans, "_proven_plan", new=mock.Mock(return_value=None))


def clusters(n_each: int, noise: float, seed: int) -> Tensor:
    """10 tight clusters far apart, the same for all seeds; cluster k is ``[:, k::10]``."""
    return points(0, batch=1, n=10).repeat(1, n_each, 1) + noise * points(seed, batch=1, n=10 * n_each)


@pytest.mark.parametrize(("n", "m"), [(3, 3), (2, 3), (6, 5)])
@pytest.mark.parametrize("noise", [1e-3, 1e-5, 1e-6])
def test_tight_clusters(n: int, m: int, noise: float) -> None:
    """What is decided inside the clusters is up to 1e-12 of the largest distance; products would not see it."""
    a, b = clusters(n, noise, 1), clusters(m, noise, 2)
    expected = torch.stack([w2_squared(a[:, k::10], b[:, k::10]) for k in range(10)]).mean(0)
    torch.testing.assert_close(w2_squared(a, b), expected, rtol=1e-9, atol=0)


@given(seed=seeds, n=st.integers(1, 12), m=st.integers(1, 12), kind=st.sampled_from(["normal", "integer", "ties"]))
def test_a_plan_has_its_marginals_and_an_optimal_cost(seed: int, n: int, m: int, kind: str) -> None:
    from scipy.optimize import linprog

    costs = points(seed, batch=1, n=n, d=m)[0].square()
    costs = {"normal": costs, "integer": (3 * costs).round(), "ties": costs.ceil().clamp(max=1)}[kind]
    rows, columns, mass = transport_plan(costs, points(seed + 1, batch=1, n=1, d=m)[0, 0])  # whatever the start
    plan = torch.zeros(n, m, dtype=torch.float64).index_put((rows, columns), mass, accumulate=True)
    assert (plan >= 0).all()
    torch.testing.assert_close(plan.sum(1), torch.full((n,), 1 / n, dtype=torch.float64), rtol=1e-14, atol=0)
    torch.testing.assert_close(plan.sum(0), torch.full((m,), 1 / m, dtype=torch.float64), rtol=1e-14, atol=0)
    sums = torch.stack([*torch.eye(n).repeat_interleave(m, 1), *torch.eye(m).repeat(1, n)]).double()
    marginals = torch.cat([plan.sum(1), plan.sum(0)])
    whole = linprog(costs.flatten().numpy(), A_eq=sums.numpy(), b_eq=marginals.numpy())
    assert (plan * costs).sum().item() == pytest.approx(whole.fun, rel=1e-9, abs=1e-12)


def test_pot_plans_are_taken_where_they_are_proven() -> None:
    ot = pytest.importorskip("ot")
    a, b = points(0, n=60, d=3), points(1, n=45, d=3)
    with mock.patch.object(plans, "_proven_plan", return_value=None):
        expected = w2_squared(a, b)
    with mock.patch("scipy.optimize.linprog") as solver, mock.patch.object(ot, "emd", wraps=ot.emd) as emd:
        torch.testing.assert_close(w2_squared(a, b), expected, rtol=1e-12, atol=0)
    assert solver.call_count == 0
    assert emd.call_count == len(a)


def test_pot_is_wrong_without_a_word_on_tight_clusters_and_is_not_taken() -> None:
    """POT 0.9.7: its tolerance is one of the largest cost."""
    ot = pytest.importorskip("ot")
    a, b = clusters(6, 1e-5, 1), clusters(5, 1e-5, 2)
    expected = torch.stack([w2_squared(a[:, k::10], b[:, k::10]) for k in range(10)]).mean(0)
    costs = direct_costs(a, b)[0]
    weights = (torch.full((n,), 1 / n, dtype=torch.float64).numpy() for n in costs.shape)
    plan, log = ot.emd(*weights, costs.numpy(), numItermax=10**8, log=True)
    assert log["warning"] is None
    assert (torch.from_numpy(plan) * costs).sum() > 1.00001 * expected[0]
    assert plans._proven_plan(costs) is None
    torch.testing.assert_close(w2_squared(a, b), expected, rtol=1e-9, atol=0)


def test_plans_of_many_points_on_a_line() -> None:
    """Each program leaves most pairs out; its potentials tell which were missed."""
    for seed in range(8):
        a, b = points(seed, batch=1, n=50, d=1), points(seed + 100, batch=1, n=35, d=1)
        costs = direct_costs(a, b)[0]
        rows, columns, mass = transport_plan(costs, torch.zeros(35, dtype=torch.float64))
        assert (costs[rows, columns] * mass).sum().item() == pytest.approx(w2_squared(a, b).item(), rel=1e-12)


@pytest.mark.parametrize("gain", [1e-3, 1e-7, 1e-11])
def test_a_plan_that_costs_little_more_is_not_enough(gain: float) -> None:
    costs = torch.tensor([[1.0, 1.0], [1.0, 1 + gain]], dtype=torch.float64)
    rows, columns, _ = transport_plan(costs, torch.zeros(2, dtype=torch.float64))
    assert sorted(zip(rows.tolist(), columns.tolist(), strict=True)) == [(0, 1), (1, 0)]


@without_pot
def test_a_plan_has_whole_parts_though_the_program_has_rounding_errors() -> None:
    from scipy.optimize import linprog

    def inexact_linprog(*arguments: Any, **options: Any) -> Any:
        result = linprog(*arguments, **options)
        result.x += 1e-7 * torch.randn(len(result.x), generator=seeded(0)).numpy()
        return result

    a, b = points(0, n=12), points(1, n=8)
    expected = w2_squared(a, b)
    with mock.patch("scipy.optimize.linprog", inexact_linprog):
        torch.testing.assert_close(w2_squared(a, b), expected, rtol=1e-13, atol=0)


@without_pot
def test_annealed_potentials_leave_little_to_the_programs() -> None:
    from scipy.optimize import linprog

    a, b = points(0, n=60, d=3), points(1, n=45, d=3)
    with mock.patch("scipy.optimize.linprog", wraps=linprog) as solver:
        w2_squared(a, b)
        annealed = solver.call_count
        for costs in direct_costs(a, b):
            transport_plan(costs, torch.zeros(45, dtype=torch.float64))
    assert annealed < solver.call_count - annealed


@without_pot
def test_a_linear_program_that_fails_says_so() -> None:
    a, b = points(0), points(1, n=4)
    failed = mock.Mock(status=1, message="iteration limit")
    with (
        mock.patch("scipy.optimize.linprog", return_value=failed),
        pytest.raises(RuntimeError, match="linprog found no optimal plan: iteration limit"),
    ):
        w2_squared(a, b)
    with (
        mock.patch("stochrobust.transport.plans._PROGRAMS", 1),
        pytest.raises(RuntimeError, match="after 1 linear programs"),
    ):
        w2_squared(a, b)


# -- along lines -------------------------------------------------------------------------------------------------------


@pairs_of_sizes
def test_sliced_by_hand(n: int, m: int, d: int) -> None:
    a, b = points(0, n=n, d=d), points(1, n=m, d=d)
    lines = torch.randn(d, 20, dtype=torch.float64, generator=seeded(0))
    along = [w2_squared(a @ line[:, None], b @ line[:, None]) / line.square().sum() for line in lines.T]
    torch.testing.assert_close(sliced(a, b), torch.stack(along).mean(0))
    assert (torch.stack(along) <= w2_squared(a, b) * (1 + 1e-12)).all()


def test_sliced_translation() -> None:
    """``||v||^2 / d`` in expectation; along one axis the share is that of a Beta law, and its mean has this error."""
    d, n_projections = 5, 20_000
    a, v = points(0, n=3, d=d), points(1, n=1, d=d)
    share = sliced_w2_squared(a, a + v, n_projections=n_projections) / v.square().sum((1, 2))
    deviation = math.sqrt(2 * (d - 1) / (d**2 * (d + 2)) / n_projections)
    assert ((share - 1 / d).abs() < 4 * deviation).all()


def test_sliced_in_one_dimension_is_exact() -> None:
    a, b = points(0, d=1), points(1, n=9, d=1)
    torch.testing.assert_close(sliced_w2_squared(a, b, n_projections=3), w2_squared(a, b))


def test_more_projections_scatter_less() -> None:
    a, b = points(0, batch=1, d=4), points(1, batch=1, d=4)

    def scatter(n_projections: int) -> float:
        runs = [sliced_w2_squared(a, b, n_projections=n_projections, generator=seeded(s)) for s in range(40)]
        return torch.cat(runs).std().item()

    assert scatter(64) == pytest.approx(scatter(1) / 8, rel=0.5)
    assert torch.equal(
        sliced_w2_squared(a, b, generator=seeded(3)),
        sliced_w2_squared(a, b, n_projections=128, generator=seeded(3)),
    )


def test_generators_draw_the_lines() -> None:
    a, b = points(0), points(1)
    state = torch.get_rng_state()
    assert torch.equal(sliced(a, b), sliced(a, b))
    assert not torch.equal(sliced(a, b), sliced_w2_squared(a, b, n_projections=20, generator=seeded(1)))
    assert torch.equal(torch.get_rng_state(), state), "the global generator was touched"
    torch.manual_seed(7)
    found = sliced_w2_squared(a, b)
    assert torch.equal(found, sliced_w2_squared(a, b, generator=seeded(7)))
    assert not torch.equal(torch.get_rng_state(), state)


# -- gradients and dtypes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [w2_squared, w2_distance, gaussian_w2_squared, sliced])
@pytest.mark.parametrize(("n", "m", "d"), [(4, 4, 1), (5, 5, 3), (3, 3, 6), (4, 6, 1), (6, 4, 3), (2, 3, 4)])
def test_gradients(function: Callable[[Tensor, Tensor], Tensor], n: int, m: int, d: int) -> None:
    batch = 3 if n == m else 1  # a linear program for each entry and direction takes its time
    a, b = (points(seed, batch=batch, n=size, d=d).requires_grad_() for seed, size in ((0, n), (1, m)))
    assert torch.autograd.gradcheck(function, (a, b))


def test_gradients_of_a_proven_and_of_an_assigned_matching() -> None:
    a = points(0, batch=2, n=6, d=3)
    b = torch.stack([a[0] + 1e-2 * a[1], a[1].flip(0) + 1e-2 * a[0]])
    a.requires_grad_()
    with counted_assignments() as solver:
        assert torch.autograd.gradcheck(w2_squared, (a, b.requires_grad_()))
    assert solver.call_count > 0
    (gradient,) = torch.autograd.grad(w2_squared(a, b).sum(), a)
    torch.testing.assert_close(gradient, (a - torch.stack([b[0], b[1].flip(0)])) / 3)


def test_gradients_where_the_distance_is_zero() -> None:
    for function in (w2_squared, w2_distance, gaussian_w2_squared):
        a = points(0, n=6, d=3).requires_grad_()
        (gradient,) = torch.autograd.grad(function(a, a.detach()).sum(), a)
        assert gradient.abs().max() < 1e-14


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("m", [30, 20])
def test_short_floats_are_widened(dtype: torch.dtype, d: int, m: int) -> None:
    a, b = points(0, n=30, d=d).to(dtype), points(1, n=m, d=d).to(dtype)
    for function in (w2_squared, w2_distance, gaussian_w2_squared, sliced):
        value = function(a, b)
        assert value.dtype == torch.promote_types(dtype, torch.float32)
        torch.testing.assert_close(value.double(), function(a.double(), b.double()), rtol=1e-6, atol=0)


def test_squares_that_float16_cannot_hold() -> None:
    a = torch.tensor([[[6e4]], [[3e4]]], dtype=torch.float16)
    torch.testing.assert_close(w2_distance(a, -a), torch.tensor([120_000.0, 60_000.0]), rtol=1e-3, atol=0)
    huge = torch.tensor([[[3e38, 0.0]]])
    assert w2_distance(huge.double(), -huge.double()).item() == pytest.approx(6e38)


@pytest.mark.parametrize("m", [6, 4])
def test_autocast_and_inference_mode_change_nothing(m: int) -> None:
    functions = w2_squared, w2_distance, gaussian_w2_squared, sliced
    a, b = points(0, d=3).float(), points(1, n=m, d=3).float()
    expected = [function(a, b) for function in functions]
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        assert (a[0] @ a[0].T).dtype == torch.bfloat16, "autocast was not on"
        found = [function(a, b) for function in functions]
        inside = a.clone(), b.clone()
    assert all(map(torch.equal, found, expected))
    assert all(torch.equal(function(*inside), value) for function, value in zip(functions, expected, strict=True))


@pytest.mark.gpu
@sizes
def test_a_gpu_agrees(n: int, d: int) -> None:
    a, b = points(0, n=n, d=d), points(1, n=n, d=d)
    for function in (w2_squared, w2_distance, gaussian_w2_squared, optimal_matching, sliced):
        value = function(a.cuda(), b.cuda())
        assert value.is_cuda
        torch.testing.assert_close(value.cpu(), function(a, b), rtol=1e-12, atol=0)


@pytest.mark.gpu
@pairs_of_sizes
def test_a_gpu_agrees_on_unequal_sizes(n: int, m: int, d: int) -> None:
    a, b = points(0, n=n, d=d), points(1, n=m, d=d)
    for function in (w2_squared, w2_distance, gaussian_w2_squared, sliced):
        torch.testing.assert_close(function(a.cuda(), b.cuda()).cpu(), function(a, b), rtol=1e-12, atol=0)


@pytest.mark.gpu
def test_large_problems_stay_on_a_gpu() -> None:
    a, b = points(0, batch=200, n=64, d=16), points(1, batch=200, n=64, d=16)
    with counted_assignments() as solver:
        value = w2_squared(a.cuda(), b.cuda())
    assert solver.call_count < 20
    torch.testing.assert_close(value.cpu(), w2_squared(a, b), rtol=1e-12, atol=0)


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
    (ValueError, "b must have the .*dtype and device of a", A, A.double()),
    (ValueError, "b must have the .*dtype and device of a", A, A.to("meta")),
    (ValueError, "b must have the .* of a, .*\\(2, 3, 2\\).* got .*\\(2, 3, 1\\)", A, A[..., :1]),
    (ValueError, "b must have the .* of a, .*\\(2, 3, 2\\).* got .*\\(1, 3, 2\\)", A, A[:1]),
    (ValueError, "a must be finite", A * math.nan, A),
    (ValueError, "b must be finite", A, A * math.inf),
    (
        ValueError,
        "a must have a norm below 1e.150, for its square, got values up to 1e.200",
        A.double() * 1e200,
        A * 1.0,
    ),
    (ValueError, "b must have a norm below 1e.150", A.double(), A.double() * 1e151),
]


@pytest.mark.parametrize("function", [w2_squared, w2_distance, optimal_matching, gaussian_w2_squared, sliced])
@pytest.mark.parametrize(("error", "message", "a", "b"), BAD)
def test_bad_points(function: Any, error: type[Exception], message: str, a: Any, b: Any) -> None:
    with pytest.raises(error, match=message):
        function(a, b.to(a.dtype) if "norm" in message else b)


def test_a_matching_needs_equal_sizes() -> None:
    message = r"b must have the shape, dtype and device of a, .*\(2, 3, 2\).* got .*\(2, 4, 2\)"
    with pytest.raises(ValueError, match=message):
        optimal_matching(A, torch.ones(2, 4, 2))


@pytest.mark.parametrize("function", [w2_squared, w2_distance, optimal_matching])
def test_bad_methods(function: Any) -> None:
    with pytest.raises(ValueError, match="method must be one of 'auto', 'sort', 'assignment', got 'hungarian'"):
        function(A, A, method="hungarian")
    with pytest.raises(ValueError, match='method "sort" needs points of dimension 1'):
        function(A, A, method="sort")


def test_bad_numbers_of_projections() -> None:
    with pytest.raises(TypeError, match=r"n_projections must be an integer, got 2\.5"):
        sliced_w2_squared(A, A, n_projections=2.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="n_projections must be at least 1, got 0"):
        sliced_w2_squared(A, A, n_projections=0)
