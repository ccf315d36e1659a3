"""What one model shows at some inputs: samples, where they differ, and what becomes of the first under attack."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from reference_experiments.images.measuring import Measuring
from reference_experiments.images.restorer import Restorer
from stochrobust import EVALUATION, AttackWarning, InpaintingProjector, PerPixelStd, SampleKeys, psnr, sensitivity

N_SHOWN = 4
"""Samples of each input, as in the paper's Figure 1."""
UNKNOWN = (0.55, 0.67, 0.85)
"""The colour of pixels that are not observed."""


@dataclass(frozen=True)
class Pictures:
    """Of one model, at B inputs.

    Attributes:
        samples: (N_SHOWN, B, C, H, W) outputs, each with a seed of its own.
        std: (B, H, W), over more samples, the mean over channels.
        attacked_input: (B, C', H, W), as shown; see :func:`shown`.
        attacked: (B, C, H, W) the outputs there, with the seed of the first sample.
        decibels: (B,) PSNR between those and the first sample.
    """

    samples: Tensor
    std: Tensor
    attacked_input: Tensor
    attacked: Tensor
    decibels: Tensor


@torch.no_grad()
def pictures(restorer: Restorer, x: Tensor, ids: list[int], measuring: Measuring) -> Pictures:
    """Pictures of a model.

    Args:
        restorer: the model.
        x: (B, C, H, W) images in [0, 1].
        ids: which images of the set they are: what their seeds belong to.
        measuring: settings; of them ``n_samples``, ``n_seeds``, ``seed`` and ``batch``.
    """
    y = restorer.projector.D(x)
    with restorer.evaluating():
        spread, samples = PerPixelStd(), []
        for s in range(max(N_SHOWN, measuring.n_samples)):
            x_hat = restorer.outputs(y, restorer.seeds(y, ids, measuring.seed, 1, s), measuring.batch)
            spread.update(x_hat)
            if s < N_SHOWN:
                samples.append(x_hat)
        with warnings.catch_warnings():  # an erratic restorer may well ignore its seeds
            warnings.simplefilter("ignore", AttackWarning)
            delta = sensitivity(
                restorer.G, y, restorer.eps, measuring.n_seeds if restorer.stochastic else 1, attack=EVALUATION,
                generator=SampleKeys(ids, measuring.seed), max_batch=measuring.batch,
            ).delta  # fmt: skip
        attacked = restorer.outputs(y + delta, restorer.seeds(y, ids, measuring.seed, 1, 0), measuring.batch)
    return Pictures(
        torch.stack(samples).clamp(0, 1).cpu(),
        spread.map().mean(1).cpu(),
        shown(restorer, y + delta, x.shape[-1]).cpu(),
        attacked.clamp(0, 1).cpu(),
        psnr(samples[0], attacked).cpu(),
    )


def shown(restorer: Restorer, y: Tensor, size: int) -> Tensor:
    """Inputs as one looks at them: enlarged to that size; in colour, and blue, where pixels are not observed."""
    if not isinstance(restorer.projector, InpaintingProjector):
        return interpolate(y, size=size, mode="nearest").clamp(0, 1)
    colour = torch.tensor(UNKNOWN, device=y.device, dtype=y.dtype)[:, None, None]
    coloured = y.expand(-1, 3, -1, -1)
    return torch.where(restorer.projector.mask, coloured, coloured + colour).clamp(0, 1)
