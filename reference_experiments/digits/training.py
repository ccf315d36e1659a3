"""Training the four digit GANs: one network, one objective, with and without seeds, with and without robustness."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reference_experiments.arms import Arm
from reference_experiments.digits.data import N_PIXELS, observed
from reference_experiments.gan import critic_loss, estimator_loss, r1_penalty
from reference_experiments.networks.digit_mlp import DigitEstimator, mlp
from stochrobust import Consistent, InpaintingProjector, eps_from_psnr, robustness_loss

Regularizer = Callable[[Consistent, Tensor, Tensor, torch.Generator], Tensor]
"""``regularizer(G, x, y, generator)``: a scalar, already weighted, to be added to the estimator's loss; y is of x."""


@dataclass(frozen=True)
class DigitTraining:
    """What the four arms share; losses and schedule are those of section 6.1.1, sizes fit a laptop.

    Attributes:
        weight: lambda_R of the robust arms (the paper's images, of 12,288 elements: 500); the erratic ones have 0.
        every: the robustness loss is added at every so many-th step.
        n_seeds: seeds per input in it (the paper: 10); a deterministic arm has one outcome, and needs one.
        ai_psnr: radius of the attack, in dB over all 64 pixels of y.
        steps, batch: of the estimator and of the critic, in turn.
        r1: coefficient of the critic's gradient penalty, without 1/2.
        lr: learning rate of both Adams at first; it falls to 0 along a half cosine.
        width, depth, z_dims, waves, frequency, z_gain: of the networks, see :class:`DigitEstimator`.
    """

    weight: float = 100.0
    every: int = 3
    n_seeds: int = 4
    ai_psnr: float = 30.0
    steps: int = 8000
    batch: int = 64
    r1: float = 0.1
    lr: float = 2e-3
    width: int = 128
    depth: int = 3
    z_dims: int = 16
    waves: int = 64
    frequency: float = 4.0
    z_gain: float = 0.3

    @property
    def eps(self) -> float:
        """Radius of the attack."""
        return eps_from_psnr(self.ai_psnr, N_PIXELS)


def build_estimator(config: DigitTraining, arm: Arm) -> Consistent:
    """An untrained estimator whose outputs keep the observed pixels."""
    network = DigitEstimator(
        N_PIXELS, stochastic=arm.stochastic, width=config.width, depth=config.depth, z_dims=config.z_dims,
        waves=config.waves, frequency=config.frequency, z_gain=config.z_gain,
    )  # fmt: skip
    return Consistent(network, InpaintingProjector(observed()))


def restore(G: Consistent, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """One output per input, each with a seed of its own where the estimator takes one."""
    sample_z = getattr(G, "sample_z", None)
    output: Tensor = G(y) if sample_z is None else G(y, sample_z(y, generator))
    return output


def robustness(config: DigitTraining) -> Regularizer:
    """The robustness loss with the weight, radius and seeds of the settings."""

    def loss(G: Consistent, _: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        n_seeds = config.n_seeds if hasattr(G, "sample_z") else 1
        return config.weight * robustness_loss(G, y, config.eps, n_seeds, generator=generator)

    return loss


def train(
    config: DigitTraining,
    arm: Arm,
    digits: Tensor,
    seed: int,
    progress: Callable[[int, dict[str, float]], None] = lambda step, losses: None,
    regularizer: Regularizer | None = None,
) -> Consistent:
    """Train one arm; the same seed gives every arm the same initial networks and the same order of digits.

    Args:
        config: what the arms share.
        arm: the one to train.
        digits: (N, 64) training digits.
        seed: of everything drawn.
        progress: called after each step, with the losses at every 100th and the last one.
        regularizer: what a robust arm adds at every ``config.every``-th step; None: the weighted robustness loss.

    Returns:
        The estimator, in eval mode.

    Raises:
        FloatingPointError: if a loss is not finite.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        G = build_estimator(config, arm)
        critic = mlp(N_PIXELS, *[config.width] * config.depth, 1)
    batches, generator = (torch.Generator().manual_seed(stream) for stream in (2 * seed, 2 * seed + 1))
    optimizers = [torch.optim.Adam(net.parameters(), config.lr, betas=(0.5, 0.99), fused=True) for net in (G, critic)]
    known, regularizer = observed(), regularizer or robustness(config)
    for step in range(config.steps):
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = config.lr * (1 + math.cos(math.pi * step / config.steps)) / 2
        x, other = digits[torch.randint(len(digits), (2, config.batch), generator=batches)]
        losses = {"critic": _critic_step(config, G, critic, optimizers[1], x, other.where(known, 0), generator)}
        truth = digits[torch.randint(len(digits), (config.batch,), generator=batches)]
        due = regularizer if arm.robust and step % config.every == config.every - 1 else None
        losses["gan"] = _estimator_step(G, critic, optimizers[0], truth, truth.where(known, 0), due, generator)
        progress(step + 1, _finite(losses, step) if (step + 1) % 100 == 0 or step + 1 == config.steps else {})
    return G.eval()


def _critic_step(
    config: DigitTraining,
    G: Consistent,
    critic: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    y: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """One step of the critic, which sees digits only, not y."""
    with torch.no_grad():
        generated = restore(G, y, generator)
    penalty, real_logits = r1_penalty(critic, x)
    loss = critic_loss(real_logits, critic(generated)) + config.r1 * penalty
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def _estimator_step(
    G: Consistent,
    critic: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    y: Tensor,
    regularizer: Regularizer | None,
    generator: torch.Generator,
) -> Tensor:
    """One step of the estimator, with the regularizer where it is due."""
    loss = estimator_loss(critic(restore(G, y, generator)))
    if regularizer is not None:
        loss = loss + regularizer(G, x, y, generator)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def _finite(losses: dict[str, Tensor], step: int) -> dict[str, float]:
    values = {name: float(loss) for name, loss in losses.items()}
    if not all(map(math.isfinite, values.values())):
        raise FloatingPointError(f"a loss is not finite at step {step + 1}: {values}")
    return values
