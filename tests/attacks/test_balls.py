"""The sets of perturbations: projection, starting points, directions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stochrobust import L2, Linf, SampleKeys
from stochrobust._tensors import flat_norm, unit
from stochrobust.attacks.balls import check_eps

BALLS = pytest.mark.parametrize("kind", [L2, Linf])


def radii(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@BALLS
def test_inside_stays_and_outside_lands_on_the_boundary(kind: type[L2] | type[Linf]) -> None:
    ball, y, eps = kind(), torch.zeros(3, 5, dtype=torch.float64), radii(1.0, 1.0, 2.0)
    delta = torch.randn(3, 5, dtype=torch.float64)
    inside = delta / ball.norm(delta)[:, None] * 0.9
    outside = delta / ball.norm(delta)[:, None] * 3
    torch.testing.assert_close(ball.project(inside, y, eps), inside, rtol=0, atol=0)
    torch.testing.assert_close(ball.norm(ball.project(outside, y, eps)), eps)
    twice = ball.project(ball.project(outside, y, eps), y, eps)
    torch.testing.assert_close(twice, ball.project(outside, y, eps))


def test_l2_projection_is_the_scaled_point_and_linf_clamps() -> None:
    y, delta = torch.zeros(1, 2), torch.tensor([[3.0, -4.0]])
    torch.testing.assert_close(L2().project(delta, y, torch.tensor([1.0])), torch.tensor([[0.6, -0.8]]))
    torch.testing.assert_close(Linf().project(delta, y, torch.tensor([3.5])), torch.tensor([[3.0, -3.5]]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(seed=st.integers(0, 2**31), scale=st.floats(-6, 6), eps=st.floats(1e-6, 1e4))
def test_the_norm_never_exceeds_eps(dtype: torch.dtype, seed: int, scale: float, eps: float) -> None:
    delta = torch.randn(2, 50, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 10**scale
    y = torch.full((2, 50), 0.5, dtype=dtype)
    for ball in (L2(), Linf(), L2(box=(0.0, 1.0)), Linf(box=(0.0, 1.0))):
        projected = ball.project(delta, y, torch.full((2,), eps, dtype=dtype))
        slack = 1e-6 if dtype == torch.float32 else 1e-14
        assert (ball.norm(projected.double()) <= eps * (1 + slack)).all()


@given(seed=st.integers(0, 2**31), eps=st.floats(0.05, 3.0))
def test_projection_with_a_box_is_the_nearest_point(seed: int, eps: float) -> None:
    g = torch.Generator().manual_seed(seed)
    y = torch.rand(1, 6, generator=g, dtype=torch.float64)
    delta = torch.randn(1, 6, generator=g, dtype=torch.float64)
    ball, radius = L2(box=(0.0, 1.0)), radii(eps)
    nearest = ball.project(delta, y, radius)
    assert ((y + nearest >= -1e-15) & (y + nearest <= 1 + 1e-15)).all()
    # The nearest point p of a convex set: <delta - p, q - p> <= 0 for every q in the set.
    for _ in range(50):
        other = ball.random_point(y, radius, g)
        assert ((delta - nearest) * (other - nearest)).sum() <= 1e-9


@given(seed=st.integers(0, 2**31))
def test_projection_does_not_expand(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    y, eps = torch.rand(4, 6, generator=g, dtype=torch.float64), radii(0.3, 0.3, 1.0, 2.0)
    a, b = (torch.randn(4, 6, generator=g, dtype=torch.float64) for _ in range(2))
    for ball in (L2(), Linf(), L2(box=(0.0, 1.0)), Linf(box=(0.0, 1.0))):
        moved = flat_norm(ball.project(a, y, eps) - ball.project(b, y, eps))
        assert (moved <= flat_norm(a - b) * (1 + 1e-9)).all()


@BALLS
def test_mask_and_box_hold_everywhere(kind: type[L2] | type[Linf]) -> None:
    mask = torch.tensor([True, True, False, True])
    y = torch.tensor([[0.0, 1.0, 0.5, 0.2]])
    ball = kind(box=(0.0, 1.0), mask=mask)
    eps = torch.tensor([0.7])
    for delta in (ball.project(torch.randn(1, 4) * 3, y, eps), ball.random_point(y, eps, None)):
        assert delta[0, 2] == 0
        assert ((y + delta >= 0) & (y + delta <= 1)).all()
        assert ball.norm(delta) <= 0.7 * (1 + 1e-6)
    assert ball.direction(torch.ones(1, 4))[0, 2] == 0


def test_the_box_may_differ_by_element() -> None:
    high = torch.tensor([0.1, 5.0])
    delta = L2(box=(0.0, high)).project(torch.tensor([[9.0, 9.0]]), torch.zeros(1, 2), torch.tensor([4.0]))
    torch.testing.assert_close(delta, torch.tensor([[0.1, (16 - 0.01) ** 0.5]]))


@BALLS
@pytest.mark.parametrize("corner", [0.0, 1.0])
def test_a_start_is_never_zero_even_in_a_corner_of_the_box(kind: type[L2] | type[Linf], corner: float) -> None:
    y = torch.full((500, 1), corner)
    start = kind(box=(0.0, 1.0)).random_point(y, torch.full((500,), 0.1), None)
    assert (start != 0).all()


def test_l2_starts_are_uniform_in_the_ball() -> None:
    n, d = 20_000, 3
    start = L2().random_point(torch.zeros(n, d), torch.full((n,), 2.0), torch.Generator().manual_seed(1))
    shares = (flat_norm(start) / 2) ** d  # uniform on [0, 1] if the points fill the ball evenly
    assert abs(shares.mean() - 0.5) < 4 / (12 * n) ** 0.5
    assert abs(shares.square().mean() - 1 / 3) < 0.01
    assert start.mean(0).abs().max() < 0.05


def test_masked_starts_are_uniform_in_the_ball_of_the_free_elements() -> None:
    mask = torch.tensor([1, 0, 0, 0])
    start = L2(mask=mask).random_point(torch.zeros(20_000, 4), torch.ones(20_000), torch.Generator().manual_seed(1))
    assert abs(start[:, 0].abs().mean() - 0.5) < 0.01


def test_each_sample_starts_by_its_own_mask() -> None:
    mask = torch.zeros(2, 50)
    mask[0, 0] = mask[1] = 1
    y, keys = torch.zeros(2, 50), SampleKeys([1, 2])
    start = L2(mask=mask).random_point(y, torch.ones(2), keys)
    assert (start != 0).sum(1).tolist() == [1, 50]
    assert flat_norm(start)[1] > 0.8  # near the sphere, as in 50 dimensions almost every point is
    alone = L2(mask=mask[:1]).random_point(y[:1], torch.ones(1), SampleKeys([1]))
    torch.testing.assert_close(start[:1], alone)


@BALLS
def test_eps_zero_gives_exactly_zero(kind: type[L2] | type[Linf]) -> None:
    y, eps = torch.rand(2, 3), torch.zeros(2)
    assert (kind().project(torch.randn(2, 3), y, eps) == 0).all()
    assert (kind().random_point(y, eps, None) == 0).all()


def test_directions_have_length_one_also_for_tiny_and_huge_gradients() -> None:
    gradient = torch.randn(5, 7) * torch.tensor([1e-38, 1e-20, 1.0, 1e20, 1e38])[:, None]
    torch.testing.assert_close(flat_norm(L2().direction(gradient)), torch.ones(5))
    torch.testing.assert_close(Linf().norm(Linf().direction(gradient)), torch.ones(5))
    assert (L2().direction(torch.zeros(1, 3)) == 0).all()


def test_projection_and_unit_have_finite_gradients_at_zero() -> None:
    zero = torch.zeros(1, 3, requires_grad=True)
    L2().project(zero, torch.zeros(1, 3), torch.ones(1)).sum().backward()
    assert zero.grad is not None
    assert torch.isfinite(zero.grad).all()
    assert (unit(torch.zeros(1, 3)) == 0).all()


def test_keyed_starts_belong_to_the_sample() -> None:
    y = torch.zeros(3, 4)
    for ball in (L2(), Linf()):
        together = ball.random_point(y, torch.ones(3), SampleKeys([5, 6, 7]))
        alone = ball.random_point(y[:1], torch.ones(1), SampleKeys([6]))
        assert torch.equal(together[1:2], alone)
        assert not torch.equal(together[:1], ball.random_point(y[:1], torch.ones(1), SampleKeys([5], run_seed=1)))


def test_check_eps_expands_numbers_and_takes_one_radius_per_sample() -> None:
    y = torch.zeros(2, 3, dtype=torch.float64)
    assert check_eps(2, y).tolist() == [2.0, 2.0]
    assert check_eps(torch.tensor([1.0, 0.0]), y).dtype == torch.float64
