"""The attacks by gradients, and the settings that have names. What keeps the best iterate tries its mirror image too.

Those without gradients are in :mod:`stochrobust.attacks.by_search`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stochrobust._arguments import check_real, describe
from stochrobust._tensors import per_sample
from stochrobust.attacks.ascent import Keep, Move, Start, check_method
from stochrobust.attacks.balls import Ball

MOMENTUM = 0.5  # of a sphere ascent's turns; against none, 30 gradients found 3 % less to 8 % more, 1.5 % on average


@dataclass(frozen=True)
class AdamAscent:
    """The paper's attack: Adam steps of absolute size ``lr``, projected on the ball after each (App. E.1, E.2.3).

    Args:
        steps: gradients per restart, at least 1.
        lr: Adam's learning rate, in units of y (not of eps).
        betas: decay of the first and second moments, in [0, 1).
        restarts: starts; the best one counts.
        keep: the ``"last"`` iterate, as in the paper, or the ``"best"`` one.
        start: a random point of the ``"ball"`` or its ``"sphere"``; ``"zero"`` only with ``reference=``.

    Raises:
        TypeError, ValueError: naming the setting.

    Example:
        >>> AdamAscent(steps=4, lr=1e-4)  # the paper's toy
        AdamAscent(steps=4, lr=0.0001, betas=(0.9, 0.999), restarts=1, keep='last', start='ball')
    """

    steps: int = 5
    lr: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    restarts: int = 1
    keep: Keep = "last"
    start: Start = "ball"

    def __post_init__(self) -> None:
        check_method(self)
        check_real("lr", self.lr, minimum=0.0, open_minimum=True)
        if not isinstance(self.betas, tuple) or len(self.betas) != 2:
            raise TypeError(f"betas must be a pair of numbers, got {describe(self.betas)}")
        for beta in self.betas:
            if check_real("betas", beta, minimum=0.0) >= 1:
                raise ValueError(f"betas must be below 1, got {self.betas}")

    def mover(self, ball: Ball, eps: Tensor) -> Move:
        """Adam's steps, with fresh moments."""
        (beta1, beta2), tiny = self.betas, 1e-8
        first = second = torch.zeros((), device=eps.device)
        count = 0

        def move(delta: Tensor, gradient: Tensor) -> Tensor:
            nonlocal first, second, count
            count += 1
            first = first * beta1 + gradient * (1 - beta1)
            second = second * beta2 + gradient.square() * (1 - beta2)
            return delta + self.lr * (first / (1 - beta1**count)) / ((second / (1 - beta2**count)).sqrt() + tiny)

        return move


@dataclass(frozen=True)
class PGD:
    """Projected gradient ascent along the ball's steepest direction: the unit gradient in L2, its sign in Linf.

    Args:
        steps: gradients per restart, at least 1.
        step: length of a step in units of eps.
        restarts: starts; the best one counts.
        keep: the ``"best"`` iterate or the ``"last"``.
        start: a random point of the ``"ball"`` or its ``"sphere"``; ``"zero"`` only with ``reference=``.

    Raises:
        TypeError, ValueError: naming the setting.

    Example:
        >>> PGD(steps=20, step=0.5).restarts
        1
    """

    steps: int = 50
    step: float = 1.0
    restarts: int = 1
    keep: Keep = "best"
    start: Start = "ball"

    def __post_init__(self) -> None:
        check_method(self)
        check_real("step", self.step, minimum=0.0, open_minimum=True)

    def mover(self, ball: Ball, eps: Tensor) -> Move:
        """Steps of fixed length."""
        return lambda delta, gradient: delta + ball.direction(gradient) * per_sample(self.step * eps, gradient)


@dataclass(frozen=True)
class SphereAscent:
    """One power step, then ever shorter turns along the sphere: the attack here that finds most per gradient.

    Near zero the objective is ``delta^T E[J^T J] delta``, whose gradient at a point of the sphere is a step of power
    iteration: the first move goes where the gradient points. Each of the other ``steps - 1`` is a turn of the ball,
    towards the part of the gradient that does not leave it and half of the last turn's direction, by at most ``t``
    radii, ``t`` falling linearly from 1 to ``1 / (steps - 1)``: long turns find the hill, short ones its top.

    Args:
        steps: gradients per restart, at least 1.
        restarts: starts; the best one counts.
        keep: the ``"best"`` iterate or the ``"last"``.
        start: a random point of the ``"sphere"`` or the ``"ball"``; ``"zero"`` only with ``reference=``.

    Raises:
        TypeError, ValueError: naming the setting.

    Example:
        >>> SphereAscent(steps=30, restarts=2).keep
        'best'
    """

    steps: int = 5
    restarts: int = 1
    keep: Keep = "best"
    start: Start = "sphere"

    def __post_init__(self) -> None:
        check_method(self)

    def mover(self, ball: Ball, eps: Tensor) -> Move:
        """The power step, then the turns."""
        turns, left = self.steps - 1, self.steps
        memory = torch.zeros((), device=eps.device)

        def move(delta: Tensor, gradient: Tensor) -> Tensor:
            nonlocal left, memory
            left -= 1
            if left < turns:
                delta, memory = ball.turn(delta, gradient, MOMENTUM * memory, eps, (left + 1) / turns)
                return delta
            return ball.direction(gradient) * per_sample(eps, delta)

        return move


PAPER = AdamAscent(steps=5, lr=1.0, keep="last")
"""The attack of the paper's image studies (App. E.2.3): 5 Adam steps of size 1, last iterate."""
PAPER_TOY = AdamAscent(steps=4, lr=1e-4, keep="last")
"""The attack of the paper's toy study (App. E.1): 4 Adam steps of size 1e-4."""
IFGSM = PGD(steps=50, step=1 / 50, keep="last")
"""The attack of section 6.2, for ``ball=Linf(box=(0, 1))``: 50 sign steps of eps / 50 from a random start."""
TRAINING = SphereAscent(steps=2, keep="last")
"""The attack that losses use by default: 2 gradients, which on most networks find more than the paper's 5 steps do."""
EVALUATION = SphereAscent(steps=30, restarts=2)
"""The attack that measurements use by default: 30 gradients from each of 2 starts, best iterate."""
