"""Training the denoiser and the regressor of the posterior mean; what is kept is what did best on held-out data."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reference_experiments.digits.data import observed
from reference_experiments.toy.data import disk

N_HELD_OUT = 200  # of the training digits


class Pairs(NamedTuple):
    """What is known and what is hidden, (N, n_known) and (N, n_hidden)."""

    known: Tensor
    hidden: Tensor


Loss = Callable[[nn.Module, Pairs, torch.Generator], Tensor]


@dataclass(frozen=True)
class FitConfig:
    """How a network is fitted.

    Attributes:
        width: of the network's hidden layers.
        steps, batch, lr: of Adam; the rate falls to 0 along a half cosine.
        decay: of the average of the weights, which is what is kept.
        every: steps between looks at the held-out loss.
    """

    steps: int
    batch: int = 128
    lr: float = 1e-3
    width: int = 256
    decay: float = 0.998
    every: int = 500


class Fitted(NamedTuple):
    """How a fit went: the step that was kept, and the held-out loss there."""

    step: int
    loss: float


def digit_pairs(digits: Tensor) -> Pairs:
    """Observed pixels in [0, 1] as the estimators get them, and hidden ones in [-1, 1]."""
    known = observed()
    return Pairs(digits[:, known], 2 * digits[:, ~known] - 1)


def disk_pairs(n: int, generator: torch.Generator) -> Pairs:
    """The two coordinates of points on the disk."""
    points = disk(n, generator)
    return Pairs(points[:, :1], points[:, 1:])


def velocity_loss(denoiser: nn.Module, pairs: Pairs, generator: torch.Generator) -> Tensor:
    """The mean squared error of a denoiser's velocity at random times."""
    t = torch.rand(len(pairs.hidden), 1, generator=generator)
    noise = torch.randn(pairs.hidden.shape, generator=generator)
    alpha, sigma = (math.pi / 2 * t).cos(), (math.pi / 2 * t).sin()
    velocity = denoiser(alpha * pairs.hidden + sigma * noise, pairs.known, t)
    return F.mse_loss(velocity, alpha * noise - sigma * pairs.hidden)


def regression_loss(regressor: nn.Module, pairs: Pairs, _: torch.Generator) -> Tensor:
    """The mean squared error, least at the posterior mean."""
    return F.mse_loss(regressor(pairs.known), pairs.hidden)


def fit(model: nn.Module, loss: Loss, train: Pairs, held_out: Pairs, config: FitConfig, seed: int) -> Fitted:
    """Fit a model in place, to the averaged weights with the least held-out loss, and leave it in eval mode.

    Raises:
        FloatingPointError: if the held-out loss is never finite.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), config.lr, fused=True)
    average, best, kept = copy.deepcopy(model).eval(), Fitted(0, math.inf), model.state_dict()
    for step in range(1, config.steps + 1):
        optimizer.param_groups[0]["lr"] = config.lr * (1 + math.cos(math.pi * (step - 1) / config.steps)) / 2
        rows = torch.randint(len(train.known), (config.batch,), generator=generator)
        optimizer.zero_grad()
        loss(model, Pairs(train.known[rows], train.hidden[rows]), generator).backward()
        optimizer.step()
        with torch.no_grad():
            share = 1 - min(config.decay, step / (step + 10))
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), share)
        if step % config.every == 0 or step == config.steps:
            found = Fitted(step, _held_out_loss(average, loss, held_out))
            if found.loss < best.loss:
                best, kept = found, copy.deepcopy(average.state_dict())
    if not math.isfinite(best.loss):
        raise FloatingPointError(f"the held-out loss was never finite in {config.steps} steps")
    model.load_state_dict(kept)
    model.eval()
    return best


@torch.no_grad()
def _held_out_loss(model: nn.Module, loss: Loss, held_out: Pairs) -> float:
    """The mean over a few draws, the same ones every time."""
    generator = torch.Generator().manual_seed(0)
    return sum(float(loss(model, held_out, generator)) for _ in range(10)) / 10
