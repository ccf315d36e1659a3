"""JPEG and PNG files as 8-bit arrays of one size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reference_experiments.data.arrays import Pixels
from stochrobust.cli import opened_picture, read_pictures

SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Recipe:
    """What is done to every image, in this order; nothing by default.

    Args:
        size: (width, height) that every file must have.
        resize: to a square of that side, bilinear with antialiasing; an oblong image changes its proportions.
        crop: side of the square cut from the middle.
        halve: take the mean of every 2 x 2 block.
    """

    size: tuple[int, int] | None = None
    resize: int | None = None
    crop: int | None = None
    halve: bool = False

    def __post_init__(self) -> None:
        for name in ("resize", "crop"):
            if (side := getattr(self, name)) is not None and side < 1:
                raise ValueError(f"{name} must be positive, got {side}")


def pictures(path: Path, names: list[str], recipe: Recipe) -> Iterator[Pixels]:
    """The images of those names in the folder or archive, each (3, H, W); a faulty one is an error with its name."""
    return read_pictures(path, names, lambda content: decoded(content, recipe), "--resize or --crop")


def decoded(content: bytes, recipe: Recipe) -> Pixels:
    """A JPEG or PNG file's content as (3, H, W) RGB."""
    from PIL import Image

    picture = opened_picture(content).convert("RGB")
    if recipe.size is not None and picture.size != recipe.size:
        raise ValueError(f"it is {picture.size[0]} x {picture.size[1]}, expected {recipe.size[0]} x {recipe.size[1]}")
    if recipe.resize is not None:
        picture = picture.resize((recipe.resize, recipe.resize), Image.Resampling.BILINEAR)
    pixels = np.asarray(picture).transpose(2, 0, 1)
    if recipe.crop is not None:
        pixels = centre(pixels, recipe.crop)
    return halved(pixels) if recipe.halve else pixels


def centre(pixels: Pixels, side: int) -> Pixels:
    """The middle (C, side, side) of (C, H, W); the odd pixel is left over at the bottom and right."""
    height, width = pixels.shape[1:]
    if side > min(height, width):
        raise ValueError(f"a crop of {side} does not fit into {width} x {height}")
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[:, top : top + side, left : left + side]


def halved(pixels: Pixels) -> Pixels:
    """(C, H, W) -> (C, H / 2, W / 2): means of 2 x 2 blocks, rounded, halves to even."""
    channels, height, width = pixels.shape
    if height % 2 or width % 2:
        raise ValueError(f"sides must be even to be halved, got {width} x {height}")
    blocks = pixels.reshape(channels, height // 2, 2, width // 2, 2)
    means: Pixels = np.rint(blocks.mean(axis=(2, 4), dtype=np.float64)).astype(np.uint8)
    return means
