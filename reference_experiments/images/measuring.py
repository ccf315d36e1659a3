"""How a restorer is measured: settings of an evaluation, and the features it compares images by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from reference_experiments.ruler.classifier import fashion_features
from stochrobust import EfficientNetLite0Features, FeatureExtractor, InceptionFeatures, ModuleFeatures

ExtractorName = Literal["efficientnet-lite0", "inception", "fashion-classifier", "pixels"]
OF_ANY_CHANNELS = ("pixels", "fashion-classifier")
"""Extractors that take grey images as they are."""


@dataclass(frozen=True)
class Measuring:
    """Settings of an evaluation; the defaults are the paper's (section 6.1.1, App. E.2.5) where it gives them.

    Attributes:
        n_real: training images that stand for the real ones, and as many validation images that are restored.
        n_samples: outputs per input for the per-pixel std and for the mean whose distortion is measured.
        n_draws: of those, how many have FID, precision and recall computed, one set of outputs after another.
        n_attacked: the first so many of the restored images are attacked.
        n_seeds: per input, to choose an attack, and again fresh ones to score it; one for a deterministic restorer.
        k: neighbours of precision and recall.
        n_splits: splits into halves for the intervals of FID, precision and recall.
        extractor: of the features; ``fashion-classifier`` is the ruler for Fashion-MNIST, ``pixels`` are raw ones.
        weights: the file of Inception's weights; by default looked for where other libraries keep it.
        seed: of the choice of images, and of all seeds drawn.
        batch: most images in one pass of a network.
        shard: images whose numbers are saved together; what a restart may have to do again.
    """

    n_real: int = 50_000
    n_samples: int = 32
    n_draws: int = 1
    n_attacked: int = 1024
    n_seeds: int = 10
    k: int = 3
    n_splits: int = 10
    extractor: ExtractorName = "efficientnet-lite0"
    weights: str = ""
    seed: int = 0
    batch: int = 64
    shard: int = 64

    def __post_init__(self) -> None:
        bounds = {
            "n_real": (2 * (self.k + 1), None),  # a half holds each image and its k neighbours
            "n_samples": (2, None),
            "n_draws": (1, self.n_samples),
            "n_attacked": (2, self.n_real),
            **dict.fromkeys(("n_seeds", "k", "n_splits", "batch", "shard"), (1, None)),
        }
        for name, (least, most) in bounds.items():
            value = getattr(self, name)
            if value < least or (most is not None and value > most):
                raise ValueError(f"{name} must be from {least} to {most or 'any number'}, got {value}")
        if self.extractor not in get_args(ExtractorName):
            raise ValueError(f"extractor must be one of {get_args(ExtractorName)}, got {self.extractor!r}")

    def features(self, channels: int, device: torch.device | str) -> FeatureExtractor:
        """The extractor, for images of that many channels in [0, 1]."""
        if self.extractor == "pixels":
            return ModuleFeatures(_flat, name="raw pixels", channels=channels, weights="")
        if self.extractor == "inception":
            return InceptionFeatures("paper", weights=Path(self.weights) if self.weights else None).to(device)
        if self.extractor == "fashion-classifier":
            return fashion_features().to(device)
        return EfficientNetLite0Features().to(device)


def coloured(images: Tensor, extractor: ExtractorName) -> Tensor:
    """Grey images as a network for photographs takes them: three equal channels."""
    return images.expand(-1, 3, -1, -1) if extractor not in OF_ANY_CHANNELS and images.shape[1] == 1 else images


def _flat(images: Tensor) -> Tensor:
    return images.flatten(1)
