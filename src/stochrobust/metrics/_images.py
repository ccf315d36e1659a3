"""Checks of images: that they are of the kind, the number of channels and the range of values that was declared."""

from __future__ import annotations

import torch
from torch import Tensor

from stochrobust._arguments import check_real, describe


def check_images(images: object, data_range: tuple[float, float], channels: int, *, uint8: bool) -> None:
    """``(N, channels, H, W)``, 8-bit or floating-point in ``data_range``. Synchronises with the images' device."""
    if not isinstance(images, Tensor):
        raise TypeError(f"images must be a torch.Tensor, got {type(images).__name__}")
    if images.ndim != 4 or images.numel() == 0:
        raise ValueError(f"images must be (N, {channels}, H, W) and not empty, got {describe(images)}")
    if images.shape[1] != channels:
        grey = images.shape[1] == 1
        advice = f": repeat the channel of grey images, images.expand(-1, {channels}, -1, -1)" if grey else ""
        raise ValueError(f"images must have {channels} channel(s), got {describe(images)}{advice}")
    if uint8:
        _check_uint8(images)
    else:
        _check_floats(images, *data_range)


def _check_uint8(images: Tensor) -> None:
    if images.dtype != torch.uint8:
        advice = "of x in [0, 1], (255 * x).round().to(torch.uint8)"
        raise TypeError(f"images must be 8-bit, torch.uint8 of 0 to 255, got {describe(images)}: {advice}")


def _check_floats(images: Tensor, low: float, high: float) -> None:
    if not images.is_floating_point():
        raise TypeError(f"images must be floating-point, in [{low}, {high}], got {describe(images)}: rescale them")
    lowest, highest = (float(value) for value in torch.aminmax(images.detach()))
    if not (low <= lowest and highest <= high):  # written so that NaN does not pass
        got = f"{lowest} to {highest}"
        raise ValueError(f"images must have values in [{low}, {high}], got {got}: clamp or rescale them")


def check_range(data_range: object) -> tuple[float, float]:
    """Two finite numbers, the second above the first."""
    if not isinstance(data_range, tuple | list) or len(data_range) != 2:
        raise TypeError(f"data_range must be (lowest, highest) or torch.uint8, got {describe(data_range)}")
    low, high = (check_real("data_range", value) for value in data_range)
    if not low < high:
        raise ValueError(f"data_range must increase, got {data_range!r}")
    return low, high
