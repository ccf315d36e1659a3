"""What a ruler has to do before it measures models: notice missing kinds of images, overlook noise that no eye sees.

Real images stand on both sides. From one side classes are taken away, one after another, or noise is added to it; a
ruler passes if its recall and its coverage fall with every class, and lose under the noise less than half of what a
class takes from them on average.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from reference_experiments.ruler.presets import N_CLASSES, Gate
from stochrobust import FeatureExtractor, extract_features, prdc

MEASURES = ("precision", "recall", "density", "coverage")
JUDGED = ("recall", "coverage")
"""The measures that tell whether all there is comes out, which is what the paper's arms differ in."""
NOISE_SHARE = 0.5
"""Of a class's mean share, what the judged noise may take; set on a draw of 2,000 images, judged on others of 5,000."""


@dataclass(frozen=True)
class Labelled:
    """Images (N, 1, 32, 32), 8-bit, and the class of each."""

    images: Tensor
    labels: Tensor


Sets = dict[str, Tensor]


def drawn_sets(real: Labelled, others: Labelled, settings: Gate, seed: int) -> tuple[Tensor, Sets]:
    """One side, of ``real``, and what is set against it, of ``others``; images in [0, 1].

    Raises:
        ValueError: if there are not enough images of the classes that are left.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(N_CLASSES, generator=generator)

    def some(of: Labelled, n_dropped: int = 0) -> Tensor:
        kept = torch.isin(of.labels, order[n_dropped:]).nonzero().flatten()
        if len(kept) < settings.n:
            raise ValueError(f"n must be at most {len(kept)} with {n_dropped} classes dropped, got {settings.n}")
        return of.images[kept[torch.randperm(len(kept), generator=generator)[: settings.n]]].float() / 255

    fixed = some(real)
    sets = {without(n_dropped): some(others, n_dropped) for n_dropped in settings.dropped}
    whole = sets[without(0)]
    for sigma in settings.noise:
        sets[noisy(sigma)] = (whole + sigma * torch.randn(whole.shape, generator=generator)).clamp(0, 1)
    sets["means of 3 x 3 pixels"] = avg_pool2d(whole, 3, 1, 1, count_include_pad=False)
    few = torch.randint(settings.n_distinct, (settings.n,), generator=generator)
    sets[f"{settings.n_distinct} images repeated"] = whole[few]
    return fixed, sets


def without(n: int) -> str:
    return {0: "all classes", 1: "1 class dropped"}.get(n, f"{n} classes dropped")


def noisy(sigma: float) -> str:
    return f"noise of {sigma:g}"


Row = dict[str, list[float]]
"""Measure -> its value in every draw."""


def measured(
    real: Labelled, others: Labelled, extractor: FeatureExtractor, settings: Gate, seed: int = 0
) -> dict[str, Row]:
    """Every set against the real side, by one ruler."""
    rows: dict[str, Row] = {}
    for draw in range(settings.n_draws):
        fixed, sets = drawn_sets(real, others, settings, 1000 * seed + draw)
        features = extract_features(fixed, extractor, batch_size=500)
        for name, images in sets.items():
            found = prdc(real=features, generated=extract_features(images, extractor, batch_size=500), k=settings.k)
            row = rows.setdefault(name, {measure: [] for measure in MEASURES})
            for measure in MEASURES:
                row[measure].append(float(getattr(found, measure)))
    return rows


def mean(rows: dict[str, Row], name: str, measure: str) -> float:
    """Over the draws."""
    return statistics.fmean(rows[name][measure])


def falls(rows: dict[str, Row], measure: str, dropped: Sequence[int]) -> list[float]:
    """By how much the mean of a measure falls from each number of missing classes to the next."""
    means = [mean(rows, without(n), measure) for n in dropped]
    return [before - after for before, after in pairwise(means)]


def fall_under_noise(rows: dict[str, Row], measure: str, sigma: float) -> float:
    """By how much the mean of a measure falls when noise is added."""
    return mean(rows, without(0), measure) - mean(rows, noisy(sigma), measure)


def faults(rows: dict[str, Row], dropped: Sequence[int], sigma: float) -> list[str]:
    """Why a ruler does not pass by those numbers of missing classes and that noise; empty where it does."""
    found = []
    for measure in JUDGED:
        by_class, under_noise = falls(rows, measure, dropped), fall_under_noise(rows, measure, sigma)
        if min(by_class) <= 0:
            found.append(f"{measure} does not fall with every class that is dropped")
        if under_noise >= NOISE_SHARE * statistics.fmean(by_class):
            lost = f"{measure} loses {under_noise:.3f} under noise of {sigma:g}"
            found.append(f"{lost}, where a class takes {statistics.fmean(by_class):.3f}")
    return found
