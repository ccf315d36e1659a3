"""Consistency with an image of which some pixels are missing."""

from __future__ import annotations

import torch
from torch import Tensor

from stochrobust._arguments import describe
from stochrobust.consistency.projector import ProjectorModule


class InpaintingProjector(ProjectorModule):
    """Puts the observed pixels of y in place: ``x_hat = mask * y + (1 - mask) * x``.

    ``D(x) = mask * x`` is of full size, and so is y, whose unobserved pixels are not read (they may be NaN). The
    observed pixels of x_hat equal those of y bit for bit.

    Args:
        mask: True or 1 where a pixel is observed, else False or 0; any shape that broadcasts to that of x, such as
            (H, W), (C, H, W) or (B, 1, H, W). One mask per image goes with its image where the library measures with
            several seeds or in chunks.

    Raises:
        TypeError: mask is not a tensor.
        ValueError: mask is empty, or holds anything but zeros and ones.

    Example:
        The paper's mask, the bottom quarter of a 64 x 64 image observed:

        >>> import torch
        >>> projector = InpaintingProjector(torch.arange(64)[:, None] >= 48)
        >>> x, y = torch.zeros(2, 3, 64, 64), torch.ones(2, 3, 64, 64)
        >>> projector.project(x, y).mean().item()
        0.25

    Source: section 6.1.1 of the paper.
    """

    precision = torch.float16  # nothing is rounded
    per_sample_buffers = ("mask",)
    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        if not isinstance(mask, Tensor):
            raise TypeError(f"mask must be a torch.Tensor, got {describe(mask)}")
        if mask.is_complex() or mask.is_meta or mask.layout != torch.strided:
            raise ValueError(f"mask must be dense, and hold zeros and ones, got {describe(mask)}")
        if mask.numel() == 0 or not bool(((mask == 0) | (mask == 1)).all()):
            raise ValueError(f"mask must hold ones (observed) and zeros, one per pixel, got {describe(mask)}")
        self.register_buffer("mask", mask.detach() == 1, persistent=False)

    def _degrade(self, x: Tensor) -> Tensor:
        return torch.where(self.mask, x, 0)

    def _lift(self, y: Tensor) -> Tensor:
        return self._degrade(y)

    def residual(self, x: Tensor, y: Tensor) -> Tensor:
        """``y - x`` where y is observed, else zero. See :meth:`ProjectorModule.residual`."""
        dtype = self._check_pair(x, y)
        return torch.where(self.mask, y - x, 0).to(dtype)

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """``mask * y + (1 - mask) * x``, exactly. See :meth:`ProjectorModule.project`."""
        self._check_pair(x, y)
        return torch.where(self.mask, y, x)

    def _degraded_shape(self, x: Tensor) -> torch.Size:
        self._check_broadcast("x", x)
        return x.shape

    def _check_degraded(self, y: Tensor) -> None:
        self._check_broadcast("y", y)

    def _check_broadcast(self, name: str, value: Tensor) -> None:
        mask = self.mask.shape
        aligned = value.shape[max(0, value.ndim - len(mask)) :]
        if len(mask) > value.ndim or any(size not in (1, aligned[i]) for i, size in enumerate(mask)):
            raise ValueError(f"{name} must have a shape that a mask of {tuple(mask)} fits, got {describe(value)}")
