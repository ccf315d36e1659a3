"""EDSR, a distortion-oriented super-resolver by 4 of plain residual blocks, and the reader of its published weights."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from reference_experiments.networks.carn_m import RGB_MEAN
from reference_experiments.networks.weights import read_weights, with_weights

PEAK = 255.0
"""Of the images that the published weights know."""


class EDSRSize(NamedTuple):
    """How many residual blocks, how many channels each, and the factor of each block's residual."""

    n_blocks: int
    width: int
    residual: float


EDSR_FULL = EDSRSize(32, 256, 0.1)
EDSR_BASELINE = EDSRSize(16, 64, 1.0)


class ColourShift(nn.Conv2d):
    """Adds or takes away the mean colour; a 1 x 1 convolution that is not trained, because it is published as one."""

    def __init__(self, sign: int) -> None:
        super().__init__(3, 3, 1)
        with torch.no_grad():
            self.weight.copy_(torch.eye(3)[..., None, None])
            self.bias.copy_(sign * PEAK * torch.tensor(RGB_MEAN))  # type: ignore[union-attr]
        self.requires_grad_(False)


class ResidualBlock(nn.Module):
    """Two convolutions with a ReLU between them, scaled, and added to their input."""

    def __init__(self, width: int, residual: float) -> None:
        super().__init__()
        self.body = nn.Sequential(conv3(width, width), nn.ReLU(), conv3(width, width))
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, h, w) -> the same shape."""
        change: Tensor = self.body(x)
        return x + self.residual * change


class EDSR(nn.Module):
    """``G(y)``: EDSR for 4x. Its attributes have the names of the published tensors.

    Args:
        size: :data:`EDSR_FULL` (43,089,947 values, of which 24 are the mean colour's) or :data:`EDSR_BASELINE`.

    Source: Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution", CVPR workshops 2017,
        Figure 3 and Table 1.
    """

    def __init__(self, size: EDSRSize = EDSR_FULL) -> None:
        super().__init__()
        width = size.width
        self.sub_mean, self.add_mean = ColourShift(-1), ColourShift(1)
        self.head = nn.Sequential(conv3(3, width))
        blocks = (ResidualBlock(width, size.residual) for _ in range(size.n_blocks))
        self.body = nn.Sequential(*blocks, conv3(width, width))
        doublings = [layer for _ in range(2) for layer in (conv3(width, 4 * width), nn.PixelShuffle(2))]
        self.tail = nn.Sequential(nn.Sequential(*doublings), conv3(width, 3))

    def forward(self, y: Tensor) -> Tensor:
        """(B, 3, h, w) RGB in [0, 1] -> (B, 3, 4h, 4w), not clamped."""
        features = self.head(self.sub_mean(PEAK * y))
        x_hat: Tensor = self.add_mean(self.tail(features + self.body(features)))
        return x_hat / PEAK


def conv3(n_in: int, n_out: int) -> nn.Conv2d:
    """A 3 x 3 convolution that keeps the size."""
    return nn.Conv2d(n_in, n_out, 3, padding=1)


def load_edsr(path: Path, size: EDSRSize = EDSR_FULL) -> EDSR:
    """EDSR with published weights, in eval mode.

    Args:
        path: ``edsr_x4-4f62e9ef.pt`` or, of the baseline's size, ``edsr_baseline_x4-6b446fab.pt``, from the authors'
            repository github.com/sanghyun-son/EDSR-PyTorch. The digits in the name are held to the file's SHA-256.
        size: of the network in the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, is not what its name promises, or holds other tensors; they are named.
    """
    weights = read_weights(path, "a checkpoint of EDSR for 4x (edsr_x4-4f62e9ef.pt)")
    return with_weights(EDSR(size), weights, "EDSR", str(path))
