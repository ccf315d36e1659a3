"""The inner maximisation: start at a random point of a ball; gradient, step, project; keep the last or the best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from stochrobust._arguments import check_choice, check_count, check_real, describe
from stochrobust.balls import Ball, flat_norm, per_sample
from stochrobust.seeds import Randomness

Keep = Literal["last", "best"]
Objective = Callable[[Tensor, bool], tuple[Tensor, Tensor | None]]
"""``objective(delta, with_gradient) -> (value per sample (B,), gradient of their sum or None)``."""
Move = Callable[[Tensor], Tensor]
"""``move(gradient) -> step``, with whatever memory the method has."""


class Method(Protocol):
    """How an ascent moves: the number of gradients, restarts, which iterate is kept, and the steps it takes."""

    @property
    def steps(self) -> int: ...
    @property
    def restarts(self) -> int: ...
    @property
    def keep(self) -> Keep: ...
    def mover(self, ball: Ball, eps: Tensor) -> Move: ...


@dataclass(frozen=True)
class AdamAscent:
    """The paper's attack: Adam steps of absolute size ``lr``, projected on the ball after each (App. E.1, E.2.3).

    Args:
        steps: gradients per restart, at least 1.
        lr: Adam's learning rate, in units of y (not of eps).
        betas: decay of the first and second moments, in [0, 1).
        restarts: starts; the best one counts.
        keep: the ``"last"`` iterate, as in the paper, or the ``"best"`` one.

    Example:
        >>> AdamAscent(steps=4, lr=1e-4)  # the paper's toy
        AdamAscent(steps=4, lr=0.0001, betas=(0.9, 0.999), restarts=1, keep='last')
    """

    steps: int = 5
    lr: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    restarts: int = 1
    keep: Keep = "last"

    def __post_init__(self) -> None:
        _check_method(self)
        check_real("lr", self.lr, minimum=0.0, open_minimum=True)
        for beta in self.betas:
            if check_real("betas", beta, minimum=0.0) >= 1:
                raise ValueError(f"betas must be below 1, got {self.betas}")

    def mover(self, ball: Ball, eps: Tensor) -> Move:
        """Adam's steps, with fresh moments."""
        (beta1, beta2), tiny = self.betas, 1e-8
        first = second = torch.zeros((), device=eps.device)
        count = 0

        def move(gradient: Tensor) -> Tensor:
            nonlocal first, second, count
            count += 1
            first = first * beta1 + gradient * (1 - beta1)
            second = second * beta2 + gradient.square() * (1 - beta2)
            return self.lr * (first / (1 - beta1**count)) / ((second / (1 - beta2**count)).sqrt() + tiny)

        return move


@dataclass(frozen=True)
class PGD:
    """Projected gradient ascent along the ball's steepest direction: the unit gradient in L2, its sign in Linf.

    Args:
        steps: gradients per restart, at least 1.
        step: length of a step in units of eps.
        restarts: starts; the best one counts.
        keep: the ``"best"`` iterate or the ``"last"``.

    Example:
        >>> PGD(steps=20, step=0.5).restarts
        1
    """

    steps: int = 50
    step: float = 1.0
    restarts: int = 1
    keep: Keep = "best"

    def __post_init__(self) -> None:
        _check_method(self)
        check_real("step", self.step, minimum=0.0, open_minimum=True)

    def mover(self, ball: Ball, eps: Tensor) -> Move:
        """Steps of fixed length."""
        return lambda gradient: ball.direction(gradient) * per_sample(self.step * eps, gradient)


def _check_method(method: Method) -> None:
    check_count("steps", method.steps)
    check_count("restarts", method.restarts)
    check_choice("keep", method.keep, ("last", "best"))


PAPER = AdamAscent(steps=5, lr=1.0, keep="last")
"""The attack of the paper's image studies (App. E.2.3): 5 Adam steps of size 1, last iterate."""
PAPER_TOY = AdamAscent(steps=4, lr=1e-4, keep="last")
"""The attack of the paper's toy study (App. E.1): 4 Adam steps of size 1e-4."""
EVALUATION = PGD(steps=30, step=1.0, restarts=2, keep="best")
"""The attack that measurements use by default: 30 normalised-gradient steps of length eps, 2 starts, best iterate."""


@dataclass(frozen=True)
class Found:
    """What an ascent found.

    Attributes:
        delta: (B, ...) the perturbation kept.
        value: (B,) the objective there; NaN where the last iterate was kept and not scored.
        trace: (steps + 1, B) the objective along the kept restart; empty where not scored.
        restart_values: (restarts, B) the value each restart kept; NaN where not scored.
        stalled: (B,) True where the gradient was exactly zero at every step, so that nothing was searched.
    """

    delta: Tensor
    value: Tensor
    trace: Tensor
    restart_values: Tensor
    stalled: Tensor


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
    """Climb the objective from random points of the ball around y.

    Args:
        objective: see :data:`Objective`; samples must not depend on each other.
        ball: where delta may be; projected on after every step.
        method: how to step, how often, what to keep.
        y: (B, ...) centre, in the precision delta is to have.
        eps: (B,) radii.
        generator: source of the starting points.
        score: evaluate the last iterate too. Without it a single ``keep="last"`` ascent saves that pass.

    Returns:
        What was found; never a delta outside the ball.
    """
    if isinstance(method, type) or not hasattr(method, "mover"):
        raise TypeError(f"attack must be an ascent such as PGD() or AdamAscent(), got {describe(method)}")
    score = score or method.keep == "best" or method.restarts > 1
    runs = [_climb(objective, ball, method, y, eps, generator, score, r) for r in range(method.restarts)]
    stalled = torch.stack([run.stalled for run in runs]).all(0)
    if not score:
        return runs[0]
    values = torch.stack([run.restart_values[0] for run in runs])
    winner = values.argmax(0)
    sample = torch.arange(len(y), device=y.device)
    delta = torch.stack([run.delta for run in runs])[winner, sample]
    trace = torch.stack([run.trace for run in runs], 1)[:, winner, sample]
    return Found(delta, values[winner, sample], trace, values, stalled)


def _climb(
    objective: Objective,
    ball: Ball,
    method: Method,
    y: Tensor,
    eps: Tensor,
    generator: Randomness,
    score: bool,
    restart: int,
) -> Found:
    delta = ball.random_point(y, eps, generator, f"start {restart}")
    move = method.mover(ball, eps)
    best_delta, best = delta, torch.full_like(eps, -torch.inf)
    stalled = eps > 0
    trace = []

    def offer(value: Tensor) -> None:
        nonlocal best_delta, best
        trace.append(value)
        better = value > best if method.keep == "best" else torch.ones_like(stalled)
        best_delta = torch.where(per_sample(better, delta), delta, best_delta)
        best = torch.where(better, value, best)

    for _ in range(method.steps):
        value, gradient = objective(delta, True)
        assert gradient is not None  # the objective was asked for it
        if score:
            offer(value)
        stalled = stalled & (flat_norm(ball.direction(gradient)) == 0)
        delta = ball.project(delta + move(gradient), y, eps)
    if not score:
        unknown = torch.full_like(eps, torch.nan)
        return Found(delta, unknown, unknown.new_empty(0, len(y)), unknown[None], stalled)
    offer(objective(delta, False)[0])
    return Found(best_delta, best, torch.stack(trace), best[None], stalled)
