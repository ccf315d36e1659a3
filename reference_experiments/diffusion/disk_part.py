"""The toy disk, X_2 given Y: a diffusion sampler and a regressor beside the exact posterior's sampler and mean.

y is a number, so that the true maxima of Eq. 6 and 4 are found by trying every delta of a grid.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from reference_experiments.diffusion.models import (
    Denoiser,
    DiffusionSampler,
    DiskMean,
    DiskPosterior,
    network,
    restored,
)
from reference_experiments.diffusion.training import FitConfig, Fitted, disk_pairs, fit, regression_loss, velocity_loss
from reference_experiments.toy.data import disk, half_height
from reference_experiments.toy.evaluation import maxima, quality
from stochrobust import EVALUATION, PGD, SphereAscent, sensitivity, w2_sensitivity, w2_squared

DIFFUSION, REGRESSOR = "Diffusion", "Posterior mean (regressor)"
SAMPLER, MEAN = "Posterior sampler (exact)", "Posterior mean (exact)"
STORED = Path(__file__).parents[1] / "results" / "toy-quick" / "results.json"


@dataclass(frozen=True)
class DiskPart:
    """How the disk's models are made and measured.

    Attributes:
        denoiser, regressor: how they are fitted, on ``n_train`` points.
        sampler_steps: of the diffusion sampler.
        eps: radius of the attacks (Table 3's).
        n_inputs, n_seeds: of the true maxima; all inputs get the same seeds.
        attacked_inputs, attacked_seeds: of those on which the library's attack is held against the true maxima.
        n_draws: of 1000 outputs, for precision and recall.
        attack: of the library.
    """

    denoiser: FitConfig
    regressor: FitConfig
    n_train: int = 100_000
    sampler_steps: int = 25
    eps: float = 1e-3
    n_inputs: int = 100
    n_seeds: int = 64
    attacked_inputs: int = 20
    attacked_seeds: int = 16
    n_draws: int = 5
    attack: PGD | SphereAscent = EVALUATION


def run(part: DiskPart, seed: int) -> tuple[dict[str, Any], dict[str, nn.Module]]:
    """All models, trained and measured: what is stored, and the models for the figure."""
    sampler, regressor, fitted = train_ours(part, seed)
    models = {DIFFUSION: sampler, SAMPLER: DiskPosterior(), REGRESSOR: regressor, MEAN: DiskMean()}
    rows = {name: measure(G, part, seed) for name, G in models.items()}
    rows |= stored_gans(part.eps)
    stored = {
        "rows": rows,
        "posterior_w2": posterior_w2(inputs(part, seed), part.eps),
        "fits": {name: found._asdict() for name, found in fitted.items()},
        "eps": part.eps,
    }
    return stored, models


def train_ours(part: DiskPart, seed: int) -> tuple[DiffusionSampler, nn.Module, dict[str, Fitted]]:
    """The diffusion sampler, the regressor, and how their fits went."""
    generator = torch.Generator().manual_seed(seed)
    train, held_out = disk_pairs(part.n_train, generator), disk_pairs(min(part.n_train, 10_000), generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        denoiser, regressor = Denoiser(1, 1, part.denoiser.width), network(1, part.regressor.width, 1)
    fitted = {
        DIFFUSION: fit(denoiser, velocity_loss, train, held_out, part.denoiser, seed),
        REGRESSOR: fit(regressor, regression_loss, train, held_out, part.regressor, seed),
    }
    return DiffusionSampler(denoiser, part.sampler_steps).eval().double(), regressor.double(), fitted


def inputs(part: DiskPart, seed: int) -> Tensor:
    """The y at which everything is measured, (n_inputs,) float64."""
    return disk(part.n_inputs, torch.Generator().manual_seed(seed))[:, 0].double()


@torch.no_grad()
def measure(G: nn.Module, part: DiskPart, seed: int) -> dict[str, float]:
    """One model's row: Eq. 7 and 5 by exhaustive search, not squared, and what the law of its outputs is like."""
    y, generator = inputs(part, seed), torch.Generator().manual_seed(seed + 1)
    draws = conditional(G, common_seeds(G, part.n_seeds, generator))
    true, at_y = maxima(draws, y, part.eps), draws(y)
    return {
        "same_seed": true.same_seed,
        "w2": true.w2,
        "std": float(at_y.std(1).mean()) if at_y.shape[1] > 1 else 0.0,
        "mean": float(at_y.mean(1).square().mean().sqrt()),
        "to_posterior": math.sqrt(float(w2_squared(at_y[..., None], exact_posterior(y)[..., None]).mean())),
        **quality(lambda g: _estimates(G, g), disk, generator, part.n_draws),
        **attacked(G, y[: part.attacked_inputs], part, generator),
    }


def attacked(G: nn.Module, y: Tensor, part: DiskPart, generator: torch.Generator) -> dict[str, float]:
    """What the library's attack finds of the true maxima, as a share (of the roots), at the same seeds."""
    seeds = common_seeds(G, part.attacked_seeds, generator)
    true = maxima(conditional(G, seeds), y, part.eps)
    if true.same_seed == 0:
        return {}
    n_seeds = 1 if seeds is None else part.attacked_seeds
    z = tree_repeat(seeds, len(y))
    problem = (G, y[:, None], part.eps, n_seeds)
    options: dict[str, Any] = {"z": z, "attack": part.attack, "generator": generator}
    found = sensitivity(*problem, **options).in_sample
    moved = w2_sensitivity(*problem, **options).in_sample
    return {
        "attack_same_seed": float(found.mean().sqrt()) / true.same_seed,
        "attack_w2": float(moved.mean().sqrt()) / true.w2,
    }


Seeds = Tensor | tuple[Tensor, ...] | None


def common_seeds(G: nn.Module, n_seeds: int, generator: torch.Generator) -> Seeds:
    """Seeds that every input gets; None where G takes none."""
    sample_z = getattr(G, "sample_z", None)
    seeds: Seeds = None if sample_z is None else sample_z(torch.zeros(n_seeds, 1, dtype=torch.float64), generator)
    return seeds


def tree_repeat(seeds: Seeds, n: int) -> Seeds:
    """The seeds, (S, ...), n times over: (n * S, ...)."""
    if isinstance(seeds, tuple):
        return tuple(noise.repeat(n, 1) for noise in seeds)
    return None if seeds is None else seeds.repeat(n, 1)


def conditional(G: nn.Module, seeds: Seeds) -> Callable[[Tensor], Tensor]:
    """``draws(y)``, (n,) -> (n, S), with the same S seeds for every y and at every call; S = 1 if G takes none."""

    def draws(y: Tensor) -> Tensor:
        z = tree_repeat(seeds, len(y))
        x_2: Tensor = G(y[:, None]) if z is None else G(y.repeat_interleave(_length(seeds))[:, None], z)
        return x_2.reshape(len(y), -1)

    return draws


def _length(seeds: Seeds) -> int:
    return len(seeds[0]) if isinstance(seeds, tuple) else 0 if seeds is None else len(seeds)


def exact_posterior(y: Tensor, n: int = 200) -> Tensor:
    """Midpoints of equal shares of the posterior at each y, (n_inputs, n)."""
    middle = (torch.arange(n, dtype=y.dtype) + 0.5) / n
    return half_height(y)[:, None] * (2 * middle - 1)


def posterior_w2(y: Tensor, eps: float) -> float:
    """The root of Eq. 5 of the posterior itself, ``max |c(y + delta) - c(y)| / sqrt(3)`` with ``c = sqrt(1 - y^2)``."""
    shift = torch.maximum(*((half_height(y + sign * eps) - half_height(y)).abs() for sign in (-1, 1)))
    return float((shift.square() / 3).mean().sqrt())


def stored_gans(eps: float) -> dict[str, dict[str, float]]:
    """The toy study's GANs as its own run measured them, means over training seeds; none at another radius."""
    if not STORED.exists():
        return {}
    study = json.loads(STORED.read_text())
    if study["settings"]["base"]["eps"] != eps:
        return {}
    names = ("same_seed", "w2", "std", "precision", "recall")
    return {
        f"{gan} (stored)": {name: fmean(model[name] for model in found["models"]) for name in names}
        for gan, found in study["gans"].items()
    }


def _estimates(G: nn.Module, generator: torch.Generator) -> Tensor:
    """1000 estimates (y, x_2)."""
    y = disk(1000, generator)[:, :1].double()
    return torch.cat([y, restored(G, y, generator)], 1).float()
