"""Features of images, and the quality that two sets of them show."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from stochrobust.auditing.findings import AuditNumber
from stochrobust.auditing.settings import AuditSettings
from stochrobust.estimators.diagnosis import Concern
from stochrobust.metrics.extractors import FeatureExtractor, ModuleFeatures, extract_features
from stochrobust.metrics.features import Features
from stochrobust.metrics.frechet import frechet_distance
from stochrobust.metrics.intervals import Interval, interval_by_halves
from stochrobust.metrics.manifolds import prdc
from stochrobust.metrics.protocol import Protocol

QUALITY = ("frechet", "precision", "recall", "density", "coverage")
SHARES = ("precision", "recall", "coverage")


def pixel_features(channels: int) -> ModuleFeatures:
    """The pixels themselves: what quality is measured on where no extractor is given."""
    return ModuleFeatures(_flat, name="flattened pixels", channels=channels, weights="")


def feature_rows(images: Tensor, extractor: FeatureExtractor, batch_size: int) -> Tensor:
    """(B, d) features of (B, C, H, W) images in [0, 1], as the extractor takes them: in 8 bits, or grey as colour."""
    if images.shape[1] == 1 and getattr(extractor, "channels", 1) == 3:
        images = images.expand(-1, 3, -1, -1)
    if getattr(extractor, "uint8", False):
        images = (images * 255).round().to(torch.uint8)
    return extract_features(images, extractor, batch_size=batch_size).values


def quality(
    real: Tensor, generated: Tensor, features: Protocol, settings: AuditSettings
) -> tuple[dict[str, AuditNumber], Concern | None]:
    """Frechet distance, precision, recall, density and coverage, each with an interval.

    Args:
        real, generated: (n, d) and (m, d) features.
        features: how they were made.
        settings: ``k``, ``n_splits``, ``level`` and ``seed``.

    Returns:
        The numbers; or none, and the concern that says why.
    """
    least = max(4, 2 * (settings.k + 1))
    if min(len(real), len(generated)) < least:
        return {}, Concern(
            f"quality was left out: halves of {len(generated)} outputs and {len(real)} real images have no "
            f"{settings.k} neighbours; give at least {least} of each, or a smaller k",
            "quality left out",
        )

    def statistic(*, real: Features, generated: Features) -> tuple[float, ...]:
        found = prdc(real=real, generated=generated, k=settings.k)
        distance = frechet_distance(real=real, generated=generated)
        return distance, found.precision, found.recall, found.density, found.coverage

    intervals = interval_by_halves(
        statistic, real=Features(real, features), generated=Features(generated, features),
        n_splits=settings.n_splits, level=settings.level, generator=torch.Generator().manual_seed(settings.seed),
    )  # fmt: skip
    n_of = {"precision": len(generated), "recall": len(real), "coverage": len(real)}
    return {
        name: AuditNumber(float(found.estimate), *_ends(name, found, n_of.get(name, 0), settings.level), len(generated))
        for name, found in zip(QUALITY, intervals, strict=True)
    }, None


def shortfall(real: Tensor, generated: Tensor, settings: AuditSettings) -> dict[str, AuditNumber]:
    """By how much fewer outputs than real images lie among other real images; over splits into halves."""
    n = min(len(real), len(generated))
    if n < 2 * (settings.k + 1):
        return {}
    generator = torch.Generator().manual_seed(settings.seed)
    missing = []
    for _ in range(settings.n_splits):
        first, second = torch.randperm(n, generator=generator).tensor_split(2)
        inside = [
            prdc(real=real[first], generated=rows[second], k=settings.k).generated_in_real for rows in (real, generated)
        ]
        missing.append(inside[0].double() - inside[1].double())
    means = [float(values.mean()) for values in missing]
    estimate = sum(means) / len(means)
    error = float(missing[0].std()) / math.sqrt(len(missing[0]))
    return {"precision_shortfall": AuditNumber(estimate, estimate - 2 * error, estimate + 2 * error, n)}


def _flat(images: Tensor) -> Tensor:
    return images.flatten(1)


def _ends(name: str, found: Interval, n: int, level: float) -> tuple[float, float]:
    """Ends of an interval; of a share that is all or none of n, which all halves agree on, the exact binomial ones."""
    bound = ((1 - level) / 2) ** (1 / n) if n else 0.0
    if name in SHARES and float(found.estimate) in (0.0, 1.0):
        return (min(found.low, bound), 1.0) if found.estimate == 1 else (0.0, max(found.high, 1 - bound))
    return found.low, found.high
