"""A folder or zip archive of pictures as batches of images, read when they are asked for."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stochrobust.cli.files import opened, with_suffix

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = NDArray[np.uint8]
SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Pictures:
    """Batches of pictures, (B, C, H, W) float32 in [0, 1], in the order of their names.

    Attributes:
        path: of the folder or archive.
        names: of the files in it.
        batch: most of them at a time.
        size: side of the square that each is resized to, and cut to in the middle of its longer side; None: as it is.
        grey: one channel in place of three.
    """

    path: Path
    names: tuple[str, ...]
    batch: int
    size: int | None = None
    grey: bool = False

    def __len__(self) -> int:
        return -(-len(self.names) // self.batch)

    def __iter__(self) -> Iterator[Tensor]:
        images = read_pictures(self.path, self.names, lambda content: decoded(content, self.size, self.grey), "--size")
        while some := list(islice(images, self.batch)):
            yield torch.from_numpy(np.stack(some)).float() / 255


def find_pictures(path: Path) -> tuple[str, ...]:
    """The pictures below a folder, or in a zip archive, in order.

    Raises:
        FileNotFoundError: there are none.
        ValueError: it is a file and no zip archive.
    """
    with opened(path) as files:
        names = tuple(with_suffix(files.names, SUFFIXES))
    if not names:
        raise FileNotFoundError(f"{path} holds no picture: none of {', '.join(SUFFIXES)}")
    return names


def read_pictures(
    path: Path, names: tuple[str, ...] | list[str], decode: Callable[[bytes], Pixels], remedy: str
) -> Iterator[Pixels]:
    """Decode files one after another.

    Args:
        path: of the folder or archive that holds them.
        names: of the files in it.
        decode: makes a file's content a (C, H, W) array.
        remedy: the options that make pictures of different sizes one size.

    Raises:
        ValueError: a file is faulty, or has another shape than the first; the message has its name.
    """
    first: tuple[str, tuple[int, ...]] | None = None
    with opened(path) as files:
        for name in names:
            try:
                image = decode(files.read(name))
            except ImportError:
                raise
            except Exception as error:  # a damaged image makes decoders raise nearly anything
                raise ValueError(f"cannot use {name} in {path}: {error}") from error
            first = first or (name, image.shape)
            if image.shape != first[1]:
                raise ValueError(
                    f"{name} in {path} gives (channels, height, width) {image.shape}, and {first[0]} gave {first[1]}: "
                    f"the images of a set have one size; {remedy} makes one"
                )
            yield image


def decoded(content: bytes, size: int | None = None, grey: bool = False) -> Pixels:
    """A picture file's content as (3, H, W) RGB, or (1, H, W) grey; see :class:`Pictures`."""
    from PIL import Image, ImageOps

    picture = opened_picture(content).convert("L" if grey else "RGB")
    if size is not None:
        picture = ImageOps.fit(picture, (size, size), Image.Resampling.BICUBIC)
    pixels = np.array(picture)
    return pixels[None] if grey else pixels.transpose(2, 0, 1)


def opened_picture(content: bytes) -> Image:
    """The picture in a file's content, all of it read.

    Raises:
        ValueError: it has more than 8 bits per channel.
    """
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        if image.mode.startswith(("I", "F")):
            raise ValueError(f"it has more than 8 bits per channel (mode {image.mode})")
        image.load()
        return image
