"""Pictures as PNG data URIs."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

if TYPE_CHECKING:
    from PIL import Image

LARGEST_SIDE = 256  # pixels; sixty larger pictures would make a page of tens of megabytes

# From nothing to much: lightness rises evenly, from a blue that is nearly black over teal to a pale yellow, so that
# the order is seen without colour vision and on paper too.
_ANCHORS = ((13, 16, 42), (38, 58, 120), (32, 108, 138), (60, 158, 128), (150, 203, 102), (252, 243, 168))


def picture(image: Tensor) -> str:
    """A picture, (C, H, W), clamped to [0, 1]: grey if C < 3, else the first three channels as colour."""
    channels = 3 if image.shape[0] >= 3 else 1
    pixels = _bytes(_reduced(image[:channels]))
    return _uri(pixels.permute(1, 2, 0).squeeze(-1))


def signed(image: Tensor, gain: float) -> str:
    """A picture of differences, (C, H, W), amplified around middle grey."""
    return picture(0.5 + gain * image)


def heat(values: Tensor, top: float) -> str:
    """A map of sizes, (H, W), in colours from 0 to ``top``."""
    levels = _bytes(_reduced((values / (top or 1.0))[None]))[0]
    return _uri(levels, palette=_palette())


def heat_scale() -> str:
    """The colours of :func:`heat` from 0 on the left to the top on the right."""
    return heat(torch.linspace(0, 1, 64)[None], 1.0)


def reduction(image: Tensor) -> int:
    """By which whole factor a picture is shown smaller than it is."""
    return -(-max(image.shape[-2:]) // LARGEST_SIDE)


def _reduced(image: Tensor) -> Tensor:
    factor = reduction(image)
    image = image.detach().float().nan_to_num(0.0, 1.0, 0.0)
    return image if factor == 1 else avg_pool2d(image[None], factor, ceil_mode=True, count_include_pad=False)[0]


def _bytes(image: Tensor) -> Tensor:
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)


def _palette() -> list[int]:
    steps = torch.linspace(0, len(_ANCHORS) - 1, 256, dtype=torch.float64)
    left = steps.floor().long().clamp(max=len(_ANCHORS) - 2)
    anchors = torch.tensor(_ANCHORS, dtype=torch.float64)
    colours = torch.lerp(anchors[left], anchors[left + 1], (steps - left)[:, None])
    return [int(value) for value in colours.round().flatten()]


def _uri(pixels: Tensor, palette: list[int] | None = None) -> str:
    from PIL import Image

    encoded: Image.Image = Image.fromarray(pixels.contiguous().numpy())
    if palette is not None:
        encoded.putpalette(palette)
    buffer = io.BytesIO()
    encoded.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
