"""The inner maximisation: start in a ball; gradient, step, project; keep the last or the best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from stochrobust._arguments import check_choice, check_count, check_finite, check_tensor, describe
from stochrobust._tensors import flat_norm, per_sample, repeat, working
from stochrobust.attacks.balls import Ball, check_eps
from stochrobust.estimators.left_as_found import out_of_inference
from stochrobust.estimators.same_seed import SameSeed
from stochrobust.estimators.seeds import Randomness, SampleKeys

Keep = Literal["last", "best"]
Start = Literal["ball", "sphere", "zero"]
Objective = Callable[[Tensor, bool], tuple[Tensor, Tensor | None]]
"""``objective(delta, with_gradient) -> (value per sample (B,), gradient of their sum or None)``."""
KINDS = ("mover", "search", "search_outputs")  # the method by which an attack of each kind is known
MIRROR_MARGIN = 1e-3  # by how much a mirror image must be better: where it is equal, rounding is not to decide
Move = Callable[[Tensor, Tensor], Tensor]
"""``move(delta, gradient) -> next delta``, to be projected, with whatever memory the method has."""


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        delta: (B, ...) the perturbation kept.
        value: (B,) the objective there; NaN where the last iterate was kept and not scored.
        trace: (steps + 1, B) the objective along the kept restart; empty where not scored. Where the best iterate is
            kept, one row more: that of its mirror image ``-delta``.
        restart_values: (restarts, B) the value each restart kept; NaN where not scored.
        stalled: (B,) True where the gradient was exactly zero at every step, so that nothing was searched.
    """

    delta: Tensor
    value: Tensor
    trace: Tensor
    restart_values: Tensor
    stalled: Tensor


class GradientMethod(Protocol):
    """An attack by gradients: where and how often it starts, the steps it takes, which iterate is kept."""

    @property
    def steps(self) -> int: ...
    @property
    def restarts(self) -> int: ...
    @property
    def start(self) -> Start: ...
    @property
    def keep(self) -> Keep: ...
    def mover(self, ball: Ball, eps: Tensor) -> Move: ...


class Search(Protocol):
    """An attack of another kind, which asks for values only."""

    @property
    def steps(self) -> int: ...
    def search(self, objective: Objective, ball: Ball, y: Tensor, eps: Tensor, generator: Randomness) -> Found: ...


@runtime_checkable
class OutputSearch(Protocol):
    """A search that looks at the outputs themselves; measurements take it, losses do not."""

    @property
    def steps(self) -> int: ...
    def search_outputs(
        self, changes: Callable[[Tensor], Tensor], ball: Ball, y: Tensor, eps: Tensor, keys: SampleKeys
    ) -> Found: ...


Method: TypeAlias = GradientMethod | Search | OutputSearch


def check_method(method: GradientMethod) -> None:
    """The settings that all attacks by gradients have."""
    check_count("steps", method.steps)
    check_count("restarts", method.restarts)
    check_choice("keep", method.keep, ("last", "best"))
    check_choice("start", method.start, ("ball", "sphere", "zero"))


def check_attack(attack: object) -> None:
    """An attack, not its class or its name."""
    if isinstance(attack, type) or not any(hasattr(attack, kind) for kind in KINDS):
        raise TypeError(f"attack must be an attack such as PGD() or SphereAscent(), got {describe(attack)}")


def check_ball(ball: object) -> None:
    """A ball, not its class."""
    if isinstance(ball, type) or not hasattr(ball, "random_point"):
        raise TypeError(f"ball must be a ball such as L2() or Linf(), got {describe(ball)}")


def maximise(
    objective: Objective,
    ball: Ball,
    method: Method,
    y: Tensor,
    eps: Tensor,
    *,
    generator: Randomness = None,
    score: bool = True,
) -> Found:
    """Search the ball around y for the largest objective.

    Args:
        objective: see :data:`Objective`; samples must not depend on each other.
        ball: where delta may be; projected on after every step.
        method: how to search.
        y: (B, ...) centre, in the precision delta is to have.
        eps: (B,) radii.
        generator: source of the starting points.
        score: evaluate the last iterate too. Without it a single ``keep="last"`` ascent saves that pass.

    Returns:
        What was found; never a delta outside the ball.
    """
    if hasattr(method, "search"):
        return method.search(objective, ball, y, eps, generator)
    if isinstance(method, OutputSearch):
        raise TypeError(f"attack must be one by gradients or values, such as PGD(), in a loss, got {describe(method)}")
    score = score or method.keep == "best" or method.restarts > 1
    runs = [_climb(objective, ball, method, y, eps, generator, score, r) for r in range(method.restarts)]
    return best_of(runs) if score else runs[0]


