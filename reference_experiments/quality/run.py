"""Frechet and kernel distance, precision, recall, density and coverage between sets of real images, with intervals.

One set of faces stands as the real one. Set against it: faces of other people (the best a generator can do), the same
images blurred, made noisy, repeated from a few, and images that are no faces.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from reference_experiments.data.images64 import data_folder, images64
from reference_experiments.quality.presets import Settings
from reference_experiments.quality.tables import TITLES
from reference_experiments.study import Place, Results
from stochrobust import (
    EfficientNetLite0Features,
    Features,
    Interval,
    extract_features,
    frechet_distance,
    interval_by_halves,
    kernel_distance,
    prdc,
)

Row = dict[str, Interval]


def image_sets(folder: Path, settings: Settings) -> dict[str, Tensor]:
    """The real set first; the others are each to be compared with it."""
    generator = torch.Generator().manual_seed(settings.seed)
    real = images64(folder, "faces64", "train", settings.n, settings.seed)
    others = images64(folder, "faces64", "val", settings.n, settings.seed)
    few = torch.randint(settings.n_distinct, (settings.n,), generator=generator)
    return {
        "real faces": real,
        "other faces": others,
        "blurred": blurred(others, settings.blur),
        "noisy": (others + settings.noise * torch.randn(others.shape, generator=generator)).clamp(0, 1),
        f"{settings.n_distinct} faces repeated": others[few],
        "no faces": images64(folder, "natural64", "val", settings.n, settings.seed),
    }


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Convolved with a Gaussian of that standard deviation in pixels, edges repeated."""
    radius = int(3 * sigma + 0.5)
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, 1, -1)
    padded = torch.nn.functional.pad(images, (radius,) * 4, mode="replicate")
    rows = torch.nn.functional.conv2d(padded, kernel, groups=len(kernel))
    return torch.nn.functional.conv2d(rows, kernel.mT, groups=len(kernel)).clamp(0, 1)


def measured(real: Features, generated: Features, k: int) -> tuple[float, ...]:
    """The numbers of :data:`TITLES`."""
    four = prdc(real=real, generated=generated, k=k)
    frechet = frechet_distance(real=real, generated=generated)
    kernel = 1000 * kernel_distance(real=real, generated=generated).value
    return frechet, kernel, four.precision, four.recall, four.density, four.coverage


def compare(sets: dict[str, Features], settings: Settings) -> dict[str, Row]:
    """Each set against the first, with intervals."""
    (_, real), *others = sets.items()
    rows = {}
    for name, generated in others:
        numbers = interval_by_halves(
            lambda *, real, generated: measured(real, generated, settings.k),
            real=real,
            generated=generated,
            n_splits=settings.n_splits,
            generator=torch.Generator().manual_seed(settings.seed),
        )
        rows[name] = dict(zip(TITLES, numbers, strict=True))
    return rows


def run(settings: Settings, place: Place) -> tuple[Results, None]:
    """From archives of images in ``place.data`` to rows of numbers."""
    extractor = EfficientNetLite0Features()
    images = image_sets(data_folder(place.data), settings)
    sets = {name: extract_features(of_set, extractor) for name, of_set in images.items()}
    rows = {name: {key: asdict(one) for key, one in row.items()} for name, row in compare(sets, settings).items()}
    protocol = asdict(next(iter(sets.values())).protocol)
    return {"rows": rows, "record": {"settings": asdict(settings), "protocol": protocol}}, None
