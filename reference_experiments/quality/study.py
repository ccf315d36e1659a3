"""Frechet and kernel distance, precision, recall, density and coverage between sets of real images, with intervals.

One set of faces stands as the real one. Set against it: faces of other people (the best a generator can do), the same
images blurred, made noisy, repeated from a few, and images that are no faces.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from reference_experiments.data.images64 import images64
from reference_experiments.runs import Record, write_atomically, write_json
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

TITLES = {
    "frechet": "Fréchet distance ↓",
    "kernel": "Kernel distance x 1000 ↓",
    "precision": "Precision ↑",
    "recall": "Recall ↑",
    "density": "Density ↑",
    "coverage": "Coverage ↑",
}
DIGITS = {"frechet": 1, "kernel": 2}
Row = dict[str, Interval]


@dataclass(frozen=True)
class Settings:
    """How many images, how strongly degraded, and what the intervals are made of.

    Attributes:
        n: images in each set.
        blur: standard deviation of the Gaussian blur, in pixels.
        noise: standard deviation of the added noise, of pixels in [0, 1].
        n_distinct: distinct faces in the set that repeats a few.
        k: neighbours.
        n_splits: splits into halves for the intervals.
        seed: of the draws of images, of the noise and of the splits.
    """

    n: int = 1200
    blur: float = 1.5
    noise: float = 0.1
    n_distinct: int = 60
    k: int = 5
    n_splits: int = 20
    seed: int = 0


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


def table(rows: dict[str, Row]) -> str:
    """Markdown: one line for each set, each number with its standard error."""
    lines = ["| | " + " | ".join(TITLES.values()) + " |", "|---|" + "---:|" * len(TITLES)]
    for name, row in rows.items():
        cells = (_cell(key, row[key]) for key in TITLES)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(key: str, number: Interval) -> str:
    digits = DIGITS.get(key, 3)
    return f"{number.estimate:.{digits}f} ± {number.standard_error:.{digits}f}"


def run(folder: Path, out: Path, settings: Settings, record: Record) -> None:
    """From archives of images to ``out/quality.json`` and ``out/table.md``."""
    extractor = EfficientNetLite0Features()
    sets = {name: extract_features(images, extractor) for name, images in image_sets(folder, settings).items()}
    rows = compare(sets, settings)
    protocol = asdict(next(iter(sets.values())).protocol)
    finished = record.finished("cpu", settings=asdict(settings), protocol=protocol)
    content = {name: {key: asdict(interval) for key, interval in row.items()} for name, row in rows.items()}
    write_json(out / "quality.json", {"rows": content, "record": finished})
    note = (
        f"{settings.n} real faces against {settings.n} of each set; features: {protocol['extractor']}, SHA-256 "
        f"{protocol['weights'][:12]}, {protocol['preprocessing']}; k = {settings.k}; ± one standard error. These "
        f"distances are not comparable with published FID.\n\n`{finished['command']}`, revision "
        f"{finished['revision']}, {finished['hardware']}, {finished['seconds']} s."
    )
    write_atomically(out / "table.md", f"{table(rows)}\n{note}\n")
