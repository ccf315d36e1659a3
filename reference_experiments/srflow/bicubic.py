"""Bicubic resizing as the ``imresize`` of older Matlabs did it, which made the inputs of Set5, Set14 and BSD100."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor, nn

from reference_experiments.networks.rrdb import SCALE
from stochrobust import SeparableProjector

SUPPORT = 4
"""Of the cubic kernel, in samples."""


def cubic(t: Tensor) -> Tensor:
    """Keys' kernel with a = -1/2: 1 at 0, 0 at the other integers, and from 2 on."""
    t = t.abs()
    near = 1.5 * t**3 - 2.5 * t**2 + 1
    far = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return near.where(t <= 1, far.where(t <= 2, torch.zeros_like(t)))


@functools.lru_cache(maxsize=64)
def resizing(n_in: int, n_out: int) -> Tensor:
    """(n_out, n_in) float64: what resizing does to a line of pixels.

    Where the line gets shorter the kernel is as much wider (antialiasing). The outermost pixels go on beyond the ends
    (newer Matlabs mirror the line there); the weights of each pixel sum to 1.
    """
    scale = n_out / n_in
    shrink = min(scale, 1.0)
    centres = (torch.arange(n_out, dtype=torch.float64) + 0.5) / scale - 0.5
    taps = math.ceil(SUPPORT / shrink) + 2
    places = (centres - SUPPORT / shrink / 2).floor()[:, None] + torch.arange(taps)
    weights = cubic(shrink * (centres[:, None] - places))
    weights = weights / weights.sum(1, keepdim=True)
    inside = places.long().clamp(0, n_in - 1)
    return torch.zeros(n_out, n_in, dtype=torch.float64).scatter_add_(1, inside, weights)


def resized(x: Tensor, height: int, width: int) -> Tensor:
    """(..., H, W) -> (..., height, width), not clamped."""
    if x.shape[-2] != height:
        x = resizing(x.shape[-2], height).to(x) @ x
    if x.shape[-1] != width:
        x = x @ resizing(x.shape[-1], width).to(x).T
    return x


def enlarged(y: Tensor) -> Tensor:
    """(..., h, w) -> (..., 4h, 4w): the super-resolver that everything is compared with."""
    return resized(y, SCALE * y.shape[-2], SCALE * y.shape[-1])


def as_input(x: Tensor) -> Tensor:
    """(..., 4h, 4w) in [0, 1] -> (..., h, w): the input that belongs to x, in 8 bits, as the benchmarks hold it.

    Matlab rounds an 8-bit image after its first dimension too.
    """
    height, width = x.shape[-2:]
    flat = rounded(resized(x, height // SCALE, width))
    return rounded(resized(flat, height // SCALE, width // SCALE))


def rounded(x: Tensor) -> Tensor:
    """The nearest multiples of 1 / 255 in [0, 1]."""
    return (x.clamp(0, 1) * 255).round() / 255


def degradation(height: int, width: int) -> SeparableProjector:
    """Reduction by 4 of images of this size, for measuring how consistent a super-resolution is with its input."""
    rows, columns = resizing(height, height // SCALE), resizing(width, width // SCALE)
    return SeparableProjector(height=rows, width=columns)


class Bicubic(nn.Module):
    """``G(y)``: :func:`enlarged`; linear, and no more than that."""

    def forward(self, y: Tensor) -> Tensor:
        """(B, 3, h, w) -> (B, 3, 4h, 4w)."""
        return enlarged(y)
