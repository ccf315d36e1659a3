"""Bilinear resizing as TensorFlow 1 did it, which is not what torch does."""

from __future__ import annotations

import torch
from torch import Tensor


def resize_tf1(images: Tensor, size: int) -> Tensor:
    """``(N, C, H, W)`` to ``(N, C, size, size)``: output pixel i is at ``i H / size`` of the input's rows, j likewise.

    The pixels' corners lie on each other, not, as in torch, their centres; past the last pixel the last one is
    repeated. Positions are rounded to float32, as TensorFlow's were.
    """
    return _interpolate(_interpolate(images, 3, size), 2, size)


def _interpolate(images: Tensor, dim: int, size: int) -> Tensor:
    length = images.shape[dim]
    positions = torch.arange(size, dtype=torch.float32, device=images.device) * (length / size)
    before = positions.long()
    after = (before + 1).clamp(max=length - 1)
    share = (positions - before).to(images.dtype).view(-1, *[1] * (3 - dim))
    start = images.index_select(dim, before)
    return start + (images.index_select(dim, after) - start) * share
