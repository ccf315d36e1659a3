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
        waves, frequency: the network also sees so many sines of random projections of y, ``sin(frequency * P y)``. They
            make it react to small changes of y as sharply as deep networks do, should that serve its loss.
        z_gain: what z is multiplied by: a small one makes it at first the weaker of the two inputs.
    """

    def __init__(
        self,
        n_pixels: int,
        *,
        stochastic: bool,
        width: int,
        depth: int,
        z_dims: int,
        waves: int,
        frequency: float,
        z_gain: float,
    ) -> None:
        super().__init__()
        self.z_dims, self.z_gain = z_dims, z_gain
        self.projections: Tensor
        self.register_buffer("projections", frequency * torch.randn(n_pixels, waves))
        self.network = mlp(n_pixels + waves + z_dims, *[width] * depth, n_pixels)
        self.sample_z = self.draw if stochastic else None

    def draw(self, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One seed per row of y."""
        return torch.randn(len(y), self.z_dims, generator=generator, device=y.device, dtype=y.dtype)

    def forward(self, y: Tensor, z: Tensor | None = None) -> Tensor:
        """(N, n_pixels) and (N, z_dims) -> (N, n_pixels)."""
        seed = y.new_zeros(len(y), self.z_dims) if z is None else z
        output: Tensor = self.network(torch.cat([y, (y @ self.projections).sin(), self.z_gain * seed], 1))
        return output.sigmoid()
