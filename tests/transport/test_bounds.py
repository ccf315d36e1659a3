"""The bracket of W2: it holds, always; it closes; and it says what it measures, in which unit."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stochrobust.transport.bounds import W2Bracket, anneal, lower_bound, upper_bound, w2_bracket
from stochrobust.transport.points import direct_costs, product_costs
from stochrobust.transport.w2 import w2_squared

ROUNDING = 1e-12


def points(seed: int, batch: int = 3, n: int = 6, d: int = 2) -> Tensor:
    return torch.randn(batch, n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def check_holds(bracket: W2Bracket, a: Tensor, b: Tensor) -> None:
    exact = w2_squared(a.double(), b.double())
    assert (bracket.lower >= 0).all()
    assert (bracket.lower <= exact * (1 + ROUNDING)).all(), (bracket.lower - exact) / exact
    assert (exact <= bracket.upper * (1 + ROUNDING)).all(), (bracket.upper - exact) / exact
    assert torch.isfinite(bracket.upper).all()


def gap(bracket: W2Bracket) -> float:
    return ((bracket.upper - bracket.lower) / bracket.upper).max().item()


# -- it holds ----------------------------------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 2**31),
    n=st.integers(1, 12),
    m=st.integers(1, 12),
    d=st.integers(1, 40),
    rounds=st.sampled_from([1, 10, 60]),
    spread=st.sampled_from([0.0, 1e-12, 1e-3, 1.0]),
    kind=st.sampled_from(["normal", "integer", "outlier", "equal", "offset", "large", "small", "line"]),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.bfloat16]),
)
@settings(max_examples=150)
def test_it_holds(seed: int, n: int, m: int, d: int, rounds: int, spread: float, kind: str, dtype: torch.dtype) -> None:
    a, b = points(seed, n=n, d=d), points(seed + 1, n=m, d=d)
    size = min(n, m)
    b[:, :size] = a[:, :size] + spread * b[:, :size]
    change: dict[str, Callable[[Tensor], Tensor]] = {
        "normal": lambda x: x,
        "integer": torch.round,
        "outlier": lambda x: torch.cat([1000 + x[:, :1], x[:, 1:]], 1),
        "equal": lambda x: x[:, :1].expand_as(x),
        "offset": lambda x: x + 1e4,
        "large": lambda x: 1e15 * x,
        "small": lambda x: 1e-15 * x,
        "line": lambda x: x[..., :1].expand_as(x),
    }
    a, b = (change[kind](x).to(dtype) for x in (a, b))
    check_holds(w2_bracket(a, b, rounds=rounds), a, b)


@pytest.mark.parametrize("scale", [1e-100, 1e100])
@pytest.mark.parametrize("m", [6, 4])
def test_it_holds_at_any_scale(scale: float, m: int) -> None:
    a, b = points(0), points(1, n=m)
    bracket, scaled = w2_bracket(a, b), w2_bracket(scale * a, scale * b)
    check_holds(scaled, scale * a, scale * b)
    torch.testing.assert_close(scaled.lower / scale / scale, bracket.lower)
    torch.testing.assert_close(scaled.upper / scale / scale, bracket.upper)


@pytest.mark.parametrize("m", [6, 4])
def test_an_offset_changes_nothing(m: int) -> None:
    a, b = points(0), points(1, n=m)
    bracket, offset = w2_bracket(a, b), w2_bracket(a + 2**20, b + 2**20)
    torch.testing.assert_close(offset.lower, bracket.lower, rtol=1e-7, atol=0)
    torch.testing.assert_close(offset.upper, bracket.upper, rtol=1e-7, atol=0)


@pytest.mark.parametrize(("n", "m"), [(7, 7), (8, 5), (1, 4), (3, 1)])
def test_any_potentials_give_bounds(n: int, m: int) -> None:
    a, b = points(0, batch=50, n=n), points(1, batch=50, n=m)
    costs, error = product_costs(a, b)
    exact = w2_squared(a, b)
    for scale in (0.0, 1.0, 100.0):
        f, g = scale * points(2, batch=50, n=n, d=1).squeeze(2), scale * points(3, batch=50, n=m, d=1).squeeze(2)
        assert (lower_bound(costs, error, f) <= exact).all()
        for eps in (1e-300, 1e-3, 1.0, 1e6):
            assert (upper_bound(costs, error, g, torch.full((50,), eps).double()) >= exact).all()
    for value in (math.nan, math.inf, -math.inf):  # iterations that diverged
        assert (lower_bound(costs, error, torch.full((50, n), value)) <= exact).all()
        upper = upper_bound(costs, error, torch.full((50, m), value), torch.ones(50).double())
        assert ((upper >= exact) & (upper < math.inf)).all()


@pytest.mark.parametrize("m", [7, 5])
@pytest.mark.parametrize("off", [1e-3, 1.0])
def test_it_holds_where_the_costs_have_errors(off: float, m: int) -> None:
    a, b = points(0, n=7), points(1, n=m)
    for change in (-off, off):
        inexact = direct_costs(a, b) + change, torch.full((3,), off, dtype=torch.float64)
        with mock.patch("stochrobust.transport.bounds.product_costs", return_value=inexact):
            bracket = w2_bracket(a, b)
        check_holds(bracket, a, b)
        assert (bracket.upper - bracket.lower < 3 * off + 0.1 * bracket.upper).all(), "the bound says nothing"


@given(seed=st.integers(0, 2**31), n=st.integers(1, 9), m=st.integers(1, 9))
def test_it_holds_to_the_last_digit(seed: int, n: int, m: int) -> None:
    """Where all costs are the same number, so is every plan's; sums of parts of it are rounded."""
    cost = points(seed, 1, 1, 1).square()
    costs, error = cost.expand(1, n, m), torch.zeros(1, dtype=torch.float64)
    f, g = points(seed + 1, 1, n, 1).squeeze(2), points(seed + 2, 1, m, 1).squeeze(2)
    assert lower_bound(costs, error, f).item() <= cost.item()
    assert upper_bound(costs, error, g, cost.flatten()).item() >= cost.item()


