"""Super-resolution benchmarks: ``FOLDER/sr_benchmarks/NAME/HR/*`` and bicubic ``LRx4/*.png`` (Set5, Set14, BSD100)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

SCALE = 4


class Pair(NamedTuple):
    """An image and its low-resolution input, (3, H, W) and (3, H / 4, W / 4), RGB in [0, 1]."""

    x: Tensor
    y: Tensor


def sr_pairs(folder: Path, name: str) -> list[Pair]:
    """All pairs of a benchmark, in order of name; grey images as RGB, sides cropped to multiples of 4 at top left."""
    root = folder / "sr_benchmarks" / name
    lows = sorted((root / f"LRx{SCALE}").glob("*.png"))
    if not lows:
        raise FileNotFoundError(f"{root} should hold HR/* and LRx{SCALE}/*.png of equal names")
    pairs = []
    for low in lows:
        y = read_rgb(low)
        height, width = y.shape[1] * SCALE, y.shape[2] * SCALE
        x = read_rgb(next((root / "HR").glob(f"{low.stem}.*")))[:, :height, :width]
        if x.shape[1:] != (height, width):
            raise ValueError(f"{low} is {tuple(y.shape[1:])}: its HR image is smaller than {SCALE} times that")
        pairs.append(Pair(x, y))
    return pairs


def read_rgb(path: Path) -> Tensor:
    """An image file as (3, H, W) float32 in [0, 1]."""
    from PIL import Image

    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float() / 255


def luma(x: Tensor) -> Tensor:
    """(..., 3, H, W) RGB in [0, 1] -> (..., 1, H, W): Y of ITU-R BT.601 at its studio swing, 16 / 255 to 235 / 255."""
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=x.dtype, device=x.device)
    return (16 + (x * weights[:, None, None]).sum(-3, keepdim=True)) / 255
