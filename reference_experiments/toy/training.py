"""Training the toy GANs (App. E.1): several training seeds at once, resumable at any step."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from reference_experiments.gan import critic_loss, estimator_loss, r1_penalty
from reference_experiments.networks.mlp import MLPs, Products
from reference_experiments.runs import load_checkpoint, save_checkpoint
from reference_experiments.toy.data import disk
from stochrobust import PAPER_TOY, TRAINING, AdamAscent, SphereAscent, robustness_loss

ATTACKS: dict[str, AdamAscent | SphereAscent] = {"paper": PAPER_TOY, "training": TRAINING}


@dataclass(frozen=True)
class ToyTraining:
    """One arm of the toy study; the defaults are App. E.1's, and what it leaves open is marked so.

    Attributes:
        stochastic: whether the estimator gets a seed; a deterministic one gets z = 0.
        weight: lambda_R; 0 trains with the GAN loss alone.
        reduction: scale of the robustness loss (open).
        every: the loss is added at every so many-th step.
        steps: of the estimator and of the critic.
        batch: samples per step (open).
        n_seeds: seeds per sample in the robustness loss.
        eps: radius of the attack.
        attack: the robustness loss's: the paper's four Adam steps, or the library's default of two gradients.
        r1: coefficient of the critic's gradient penalty, without 1/2 (open: the printed 10 may include 1/2).
        lr: learning rate of both Adams, with betas (0, 0.9).
        width: of the four hidden layers of both networks (Table 2).
        products: precision of the products between hidden layers; what is measured afterwards is in float32.
        z_law: law of the seed (open: U(0, 1) in E.1, N(0, 1) in section 5.1).
        n_train: size of each training set.
        n_models: training seeds trained side by side.
        seed: of everything drawn.
    """

    stochastic: bool
    weight: float = 0.0
    reduction: Literal["mean", "sum", "relative"] = "relative"
    every: int = 3
    steps: int = 20_000
    batch: int = 64
    n_seeds: int = 50
    eps: float = 1e-3
    attack: Literal["paper", "training"] = "paper"
    r1: float = 10.0
    lr: float = 1e-4
    width: int = 512
    products: Products = "float32"
    z_law: Literal["uniform", "normal"] = "uniform"
    n_train: int = 100_000
    n_models: int = 3
    seed: int = 0


def widths(config: ToyTraining) -> tuple[int, ...]:
    """Of the layers of both networks, input first."""
    return (2, *(config.width,) * 4, 1)


class ToyEstimator(nn.Module):
    """``G(y, z) = x_2``, the second coordinate; the first is y itself, so that the estimate is consistent.

    Rows belong to the training seeds in turn: (n_models * n, 1) inputs, the first n of them the first model's.
    """

    def __init__(self, config: ToyTraining) -> None:
        super().__init__()
        self.network = MLPs(config.n_models, widths(config), config.products)
        self.law = torch.rand if config.z_law == "uniform" else torch.randn
        self.sample_z: Callable[..., Tensor] | None = self.draw if config.stochastic else None

    def draw(self, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One seed per row."""
        return self.law(y.shape, generator=generator, device=y.device, dtype=y.dtype)

    def forward(self, y: Tensor, z: Tensor | None = None) -> Tensor:
        """(N, 1) inputs and seeds -> (N, 1) estimates of x_2."""
        output: Tensor = self.network(self.inputs(y, z))
        return output

    def inputs(self, y: Tensor, z: Tensor | None = None) -> Tensor:
        """The network's, (N, 2): a deterministic estimator's seed is 0."""
        return torch.cat([y, torch.zeros_like(y) if z is None else z], 1)

    def restore(self, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One estimate (x_1, x_2) per row of y, (N, 1) -> (N, 2)."""
        return torch.cat([y, self(y, self.sample_z(y, generator)) if self.sample_z else self(y)], 1)


class FromClean(nn.Module):
    """``G(y', z) = G(y, z) + change`` for fixed rows y and z, see :meth:`MLPs.change`; one clean pass serves all."""

    def __init__(self, estimator: ToyEstimator, y: Tensor, z: Tensor | None) -> None:
        super().__init__()
        self.estimator, self.y = estimator, y
        self.clean = estimator.network.layers(estimator.inputs(y, z))

    def forward(self, y: Tensor, z: Tensor | None = None) -> Tensor:
        """(N, 1) inputs near the fixed ones, with their seeds, -> (N, 1)."""
        network = self.estimator.network
        output = network.outputs(self.clean[-1])
        if torch.equal(y, self.y):
            return output
        moved = torch.cat([y - self.y, torch.zeros_like(y)], 1)
        return output + network.change(self.clean, moved)


def train(
    config: ToyTraining,
    device: torch.device | str = "cpu",
    checkpoint: Path | None = None,
    *,
    save_every: int = 1000,
    progress: Callable[[int, dict[str, float]], None] = lambda step, stats: None,
) -> ToyEstimator:
    """Train one arm; with a checkpoint, from where an interrupted run of the same arm left off.

    Args:
        config: the arm.
        device: where to train.
        checkpoint: file to save to and resume from; None keeps nothing.
        save_every: steps between checkpoints.
        progress: called with the step and the losses a hundred times and at each checkpoint.

    Returns:
        The estimator, one copy per training seed, in eval mode.

    Raises:
        ValueError: if the checkpoint cannot be read or is of another arm.
        FloatingPointError: if a loss is not finite; the last good checkpoint stays.
    """
    torch.manual_seed(config.seed)
    generator = torch.Generator(device).manual_seed(config.seed)
    estimator = ToyEstimator(config).to(device)
    critic = MLPs(config.n_models, widths(config), config.products).to(device)
    optimizers = [
        torch.optim.Adam(net.parameters(), config.lr, betas=(0.0, 0.9), fused=True) for net in (estimator, critic)
    ]
    data = torch.stack([disk(config.n_train, generator) for _ in range(config.n_models)])
    parts: dict[str, Any] = {"estimator": estimator, "critic": critic, "G": optimizers[0], "C": optimizers[1]}
    start, before, begun = 0, 0.0, time.monotonic()
    if checkpoint is not None and (state := load_checkpoint(checkpoint, device)) is not None:
        given = asdict(ToyTraining(**state["config"]))  # of settings that are newer than the file, the defaults
        if given | {"steps": config.steps} != asdict(config):  # a finished run may be made longer
            raise ValueError(f"the checkpoint {checkpoint} is of another run: {state['config']}")
        for name, part in parts.items():
            part.load_state_dict(state[name])
        generator.set_state(state["generator"].cpu())
        start, before = state["step"], state["seconds"]
    for step in range(start, config.steps):
        losses = _step(config, step, estimator, critic, optimizers, data, generator)
        save = (step + 1) % save_every == 0 or step + 1 == config.steps
        if save or (step + 1) % max(1, config.steps // 100) == 0:
            stats = {name: float(loss.detach()) / config.n_models for name, loss in losses.items()}
            if not all(map(torch.isfinite, map(torch.tensor, stats.values()))):
                raise FloatingPointError(f"a loss is not finite at step {step + 1}: {stats}; last good: {checkpoint}")
            if save and checkpoint is not None:
                states = {name: part.state_dict() for name, part in parts.items()}
                more = {
                    "config": asdict(config), "step": step + 1, "generator": generator.get_state(),
                    "seconds": before + time.monotonic() - begun,
                }  # fmt: skip
                save_checkpoint(checkpoint, states | more)
            progress(step + 1, stats)
    return estimator.eval()


def _step(
    config: ToyTraining,
    step: int,
    estimator: ToyEstimator,
    critic: MLPs,
    optimizers: list[torch.optim.Adam],
    data: Tensor,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """One step of the critic and one of the estimator. Losses are summed over the models, means over the batch."""
    models = config.n_models

    def batch() -> Tensor:
        index = torch.randint(config.n_train, (models, config.batch, 1), generator=generator, device=data.device)
        return data.gather(1, index.expand(-1, -1, 2)).reshape(-1, 2)

    with torch.no_grad():
        generated = estimator.restore(batch()[:, :1], generator)
    penalty, real_logits = r1_penalty(critic, batch())
    critic_total = models * (critic_loss(real_logits, critic(generated)) + config.r1 * penalty)
    optimizers[1].zero_grad()
    critic_total.backward()
    optimizers[1].step()

    y = batch()[:, :1]
    gan = models * estimator_loss(critic(estimator.restore(y, generator)))
    losses = {"critic": critic_total, "gan": gan}
    total = gan
    if config.weight and step % config.every == config.every - 1:
        n_seeds = config.n_seeds if config.stochastic else 1
        rows = y.repeat_interleave(n_seeds, 0)
        z = estimator.sample_z(rows, generator) if estimator.sample_z else None
        robustness = models * robustness_loss(
            FromClean(estimator, rows, z), y, config.eps, n_seeds, z=z, attack=ATTACKS[config.attack],
            reduction=config.reduction, generator=generator,
        )  # fmt: skip
        losses["robustness"] = robustness
        total = gan + config.weight * robustness
    optimizers[0].zero_grad()
    total.backward(inputs=list(estimator.parameters()))
    optimizers[0].step()
    return losses
