"""The study: every model, image and alpha measured once, kept in a small file each, then gathered in rows."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from reference_experiments.data.sr_benchmarks import Pair, sr_pairs
from reference_experiments.images.shards import digest
from reference_experiments.runs import write_json
from reference_experiments.srflow.attack import CONVENTIONS, Attack, measured
from reference_experiments.srflow.models import Subject
from stochrobust import Linf

VERSION = 1
"""Of what the numbers mean: another one measures anew."""


@dataclass(frozen=True)
class Image:
    """An image of a benchmark, or of any other list.

    Attributes:
        set: its name.
        number: in the set.
        pair: source and input.
    """

    set: str
    number: int
    pair: Pair

    @property
    def key(self) -> int:
        """What its seeds and starts belong to."""
        return int(hashlib.sha256(f"{self.set}/{self.number}".encode()).hexdigest()[:12], 16)

    @cached_property
    def digest(self) -> str:
        """Of its pixels."""
        pixels = b"".join(image.contiguous().numpy().tobytes() for image in self.pair)
        return hashlib.sha256(pixels).hexdigest()[:12]


@dataclass(frozen=True)
class Item:
    """One measurement.

    Attributes:
        subject: the model.
        image: the image.
        levels: alpha in levels of 255.
        attack: settings.
        path: of the file that keeps it.
    """

    subject: Subject
    image: Image
    levels: float
    attack: Attack
    path: Path

    def measure(self, device: torch.device | str, max_batch: int | None) -> None:
        """Measure and keep it, unless that was done."""
        if self.path.exists():
            return
        start = time.monotonic()
        pair = Pair(*(image.to(device) for image in self.image.pair))
        found = measured(self.subject, pair, self.levels / 255, self.attack, self.image.key, max_batch)
        numbers = {name: _plain(value) for name, value in found.numbers.items()}
        size = list(self.image.pair.y.shape[-2:])
        seconds = round(time.monotonic() - start, 2)
        write_json(
            self.path,
            {"numbers": numbers, "exploded": found.exploded, "concerns": found.concerns, "tiles": found.tiles,
             "image_size": size, "seconds": seconds},
        )  # fmt: skip

    def read(self) -> dict[str, Any]:
        """What is kept.

        Raises:
            ValueError: if the file is damaged, naming it.
        """
        try:
            content: dict[str, Any] = json.loads(self.path.read_text())
            content["numbers"] = {name: float(value) for name, value in content["numbers"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"cannot read {self.path}: {error!r}; delete it, and it is measured again") from error
        return content


def benchmark(folder: Path, names: Iterable[str], at_most: int | None = None) -> list[Image]:
    """The images of benchmark sets, of each the first ``at_most``."""
    return [Image(name, i, pair) for name in names for i, pair in enumerate(sr_pairs(folder, name)[:at_most])]


def planned(
    subjects: Sequence[Subject], images: Sequence[Image], levels: Sequence[float], attack: Attack, parts: Path
) -> list[Item]:
    """All measurements: model after model, alpha after alpha."""
    items = []
    for subject in subjects:
        key = {"version": VERSION, "weights": subject.identity, "attack": asdict(attack)}
        folder = parts / f"{_as_name(subject.name)}-{digest(key)}"
        for alpha in levels:
            for image in images:
                path = folder / f"{_as_name(image.set)}-{image.number:03d}-{image.digest}-{alpha:g}.json"
                items.append(Item(subject, image, alpha, attack, path))
    return items


def work(
    items: Sequence[Item], device: torch.device | str = "cpu", *, max_batch: int | None = None, rank: int = 0,
    world: int = 1,
) -> bool:  # fmt: skip
    """Make this process's share of the measurements that are missing.

    Args:
        items: of :func:`planned`, the same in all processes.
        device: that the models are on.
        max_batch: the most rows one call of a model may get.
        rank, world: of this process.

    Returns:
        Whether all measurements are there now: true in at least the last process to finish.
    """
    from tqdm import tqdm

    if not 0 <= rank < world:
        raise ValueError(f"rank must be at least 0 and below world={world}, got {rank}")
    for item in tqdm(items[rank::world], desc="I-FGSM", unit="image", disable=None):
        item.measure(device, max_batch)
    return all(item.path.exists() for item in items)


def rows(items: Sequence[Item]) -> list[dict[str, Any]]:
    """One row for each model, set and alpha: numbers of every image in order, None where the model exploded."""
    found: dict[tuple[str, str, float], dict[str, Any]] = {}
    for item in items:
        subject, content = item.subject, item.read()
        row = found.setdefault(
            (subject.name, item.image.set, item.levels),
            {"model": subject.name, "role": subject.role, "stochastic": subject.stochastic,
             "weights": subject.identity, "set": item.image.set, "levels": item.levels, "values": {},
             "images": [], "exploded": [], "concerns": [], "seconds": 0.0},
        )  # fmt: skip
        row["images"].append(item.image.number)
        row["seconds"] = round(row["seconds"] + content["seconds"], 2)
        row["concerns"] += content["concerns"]
        if content["exploded"] is not None:
            row["exploded"].append({"image": item.image.number, "message": content["exploded"]})
        for name in NUMBERS:
            value = content["numbers"].get(name)
            row["values"].setdefault(name, []).append(None if value is None else _plain(value))
    return list(found.values())


def protocol(attack: Attack) -> dict[str, Any]:
    """What the rows were measured by, as JSON."""
    return {
        "attack": {**asdict(attack), "method": repr(attack.method), "ball": repr(Linf(box=(0.0, 1.0)))},
        "loss": "mean over seeds of the squared L2 distance to the reference",
        "conventions": {name: asdict(convention) for name, convention in CONVENTIONS.items()},
        "sharpness": "mean squared difference of neighbouring pixels, relative to the source's",
        "version": VERSION,
    }


PSNRS = ("input", "output", "output_fresh", "truth_clean", "truth_attacked")
NUMBERS = (*(f"{c}:{name}" for c in CONVENTIONS for name in PSNRS), "sharpness_clean", "sharpness_attacked")
"""Of each image."""


def _plain(value: float) -> float | str:
    """JSON has no infinity."""
    return "inf" if value == math.inf else value


def _as_name(text: str) -> str:
    """Of a file."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in text)
