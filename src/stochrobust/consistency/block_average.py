"""Consistency with the means of the blocks of an image: the paper's super-resolution."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from stochrobust._arguments import check_count, check_image, describe
from stochrobust.consistency.projector import ProjectorModule


class BlockAverageProjector(ProjectorModule):
    """Gives every s x s block the mean that y demands: ``x_hat = x + U(y - D(x))``.

    D is the mean over blocks and U its pseudo-inverse, the nearest-neighbour upsampling: since D D^T = I / s^2, this
    is the CEM formula ``x - H^T (H H^T)^{-1} (H x - y)`` for the averaging kernel, exact at the borders too.

    Args:
        scale: the block's side s in pixels, at least 1; it divides the height and the width of x.

    Raises:
        TypeError, ValueError: scale is no positive integer.

    Example:
        >>> import torch
        >>> projector = BlockAverageProjector(2)
        >>> x = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
        >>> projector.project(x, torch.tensor([[[[5.5]]]]))
        tensor([[[[4., 5.],
                  [6., 7.]]]])

    Source: section 6.1.1 of the paper; Bahat and Michaeli, "Explorable Super Resolution", CVPR 2020.
    """

    precision = torch.float32

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = check_count("scale", scale)

    def _degrade(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.scale)

    def _lift(self, y: Tensor) -> Tensor:
        batch, channels, height, width = y.shape
        blocks = y[..., :, None, :, None].expand(-1, -1, -1, self.scale, -1, self.scale)
        return blocks.reshape(batch, channels, height * self.scale, width * self.scale)

    def _degraded_shape(self, x: Tensor) -> torch.Size:
        return downscaled_shape(x, self.scale)

    def _check_degraded(self, y: Tensor) -> None:
        check_image("y", y)

    def extra_repr(self) -> str:
        """The scale."""
        return f"scale={self.scale}"


def downscaled_shape(x: Tensor, scale: int) -> torch.Size:
    """(B, C, H / scale, W / scale); raises where that leaves a remainder."""
    check_image("x", x)
    batch, channels, height, width = x.shape
    if height % scale or width % scale:
        raise ValueError(f"x must have a height and a width divisible by the scale {scale}, got {describe(x)}")
    return torch.Size((batch, channels, height // scale, width // scale))
