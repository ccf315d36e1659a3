"""How sharp an image is beside another one of the same scene."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def gradient_energy(x: Tensor) -> Tensor:
    """Mean square of the differences between neighbours, along height and along width: (B, C, H, W) -> (B,)."""
    along_height, along_width = (x.diff(dim=axis).square().mean((1, 2, 3)) for axis in (2, 3))
    return along_height + along_width


def sharpness(x_hat: Tensor, x: Tensor) -> Tensor:
    """``gradient_energy(x_hat) / gradient_energy(x)``: 1 where x_hat has as much detail as x, be it right or wrong.

    Noise is detail too: a number above 1 says that there is too much of it.

    Args:
        x_hat: (B, C, H, W) restorations.
        x: of the same shape; what they restore.

    Returns:
        (B,), at least 0; of a constant x, 1 if x_hat is constant too and infinite else.
    """
    found, of_x = gradient_energy(x_hat), gradient_energy(x)
    of_constant = torch.where(found > 0, math.inf, 1.0).to(found)
    return torch.where(of_x > 0, found / of_x.clamp_min(torch.finfo(of_x.dtype).tiny), of_constant)
