"""Images for SRFlow's training: pairs of a square and its input, a function of the step; and fixed validation pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from reference_experiments.data.arrays import Part, open_set
from reference_experiments.data.batches import Batches
from reference_experiments.data.sr_benchmarks import Pair
from reference_experiments.srflow.bicubic import as_input
from reference_experiments.srflow.settings import FlowTraining
from stochrobust import SampleKeys


def streams(data: Sequence[Path], part: Part, size: int, seed: int) -> list[Batches]:
    """Of each prepared set an equal share of every batch.

    Raises:
        ValueError: if the batch cannot be shared equally.
    """
    if not data or size % len(data):
        raise ValueError(f"batch must be a multiple of the number of sets, {len(data)}, got {size}")
    n = len(data)
    return [Batches(open_set(folder, part).images, size // n, seed * n + i) for i, folder in enumerate(data)]


def training_pair(sets: Sequence[Batches], settings: FlowTraining, step: int, device: torch.device | str) -> Pair:
    """(B, 3, H, W) and (B, 3, H / 4, W / 4) in [0, 1]: the images of that step, cut and mirrored, and their inputs."""
    generator = SampleKeys((), settings.seed).generator("cut", step)
    squares = []
    for batches in sets:
        for image in batches.batch(step):
            square = cut_at_random(image, settings.crop, generator)
            mirrored = settings.flip and bool(torch.randint(2, (), generator=generator))
            squares.append(square.flip(-1) if mirrored else square)
    return pair_of(torch.stack(squares).to(device))


def validation_pair(data: Sequence[Path], settings: FlowTraining, n: int, device: torch.device | str) -> Pair:
    """As :func:`training_pair`, always the same n images, cut in their middle."""
    images = [batches.batch(0) for batches in streams(data, "validation", n, 0)]
    return pair_of(torch.cat([cut_in_the_middle(of_set, settings.crop) for of_set in images]).to(device))


def pair_of(pixels: Tensor) -> Pair:
    """(B, 1 or 3, H, W) 8-bit pixels as colour images, with their inputs."""
    x = (pixels.to(torch.get_default_dtype()) / 255).expand(-1, 3, -1, -1)
    return Pair(x, as_input(x))


def cut_at_random(image: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """A square of (..., H, W); of side 0 the image itself."""
    if side == 0:
        return image
    top, left = (int(torch.randint(_room(n, side) + 1, (), generator=generator)) for n in image.shape[-2:])
    return image[..., top : top + side, left : left + side]


def cut_in_the_middle(image: Tensor, side: int) -> Tensor:
    """The square in the middle of (..., H, W); of side 0 the image itself."""
    if side == 0:
        return image
    top, left = (_room(n, side) // 2 for n in image.shape[-2:])
    return image[..., top : top + side, left : left + side]


def _room(length: int, side: int) -> int:
    if length < side:
        raise ValueError(f"crop must be at most the side of every image, got {side} for an image of side {length}")
    return length - side
