"""Table 1's row for a digit GAN, on validation digits and raw pixels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reference_experiments.digits.data import observed
from reference_experiments.digits.training import restore
from stochrobust import (
    EVALUATION,
    PAPER,
    Consistent,
    InpaintingProjector,
    PerPixelStd,
    adversarial_input_psnr,
    consistency_psnr,
    precision_recall,
    robustness_psnr,
    sensitivity,
    summarize_psnr,
)

COMPARED = (
    "the validation digits with one restoration of each, the mean of several draws of the seeds; Fréchet distance, "
    "precision and recall (k = 3) are of raw pixels, not of features; the per-pixel std is the mean over all pixels, "
    "the observed ones included"
)


@dataclass(frozen=True)
class Protocol:
    """How many draws the numbers come from.

    Attributes:
        n_draws: of the whole validation set, for the distance, precision and recall.
        n_samples: per input, for the per-pixel std (the paper: 32).
        n_seeds: per input, to choose an attack, and again fresh ones to score it.
    """

    n_draws: int = 5
    n_samples: int = 32
    n_seeds: int = 8


def raw_pixel_frechet(*, real: Tensor, generated: Tensor) -> float:
    """``||m_r - m_g||^2 + tr(C_r + C_g - 2 (C_r^1/2 C_g C_r^1/2)^1/2)`` of raw pixels, no features: not an FID."""
    real, generated = real.double(), generated.double()
    values, vectors = torch.linalg.eigh(real.T.cov())
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ generated.T.cov() @ root).clamp(min=0).sqrt().sum()
    offset = (real.mean(0) - generated.mean(0)).square().sum()
    return float(offset + values.sum() + generated.var(0).sum() - 2 * cross)


def realism(real: Tensor, draws: list[Tensor]) -> dict[str, float]:
    """Fréchet distance, precision and recall of several sets of outputs, averaged."""
    manifolds = [precision_recall(real=real, generated=draw) for draw in draws]
    return {
        "frechet": sum(raw_pixel_frechet(real=real, generated=draw) for draw in draws) / len(draws),
        "precision": sum(manifold.precision for manifold in manifolds) / len(draws),
        "recall": sum(manifold.recall for manifold in manifolds) / len(draws),
    }


@torch.no_grad()
def std_map(G: Consistent, y: Tensor, n_samples: int, generator: torch.Generator) -> PerPixelStd:
    """The spread of the outputs at each y."""
    spread = PerPixelStd()
    for _ in range(n_samples):
        spread.update(restore(G, y, generator))
    return spread


@torch.no_grad()
def robustness(G: Consistent, y: Tensor, eps: float, n_seeds: int, generator: torch.Generator) -> dict[str, float]:
    """Eq. 9 under the paper's attack and under the stronger one, and how small the attacks are (AI-PSNR), in dB."""
    sample_z = getattr(G, "sample_z", None)
    n_seeds = 1 if sample_z is None else n_seeds
    rows = y.repeat_interleave(n_seeds, 0)
    found: dict[str, float] = {}
    for name, attack in (("paper", PAPER), ("evaluation", EVALUATION)):
        delta = sensitivity(G, y, eps, n_seeds, attack=attack, generator=generator).delta
        z = () if sample_z is None else (sample_z(rows, generator),)  # fresh seeds: they did not choose delta
        clean, attacked = G(rows, *z), G(rows + delta.repeat_interleave(n_seeds, 0), *z)
        found[f"robustness_{name}"] = summarize_psnr(robustness_psnr(clean, attacked, n_seeds=n_seeds)).mean
        found[f"ai_psnr_{name}"] = summarize_psnr(adversarial_input_psnr(y, delta)).mean
    return found


@torch.no_grad()
def measure(G: Consistent, x: Tensor, eps: float, protocol: Protocol, seed: int) -> dict[str, float]:
    """Table 1's row.

    Args:
        G: the estimator, in eval mode.
        x: (N, 64) validation digits.
        eps: radius of the attacks.
        protocol: numbers of draws.
        seed: of all seeds drawn.
    """
    generator = torch.Generator().manual_seed(seed)
    mask = observed()
    y = x.where(mask, 0)
    draws = [restore(G, y, generator) for _ in range(protocol.n_draws)]
    consistency = consistency_psnr(draws[0], y, InpaintingProjector(mask)).raw
    return {
        **realism(x, draws),
        "std": float(std_map(G, y, protocol.n_samples, generator).compute().mean()),
        **robustness(G, y, eps, protocol.n_seeds, generator),
        "consistency": summarize_psnr(consistency).mean,
    }
