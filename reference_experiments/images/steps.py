"""One step of the critic and one of the estimator (section 6.1.1, App. E.2.2), on any number of processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from reference_experiments.gan import critic_loss, estimator_loss, r1_penalty
from reference_experiments.images.settings import ATTACKS, Training
from stochrobust import Consistent, SampleKeys, robustness_loss

if TYPE_CHECKING:
    from accelerate import Accelerator

Losses = dict[str, Tensor]


@dataclass(frozen=True)
class Randomness:
    """What is drawn at a step: a function of (seed, step, row), the same for any number of processes.

    Args:
        seed: of the run.
        step: of the training.
        rank, world: of this process.
    """

    seed: int
    step: int
    rank: int = 0
    world: int = 1

    def seeds(self, sample_z: Any, y: Tensor, n_seeds: int, purpose: int) -> Any:
        """z for ``n_seeds`` seeds of each of this process's inputs, sample-major; ``purpose`` tells draws apart."""
        rows = len(y) * n_seeds
        generator = SampleKeys((), self.seed).generator(self.step, purpose, device=y.device)
        of_all = sample_z(y.new_empty(()).expand(rows * self.world, *y.shape[1:]), generator)
        return tuple(part[rows * self.rank : rows * (self.rank + 1)] for part in of_all)

    def starts(self, n_inputs: int) -> SampleKeys:
        """What the attack draws its starting points from."""
        first = (self.step * self.world + self.rank) * n_inputs
        return SampleKeys(range(first, first + n_inputs), self.seed)


@dataclass(frozen=True)
class Trainee:
    """Networks and optimizers as Accelerate prepared them.

    Attributes:
        G, C: estimator and critic, in what makes them distributed, if anything.
        plain_G, plain_C: the same without it.
        optimizer_G, optimizer_C: their Adams.
        accelerator: of the processes.
        settings: of the training.
    """

    G: nn.Module
    C: nn.Module
    plain_G: Consistent
    plain_C: nn.Module
    optimizer_G: Any
    optimizer_C: Any
    accelerator: Accelerator
    settings: Training


def critic_step(trainee: Trainee, real: Tensor, y: Tensor, randomness: Randomness) -> Losses:
    """The critic learns to tell ``real`` from the estimator's outputs at ``y``."""
    with torch.no_grad():
        generated = trainee.G(y, randomness.seeds(trainee.plain_G.sample_z, y, 1, 0))
    penalty, real_logits = r1_penalty(trainee.C, real)
    loss = critic_loss(real_logits, trainee.C(generated))
    _descend(trainee, trainee.optimizer_C, loss + trainee.settings.r1 * penalty)
    return {"critic": loss.detach(), "r1": penalty.detach()}


def estimator_step(trainee: Trainee, y: Tensor, randomness: Randomness) -> Losses:
    """The estimator learns to please the critic and, when it is due, not to be moved by an attack."""
    settings = trainee.settings
    x_hat = trainee.G(y, randomness.seeds(trainee.plain_G.sample_z, y, 1, 1))
    with frozen(trainee.plain_C):
        loss = estimator_loss(trainee.plain_C(x_hat))
        losses = {"gan": loss.detach()}
        if settings.robust and randomness.step % settings.every == settings.every - 1:
            change = regularizer(trainee, y, randomness)
            losses["robustness"] = change.detach()
            loss = loss + settings.weight * change
        _descend(trainee, trainee.optimizer_G, loss)
    return losses


def regularizer(trainee: Trainee, y: Tensor, randomness: Randomness) -> Tensor:
    """Eq. 7, the mean over elements."""
    settings = trainee.settings
    n_seeds = settings.n_seeds if settings.stochastic else 1
    return robustness_loss(
        trainee.G, y, settings.restoration.eps, n_seeds, z=randomness.seeds(trainee.plain_G.sample_z, y, n_seeds, 2),
        attack=ATTACKS[settings.attack], generator=randomness.starts(len(y)),
    )  # fmt: skip


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Within, no gradients are asked of the module's parameters, which saves computing them."""
    try:
        module.requires_grad_(False)
        yield
    finally:
        module.requires_grad_(True)


def _descend(trainee: Trainee, optimizer: Any, loss: Tensor) -> None:
    optimizer.zero_grad()
    trainee.accelerator.backward(loss)
    optimizer.step()
