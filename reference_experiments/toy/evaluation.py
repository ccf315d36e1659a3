"""Measuring toy estimators: precision and recall, and both sides of Appendix D's inequality to any accuracy.

y is a number and, given y, so is the output: the inner maximum is a search over a line, and W2 between conditional
laws is a sort. Rows of y and of the estimator's output are (n, 1); conditional draws are (n, S).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from reference_experiments.toy.data import disk, sine_estimator
from reference_experiments.toy.training import ToyEstimator
from stochrobust import EVALUATION, PAPER_TOY, precision_recall, sensitivity, w2_squared

Conditional = Callable[[Tensor], Tensor]
"""``draws(y) -> x_2``: (n,) inputs to (n, S) outputs, one column per seed, the same seeds at every call."""


@dataclass(frozen=True)
class Maxima:
    """Square roots of the mean over y of Eq. 6 and Eq. 4 at their true maxima, in units of x_2.

    Attributes:
        same_seed: ``sqrt(E max_delta E_z |G(y, z) - G(y + delta, z)|^2)``, the root of Eq. 7.
        w2: ``sqrt(E max_delta W2^2)``, the root of Eq. 5.
    """

    same_seed: float
    w2: float


def maxima(draws: Conditional, y: Tensor, eps: float, n_deltas: int = 21) -> Maxima:
    """Both sides of Appendix D's inequality, by trying every delta of a grid on [-eps, eps]."""
    clean = draws(y)
    ordered = clean.sort(dim=1).values
    same_seed, w2 = torch.zeros_like(y), torch.zeros_like(y)
    for delta in torch.linspace(-eps, eps, n_deltas, dtype=y.dtype, device=y.device):
        moved = draws(y + delta)
        same_seed = torch.maximum(same_seed, (moved - clean).square().mean(1))
        w2 = torch.maximum(w2, (moved.sort(dim=1).values - ordered).square().mean(1))
    return Maxima(float(same_seed.mean().sqrt()), float(w2.mean().sqrt()))


def quantiles(n_seeds: int, law: str) -> Tensor:
    """Seeds at the midpoints of equal shares of their law: quadrature instead of chance."""
    middle = (torch.arange(n_seeds) + 0.5) / n_seeds
    return middle if law == "uniform" else torch.special.ndtri(middle)


def conditional(estimator: ToyEstimator, z: Tensor | None) -> Conditional:
    """The draws of the only model of an estimator at fixed seeds z, (S,); None for a deterministic one."""

    def draws(y: Tensor) -> Tensor:
        n_seeds = 1 if z is None else len(z)
        rows = y.repeat_interleave(n_seeds)[:, None]
        x_2: Tensor = estimator(rows, None if z is None else z.repeat(len(y))[:, None])
        return x_2.reshape(len(y), n_seeds)

    return draws


def quality(sample: Callable[[torch.Generator], Tensor], real: Callable[[int, torch.Generator], Tensor],
            generator: torch.Generator, n_draws: int, n: int = 1000, k: int = 5) -> dict[str, float]:  # fmt: skip
    """Precision and recall of n outputs against n samples, mean and standard deviation over draws (section 4.2)."""
    found = [precision_recall(real=real(n, generator), generated=sample(generator), k=k) for _ in range(n_draws)]
    pairs = torch.tensor([[result.precision, result.recall] for result in found], dtype=torch.float64)
    mean, std = pairs.mean(0), pairs.std(0)
    return {
        "precision": float(mean[0]), "recall": float(mean[1]),
        "precision_sd": float(std[0]), "recall_sd": float(std[1]),
    }  # fmt: skip


@torch.no_grad()
def evaluate_gan(
    estimator: ToyEstimator, law: str, eps: float, generator: torch.Generator, *,
    n_seeds: int = 50, n_validation: int = 10_000, n_inputs: int = 500, n_draws: int = 10,
) -> dict[str, float]:  # fmt: skip
    """All of one trained model's numbers.

    Args:
        estimator: an estimator of one model.
        law: of its seed.
        eps: radius of the attack.
        generator: source of everything drawn.
        n_seeds: seeds per input, where the estimator takes any.
        n_validation: inputs of the 4-step attack (the paper: 10,000).
        n_inputs: inputs of the exhaustive search and of the strong attack.
        n_draws: draws of 1000 outputs for precision and recall.
    """
    stochastic = estimator.sample_z is not None
    y = disk(n_validation, generator)[:, :1]
    attacked = sensitivity(
        estimator, y, eps, n_seeds if stochastic else 1, attack=PAPER_TOY, generator=generator, max_batch=25_000
    )
    few = y[:n_inputs, 0]
    strong = sensitivity(
        estimator, y[:n_inputs], eps, n_seeds if stochastic else 1, attack=EVALUATION, generator=generator
    )
    z = quantiles(n_seeds, law) if stochastic else None
    draws = conditional(estimator, z)
    found = maxima(draws, few, eps)
    share = quality(
        lambda g: estimator.restore(disk(1000, g)[:, :1], g), disk, generator, n_draws
    )  # fmt: skip
    return {
        "attack": float(attacked.in_sample.mean().sqrt()),
        "attack_on_few": float(attacked.in_sample[:n_inputs].mean().sqrt()),
        "strong_on_few": float(strong.in_sample.mean().sqrt()),
        "same_seed": found.same_seed,
        "w2": found.w2,
        "std": float(draws(few).std(1).mean()) if stochastic else 0.0,
        **share,
    }


def evaluate_sine(alpha: float, eps: float, generator: torch.Generator, n_draws: int) -> dict[str, float]:
    """The hand-made estimators of section 4: exact sensitivity, precision and recall, distance to the disk."""
    y = disk(10_000, generator)[:, 0].double()
    found = maxima(lambda at: sine_estimator(at, alpha)[:, 1:], y, eps, 41)
    share = quality(lambda g: sine_estimator(disk(1000, g)[:, 0], alpha), disk, generator, n_draws)
    x_hat = sine_estimator(disk(1000, generator)[:, 0], alpha)
    return {"same_seed": found.same_seed, "w2_to_data": distance(disk(1000, generator), x_hat), **share}


def distance(a: Tensor, b: Tensor) -> float:
    """``W2^2`` between two samples of one size, exact."""
    return float(w2_squared(a[None].double(), b[None].double()))
