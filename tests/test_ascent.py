"""The ascent: steps, restarts, which iterate is kept, and that it climbs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from stochrobust import L2, PGD, AdamAscent, Linf
from stochrobust.ascent import Objective, maximise

Y = torch.zeros(3, 4, dtype=torch.float64)
EPS = torch.full((3,), 0.5, dtype=torch.float64)


def quadratic(weights: Tensor) -> Objective:
    """``sum w_i delta_i^2``: largest on the ball at eps along the largest weight."""

    def objective(delta: Tensor, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
        value = (weights * delta.square()).sum(1)
        return value, 2 * weights * delta if with_gradient else None

    return objective


BOWL = quadratic(torch.tensor([4.0, 1.0, 1.0, 0.5], dtype=torch.float64))


@pytest.mark.parametrize("method", [PGD(40), PGD(200, step=0.1)])
def test_normalised_steps_find_the_top_of_a_quadratic(method: Any) -> None:
    found = maximise(BOWL, L2(), method, Y, EPS)
    torch.testing.assert_close(found.value, 4 * EPS.square(), rtol=1e-3, atol=0)
    assert (L2().norm(found.delta) <= EPS * (1 + 1e-12)).all()


def test_adam_goes_to_a_corner_because_its_steps_are_signs_more_than_gradients() -> None:
    # Every coordinate grows at one pace: the value is that of a corner direction, the mean weight, not the largest.
    found = maximise(BOWL, L2(), AdamAscent(60, lr=0.05), Y, EPS)
    torch.testing.assert_close(found.value, 1.625 * EPS.square(), rtol=0.1, atol=0)
    assert torch.equal(found.trace[-1], found.value)


def test_linf_finds_the_corner() -> None:
    found = maximise(BOWL, Linf(), PGD(40), Y, EPS)
    torch.testing.assert_close(found.value, 6.5 * EPS.square())


def test_adam_takes_torchs_adam_steps() -> None:
    method, ball = AdamAscent(7, lr=0.3, betas=(0.8, 0.9)), L2()
    delta = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([delta], lr=0.3, betas=(0.8, 0.9), maximize=True)
    ours, move = delta.detach().clone(), method.mover(ball, EPS)
    for _ in range(7):
        gradient = (ours**3).cos()
        ours = ours + move(gradient)
        delta.grad = (delta.detach() ** 3).cos()
        optimizer.step()
    torch.testing.assert_close(ours, delta.detach())


def test_pgd_steps_have_the_stated_length() -> None:
    step = PGD(1, step=0.25).mover(L2(), EPS)(torch.randn(3, 4, dtype=torch.float64))
    torch.testing.assert_close(L2().norm(step), 0.25 * EPS)
    signs = PGD(1, step=0.25).mover(Linf(), EPS)(torch.randn(3, 4, dtype=torch.float64))
    torch.testing.assert_close(signs.abs(), torch.full_like(signs, 0.125))


@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("score", [True, False])
def test_the_number_of_gradients_is_the_number_of_steps(keep: Any, score: bool) -> None:
    calls: list[bool] = []

    def counted(delta: Tensor, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
        calls.append(with_gradient)
        return BOWL(delta, with_gradient)

    maximise(counted, L2(), PGD(5, keep=keep), Y, EPS, score=score)
    assert sum(calls) == 5
    assert len(calls) == 5 + (score or keep == "best")


def flip(delta: Tensor, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
    """An objective whose gradient points the wrong way."""
    value = -delta.square().sum(1)
    return value, 2 * delta if with_gradient else None


def test_keep_best_never_falls_below_an_iterate_and_last_may() -> None:
    start = torch.Generator().manual_seed(0)
    best = maximise(flip, L2(), PGD(5, keep="best"), Y, EPS, generator=start)
    last = maximise(flip, L2(), PGD(5, keep="last"), Y, EPS, generator=torch.Generator().manual_seed(0))
    assert torch.equal(best.value, best.trace.amax(0))
    assert torch.equal(last.value, last.trace[-1])
    assert (best.value > last.value).all()
    assert torch.equal(flip(best.delta, False)[0], best.value)


def test_more_steps_never_find_less() -> None:
    values = []
    for steps in (1, 3, 9):
        found = maximise(BOWL, L2(), PGD(steps, step=0.3), Y, EPS, generator=torch.Generator().manual_seed(1))
        values.append(found.value)
    assert (values[1] >= values[0]).all()
    assert (values[2] >= values[1]).all()


def two_hills(delta: Tensor, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
    """Two local maxima on the line, the higher one on the right."""
    at = delta[:, 0]
    value = torch.where(at > 0, 2 * at, -at)
    gradient = torch.zeros_like(delta)
    gradient[:, 0] = torch.where(at > 0, 2.0, -1.0)
    return value, gradient if with_gradient else None


def test_restarts_keep_the_best_for_each_sample() -> None:
    y, eps = torch.zeros(200, 1), torch.ones(200)
    one = maximise(two_hills, L2(), PGD(3), y, eps, generator=torch.Generator().manual_seed(0))
    many = maximise(two_hills, L2(), PGD(3, restarts=12), y, eps, generator=torch.Generator().manual_seed(0))
    assert 0.3 < (one.value == 2).float().mean() < 0.7
    assert (many.value == 2).float().mean() > 0.98
    assert many.restart_values.shape == (12, 200)
    assert torch.equal(many.restart_values.amax(0), many.value)
    assert torch.equal(two_hills(many.delta, False)[0], many.value)


def test_a_vanished_gradient_is_counted() -> None:
    def flat_for_first(delta: Tensor, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
        value, gradient = BOWL(delta, True)
        assert gradient is not None
        gradient[0] = 0
        return value, gradient if with_gradient else None

    assert maximise(flat_for_first, L2(), PGD(3, restarts=2), Y, EPS).stalled.tolist() == [True, False, False]
    assert not maximise(flat_for_first, L2(), PGD(3), Y, torch.zeros_like(EPS)).stalled.any()


def test_an_ascent_that_reached_a_plateau_did_not_stall() -> None:
    def saturating(delta: Tensor, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
        at = delta[:, 0]
        gradient = torch.zeros_like(delta)
        gradient[:, 0] = torch.where(at.abs() < 0.2, at.sign(), 0.0)
        return at.abs().clamp(max=0.2), gradient if with_gradient else None

    found = maximise(saturating, L2(), PGD(8, step=0.2), torch.zeros(20, 1), torch.full((20,), 0.5))
    torch.testing.assert_close(found.value, torch.full((20,), 0.2))
    assert (found.stalled == (found.trace[0] >= 0.2)).all()  # only where the start lay on the plateau already
    assert not found.stalled.all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PGD(0), "steps must be at least 1, got 0"),
        (lambda: PGD(5, step=0.0), "step must be a finite number above 0"),
        (lambda: PGD(5, restarts=0), "restarts must be at least 1"),
        (lambda: PGD(5, keep="first"), "keep must be one of 'last', 'best'"),  # type: ignore[arg-type]
        (lambda: AdamAscent(lr=-1.0), "lr must be a finite number above 0"),
        (lambda: AdamAscent(betas=(0.9, 1.0)), "betas must be below 1"),
    ],
)
def test_bad_settings(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
