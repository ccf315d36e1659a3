"""What is restored: inpainting from the bottom quarter, or super-resolution of block averages (section 6.1.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from reference_experiments.networks.unet import Seeds, UNet
from stochrobust import BlockAverageProjector, Consistent, InpaintingProjector, eps_from_psnr

TaskName = Literal["inpainting", "sr4", "sr8", "sr16"]
AI_PSNR = {"inpainting": 32.94, "sr4": 34.0, "sr8": 34.0, "sr16": 34.0}
"""Size of the attack in dB over the elements of y (App. E.2.3: eps = 2.5; 0.553, 0.276 and 0.138 at 64 x 64)."""


@dataclass(frozen=True)
class Task:
    """A degradation of square images, and the attack's radius that goes with it.

    Args:
        name: inpainting, or super-resolution by the factor in the name.
        size: side of the images, a multiple of 16.
        channels: of the images.
    """

    name: TaskName
    size: int = 64
    channels: int = 3

    @property
    def scale(self) -> int:
        """Super-resolution's factor; 1 for inpainting."""
        return int(self.name.removeprefix("sr")) if self.name != "inpainting" else 1

    @property
    def eps(self) -> float:
        """Radius of the attack, L2 over all elements of one y."""
        return eps_from_psnr(AI_PSNR[self.name], self.channels * (self.size // self.scale) ** 2)

    def projector(self) -> InpaintingProjector | BlockAverageProjector:
        """The degradation ``D`` and the projection on its consistent images."""
        if self.name == "inpainting":
            return InpaintingProjector(torch.arange(self.size)[:, None] >= self.size * 3 // 4)
        return BlockAverageProjector(self.scale)

    def estimator(self, unet: UNet) -> Consistent:
        """``G(y, z)`` made of the network: consistent with y, and fed with y at full size."""
        return Consistent(unet if self.scale == 1 else Enlarged(unet, self.scale), self.projector())


class Enlarged(nn.Module):
    """A U-Net fed with the nearest-neighbour enlargement of y; an attack acts on y itself, before it."""

    def __init__(self, unet: UNet, scale: int) -> None:
        super().__init__()
        self.unet, self.scale = unet, scale

    def sample_z(self, y: Tensor, generator: torch.Generator | None = None) -> Seeds:
        """The U-Net's seeds for (B, C, h, w) inputs."""
        height, width = (side * self.scale for side in y.shape[2:])
        return self.unet.sample_z(y[:, :, :1, :1].expand(-1, -1, height, width), generator)

    def forward(self, y: Tensor, z: Seeds) -> Tensor:
        """(B, C, h, w) -> (B, C, scale * h, scale * w)."""
        output: Tensor = self.unet(interpolate(y, scale_factor=self.scale), z)
        return output
