"""What is measured of each image: its outputs' spread, distortion and features, and how far attacks move them."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from reference_experiments.images.measuring import Measuring, coloured
from reference_experiments.images.restorer import Degradation, Restorer
from stochrobust import (
    EVALUATION,
    L2,
    PAPER,
    AdamAscent,
    AttackWarning,
    FeatureExtractor,
    InpaintingProjector,
    PerPixelStd,
    SampleKeys,
    SphereAscent,
    adversarial_input_psnr,
    consistency_psnr,
    extract_features,
    psnr,
    robustness_psnr,
    sensitivity,
)

Numbers = dict[str, Tensor]
Attack = AdamAscent | SphereAscent
ATTACKS: dict[str, Attack] = {"paper": PAPER, "evaluation": EVALUATION}
FEW = 2
"""Images that a processor makes features of at once: 224 x 224 pixels of 64 images cost it 3 times as much an image."""


def feature_rows(images: Tensor, measuring: Measuring, extractor: FeatureExtractor) -> Tensor:
    """(B, d) features of (B, C, H, W) images in [0, 1]."""
    size = min(measuring.batch, FEW) if images.device.type == "cpu" else measuring.batch
    return extract_features(coloured(images, measuring.extractor), extractor, batch_size=size).values


@torch.no_grad()
def of_outputs(
    restorer: Restorer, x: Tensor, ids: list[int], measuring: Measuring, extractor: FeatureExtractor
) -> Numbers:
    """Numbers of the outputs at the degraded x: sample after sample, of which none is kept.

    Args:
        restorer: in evaluation mode.
        x: (B, C, H, W) images in [0, 1].
        ids: which images of the set they are: what their seeds belong to.
        measuring: settings.
        extractor: of the features.

    Returns:
        (B, ...) each: ``std`` and ``std_unobserved``; ``consistency``, raw and of 8 bits, of the first sample;
        ``distortion``, the PSNR to x of the first sample, and of the mean of all; ``features`` (B, n_draws, d).

    Raises:
        ValueError: if a restorer that is said to be deterministic varies.
    """
    y = restorer.projector.D(x)
    n_samples, n_draws = (measuring.n_samples, measuring.n_draws) if restorer.stochastic else (2, 1)
    spread, total, features, numbers = PerPixelStd(), torch.zeros_like(x), [], Numbers()
    for s in range(n_samples):
        x_hat = restorer.outputs(y, restorer.seeds(y, ids, measuring.seed, 1, s), measuring.batch)
        spread.update(x_hat)
        image = x_hat.clamp(0, 1)
        total += image
        if s < n_draws:
            features.append(feature_rows(image, measuring, extractor))
        if s == 0:
            found = consistency_psnr(x_hat, y, restorer.projector)
            numbers = {"consistency": found.raw, "consistency_8bit": found.rounded, "distortion": psnr(image, x)}
        del x_hat, image
    mean, std = (total / n_samples).clamp(0, 1), spread.compute()
    if not restorer.stochastic and bool(std.any()):
        raise ValueError(f"stochastic must be True for a restorer whose outputs vary: {restorer.description}")
    return numbers | {
        "std": std,
        "std_unobserved": spread.compute(unobserved(restorer, x)),
        "distortion_mean": psnr(mean, x),
        "features": torch.stack(features, 1),
    }


def unobserved(restorer: Restorer, x: Tensor) -> Tensor | None:
    """Where y does not fix the output: the masked pixels of inpainting, and all in super-resolution."""
    if not isinstance(restorer.projector, InpaintingProjector):
        return None
    return ~restorer.projector.mask.expand(x.shape)


def attacks_on(projector: Degradation) -> dict[str, tuple[Attack, L2]]:
    """The attacks by name, and where they may move y: its hole is constant, and a network that looks at it is moved."""
    attacks = {name: (attack, L2()) for name, attack in ATTACKS.items()}
    if isinstance(projector, InpaintingProjector) and not bool(projector.mask.all()):
        attacks["observed"] = (EVALUATION, L2(mask=projector.mask))
    return attacks


@torch.no_grad()
def of_attacks(restorer: Restorer, x: Tensor, ids: list[int], measuring: Measuring) -> Numbers:
    """Eq. 9 under the paper's attack, under the strong one and, where y has a hole, under the strong one outside it.

    Args:
        restorer, x, ids, measuring: as in :func:`of_outputs`.

    Returns:
        (B,) each, for each of :func:`attacks_on`: ``robustness``, in dB, on seeds that did not choose the attack;
        ``ai_psnr``; ``stalled``, 1 where the attack had no gradient to climb.
    """
    y = restorer.projector.D(x)
    n_seeds = measuring.n_seeds if restorer.stochastic else 1
    rows = y.repeat_interleave(n_seeds, 0)
    fresh = restorer.seeds(y, ids, measuring.seed, n_seeds, n_seeds)
    clean = restorer.outputs(rows, fresh, measuring.batch)
    numbers = Numbers()
    for name, (attack, ball) in attacks_on(restorer.projector).items():
        with warnings.catch_warnings():  # a restorer may well ignore its seeds: that is what is to be found out
            warnings.simplefilter("ignore", AttackWarning)
            found = sensitivity(
                restorer.G, y, restorer.eps, n_seeds, attack=attack, ball=ball,
                generator=SampleKeys(ids, measuring.seed), max_batch=measuring.batch,
            )  # fmt: skip
        attacked = restorer.outputs(rows + found.delta.repeat_interleave(n_seeds, 0), fresh, measuring.batch)
        numbers[f"robustness_{name}"] = robustness_psnr(clean, attacked, n_seeds=n_seeds)
        numbers[f"ai_psnr_{name}"] = adversarial_input_psnr(y, found.delta)
        numbers[f"stalled_{name}"] = found.stalled.float()
    return numbers
