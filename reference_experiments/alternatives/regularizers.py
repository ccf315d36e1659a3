"""What is set against Eq. 7 on the digits, each with its weights, and how many seeds it gets for the same cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from reference_experiments.arms import Arm
from reference_experiments.digits.data import N_PIXELS, observed
from reference_experiments.digits.training import DigitTraining, Regularizer, build_estimator, restore
from stochrobust import (
    PAPER,
    Consistent,
    diversity_sensitive_loss,
    jacobian_penalty,
    mode_seeking_loss,
    robustness_loss,
    spectral_penalty,
    std_reward_loss,
)

ARM = Arm(stochastic=True, robust=True)
TOLERANCE = 0.06  # of the cost of Eq. 7
INTERVALS = range(1, 7)  # a term is applied at every so many-th step at most
Loss = Callable[[Consistent, Tensor, Tensor, int, torch.Generator], Tensor]
"""``loss(G, x, y, n_seeds, generator)``, before it is weighted."""


class Term(NamedTuple):
    """A regularizer: how it is computed, and its weights, the likeliest first, fixed beforehand."""

    loss: Loss
    weights: tuple[float, ...]
    fewest_seeds: int = 1
    attack: Any = None


@dataclass(frozen=True)
class Share:
    """How a term is applied: so many seeds at every so many-th step, at so many forward passes per step."""

    n_seeds: int
    every: int
    forward_passes: float

    def settings(self, config: DigitTraining) -> DigitTraining:
        """The training's settings with this share."""
        return replace(config, n_seeds=self.n_seeds, every=self.every)


def terms(config: DigitTraining, attack: Any) -> dict[str, Term]:
    """All of them; first Eq. 7 by the paper's attack, whose cost is everyone's, then by another attack if one is given.

    The std reward alone is not among them: it is the diversity-sensitive term but for a factor.
    """
    eq7 = (30.0, 100.0, 10.0)
    found = {"paper": Term(_robustness(config, PAPER), eq7, attack=PAPER)}
    if attack != PAPER:
        found["robustness"] = Term(_robustness(config, attack), eq7, attack=attack)
    return found | {
        "spectral": Term(_plain(spectral_penalty), (0.03, 0.1, 0.01)),
        "jacobian": Term(_plain(jacobian_penalty), (0.003, 0.01, 0.001)),
        "mode_seeking": Term(_plain(mode_seeking_loss), (0.01, 0.1, 0.001), 2),
        "diversity_sensitive": Term(_plain(diversity_sensitive_loss), (0.3, 1.0, 3.0), 2),
        "std_reward": Term(l1_and_std_reward, (10.0, 100.0, 1.0), 2),
    }


def _robustness(config: DigitTraining, attack: Any) -> Loss:
    def loss(G: Consistent, _: Tensor, y: Tensor, n_seeds: int, generator: torch.Generator) -> Tensor:
        return robustness_loss(G, y, config.eps, n_seeds, attack=attack, generator=generator)

    return loss


def _plain(function: Callable[..., Tensor]) -> Loss:
    def loss(G: Consistent, _: Tensor, y: Tensor, n_seeds: int, generator: torch.Generator) -> Tensor:
        return function(G, y, n_seeds, generator=generator)

    return loss


def l1_and_std_reward(G: Consistent, x: Tensor, y: Tensor, n_seeds: int, generator: torch.Generator) -> Tensor:
    """The whole regularizer of rcGAN, which sees the truth; its two terms share their passes."""
    rows = y.repeat_interleave(n_seeds, 0)
    z = G.sample_z(rows, generator)
    x_hat = G(rows, z)
    l1 = torch.nn.functional.l1_loss(x_hat.reshape(len(y), n_seeds, -1).mean(1), x)
    return l1 + std_reward_loss(lambda y, z: x_hat, y, n_seeds, z=z)


def weighted(term: Term, weight: float, n_seeds: int) -> Regularizer:
    """The term as the training adds it."""

    def regularizer(G: Consistent, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        return weight * term.loss(G, x, y, n_seeds, generator)

    return regularizer


def forward_passes(term: Term, n_seeds: int, config: DigitTraining) -> float:
    """What a term and its backward pass cost in forward passes of the batch: arithmetic, as torch counts it."""
    G, generator = build_estimator(config, ARM), torch.Generator().manual_seed(0)
    x = torch.rand(config.batch, N_PIXELS, generator=generator)
    y = x.where(observed(), 0)
    with torch.no_grad(), FlopCounterMode(display=False) as one_pass:
        restore(G, y, generator)
    with FlopCounterMode(display=False) as whole:
        term.loss(G, x, y, n_seeds, generator).backward()
    return float(whole.get_total_flops() / one_pass.get_total_flops())


def shares(config: DigitTraining, attack: Any) -> dict[str, Share]:
    """Each term's seeds and schedule: Eq. 7 by the paper's attack as in the demo; the others as often as they can be.

    Raises:
        ValueError: if no number of seeds brings a term's cost per step to that of Eq. 7.
    """
    (name, eq7), *others = terms(config, attack).items()
    target = forward_passes(eq7, config.n_seeds, config) / config.every
    found = {name: Share(config.n_seeds, config.every, target)}
    return found | {name: _share(name, term, target, config) for name, term in others}


def _share(name: str, term: Term, target: float, config: DigitTraining) -> Share:
    per_seed = forward_passes(term, term.fewest_seeds, config) / term.fewest_seeds
    for every in INTERVALS:
        n_seeds = max(term.fewest_seeds, round(target * every / per_seed))
        cost = forward_passes(term, n_seeds, config) / every
        if abs(cost / target - 1) <= TOLERANCE:
            return Share(n_seeds, every, cost)
    raise ValueError(f"{name} costs {per_seed:.1f} passes per seed, of which no number makes {target:.1f}")
