"""Restorers of what y hides: a diffusion sampler, the posterior mean's regressor, and the exact posterior sampler.

They work on the hidden part u alone, in about [-1, 1], given what is known.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from reference_experiments.digits.data import N_PIXELS, observed
from reference_experiments.toy.data import half_height
from stochrobust import Consistent, HiddenNoise, InpaintingProjector

WAVES = 8  # sines, and as many cosines, by which the denoiser reads the time


def network(fan_in: int, width: int, fan_out: int) -> nn.Sequential:
    """Three hidden layers with SiLU."""
    layers: list[nn.Module] = []
    for size in (fan_in, width, width):
        layers += [nn.Linear(size, width), nn.SiLU()]
    return nn.Sequential(*layers, nn.Linear(width, fan_out))


class Denoiser(nn.Module):
    """``v(x_t, y, t)``, the velocity ``alpha n - sigma u`` of ``x_t = alpha u + sigma n``, from which u and n follow.

    ``alpha = cos(pi t / 2)``, ``sigma = sin(pi t / 2)``, t from 0 (data) to 1 (noise).
    """

    def __init__(self, n_hidden: int, n_known: int, width: int) -> None:
        super().__init__()
        self.n_hidden = n_hidden
        self.network = network(n_hidden + n_known + 2 * WAVES, width, n_hidden)

    def forward(self, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        """(N, n_hidden), (N, n_known), (N, 1) -> (N, n_hidden)."""
        phase = math.pi * t * torch.arange(1, WAVES + 1, dtype=t.dtype)
        output: Tensor = self.network(torch.cat([x, y, phase.sin(), phase.cos()], 1))
        return output


class DiffusionSampler(nn.Module):
    """``G(y, z)``: from noise to u in so many steps, each of which but the last adds fresh noise (DDIM with eta = 1).

    The seed z is all the noise of a restoration, one (N, n_hidden) tensor per step.

    Args:
        denoiser: a trained one.
        steps: network passes.
        recompute: checkpoint every step: keep only what goes into it, and compute it again for the gradient.
    """

    def __init__(self, denoiser: Denoiser, steps: int, recompute: bool = False) -> None:
        super().__init__()
        self.denoiser, self.steps, self.recompute = denoiser, steps, recompute

    def draw(self, y: Tensor, generator: torch.Generator | None) -> Tensor:
        """The noise of one step."""
        return torch.randn(len(y), self.denoiser.n_hidden, dtype=y.dtype, generator=generator)

    def sample_z(self, y: Tensor, generator: torch.Generator | None) -> tuple[Tensor, ...]:
        """The noise of all steps."""
        return tuple(self.draw(y, generator) for _ in range(self.steps))

    def forward(self, y: Tensor, z: tuple[Tensor, ...]) -> Tensor:
        """(N, n_known) -> (N, n_hidden)."""
        return self.walk(y, iter(z))

    def walk(self, y: Tensor, noise: Iterator[Tensor]) -> Tensor:
        """The sampler, with noise that is taken when it is needed."""
        x = next(noise)
        for step in range(self.steps, 0, -1):
            fresh = next(noise) if step > 1 else None
            if self.recompute:
                x = checkpoint(self.step, x, y, fresh, step, use_reentrant=False)
            else:
                x = self.step(x, y, fresh, step)
        return x

    def step(self, x: Tensor, y: Tensor, fresh: Tensor | None, step: int) -> Tensor:
        """From time ``step / steps`` to the one before (Song, Meng and Ermon, 2021, Eq. 12 and 16)."""
        now, then = (math.pi / 2 * at / self.steps for at in (step, step - 1))
        velocity: Tensor = self.denoiser(x, y, x.new_full((len(x), 1), step / self.steps))
        u = math.cos(now) * x - math.sin(now) * velocity
        if fresh is None:
            return u
        noise = math.sin(now) * x + math.cos(now) * velocity
        added = math.sin(then) / math.sin(now) * math.sqrt(1 - (math.cos(now) / math.cos(then)) ** 2)
        kept = math.sqrt(max(math.sin(then) ** 2 - added**2, 0.0))
        return math.cos(then) * u + kept * noise + added * fresh


class HiddenSampler(nn.Module):
    """``G(y)``: the same sampler, drawing its noise step by step from a generator of its own."""

    def __init__(self, sampler: DiffusionSampler, generator: torch.Generator) -> None:
        super().__init__()
        self.sampler, self.generator = sampler, generator

    def forward(self, y: Tensor) -> Tensor:
        """(N, n_known) -> (N, n_hidden)."""
        return self.sampler.walk(y, (self.sampler.draw(y, self.generator) for _ in range(self.sampler.steps)))


def hidden(sampler: DiffusionSampler, generator: torch.Generator) -> HiddenNoise:
    """The sampler with its noise inside, as the library takes it."""
    return HiddenNoise(HiddenSampler(sampler, generator), generator)


class Digit(nn.Module):
    """A restorer of the hidden pixels as one of digits: it reads the observed pixels, and fills in the others."""

    def __init__(self, G: nn.Module) -> None:
        super().__init__()
        self.G = G
        if hasattr(G, "sample_z"):
            self.sample_z = self.draw

    def draw(self, y: Tensor, generator: torch.Generator | None) -> object:
        """The seeds of the restorer within."""
        return self.G.sample_z(y, generator)  # type: ignore[operator]

    def forward(self, y: Tensor, *z: object) -> Tensor:
        """(N, 64) -> (N, 64) in [0, 1], zero where observed."""
        known = observed()
        pixels = ((self.G(y[:, known], *z) + 1) / 2).clamp(0, 1)
        return y.new_zeros(len(y), N_PIXELS).index_copy(1, (~known).nonzero()[:, 0], pixels)


def consistent_digit(G: nn.Module) -> Consistent:
    """A restorer of whole digits that keeps the observed pixels, from one of the hidden ones."""
    return Consistent(Digit(G), InpaintingProjector(observed()))


class MeanOf(nn.Module):
    """The mean of an estimator's outputs at a few seeds, the same for every y: an estimate of the posterior mean."""

    def __init__(self, G: Consistent, n_seeds: int, seed: int) -> None:
        super().__init__()
        self.G, self.n_seeds = G, n_seeds
        like = torch.zeros(n_seeds, N_PIXELS)
        self.z: tuple[Tensor, ...] = G.sample_z(like, torch.Generator().manual_seed(seed))

    def forward(self, y: Tensor) -> Tensor:
        """(N, 64) -> (N, 64)."""
        z = tuple(noise.repeat(len(y), 1) for noise in self.z)
        samples: Tensor = self.G(y.repeat_interleave(self.n_seeds, 0), z)
        return samples.reshape(len(y), self.n_seeds, -1).mean(1)


def restored(G: nn.Module, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """One output per input, each with a seed of its own where the estimator takes one."""
    sample_z = getattr(G, "sample_z", None)
    output: Tensor = G(y) if sample_z is None else G(y, sample_z(y, generator))
    return output


class DiskPosterior(nn.Module):
    """The posterior sampler on the disk, ``x_2 = sqrt(1 - y^2) (2 z - 1)`` with uniform z (Theorem 1)."""

    def sample_z(self, y: Tensor, generator: torch.Generator | None) -> Tensor:
        """(N, 1) uniform seeds."""
        return torch.rand(y.shape, dtype=y.dtype, generator=generator)

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        """(N, 1) -> (N, 1)."""
        return half_height(y) * (2 * z - 1)


class DiskMean(nn.Module):
    """The posterior mean on the disk, 0 everywhere (App. B.2)."""

    def forward(self, y: Tensor) -> Tensor:
        """(N, 1) -> (N, 1)."""
        return 0 * y
