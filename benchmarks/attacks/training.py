"""Brief trainings of the suite's U-Nets, for inpainting and for super-resolution; a cache of what was trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, l1_loss

from reference_experiments.gan import critic_loss, estimator_loss, r1_penalty
from reference_experiments.networks.unet import UNet
from reference_experiments.runs import load_checkpoint, save_checkpoint
from stochrobust import PAPER, BlockAverageProjector, Consistent, InpaintingProjector, robustness_loss

SIDE = 64


@dataclass(frozen=True)
class InpaintingTraining:
    """A conditional GAN with some L1; the losses and the schedule are those of section 6.1.1.

    Attributes:
        steps: of the estimator and of the critic.
        robust_steps: further ones with the robustness loss; 0 for none.
        l1: weight of the L1 distance to the source.
        r1: coefficient of the critic's gradient penalty.
        weight, every, eps, n_seeds: of the robustness loss, added at every so many-th step.
        batch, lr: of both Adams.
        s: width of the U-Net.
        n_images: drawn from the archive's train part.
        seed: of everything drawn.
    """

    steps: int = 500
    robust_steps: int = 0
    l1: float = 1.0
    r1: float = 0.1
    weight: float = 500.0
    every: int = 3
    eps: float = 2.5
    n_seeds: int = 2
    batch: int = 8
    lr: float = 1e-3
    s: int = 8
    n_images: int = 1200
    seed: int = 0


@dataclass(frozen=True)
class SuperResolutionTraining:
    """L1 to the source, nothing else.

    Attributes:
        steps, batch, lr: of Adam.
        s: width of the U-Net.
        n_images: drawn from the archive's train part.
        seed: of everything drawn.
    """

    steps: int = 400
    batch: int = 8
    lr: float = 1e-3
    s: int = 8
    n_images: int = 1200
    seed: int = 0


Module = TypeVar("Module", bound=nn.Module)


def cached(cache: Path, name: str, settings: Any, make: Callable[[], Module], train: Callable[[], nn.Module]) -> Module:
    """The network of that name and settings in eval mode: from the cache's file, or trained and put there.

    Args:
        cache: the folder; a file's name carries a digest of the settings, so that other settings never meet it.
        name: of the network.
        settings: a dataclass with all that decides what is trained, save the code.
        make: the untrained network.
        train: the trained one.
    """
    digest = hashlib.sha256(json.dumps(asdict(settings)).encode()).hexdigest()[:8]
    path = cache / f"{name}-{digest}.pt"
    state = load_checkpoint(path, "cpu")
    with torch.random.fork_rng(devices=[]):  # weights that are overwritten at once, and trainings that seed globally
        if state is None:
            state = train().state_dict()
            save_checkpoint(path, state)
        network = make()
    network.load_state_dict(state)
    return network.eval()


def bottom_quarter() -> Tensor:
    """(64, 1) bool: what is observed in the paper's inpainting."""
    return torch.arange(SIDE)[:, None] >= SIDE * 3 // 4


def inpainter(s: int) -> Consistent:
    """The paper's stochastic U-Net, with batch normalisation; observed pixels are put in place."""
    return Consistent(UNet(s), InpaintingProjector(bottom_quarter()))


class Enlarging(nn.Module):
    """``G(y)``: the nearest-neighbour enlargement of y through a deterministic U-Net without normalisation."""

    def __init__(self, s: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.unet = UNet(s, stochastic=False, norm=False)
        for layer in self.unet.modules():  # with torch's own initial law the signal fades over so many layers
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(self.unet.last.weight)  # starts as the plain enlargement: from noise, L1 would kill the ReLUs

    def forward(self, y: Tensor) -> Tensor:
        """(B, 3, h, w) -> (B, 3, scale * h, scale * w), both multiples of 16."""
        large = interpolate(y, scale_factor=self.scale)
        x_hat: Tensor = self.unet(large, self.unet.sample_z(large))
        return x_hat


def super_resolver(s: int, scale: int = 4) -> Consistent:
    """A deterministic super-resolver whose outputs have y as their block means."""
    return Consistent(Enlarging(s, scale), BlockAverageProjector(scale))


def critic(width: int = 16) -> nn.Sequential:
    """(B, 3, 64, 64) -> (B, 1): strided convolutions."""
    layers: list[nn.Module] = []
    n_in = 3
    for n_out in (width, 2 * width, 4 * width, 4 * width):
        layers += [nn.Conv2d(n_in, n_out, 4, 2, 1), nn.LeakyReLU(0.2)]
        n_in = n_out
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(n_in * (SIDE // 16) ** 2, 1))


def train_inpainter(config: InpaintingTraining, images: Tensor) -> Consistent:
    """An inpainting GAN on ``(N, 3, 64, 64)`` images, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        G, C = inpainter(config.s), critic()
    generator = torch.Generator().manual_seed(config.seed)
    optimizers = [torch.optim.Adam(net.parameters(), config.lr, betas=(0.5, 0.99)) for net in (G, C)]

    def batch() -> tuple[Tensor, Tensor]:
        x = images[torch.randint(len(images), (config.batch,), generator=generator)]
        return x, x.where(bottom_quarter(), 0)

    for step in range(config.steps + config.robust_steps):
        x, y = batch()
        with torch.no_grad():
            generated = G(y, G.sample_z(y, generator))
        penalty, real_logits = r1_penalty(C, batch()[0])
        _descend(optimizers[1], critic_loss(real_logits, C(generated)) + config.r1 * penalty)
        x_hat = G(y, G.sample_z(y, generator))
        loss = estimator_loss(C(x_hat)) + config.l1 * l1_loss(x_hat, x)
        if step >= config.steps and step % config.every == config.every - 1:
            # The paper's attack by name: the network must not change with the library's default.
            robustness = robustness_loss(G, y, config.eps, config.n_seeds, attack=PAPER, generator=generator)
            loss = loss + config.weight * robustness
        _descend(optimizers[0], loss)
    return G.eval()


def train_super_resolver(config: SuperResolutionTraining, images: Tensor) -> Consistent:
    """A super-resolver on ``(N, 3, 64, 64)`` images, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        G = super_resolver(config.s)
    generator = torch.Generator().manual_seed(config.seed)
    optimizer = torch.optim.Adam(G.parameters(), config.lr)
    for _ in range(config.steps):
        x = images[torch.randint(len(images), (config.batch,), generator=generator)]
        _descend(optimizer, l1_loss(G(G.projector.D(x)), x))
    return G.eval()


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
