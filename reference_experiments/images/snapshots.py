"""A look at a model in training: a few restorations, how much they vary, how far an attack moves them."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from reference_experiments.images.settings import Training
from stochrobust import (
    TRAINING,
    AttackWarning,
    Consistent,
    PerPixelStd,
    SampleKeys,
    robustness_psnr,
    sensitivity,
    summarize_psnr,
)

N_SAMPLES = 8


@torch.no_grad()
def snapshot(G: Consistent, y: Tensor, settings: Training) -> tuple[dict[str, float], Tensor]:
    """Per-pixel std, Eq. 9 under the library's training attack, and a picture; the same seeds every time.

    Args:
        G: the estimator; left in the mode it is in.
        y: (B, C, h, w) inputs.
        settings: of the training.

    Returns:
        The numbers; the picture, with a column per input: y, two outputs, the std, the output at the attacked input.
    """
    training = G.training
    G.eval()
    try:
        spread, samples = PerPixelStd(), []
        generator = torch.Generator(y.device).manual_seed(settings.seed)
        for _ in range(N_SAMPLES):
            samples.append(G(y, G.sample_z(y, generator)))
            spread.update(samples[-1])
        with warnings.catch_warnings():  # a model in training may well ignore its seeds or y
            warnings.simplefilter("ignore", AttackWarning)
            delta = sensitivity(
                G, y, settings.restoration.eps, 1, attack=TRAINING, generator=SampleKeys(range(len(y)), settings.seed)
            ).delta
        z = G.sample_z(y, generator)
        clean, attacked = G(y, z), G(y + delta, z)
    finally:
        G.train(training)
    std = spread.map()
    numbers = {
        "std": float(std.mean()),
        "robustness_db": summarize_psnr(robustness_psnr(clean, attacked)).mean,
    }
    rows = [_enlarged(y, settings.size), samples[0], samples[1], 4 * std, attacked]
    return numbers, picture(rows)


def picture(rows: list[Tensor]) -> Tensor:
    """Rows of (B, C, H, W) images as one (3, n_rows * H, B * W) picture in [0, 1]."""
    lines = [torch.cat(list(row.clamp(0, 1).expand(-1, 3, -1, -1)), -1) for row in rows]
    return torch.cat(lines, -2)


def _enlarged(y: Tensor, size: int) -> Tensor:
    return y.repeat_interleave(size // y.shape[-1], -1).repeat_interleave(size // y.shape[-1], -2)
