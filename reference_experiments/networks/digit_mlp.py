"""The small networks of the digits demo: an inpainting estimator and a critic, both fully connected."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn


def mlp(*widths: int) -> nn.Sequential:
    """Linear layers of the given widths, input first, with leaky ReLUs between them."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])


class DigitEstimator(nn.Module):
    """``G(y, z)``: a masked digit and a normal seed to a whole digit in [0, 1].

    Args:
        n_pixels: of a digit.
        stochastic: whether it draws seeds; else z = 0, in the same network.
        width, depth: of the hidden layers.
        z_dims: length of a seed.
        y_gain, z_gain: what the two inputs are multiplied by. At first the network reacts to y much more than to z, as
            a deep network does to which noise is merely added.
    """

    def __init__(
        self, n_pixels: int, *, stochastic: bool, width: int, depth: int, z_dims: int, y_gain: float, z_gain: float
    ) -> None:
        super().__init__()
        self.z_dims, self.y_gain, self.z_gain = z_dims, y_gain, z_gain
        self.network = mlp(n_pixels + z_dims, *[width] * depth, n_pixels)
        self.sample_z = self.draw if stochastic else None

    def draw(self, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One seed per row of y."""
        return torch.randn(len(y), self.z_dims, generator=generator, device=y.device, dtype=y.dtype)

    def forward(self, y: Tensor, z: Tensor | None = None) -> Tensor:
        """(N, n_pixels) and (N, z_dims) -> (N, n_pixels)."""
        seed = y.new_zeros(len(y), self.z_dims) if z is None else z
        output: Tensor = self.network(torch.cat([self.y_gain * y, self.z_gain * seed], 1))
        return output.sigmoid()
