"""A folder or zip archive of pictures as batches of images, read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stochrobust.cli.decoding import Pixels, decoded, in_unit_range
from stochrobust.cli.files import opened, with_suffix

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
MOST_BYTES = 2**28
"""The largest file of an archive that is unpacked, 256 MiB: 89 million pixels in 3 bytes each, Pillow's limit."""
T = TypeVar("T")
Array = TypeVar("Array", NDArray[np.uint8], Pixels)


@dataclass(frozen=True)
class Pictures:
    """Batches of pictures, (B, C, H, W) float32 in [0, 1], in the order of their names.

    Attributes:
        path: of the folder or archive.
        names: of the files in it.
        batch: most of them at a time.
        size: side of the square that each is resized to, and cut to in the middle of its longer side; None: as it is.
        grey: one channel in place of three.
        left_out: gets the names of pictures that cannot be read, each with the reason, and they are left out; None:
            the first such picture is an error.
    """

    path: Path
    names: tuple[str, ...]
    batch: int
    size: int | None = None
    grey: bool = False
    left_out: dict[str, str] | None = None

    def __len__(self) -> int:
        return -(-len(self.names) // self.batch)

    def __iter__(self) -> Iterator[Tensor]:
        return map(stacked, in_lists((image for image in self.each() if image is not None), self.batch))

    def each(self) -> Iterator[Pixels | None]:
        """One after another; None in place of one that is left out."""
        return each_picture(
            self.path, self.names, lambda content: decoded(content, self.size, self.grey), "--size", self.left_out
        )


def stacked(pictures: list[Pixels]) -> Tensor:
    """Pictures of one size as a batch, in [0, 1]."""
    return torch.from_numpy(np.stack([in_unit_range(picture) for picture in pictures]))


def in_lists(items: Iterator[T], n: int) -> Iterator[list[T]]:
    """Lists of the next n; the last may be shorter."""
    while some := list(islice(items, n)):
        yield some


def find_pictures(path: Path) -> tuple[str, ...]:
    """The pictures below a folder, or in a zip archive, in order.

    Raises:
        FileNotFoundError: there are none.
        ValueError: it is a file and no zip archive, or one that unpacks to far more than it is.
    """
    with opened(path, MOST_BYTES) as files:
        names = tuple(with_suffix(files.names, SUFFIXES))
    if not names:
        raise FileNotFoundError(f"{path} holds no picture: none of {', '.join(SUFFIXES)}")
    return names


def read_pictures(
    path: Path, names: tuple[str, ...] | list[str], decode: Callable[[bytes], Array], remedy: str
) -> Iterator[Array]:
    """Decode files one after another.

    Args:
        path: of the folder or archive that holds them.
        names: of the files in it.
        decode: makes a file's content a (C, H, W) array.
        remedy: the options that make pictures of different sizes one size.

    Raises:
        ValueError: a file is faulty, or has another shape than the first; the message has its name.
    """
    return (image for image in each_picture(path, names, decode, remedy) if image is not None)


def each_picture(
    path: Path,
    names: tuple[str, ...] | list[str],
    decode: Callable[[bytes], Array],
    remedy: str,
    left_out: dict[str, str] | None = None,
) -> Iterator[Array | None]:
    """As :func:`read_pictures`; with ``left_out``, None in place of a faulty file, whose name and fault go there."""
    first: tuple[str, tuple[int, ...]] | None = None
    with opened(path) as files:
        for name in names:
            try:
                image = decode(files.read(name))
            except ImportError:
                raise
            except Exception as error:  # a damaged image makes decoders raise nearly anything
                if left_out is None:
                    raise ValueError(f"cannot use {name} in {path}: {error}") from error
                left_out[name] = str(error)
                yield None
                continue
            first = first or (name, image.shape)
            if image.shape != first[1]:
                raise ValueError(
                    f"{name} in {path} gives (channels, height, width) {image.shape}, and {first[0]} gave {first[1]}: "
                    f"the images of a set have one size; {remedy} makes one"
                )
            yield image
