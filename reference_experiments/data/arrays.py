"""Prepared image sets: ``FOLDER/train.npy`` and ``FOLDER/validation.npy``, 8-bit (N, C, H, W), beside ``set.json``."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from reference_experiments.runs import write_json

Part = Literal["train", "validation"]
PARTS: tuple[Part, ...] = get_args(Part)
Pixels = NDArray[np.uint8]
DESCRIPTION = "set.json"


@dataclass(frozen=True)
class ImageSet:
    """One part of a prepared set.

    Attributes:
        images: (N, C, H, W) uint8, mapped from disk: reading a row reads that row only.
        name: of the set.
        part: which part.
        sha256: of the pixels, as recorded when they were prepared.
    """

    images: Pixels
    name: str
    part: Part
    sha256: str

    def __len__(self) -> int:
        return len(self.images)


def open_set(folder: Path, part: Part) -> ImageSet:
    """A part of the set prepared in ``folder``.

    Raises:
        FileNotFoundError: where no set was prepared.
        ValueError: where the array is not the one that ``set.json`` describes.
    """
    description = _description(folder)
    recorded = description["parts"][part]
    path = folder / f"{part}.npy"
    try:
        images = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read {path}: {error}; delete {folder} and prepare it again") from error
    if images.dtype != np.uint8 or list(images.shape) != recorded["shape"]:
        raise ValueError(
            f"{path} holds {images.dtype} {images.shape}, and {folder / DESCRIPTION} says uint8 "
            f"{tuple(recorded['shape'])}: delete {folder} and prepare it again"
        )
    return ImageSet(images, description["name"], part, recorded["sha256"])


def verify_set(folder: Path) -> None:
    """Compare the checksum of every part with the recorded one: reads everything."""
    for part in _description(folder)["parts"]:
        found = open_set(folder, part)
        if (actual := checksum(found.images)) != found.sha256:
            raise ValueError(
                f"{folder / part}.npy has SHA-256 {actual}, and {DESCRIPTION} says {found.sha256}: "
                f"delete {folder} and prepare it again"
            )


def _description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: prepare the set first, see `reference_experiments prepare`")
    description: dict[str, Any] = json.loads(path.read_text())
    return description


def checksum(images: Pixels, rows: int = 4096) -> str:
    """SHA-256 of the pixels in C order, a few rows at a time."""
    digest = hashlib.sha256()
    for first in range(0, len(images), rows):
        digest.update(images[first : first + rows].tobytes())
    return digest.hexdigest()


def write_set(folder: Path, name: str, parts: dict[Part, tuple[int, Iterable[Pixels]]], source: dict[str, Any]) -> None:
    """Prepare a set; ``folder`` appears when all of it is on disk, and not before.

    Args:
        folder: to be made.
        name: of the set.
        parts: number of images and the images, each (C, H, W) uint8, all of one shape.
        source: for ``set.json``: where the images came from and what was done to them.

    Raises:
        ValueError: if a part has another number of images than announced, or one of another shape.
    """
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        described = {part: _write_part(unfinished / f"{part}.npy", *given) for part, given in parts.items()}
        write_json(unfinished / DESCRIPTION, {"name": name, "parts": described, "source": source})
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write_part(path: Path, n: int, images: Iterable[Pixels]) -> dict[str, Any]:
    iterator = iter(images)
    first = next(iterator, None)
    if first is None:
        raise ValueError(f"{path.stem}: {n} images were announced and none came")
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(n, *first.shape))
    count = 0
    for image in itertools.chain([first], iterator):
        if image.shape != first.shape:
            raise ValueError(f"{path.stem}: image {count} is {image.shape}, the first was {first.shape}")
        if count < n:
            array[count] = image
        count += 1
    if count != n:
        raise ValueError(f"{path.stem}: {n} images were announced and {count} came")
    array.flush()
    return {"shape": list(array.shape), "sha256": checksum(array)}
