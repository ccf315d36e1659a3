"""Parts of images: the square in the middle, and tiles that cover an image without overlap."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from reference_experiments.data.sr_benchmarks import Pair
from reference_experiments.networks.rrdb import SCALE

LEAST_SIDE = 4
"""Of what is attacked, in pixels of y: less leaves nothing of the output when a border is shaved."""


class Box(NamedTuple):
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right``, the latter of each not included."""

    top: int
    bottom: int
    left: int
    right: int


def divided(length: int, largest: int) -> list[tuple[int, int]]:
    """A length in the fewest parts of at most ``largest``, whose sizes differ by at most one; 0 for one part."""
    n = 1 if largest == 0 else -(-length // largest)
    ends = [i * length // n for i in range(n + 1)]
    return list(pairwise(ends))


def tiles(height: int, width: int, largest: int) -> list[Box]:
    """Boxes with sides of at most ``largest`` that cover the image, row by row; 0 for one box."""
    return [Box(*rows, *columns) for rows in divided(height, largest) for columns in divided(width, largest)]


def middle(height: int, width: int, side: int) -> Box:
    """The square in the middle; where the image is smaller than that, or ``side`` is 0, all of it."""
    rows, columns = (min(side or n, n) for n in (height, width))
    top, left = (height - rows) // 2, (width - columns) // 2
    return Box(top, top + rows, left, left + columns)


def cut(pair: Pair, box: Box) -> Pair:
    """The part of both images that the box, in pixels of y, holds."""
    return Pair(boxed(pair.x, box, SCALE), boxed(pair.y, box, 1))


def cut_in_the_middle(pair: Pair, side: int) -> Pair:
    """:func:`cut` by :func:`middle`."""
    return cut(pair, middle(pair.y.shape[-2], pair.y.shape[-1], side))


def boxed(image: Tensor, box: Box, scale: int) -> Tensor:
    """The part of (..., H, W) that ``scale`` times the box holds."""
    top, bottom, left, right = (scale * side for side in box)
    return image[..., top:bottom, left:right]


def joined(parts: list[Tensor], boxes: list[Box], scale: int) -> Tensor:
    """(..., H, W) of which the parts are those of the boxes, times ``scale``."""
    height, width = scale * max(box.bottom for box in boxes), scale * max(box.right for box in boxes)
    whole = torch.empty(*parts[0].shape[:-2], height, width, dtype=parts[0].dtype, device=parts[0].device)
    for part, box in zip(parts, boxes, strict=True):
        boxed(whole, box, scale).copy_(part)
    return whole
