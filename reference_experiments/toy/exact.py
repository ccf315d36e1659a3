"""The toy study's numbers that need no training: closed forms, and means over many draws where there is none."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from reference_experiments.spread import Spread
from reference_experiments.toy.data import disk, disk_posterior, half_height, sine_estimator, uniform
from reference_experiments.toy.evaluation import Maxima, distance
from stochrobust import w2_squared

TURN = 1.0
"""Turns of the seed, on its own circle, for a change of y by 1."""


def exact(eps: float, generator: torch.Generator, *, n_draws: int, n_inputs: int, n_points: int) -> dict[str, Any]:
    """Means of many draws with their standard deviations, and a case in which Appendix D's two sides differ.

    Args:
        eps: radius of the attacks.
        generator: source of everything drawn.
        n_draws: draws of each number.
        n_inputs: in a draw of the posterior's sensitivity.
        n_points: in a draw of Theorem 1's distances.
    """
    names = ("w2_to_data", "inconsistency", "w2_to_posterior")
    draws = [theorem1(generator, n=n_points) for _ in range(n_draws)]
    own = Spread.of([posterior_sensitivity(eps, generator, n_inputs) for _ in range(n_draws)])
    return {
        "theorem_1": [
            {"estimator": rows[0]["estimator"]} | {name: vars(Spread.of(row[name] for row in rows)) for name in names}
            for rows in zip(*draws, strict=True)
        ],
        "posterior_sensitivity": vars(own),
        "rotated_seed": vars(rotated_seed(eps)),
        "n_draws": n_draws,
        "n_inputs": n_inputs,
    }  # fmt: skip


def rotated_seed(eps: float) -> Maxima:
    """Both sides of Appendix D for an exact sampler whose seed y rotates, in closed form.

    X ~ N(0, I) in the plane is independent of y, and ``G(y, z)`` is z turned by ``2 pi y``.

    W2 is 0, since every G(y, z) has the same law; Eq. 7 is ``2 E ||z||^2 (1 - cos)``, with ``E ||z||^2 = 2``.
    """
    return Maxima(math.sqrt(4 * (1 - math.cos(2 * math.pi * TURN * eps))), 0.0)


def posterior_sensitivity(eps: float, generator: torch.Generator, n: int = 10_000) -> float:
    """The root of Eq. 5 of the posterior sampler on the disk, in closed form, X_1 left out as in Table 3.

    ``W2 = |c(y + delta) - c(y)| / sqrt(3)`` for uniform laws on plus and minus ``c = sqrt(1 - y^2)``.
    """
    y = disk(n, generator)[:, 0].double()
    shift = torch.maximum(*((half_height(y + sign * eps) - half_height(y)).abs() for sign in (-1, 1)))
    return float((shift.square() / 3).mean().sqrt())


def theorem1(
    generator: torch.Generator, *, n: int = 1000, n_inputs: int = 40, n_given: int = 200
) -> list[dict[str, Any]]:
    """Theorem 1, numerically: distance to the posterior vanishes where quality and consistency are both perfect.

    Each row: ``W2^2(p_X, p_X_hat)`` on n points, the root mean square of ``D(x_hat) - y``, and the mean over y of
    ``W2^2(p_X_hat|Y, p_X|Y)`` on n_given points each. The first row has two draws of
    the posterior.
    """

    def posterior(y: Tensor) -> Tensor:
        return disk_posterior(y, generator)

    def mirrored(y: Tensor) -> Tensor:
        return posterior(-y)

    def unrelated(y: Tensor) -> Tensor:
        return disk(len(y), generator).to(y.dtype)

    def arcsine(y: Tensor) -> Tensor:
        angle = 2 * torch.pi * uniform(len(y), generator, y.dtype)
        return torch.stack([y, half_height(y) * angle.sin()], 1)

    cases: list[tuple[str, Callable[[Tensor], Tensor]]] = [
        ("posterior sampler", posterior),
        ("a draw of X unrelated to y: perfect quality, inconsistent", unrelated),
        ("posterior at -y: perfect quality, inconsistent", mirrored),
        ("arcsine draw: consistent, imperfect quality", arcsine),
        ("erratic, alpha = 50: consistent, imperfect quality", lambda y: sine_estimator(y, 50.0)),
        ("posterior mean: consistent, imperfect quality", lambda y: sine_estimator(y, 0.0)),
    ]
    rows: list[dict[str, Any]] = []
    for name, estimate in cases:
        y = disk(n, generator)[:, 0].double()
        x_hat = estimate(y)
        given = disk(n_inputs, generator)[:, 0].double().repeat_interleave(n_given)
        groups = (t.reshape(n_inputs, n_given, 2) for t in (estimate(given), posterior(given)))
        rows.append({
            "estimator": name,
            "w2_to_data": distance(disk(n, generator), x_hat),
            "inconsistency": float((x_hat[:, 0] - y).square().mean().sqrt()),
            "w2_to_posterior": float(w2_squared(*groups).mean()),
        })  # fmt: skip
    return rows
