"""The ascent: steps, restarts, which iterate is kept, and that it climbs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from stochrobust import L2, PGD, AdamAscent, DenseSearch, Linf, RandomSearch, SampleKeys, SphereAscent
from stochrobust.attacks.ascent import Objective, Start, maximise

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
        ours = move(ours, gradient)
        delta.grad = (delta.detach() ** 3).cos()
        optimizer.step()
    torch.testing.assert_close(ours, delta.detach())


def test_pgd_steps_have_the_stated_length() -> None:
    step = PGD(1, step=0.25).mover(L2(), EPS)(Y, torch.randn(3, 4, dtype=torch.float64))
    torch.testing.assert_close(L2().norm(step), 0.25 * EPS)
    signs = PGD(1, step=0.25).mover(Linf(), EPS)(Y, torch.randn(3, 4, dtype=torch.float64))
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
    assert len(calls) == 5 + {"last": score, "best": 2}[keep]  # the last iterate, and the best one's mirror image


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


def test_the_mirror_image_of_the_best_is_tried() -> None:
    y, eps = torch.zeros(50, 1), torch.ones(50)
    found = maximise(two_hills, L2(), PGD(1, start="sphere"), y, eps)
    assert (found.value == 2).all()  # either end leads to the higher one
    assert (found.delta == 1).all()
    assert found.trace.shape == (3, 50)
    last = maximise(two_hills, L2(), PGD(1, start="sphere", keep="last"), y, eps)
    assert 10 < (last.value == 2).sum() < 40


def test_a_mirror_image_that_is_only_as_good_is_not_taken() -> None:
    # Which of two equal values is larger would be up to rounding, and so to how a batch is cut.
    calls = 0

    def nearly_even(delta: Tensor, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
        nonlocal calls
        calls += 1
        value, gradient = BOWL(delta, with_gradient)
        return value * (1 + 1e-6 * (calls == 4)), gradient

    found = maximise(nearly_even, L2(), PGD(2), Y, EPS)
    assert calls == 4
    assert (found.trace[3] > found.value).all()


def two_hills(delta: Tensor, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
    """Two local maxima on the line, the higher one on the right."""
    at = delta[:, 0]
    value = torch.where(at > 0, 2 * at, -at)
    gradient = torch.zeros_like(delta)
    gradient[:, 0] = torch.where(at > 0, 2.0, -1.0)
    return value, gradient if with_gradient else None


def test_restarts_keep_the_best_for_each_sample() -> None:
    y, eps = torch.zeros(200, 1), torch.ones(200)
    one = maximise(two_hills, L2(), PGD(3, keep="last"), y, eps, generator=torch.Generator().manual_seed(0))
    many = maximise(
        two_hills, L2(), PGD(3, restarts=12, keep="last"), y, eps, generator=torch.Generator().manual_seed(0)
    )
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


# -- the sphere ascent -------------------------------------------------------------------------------------------------

ZERO = torch.zeros(1, 4, dtype=torch.float64)
WIDE = quadratic(torch.linspace(1.0, 0.0, 60, dtype=torch.float64))


def test_its_first_step_is_one_of_power_iteration() -> None:
    delta, gradient = torch.randn(3, 4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    there = SphereAscent(5).mover(L2(), EPS)(delta, gradient)
    torch.testing.assert_close(there, 0.5 * gradient / gradient.norm(dim=1, keepdim=True))


def test_its_turns_fall_linearly_and_leave_out_what_leaves_the_ball() -> None:
    move = SphereAscent(5).mover(L2(), EPS[:1])
    delta = torch.tensor([[0.5, 0.0, 0.0, 0.0]], dtype=torch.float64)
    gradient = torch.tensor([[1.0, 0.0, 9.0, 0.0]], dtype=torch.float64)
    move(delta, gradient)
    for turn in (1.0, 0.75, 0.5, 0.25):
        expected = torch.tensor([[0.5, 0.0, turn * 0.5, 0.0]], dtype=torch.float64)
        torch.testing.assert_close(move(delta, gradient), expected)


def test_a_turn_is_at_most_twice_a_power_step() -> None:
    # The gradient's angle to delta has tangent 0.1: a power step turns by that, and one twice as long is allowed.
    delta = torch.tensor([[0.5, 0.0, 0.0, 0.0]], dtype=torch.float64)
    gradient = torch.tensor([[1.0, 0.1, 0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(L2().turn(delta, gradient, ZERO, EPS[:1], 1.0)[0][0, 1], torch.tensor(0.1).double())
    torch.testing.assert_close(L2().turn(delta, gradient, ZERO, EPS[:1], 0.15)[0][0, 1], torch.tensor(0.075).double())


def test_half_of_the_last_turn_goes_on() -> None:
    move, delta = SphereAscent(3).mover(L2(), EPS[:1]), torch.tensor([[0.5, 0.0, 0.0, 0.0]], dtype=torch.float64)
    up, aside = torch.tensor([[1.0, 9.0, 0.0, 0.0]]).double(), torch.tensor([[1.0, 0.0, 9.0, 0.0]]).double()
    move(delta, up)
    torch.testing.assert_close(move(delta, up), torch.tensor([[0.5, 0.5, 0.0, 0.0]]).double())
    both = torch.tensor([0.5, 1.0], dtype=torch.float64)
    torch.testing.assert_close(move(delta, aside)[0, 1:3], 0.25 * both / both.norm())


def test_near_a_top_nothing_goes_on() -> None:
    delta = torch.tensor([[0.5, 0.0, 0.0, 0.0]], dtype=torch.float64)
    gradient, aside = torch.tensor([[1.0, 0.1, 0.0, 0.0]]).double(), torch.tensor([[0.0, 0.0, 1.0, 0.0]]).double()
    turned, memory = L2().turn(delta, gradient, aside, EPS[:1], 1.0)
    torch.testing.assert_close(turned, torch.tensor([[0.5, 0.1, 0.0, 0.0]]).double())
    torch.testing.assert_close(memory, torch.tensor([[0.0, 1.0, 0.0, 0.0]]).double())


def test_what_goes_on_does_not_leave_the_ball_either() -> None:
    delta = torch.tensor([[0.5, 0.0, 0.0, 0.0]], dtype=torch.float64)
    outward = torch.tensor([[3.0, 0.0, 1.0, 0.0]], dtype=torch.float64)
    turned, memory = L2().turn(delta, torch.tensor([[0.0, 1.0, 0.0, 0.0]]).double(), outward, EPS[:1], 1.0)
    torch.testing.assert_close(memory, torch.tensor([[0.0, 1.0, 1.0, 0.0]]).double())
    assert turned[0, 0] == 0.5


def test_inside_the_ball_or_inwards_a_turn_follows_the_whole_gradient() -> None:
    inside = torch.tensor([[0.1, 0.0, 0.0, 0.0]], dtype=torch.float64)
    outward = torch.tensor([[2.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(L2().turn(inside, outward, ZERO, EPS[:1], 0.5)[0][0, 0], torch.tensor(0.35).double())
    torch.testing.assert_close(
        L2().turn(5 * inside, -outward, ZERO, EPS[:1], 0.5)[0][0, 0], torch.tensor(0.25).double()
    )
    assert torch.equal(L2().turn(5 * inside, outward, ZERO, EPS[:1], 0.5)[0], 5 * inside)  # nothing is free


def test_a_turn_stays_within_the_mask() -> None:
    ball = L2(mask=torch.tensor([True, True, False, True]))
    delta = torch.tensor([[0.5, 0.0, 0.0, 0.0]], dtype=torch.float64)
    gradient = torch.tensor([[1.0, 3.0, 9.0, 0.0]], dtype=torch.float64)
    turned, _ = ball.turn(delta, gradient, ZERO, EPS[:1], 1.0)
    torch.testing.assert_close(turned, torch.tensor([[0.5, 0.5, 0.0, 0.0]]).double())


def test_in_linf_a_turn_is_along_the_signs() -> None:
    delta, gradient = torch.zeros(1, 3, dtype=torch.float64), torch.tensor([[2.0, -1e-9, 0.0]], dtype=torch.float64)
    turned, memory = Linf().turn(delta, gradient, torch.tensor([[0.0, 1.5, 0.0]]), EPS[:1], 0.5)
    torch.testing.assert_close(turned, torch.tensor([[0.25, 0.25, 0.0]]).double())
    torch.testing.assert_close(memory, torch.tensor([[1.0, 0.5, 0.0]]).double())


def test_it_starts_on_the_sphere() -> None:
    points: list[Tensor] = []

    def seen(delta: Tensor, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
        points.append(delta)
        return BOWL(delta, with_gradient)

    starts: tuple[Start, ...] = ("sphere", "ball")
    for start in starts:
        points.clear()
        maximise(seen, L2(), SphereAscent(2, start=start), Y, EPS)
        norm = points[0].norm(dim=1)
        assert (norm <= EPS * (1 + 1e-12)).all()
        assert torch.allclose(norm, EPS, rtol=1e-9) == (start == "sphere")
    assert SphereAscent().start == "sphere"
    assert PGD().start == AdamAscent().start == "ball"
    points.clear()
    maximise(seen, Linf(), PGD(2, start="sphere"), Y, EPS)
    assert torch.equal(points[0].abs(), torch.full_like(Y, 0.5))


def test_it_finds_more_per_gradient_than_the_others_and_converges() -> None:
    y, eps = torch.zeros(200, 60, dtype=torch.float64), torch.full((200,), 0.5, dtype=torch.float64)

    def value(method: Any) -> float:
        return float(maximise(WIDE, L2(), method, y, eps, generator=torch.Generator().manual_seed(0)).value.mean()) * 4

    adam, pgd = value(AdamAscent(5, lr=1.0, keep="best")), value(PGD(5))
    assert value(SphereAscent(2)) > adam
    assert value(SphereAscent(5)) > pgd > adam
    assert value(SphereAscent(30)) > 0.99
    assert value(SphereAscent(200)) > 0.9999


def test_a_vanished_first_gradient_does_not_send_it_to_zero_for_ever() -> None:
    calls = 0

    def late(delta: Tensor, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
        nonlocal calls
        calls += 1
        value, gradient = BOWL(delta, True)
        assert gradient is not None
        return value, gradient * (calls > 1)

    found = maximise(late, L2(), SphereAscent(20), Y, EPS)
    assert not found.stalled.any()
    torch.testing.assert_close(found.value, 4 * EPS.square(), rtol=1e-2, atol=0)


def test_in_linf_it_goes_to_a_corner() -> None:
    found = maximise(BOWL, Linf(), SphereAscent(10), Y, EPS)
    torch.testing.assert_close(found.value, 6.5 * EPS.square())


# -- searches without gradients ----------------------------------------------------------------------------------------


def test_a_random_search_climbs_without_gradients() -> None:
    asked: list[bool] = []

    def watched(delta: Tensor, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
        asked.append(with_gradient)
        return BOWL(delta, with_gradient)

    found = maximise(watched, L2(), RandomSearch(300, restarts=2), Y, EPS)
    assert not any(asked)
    assert len(asked) == 2 * 301
    torch.testing.assert_close(found.value, 4 * EPS.square(), rtol=1e-2, atol=0)
    assert (found.trace.diff(dim=0) >= 0).all()
    assert found.restart_values.shape == (2, 3)
    assert (L2().norm(found.delta) <= EPS * (1 + 1e-12)).all()


def test_a_random_search_keeps_the_precision_of_y() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        found = maximise(BOWL, L2(), RandomSearch(3), Y.float(), EPS.float())
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.delta.dtype == torch.float32


def test_a_random_search_by_keys_belongs_to_the_sample() -> None:
    whole = maximise(BOWL, L2(), RandomSearch(20), Y, EPS, generator=SampleKeys([4, 5, 6]))
    alone = maximise(BOWL, L2(), RandomSearch(20), Y[1:2], EPS[1:2], generator=SampleKeys([5]))
    assert torch.equal(whole.delta[1:2], alone.delta)
    longer = maximise(BOWL, L2(), RandomSearch(300), Y, EPS, generator=SampleKeys([4, 5, 6]))
    torch.testing.assert_close(longer.value, 4 * EPS.square(), rtol=1e-2, atol=0)  # each trial has its own direction


def test_a_dense_search_is_the_true_maximum_on_a_line_and_in_the_plane() -> None:
    def hills(delta: Tensor, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
        return (7 * delta).sin().sum(1) - delta.square().sum(1), None

    line = torch.linspace(-0.5, 0.5, 100_001, dtype=torch.float64)
    exact = ((7 * line).sin() - line.square()).max()
    y = torch.zeros(2, 1, dtype=torch.float64)
    found = maximise(hills, L2(), DenseSearch(1001), y, EPS[:2])
    torch.testing.assert_close(found.value, exact.expand(2), rtol=1e-5, atol=0)
    coarse = maximise(hills, L2(), DenseSearch(2), y, EPS[:2])  # the ends only, and the left one is higher
    torch.testing.assert_close(coarse.value, ((7 * line).sin() - line.square())[0].expand(2))
    both = maximise(hills, Linf(), DenseSearch(101), torch.zeros(2, 2, dtype=torch.float64), EPS[:2])
    torch.testing.assert_close(both.value, 2 * exact.expand(2), rtol=1e-3, atol=0)
    assert both.delta.shape == (2, 2)
    boxed = maximise(hills, L2(box=(-1.0, 0.1)), DenseSearch(101), y, EPS[:2])
    assert (boxed.delta <= 0.1 + 1e-12).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PGD(0), "steps must be at least 1, got 0"),
        (lambda: PGD(5, step=0.0), "step must be a finite number above 0"),
        (lambda: PGD(5, restarts=0), "restarts must be at least 1"),
        (lambda: PGD(5, keep="first"), "keep must be one of 'last', 'best'"),  # type: ignore[arg-type]
        (lambda: AdamAscent(lr=-1.0), "lr must be a finite number above 0"),
        (lambda: AdamAscent(betas=(0.9, 1.0)), "betas must be below 1"),
        (lambda: SphereAscent(0), "steps must be at least 1, got 0"),
        (lambda: PGD(5, start="middle"), "start must be one of 'ball', 'sphere', 'zero'"),  # type: ignore[arg-type]
        (lambda: RandomSearch(0), "steps must be at least 1"),
        (lambda: RandomSearch(5, restarts=0), "restarts must be at least 1"),
        (lambda: DenseSearch(1), "points must be at least 2, got 1"),
    ],
)
def test_bad_settings(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
