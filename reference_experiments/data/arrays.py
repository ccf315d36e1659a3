"""Prepared image sets: ``FOLDER/train.npy`` and ``FOLDER/validation.npy``, 8-bit (N, C, H, W), beside ``set.json``."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

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


@dataclass(frozen=True)
class Source:
    """Images to be prepared.

    Attributes:
        parts: of each, the number of images (None: not known beforehand) and the images, (C, H, W), in turn.
        record: for ``set.json``: which files they come from, and what was decided on the way.
    """

    parts: dict[Part, tuple[int | None, Iterable[Pixels]]]
    record: dict[str, Any]


def open_set(folder: Path, part: Part) -> ImageSet:
    """A part of the set prepared in ``folder``.

    Raises:
        FileNotFoundError: where no set was prepared.
        ValueError: where ``set.json`` cannot be read, or the array is not the one that it describes.
    """
    description = describe(folder)
    path = folder / f"{part}.npy"
    try:
        name, recorded = description["name"], description["parts"][part]
        shape, sha256 = tuple(recorded["shape"]), recorded["sha256"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder / DESCRIPTION} does not describe a set, {error!r}; {_again(folder)}") from error
    try:
        images = np.load(path, mmap_mode="r")
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"cannot read {path}: {error}; {_again(folder)}") from error
    if images.dtype != np.uint8 or images.shape != shape:
        raise ValueError(
            f"{path} holds {images.dtype} {images.shape}, and {folder / DESCRIPTION} says uint8 {shape}; "
            f"{_again(folder)}"
        )
    return ImageSet(images, name, part, sha256)


def verify_set(folder: Path) -> None:
    """Compare the checksum of every part with the recorded one: reads everything."""
    for part in PARTS:
        found = open_set(folder, part)
        if (actual := checksum(found.images)) != found.sha256:
            raise ValueError(
                f"{folder / part}.npy has SHA-256 {actual}, and {DESCRIPTION} says {found.sha256}; {_again(folder)}"
            )


def describe(folder: Path) -> dict[str, Any]:
    """What ``set.json`` says of the set.

    Raises:
        FileNotFoundError: where no set was prepared.
        ValueError: where the file cannot be read.
    """
    path = folder / DESCRIPTION
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist: prepare the set first, `python -m reference_experiments prepare --help` says how"
        )
    try:
        description = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read {path}: {error}; {_again(folder)}") from error
    if not isinstance(description, dict):
        raise ValueError(f"{path} does not describe a set; {_again(folder)}")
    return description


def _again(folder: Path) -> str:
    return f"delete {folder} and prepare it again"


def checksum(images: Pixels, rows: int = 4096) -> str:
    """SHA-256 of the pixels in C order, a few rows at a time."""
    digest = hashlib.sha256()
    for first in range(0, len(images), rows):
        digest.update(images[first : first + rows].tobytes())
    return digest.hexdigest()


def write_set(
    folder: Path, name: str, parts: dict[Part, tuple[int | None, Iterable[Pixels]]], source: dict[str, Any]
) -> None:
    """Prepare a set; ``folder`` appears when all of it is on disk, and not before.

    Args:
        folder: to be made.
        name: of the set.
        parts: number of images, if known beforehand, and the images, each (C, H, W) uint8, all of one shape.
        source: for ``set.json``: where the images came from and what was done to them.

    Raises:
        ValueError: if a part has another number of images than announced, or none, or one of another shape.
        OSError: if the disk is full or cannot be written; nothing is left behind then.
        FileExistsError: if ``folder`` exists by then.
    """
    _remove_leftovers(folder)
    unfinished = folder.with_name(f"{_prefix(folder)}{os.getpid()}.part")
    try:
        unfinished.mkdir(parents=True)
        described = {part: _write_part(unfinished / f"{part}.npy", *given) for part, given in parts.items()}
        if len({tuple(part["shape"][1:]) for part in described.values()}) > 1:
            raise ValueError(f"the parts of a set have one shape of image, got {described}")
        write_json(unfinished / DESCRIPTION, {"name": name, "parts": described, "source": source})
        if folder.exists():
            raise FileExistsError(f"{folder} exists already; delete it, or use it")
        unfinished.rename(folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(error.errno, f"no room on the disk of {folder} for the set {name!r}") from error
        raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write_part(path: Path, n: int | None, images: Iterable[Pixels]) -> dict[str, Any]:
    # Written, not mapped: on a full disk a write is an error, and a store into a mapped page kills the process.
    digest, shape, count = hashlib.sha256(), None, 0
    with path.open("wb") as file:
        for image in images:
            if image.dtype != np.uint8 or image.shape != (shape or image.shape):
                raise ValueError(f"{path.stem}: image {count} is {image.dtype} {image.shape}, expected uint8 {shape}")
            if shape is None:
                shape = image.shape
                _write_header(file, (0, *shape))
            content = image.tobytes()
            file.write(content)
            digest.update(content)
            count += 1
        if shape is None or count != (n or count):
            raise ValueError(f"{path.stem}: expected {'images' if n is None else f'{n} images'}, got {count}")
        file.seek(0)
        _write_header(file, (count, *shape))
    return {"shape": [count, *shape], "sha256": digest.hexdigest()}


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    # numpy leaves room for the first axis to grow: the header of any count has one length.
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _prefix(folder: Path) -> str:
    return f".{folder.name}.{platform.node()}."


def _remove_leftovers(folder: Path) -> None:
    """Remove what processes of this machine left that were killed while they prepared this set."""
    if os.name != "posix":  # elsewhere signal 0 is a signal
        return
    for found in folder.parent.glob(f"{_prefix(folder)}*.part"):
        pid = found.name.removeprefix(_prefix(folder)).removesuffix(".part")
        if pid.isdecimal() and not _alive(int(pid)):
            shutil.rmtree(found, ignore_errors=True)


def _alive(pid: int) -> bool:
    with suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True