def best_of(runs: list[Found]) -> Found:
    """For each sample the run with the largest value."""
    values = torch.stack([run.restart_values[0] for run in runs])
    winner = values.argmax(0)
    sample = torch.arange(len(winner), device=winner.device)
    return Found(
        delta=torch.stack([run.delta for run in runs])[winner, sample],
        value=values[winner, sample],
        trace=torch.stack([run.trace for run in runs], 1)[:, winner, sample],
        restart_values=values,
        stalled=torch.stack([run.stalled for run in runs]).all(0),
    )


def starting_point(
    start: Start, ball: Ball, y: Tensor, eps: Tensor, generator: Randomness, purpose: str = "start"
) -> Tensor:
    """A random point of the ball, the same pushed outwards to its sphere, or zero."""
    if start == "zero":
        return torch.zeros_like(y)
    point = ball.random_point(y, eps, generator, purpose)
    return point if start == "ball" else ball.project(ball.direction(point) * per_sample(eps, y), y, eps)


def _climb(
    objective: Objective,
    ball: Ball,
    method: GradientMethod,
    y: Tensor,
    eps: Tensor,
    generator: Randomness,
    score: bool,
    restart: int,
) -> Found:
    delta = starting_point(method.start, ball, y, eps, generator, f"start {restart}")
    move = method.mover(ball, eps)
    best_delta, best = delta, torch.full_like(eps, -torch.inf)
    stalled = eps > 0
    trace = []

    def offer(value: Tensor, margin: float = 0.0) -> None:
        nonlocal best_delta, best
        trace.append(value)
        better = value > (1 + margin) * best if method.keep == "best" else torch.ones_like(stalled)
        best_delta = torch.where(per_sample(better, delta), delta, best_delta)
        best = torch.where(better, value, best)

    for _ in range(method.steps):
        value, gradient = objective(delta, True)
        assert gradient is not None  # the objective was asked for it
        if score:
            offer(value)
        stalled = stalled & (flat_norm(ball.direction(gradient)) == 0)
        there = ball.project(move(delta, gradient), y, eps)
        # At zero the gradient vanishes, and nothing would move again; a box can send a step there, or a zero gradient.
        delta = torch.where(per_sample(flat_norm(there) != 0, delta), there, delta)
    if not score:
        unknown = torch.full_like(eps, torch.nan)
        return Found(delta, unknown, unknown.new_empty(0, len(y)), unknown[None], stalled)
    offer(objective(delta, False)[0])
    if method.keep == "best":  # near zero the objective is even: the other side is as good, or better
        delta = ball.project(-best_delta, y, eps)
        offer(objective(delta, False)[0], margin=MIRROR_MARGIN)
    return Found(best_delta, best, torch.stack(trace), best[None], stalled)


def prepare(
    held: SameSeed, eps: float | Tensor, ball: Ball, attack: Method, reference: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The radii (B,) and the centre (B, ...), in the precision of delta, checked against the ball and the attack."""
    check_ball(ball)
    check_attack(attack)
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


def records(attack: Method) -> bool:
    """Whether an attack's passes are those that a gradient needs: all of one by gradients, none of a search's."""
    return hasattr(attack, "mover")


def finite_outputs(held: SameSeed, delta: Tensor | None, where: str) -> Tensor:
    """All outputs, or an error that says where one is not finite."""
    outputs = held.outputs(delta)
    check_finite(f"G's output {where}", outputs)
    return outputs


def full_length_point(ball: Ball, centre: Tensor, eps: Tensor, generator: Randomness) -> Tensor:
    """A point in a random direction, as far out as the ball allows: what no search at all finds."""
    return starting_point("sphere", ball, centre, eps, generator, "random direction")
