"""Attacks without gradients: a random search, for models whose gradients may mislead, and every point of a grid."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stochrobust._arguments import check_count, describe
from stochrobust._tensors import per_sample
from stochrobust.attacks.ascent import Found, Objective, best_of, starting_point
from stochrobust.attacks.balls import Ball
from stochrobust.estimators.seeds import Randomness, draw_like

GROWTH = 1.5  # of a sample's step after a success; a failure shrinks it by the fourth root: one success in five holds
LARGEST_GRID = 3  # elements of y


@dataclass(frozen=True)
class RandomSearch:
    """A climb by trial: a random step is kept where it raises the value; steps adapt to one success in five.

    It asks for no gradient, so it cannot be misled by one. It is far weaker than an attack by gradients where those
    are right: finding more than one says that they are not.

    Args:
        steps: trials per restart, one pass of G each.
        restarts: starts on the sphere; the best one counts.

    Raises:
        TypeError, ValueError: naming the setting.

    Example:
        >>> RandomSearch(steps=500).restarts
        1

    Source: the (1+1) evolution strategy with the one-fifth rule, I. Rechenberg, Evolutionsstrategie, 1973.
    """

    steps: int = 200
    restarts: int = 1

    def __post_init__(self) -> None:
        check_count("steps", self.steps)
        check_count("restarts", self.restarts)

    def search(self, objective: Objective, ball: Ball, y: Tensor, eps: Tensor, generator: Randomness) -> Found:
        """Climb from each start."""
        return best_of([self._climb(objective, ball, y, eps, generator, r) for r in range(self.restarts)])

    def _climb(
        self, objective: Objective, ball: Ball, y: Tensor, eps: Tensor, generator: Randomness, restart: int
    ) -> Found:
        delta = starting_point("sphere", ball, y, eps, generator, f"start {restart}")
        value, _ = objective(delta, False)
        length, trace = eps.clone(), [value]
        for trial in range(self.steps):
            step = ball.direction(draw_like(y, generator, f"trial {restart} {trial}")) * per_sample(length, y)
            candidate = ball.project(delta + step, y, eps)
            found, _ = objective(candidate, False)
            better = found > value
            delta = torch.where(per_sample(better, y), candidate, delta)
            value = torch.where(better, found, value)
            length = torch.minimum(torch.where(better, length * GROWTH, length * GROWTH**-0.25), eps)
            trace.append(value)
        return Found(delta, value, torch.stack(trace), value[None], torch.zeros_like(eps, dtype=torch.bool))


@dataclass(frozen=True)
class DenseSearch:
    """Every point of a grid over the ball: the true maximum, to the grid's width, for y of one to three elements.

    Args:
        points: per axis, from -eps to eps, at least 2; G is called ``points ** elements`` times.

    Raises:
        TypeError, ValueError: if ``points`` is no such number; in a search, if y has more than three elements.

    Example:
        >>> import torch
        >>> from stochrobust import sensitivity
        >>> found = sensitivity(lambda y: y.sin(), torch.zeros(1, 1), eps=0.1, attack=DenseSearch(101))
        >>> round(found.value.item(), 6)  # sin(0.1)^2
        0.009967
    """

    points: int = 201

    def __post_init__(self) -> None:
        check_count("points", self.points, minimum=2)

    @property
    def steps(self) -> int:
        """Passes along one axis."""
        return self.points

    def search(self, objective: Objective, ball: Ball, y: Tensor, eps: Tensor, generator: Randomness) -> Found:
        """Try them all."""
        n = y[0].numel()
        if n > LARGEST_GRID:
            raise ValueError(
                f"y must have at most {LARGEST_GRID} elements per sample for a DenseSearch, got {describe(y)}"
            )
        axis = torch.linspace(-1, 1, self.points, dtype=y.dtype, device=y.device)
        best_delta, best = torch.zeros_like(y), torch.full_like(eps, -torch.inf)
        trace = []
        for point in torch.cartesian_prod(*[axis] * n).reshape(-1, *y.shape[1:]):
            delta = ball.project(per_sample(eps, y) * point, y, eps)
            value, _ = objective(delta, False)
            better = value > best
            best_delta = torch.where(per_sample(better, y), delta, best_delta)
            best = torch.where(better, value, best)
            trace.append(best)
        return Found(best_delta, best, torch.stack(trace), best[None], torch.zeros_like(eps, dtype=torch.bool))
