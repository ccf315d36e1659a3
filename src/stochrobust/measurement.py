"""What every measurement by an attack shares: arguments made ready, and a search whose values must be finite."""

from __future__ import annotations

from torch import Tensor

from stochrobust._arguments import check_finite, check_tensor, describe
from stochrobust.ascent import Found, Method, maximise, starting_point
from stochrobust.balls import Ball, check_eps
from stochrobust.same_seed import Pairing, SameSeed, out_of_inference, working
from stochrobust.seeds import Randomness, repeat


class AttackWarning(UserWarning):
    """A measured value that says less than it seems to: see the message."""


def prepare(
    held: SameSeed, eps: float | Tensor, ball: Ball, attack: Method, reference: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The radii (B,) and the centre (B, ...), in the precision of delta, checked against the ball and the attack."""
    if isinstance(ball, type) or not hasattr(ball, "project"):
        raise TypeError(f"ball must be a ball such as L2() or Linf(), got {describe(ball)}")
    if getattr(attack, "start", None) == "zero" and reference is None:
        raise ValueError(
            "attack must not have start='zero' without reference=: the gradient of the change from G's own outputs is "
            f"zero there, and nothing would move; got {describe(attack)}"
        )
    centre = working(held.y.detach())
    ball.check(centre)
    return out_of_inference(check_eps(eps, centre)), centre


def expanded_reference(reference: Tensor, clean: Tensor, n_seeds: int) -> Tensor:
    """A reference (B, ...) of the shape of one output per sample, as rows (B * S, ...)."""
    check_tensor("reference", reference)
    shape = (len(clean) // n_seeds, *clean.shape[1:])
    if reference.shape != shape or reference.device != clean.device:
        raise ValueError(f"reference must be a {shape} tensor on {clean.device}, like x_hat, got {describe(reference)}")
    check_finite("reference", reference)
    rows: Tensor = repeat(reference.detach(), n_seeds)
    return rows


def ascend(
    held: SameSeed,
    clean: Tensor,
    ball: Ball,
    attack: Method,
    centre: Tensor,
    eps: Tensor,
    generator: Randomness,
    pair: Pairing | None = None,
) -> Found:
    """A measurement's search: every value is scored and must be finite.

    ``clean`` holds the rows that the outputs are compared with: those at y, or a reference.
    """
    calls = 0

    def objective(delta: Tensor, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
        nonlocal calls
        step = calls % (attack.steps + 1)
        calls += 1
        value, gradient = held.evaluate(delta, clean, pair, with_gradient=with_gradient)
        check_finite(f"G's output at step {step} of the attack", value)
        return value, gradient

    return maximise(objective, ball, attack, centre, eps, generator=generator)


def finite_outputs(held: SameSeed, delta: Tensor | None, where: str) -> Tensor:
    """All outputs, or an error that says where one is not finite."""
    outputs = held.outputs(delta)
    check_finite(f"G's output {where}", outputs)
    return outputs


def full_length_point(ball: Ball, centre: Tensor, eps: Tensor, generator: Randomness) -> Tensor:
    """A point in a random direction, as far out as the ball allows: what no search at all finds."""
    return starting_point("sphere", ball, centre, eps, generator, "random direction")
