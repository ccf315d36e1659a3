"""Restorers of a known problem, each with what is true of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from benchmarks.known_restorers.problems import N_PIXELS, SIDE, Problem

Truth = Literal["posterior", "mean", "useless", "erratic", "collapsed", "miscalibrated", "blurred"]
STEEP = 1500.0
"""How fast the erratic maps turn: so many radians for each unit of y."""


@dataclass(frozen=True, eq=False)
class Known:
    """A restorer and what is true of it.

    Attributes:
        name: of the kind.
        truth: what it is.
        G: ``G(y, z)`` or ``G(y)`` on (B, 1, 1, m) inputs.
        takes_z: whether it takes seeds.
    """

    name: str
    truth: Truth
    G: Callable[..., Tensor]
    takes_z: bool


def seeds(y: Tensor, generator: torch.Generator | None) -> Tensor:
    """A normal number for each pixel, and one that chooses the mode."""
    return torch.randn(len(y), N_PIXELS + 1, generator=generator)


class Parts:
    """What the restorers of a problem are made of."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.K, self.L = problem.gain.float(), problem.spread.float()
        self.centre, self.mode = problem.centre_of_y.float(), problem.mode.float()
        self.lift = torch.linalg.pinv(problem.A).float()
        self.away = self.mode - self.K @ (problem.A.float() @ self.mode)
        rows = torch.randn(N_PIXELS, len(problem.A), generator=torch.Generator().manual_seed(1))
        self.rows = STEEP * rows / rows.norm(dim=1, keepdim=True)
        prior = problem.C + torch.outer(problem.mode, problem.mode)
        self.prior = torch.linalg.cholesky(prior + 1e-9 * torch.eye(N_PIXELS).double()).float()
        border = torch.ones(SIDE, SIDE)
        border[1:-1, 1:-1] = 0
        total = float(self.L.square().sum()) + 4 * float(self.away.square().sum()) / 4
        self.deviation = math.sqrt(total / N_PIXELS)
        self.border = math.sqrt(total / float(border.sum())) * border.flatten()
        with torch.no_grad():
            y, x = problem.draw(2000, 77)
            error = (y.flatten(1) @ self.lift.T - x.flatten(1)).square().mean()
        self.lift_error = float(error.sqrt())

    def mean(self, y: Tensor, sign: Tensor | float | None = None) -> Tensor:
        """That of the posterior; of one mode where a sign is given."""
        flat = y.flatten(1)
        if sign is None:
            sign = (2 * self.problem.weight(flat) - 1)[:, None] if self.mode.any() else 0.0
        return 0.5 + (flat - self.centre) @ self.K.T + sign * self.away

    def sample(self, y: Tensor, z: Tensor, width: float = 1.0) -> Tensor:
        """Of the posterior."""
        chosen = 0.5 * (1 + torch.erf(z[:, -1] / math.sqrt(2)))
        sign = torch.where(chosen < self.problem.weight(y.flatten(1)), 1.0, -1.0)[:, None] if self.mode.any() else 0.0
        centre = self.mean(y, sign)
        if width != 1:
            centre = self.mean(y) + width * (centre - self.mean(y))
        return centre + width * z[:, :-1] @ self.L.T

    def waves(self, y: Tensor) -> Tensor:
        """(B, n) of variance 1, which seem drawn, and hang on the digits of y."""
        found: Tensor = math.sqrt(2) * (y.flatten(1) @ self.rows.T).sin()
        return found

    def turned(self, y: Tensor, z: Tensor) -> Tensor:
        """(B, n) normal for every y, other ones for another y: the seeds exchanged."""
        u = (0.5 * (1 + torch.erf(z[:, :-1] / math.sqrt(2))) + y.flatten(1) @ self.rows.T / (2 * math.pi)).remainder(1)
        return math.sqrt(2) * torch.erfinv((2 * u - 1).clamp(-1 + 1e-6, 1 - 1e-6))


def restorers(problem: Problem) -> list[Known]:
    """All kinds, for one problem."""
    p = Parts(problem)
    few = torch.quantile(problem.draw(4000, 78)[0].flatten(1)[:, 0], 0.05)

    def erratic(y: Tensor) -> Tensor:
        return p.mean(y) + p.waves(y) @ p.L.T

    def partly(y: Tensor, z: Tensor, bound: Tensor) -> Tensor:
        wild = y.flatten(1)[:, :1] < bound
        return torch.where(wild, erratic(y) + 0.02 * z[:, :-1] @ p.L.T, p.sample(y, z))

    found = [
        Known("exact sampler", "posterior", p.sample, True),
        Known("exact sampler, seeds exchanged", "posterior", lambda y, z: p.mean(y) + p.turned(y, z) @ p.L.T, True),
        Known("exact mean", "mean", p.mean, False),
        Known("half the mean", "blurred", lambda y: 0.5 + (p.mean(y) - 0.5) / 2, False),
        Known("constant", "collapsed", lambda y: 0.5 + 0 * p.mean(y), False),
        Known("one image for all", "collapsed", lambda y: 0.5 + 0 * p.mean(y) + p.L.sum(1), False),
        Known("prior, whatever y", "useless", lambda y, z: 0.5 + 0 * p.mean(y) + z[:, :-1] @ p.prior.T, True),
        Known("pinv", "blurred", lambda y: y.flatten(1) @ p.lift.T, False),
        Known("pinv + white noise", "useless", lambda y, z: y.flatten(1) @ p.lift.T + p.lift_error * z[:, :-1], True),
        Known("mean + white noise", "useless", lambda y, z: p.mean(y) + p.deviation * z[:, :-1], True),
        Known(
            "mean + noise on the border", "useless",
            lambda y, z: p.mean(y) + p.border * z[:, :-1], True,
        ),
        Known("sampler, half as wide", "miscalibrated", lambda y, z: p.sample(y, z, 0.5), True),
        Known("sampler, twice as wide", "miscalibrated", lambda y, z: p.sample(y, z, 2.0), True),
        Known("erratic", "erratic", erratic, False),
        Known("erratic + tiny noise", "erratic", lambda y, z: erratic(y) + 0.02 * z[:, :-1] @ p.L.T, True),
        Known(
            "half erratic, half drawn", "erratic",
            lambda y, z: p.mean(y) + (0.5**0.5 * (p.waves(y) + z[:, :-1])) @ p.L.T, True,
        ),
        Known("half of the inputs erratic", "erratic", lambda y, z: partly(y, z, p.centre[0]), True),
        Known("5 % of the inputs erratic", "erratic", lambda y, z: partly(y, z, few), True),
        Known("erratic, gradient masked", "erratic", lambda y: p.mean(y) + p.waves(y.detach()) @ p.L.T, False),
        Known("erratic, gradient zero", "erratic", lambda y: erratic(y.detach()) + 0 * p.mean(y), False),
        Known("erratic, gradient flipped", "erratic", lambda y: 2 * erratic(y.detach()) - erratic(y), False),
        Known("erratic, saturated", "erratic", lambda y: p.mean(y) + (9 * p.waves(y)).tanh() @ p.L.T, False),
    ]  # fmt: skip
    if problem.mode.any():  # the waves and the exchange are of one mode
        found = [known for known in found if known.name != "exact sampler, seeds exchanged"]
    return [Known(k.name, k.truth, _as_images(k.G), k.takes_z) for k in found]


def _as_images(G: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda y, *z: G(y, *z).reshape(-1, 1, SIDE, SIDE)
