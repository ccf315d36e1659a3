"""A look at a flow in training, always at the same images with the same seeds: numbers and a picture."""

from __future__ import annotations

import torch
from torch import Tensor

from reference_experiments.data.sr_benchmarks import Pair
from reference_experiments.images.snapshots import picture
from reference_experiments.networks.flow_network import ExplodedInverse
from reference_experiments.networks.srflow import SRFlow, bits_per_pixel
from reference_experiments.srflow.bicubic import degradation, enlarged
from reference_experiments.srflow.sharpness import sharpness
from stochrobust import consistency_psnr, per_pixel_std, psnr, summarize_psnr

N_EXAMPLES = 8
N_SAMPLES = 8
N_SHOWN = 2


@torch.no_grad()
def look(G: SRFlow, pair: Pair, seed: int = 0) -> tuple[dict[str, float], Tensor]:
    """What the flow makes of validation images at its own heat.

    Args:
        G: left in the mode it is in.
        pair: (B, 3, H, W) and (B, 3, H / 4, W / 4).
        seed: of what is drawn.

    Returns:
        ``validation_bits_per_pixel``; ``exploded``, the draws of which one image's inverse was not finite, and of the
        others ``lr_psnr`` (8 bits, dB), ``diversity`` (per-pixel std), ``sharpness`` (1: as much as x has; beside it
        ``sharpness_bicubic``) and ``psnr`` (dB). The picture has an image's input, outputs and source in a column.
    """
    x, y = pair
    training = G.training
    G.eval()
    try:
        bits = bits_per_pixel(G.encode(x, y).log_likelihood, *x.shape[-2:]).mean()
        samples = drawn(G, y, seed)
    finally:
        G.train(training)
    numbers = {"validation_bits_per_pixel": float(bits), "exploded": float(N_SAMPLES - len(samples))}
    if len(samples) > 1:
        numbers |= numbers_of(samples, pair)
    return numbers, picture([enlarged(y), *samples[:N_SHOWN], x])


def drawn(G: SRFlow, y: Tensor, seed: int) -> list[Tensor]:
    """Outputs at :data:`N_SAMPLES` seeds, without those that exploded."""
    generator = torch.Generator(y.device).manual_seed(seed)
    samples = []
    for _ in range(N_SAMPLES):
        z = G.sample_z(y, generator)
        try:
            samples.append(G(y, z))
        except ExplodedInverse:
            continue
    return samples


def numbers_of(samples: list[Tensor], pair: Pair) -> dict[str, float]:
    """Means over images and samples; see :func:`look`."""
    x, y = pair
    projector = degradation(*x.shape[-2:]).to(x.device)
    outputs = torch.cat(samples)
    in_order = torch.stack(samples, 1).flatten(0, 1)
    sources, inputs = (image.repeat(len(samples), 1, 1, 1) for image in (x, y))
    return {
        "lr_psnr": summarize_psnr(consistency_psnr(outputs, inputs, projector).rounded).mean,
        "diversity": float(per_pixel_std(in_order, len(samples)).mean()),
        "sharpness": float(sharpness(outputs, sources).mean()),
        "sharpness_bicubic": float(sharpness(enlarged(y), x).mean()),
        "psnr": summarize_psnr(psnr(outputs.clamp(0, 1), sources)).mean,
    }