@pytest.mark.parametrize(("n", "m"), [(7, 7), (8, 5), (1, 4), (3, 1)])
@pytest.mark.parametrize("eps", [1e-6, 1e-2, 1.0])
def test_the_plan_has_its_marginals(n: int, m: int, eps: float) -> None:
    """With costs of one in a row or column and nothing elsewhere, the cost of a plan is what that one moves."""
    for row in range(n):
        costs = torch.zeros(1, n, m, dtype=torch.float64)
        costs[:, row] = 1
        cost = upper_bound(costs, torch.zeros(1), points(0, 1, m, 1).squeeze(2), torch.tensor([eps]).double())
        assert cost.item() == pytest.approx(1 / n, rel=1e-11)
    for column in range(m):
        costs = torch.zeros(1, n, m, dtype=torch.float64)
        costs[:, :, column] = 1
        cost = upper_bound(costs, torch.zeros(1), points(0, 1, m, 1).squeeze(2), torch.tensor([eps]).double())
        assert cost.item() == pytest.approx(1 / m, rel=1e-11)


@given(seed=st.integers(0, 2**31), d=st.integers(1, 200), spread=st.sampled_from([1e-9, 1e-3, 1.0, 1e4]))
def test_costs_by_products_are_off_by_no_more_than_they_say(seed: int, d: int, spread: float) -> None:
    a = points(seed, n=5, d=d)
    b = a[:, :4] + spread * points(seed + 1, n=4, d=d)
    costs, error = product_costs(a, b)
    off = (costs - direct_costs(a, b)).abs().amax((1, 2))
    assert (off <= error).all()
    assert (error < 1e-10 * (a.square().sum(2).amax(1) + b.square().sum(2).amax(1))).all(), "the bound says nothing"


# -- it closes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2, 40])
def test_it_closes_for_equal_sizes(d: int) -> None:
    a, b = points(0, n=40, d=d), points(1, n=40, d=d)
    bracket = w2_bracket(a, b)
    check_holds(bracket, a, b)
    assert gap(bracket) < 1e-6


@pytest.mark.parametrize(("n", "m", "d", "widest"), [(40, 30, 2, 0.008), (30, 40, 20, 9e-4), (1, 20, 3, 1e-9)])
def test_it_is_narrow_for_unequal_sizes(n: int, m: int, d: int, widest: float) -> None:
    a, b = points(0, n=n, d=d), points(1, n=m, d=d)
    bracket = w2_bracket(a, b)
    check_holds(bracket, a, b)
    assert gap(bracket) < widest


