"""Restorers of small images whose audits are known beforehand."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stochrobust import BlockAverageProjector

PROJECTOR = BlockAverageProjector(2)
TAU = 0.08
"""Standard deviation of a pixel of the sources, which are independent Gaussians about 1/2."""
SHAPE = (1, 4, 4)


def sources(n: int, seed: int = 0) -> Tensor:
    return (0.5 + TAU * torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(seed))).clamp(0, 1)


def noise(y: Tensor, generator: torch.Generator | None) -> Tensor:
    """``sample_z``: one number for each pixel of x."""
    return torch.randn(len(y), *SHAPE, dtype=y.dtype, device=y.device, generator=generator)


class Posterior:
    """The posterior of the sources given their block averages, ``width`` times as wide: exact for 1."""

    def __init__(self, width: float = 1.0) -> None:
        self.width = width

    def sample_z(self, y: Tensor, generator: torch.Generator | None) -> Tensor:
        return noise(y, generator)

    def __call__(self, y: Tensor, z: Tensor) -> Tensor:
        return PROJECTOR.project(0.5 + self.width * TAU * z, y)


class Scaled(nn.Module):
    """``gains * y + sigma z``, elementwise: the strong attack finds the largest gain, whatever y and z."""

    def __init__(self, gains: Tensor, sigma: float = 0.0) -> None:
        super().__init__()
        self.gains = nn.Parameter(gains)
        self.sigma = sigma

    def forward(self, y: Tensor, z: Tensor | None = None) -> Tensor:
        return self.gains * y if z is None else self.gains * y + self.sigma * z


def gains(largest: float) -> Tensor:
    """One pixel of this gain, the others of 1/2."""
    values = torch.full(SHAPE, 0.5)
    values[0, 1, 2] = largest
    return values


class Counting(nn.Module):
    """A smooth stochastic network that counts its rows and calls, and breaks where it is told to."""

    def __init__(self, normalise: bool = False) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.last = nn.Conv2d(4, 1, 3, padding=1)
        self.norm = nn.BatchNorm2d(4) if normalise else nn.Identity()
        for parameter in (*self.first.parameters(), *self.last.parameters()):
            nn.init.uniform_(parameter, -0.4, 0.4, generator=generator)
        self.rows = self.calls = self.most = 0
        self.fail_from = -1

    def sample_z(self, y: Tensor, generator: torch.Generator | None) -> Tensor:
        return noise(y, generator)

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        self.rows, self.calls, self.most = self.rows + len(y), self.calls + 1, max(self.most, len(y))
        if 0 <= self.fail_from < self.rows:
            raise RuntimeError("the machine went down")
        wide = PROJECTOR.pinv(y) if y.shape[-1] == 2 else y
        hidden = self.norm(self.first(torch.cat([wide, z.to(y.dtype)], 1))).sin()
        output: Tensor = self.last(hidden).sigmoid()
        return output