@pytest.mark.parametrize("m", [40, 30])
def test_more_rounds_make_it_narrower(m: int) -> None:
    a, b = points(0, n=40), points(1, n=m)
    gaps = [gap(w2_bracket(a, b, rounds=rounds)) for rounds in (2, 20, 200)]
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2]
    assert gap(w2_bracket(a, b)) == gaps[2], "the default"


def test_overrelaxation_saves_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = points(0, n=60), points(1, n=60)
    fast = gap(w2_bracket(a, b, rounds=100))
    monkeypatch.setattr("stochrobust.transport.bounds._OVERRELAXATION", 1.0)
    assert fast < 0.1 * gap(w2_bracket(a, b, rounds=100))


def test_repeated_offers_lose_less(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = points(0, n=40), points(1, n=30)
    repeated = gap(w2_bracket(a, b, rounds=60))
    monkeypatch.setattr("stochrobust.transport.bounds._OFFERS", 1)
    assert repeated < 0.5 * gap(w2_bracket(a, b, rounds=60))


def test_the_bound_from_below_is_that_of_the_best_potentials() -> None:
    a, b = points(0, n=20), points(1, n=20)
    costs, error = product_costs(a, b)
    f, _, _ = anneal(costs, 200)
    f[:, 0] -= 100  # far too low, which the bound itself can mend
    torch.testing.assert_close(lower_bound(costs, error, f), w2_squared(a, b), rtol=1e-3, atol=0)


def test_sets_that_share_their_seeds() -> None:
    """The plan by index is one of those that bound from above, so few rounds suffice."""
    a = points(0, n=40, d=8)
    bracket = w2_bracket(a, a + 1e-3 * points(1, n=40, d=8), rounds=20)
    torch.testing.assert_close(bracket.upper, w2_squared(a, a + 1e-3 * points(1, n=40, d=8)))


@pytest.mark.parametrize("m", [5, 9])
def test_translation(m: int) -> None:
    a, v = points(0, n=1, d=4), points(1, n=1, d=4)
    bracket = w2_bracket(a.expand(3, 5, 4), (a + v).expand(3, m, 4))
    for bound in (bracket.lower, bracket.upper):
        torch.testing.assert_close(bound, v.square().sum((1, 2)), rtol=1e-10, atol=0)


def test_the_iterations_are_sinkhorns() -> None:
    """Without over-relaxation, the last step makes the column sums of the plan uniform."""
    costs = points(0, n=6, d=5).square()
    f, g, eps = anneal(costs, 3000)
    plan = ((f[..., None] + g[:, None] - costs) / eps[:, None, None]).exp() / (6 * 5)
    torch.testing.assert_close(eps, 1e-6 * costs.mean((1, 2)))
    torch.testing.assert_close(plan.sum(1), torch.full((3, 5), 1 / 5, dtype=torch.float64), rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(plan.sum(2), torch.full((3, 6), 1 / 6, dtype=torch.float64), rtol=1e-2, atol=1e-3)


# -- what users of other packages ran into -----------------------------------------------------------------------------


def test_costs_are_squared_distances_and_not_half_of_them() -> None:
    """geomloss #45 and #71: its p = 2 has half of the squared distance, and a blur in the unit of the points."""
    a, b = torch.zeros(1, 1, 2), torch.tensor([[[3.0, 4.0]]])
    bracket = w2_bracket(a, b)
    assert bracket.lower.item() == pytest.approx(25, rel=1e-12)
    assert bracket.upper.item() == pytest.approx(25, rel=1e-12)
    torch.testing.assert_close(w2_bracket(10 * a, 10 * b).lower, 100 * bracket.lower)


def test_three_points_against_two() -> None:
    """geomloss #71: 3 points against 2, each set of mass one."""
    a = torch.tensor([[[2.7, 4.11], [9.6, 14.0], [34.2, 34.974]]], dtype=torch.float64)
    b = torch.tensor([[[2.8, 4.45], [9.5, 14.1]]], dtype=torch.float64)
    costs = direct_costs(a, b)[0]
    exact = (2 * costs[0, 0] + costs[1, 0] + costs[1, 1] + 2 * costs[2, 1]) / 6
    assert w2_squared(a, b).item() == pytest.approx(exact.item(), rel=1e-13)
    bracket = w2_bracket(a, b)
    assert bracket.lower.item() == pytest.approx(exact.item(), rel=1e-3)
    assert bracket.upper.item() == pytest.approx(exact.item(), rel=1e-3)


def test_primal_and_dual_agree_without_a_bias() -> None:
    """geomloss #58: values of the plan and of the potentials differ at a small blur, where iterations end early."""
    a, b = points(0, n=50, d=3), points(1, n=50, d=3) + 1
    bracket, exact = w2_bracket(a, b), w2_squared(a, b)
    torch.testing.assert_close(bracket.lower, exact, rtol=1e-6, atol=0)
    torch.testing.assert_close(bracket.upper, exact, rtol=1e-6, atol=0)


def test_near_sets_are_not_below_zero_and_equal_ones_no_error() -> None:
    """geomloss #24 and #25, #51."""
    a = points(0, n=50, d=160)
    near = w2_bracket(a, a + 1e-4 * points(1, n=50, d=160), rounds=5)
    assert (near.lower >= 0).all()
    assert (near.upper > 0).all()
    for equal in (a, torch.ones(1, 1, 1)):
        zero = w2_bracket(equal, equal)
        assert zero.lower.count_nonzero() == 0
        assert zero.upper.count_nonzero() == 0


# -- dtypes, batches, modes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("m", [6, 4])
def test_float64_and_no_gradient_in_every_mode(m: int) -> None:
    a, b = points(0).float().requires_grad_(), points(1, n=m).float()
    expected = w2_bracket(a, b)
    assert expected.lower.dtype == expected.upper.dtype == torch.float64
    assert not expected.lower.requires_grad
    assert not expected.upper.requires_grad
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        found = w2_bracket(a, b)
    assert torch.equal(found.lower, expected.lower)
    assert torch.equal(found.upper, expected.upper)


@pytest.mark.parametrize(("n", "m"), [(6, 6), (6, 4), (200, 90)])
def test_samples_do_not_mix(n: int, m: int) -> None:
    a, b = points(0, batch=40, n=n), points(1, batch=40, n=m)
    together = w2_bracket(a, b, rounds=4)
    for i in (0, 25, 39):
        alone = w2_bracket(a[i : i + 1], b[i : i + 1], rounds=4)
        torch.testing.assert_close(together.lower[i : i + 1], alone.lower)
        torch.testing.assert_close(together.upper[i : i + 1], alone.upper)


@pytest.mark.gpu
@pytest.mark.parametrize("m", [40, 30])
def test_a_gpu_agrees(m: int) -> None:
    a, b = points(0, n=40, d=3), points(1, n=m, d=3)
    here, there = w2_bracket(a, b), w2_bracket(a.cuda(), b.cuda())
    assert there.lower.is_cuda
    assert there.upper.is_cuda
    torch.testing.assert_close(there.lower.cpu(), here.lower, rtol=1e-6, atol=0)
    torch.testing.assert_close(there.upper.cpu(), here.upper, rtol=1e-6, atol=0)


A = torch.ones(2, 3, 2)


@pytest.mark.parametrize(
    ("error", "message", "a", "b", "options"),
    [
        (TypeError, "a must be a torch.Tensor", None, A, {}),
        (TypeError, "b must have a real floating-point dtype", A, A.long(), {}),
        (ValueError, "b must have the dtype and device of a", A, A.double(), {}),
        (ValueError, "b must have the batch size and dimension of a", A, A[:1], {}),
        (ValueError, "b must have the batch size and dimension of a", A, A[..., :1], {}),
        (ValueError, "b must be finite", A, A * math.nan, {}),
        (ValueError, "a must have a norm below", A.double() * 1e160, A.double(), {}),
        (TypeError, "rounds must be an integer", A, A, {"rounds": 1.5}),
        (ValueError, "rounds must be at least 1, got 0", A, A, {"rounds": 0}),
    ],
)
def test_bad_input(error: type[Exception], message: str, a: Any, b: Any, options: dict[str, Any]) -> None:
    with pytest.raises(error, match=message):
        w2_bracket(a, b, **options)
