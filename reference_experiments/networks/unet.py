"""The paper's U-Net (Figure 6), as far as its caption and lettering fix it; the rest is usual, with options."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

Seeds = tuple[Tensor, Tensor, Tensor, Tensor]


def double_conv(n_in: int, n_out: int, *, norm: bool, n_middle: int | None = None) -> nn.Sequential:
    """Convolution, batch normalisation (with ``norm``), ReLU, twice; no bias before a normalisation."""
    layers: list[nn.Module] = []
    n_middle = n_middle or n_out
    for width, n_channels in ((n_in, n_middle), (n_middle, n_out)):
        layers.append(nn.Conv2d(width, n_channels, 3, padding=1, bias=not norm))
        layers += [nn.BatchNorm2d(n_channels), nn.ReLU()] if norm else [nn.ReLU()]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """``G(y, z)`` with a one-channel noise map concatenated before each of four down blocks.

    Args:
        s: width of the first block; the paper's 24 (CelebA) and 32 (ImageNet).
        channels: of the images.
        stochastic: whether ``sample_z`` draws seeds; a deterministic estimator gets zeros, with the same weights.
        norm: whether each convolution has a batch normalisation after it, as in the paper, or a bias.
        skip_noise: whether the skip connections carry the noise maps too, or the features alone.
        halved_middle: whether the hidden width of an up block is half of its input's, or its output's.
        align_corners: of the bilinear enlargement.
    """

    def __init__(
        self,
        s: int = 24,
        *,
        channels: int = 3,
        stochastic: bool = True,
        norm: bool = True,
        skip_noise: bool = True,
        halved_middle: bool = False,
        align_corners: bool = True,
    ) -> None:
        super().__init__()
        widths = (s, 2 * s, 4 * s, 8 * s, 8 * s)
        self.stem = double_conv(channels, s, norm=norm)
        self.down = nn.ModuleList(double_conv(widths[i] + 1, widths[i + 1], norm=norm) for i in range(4))
        outputs = (s, s, 2 * s, 4 * s)
        self.up = nn.ModuleList()
        for i in range(4):
            n_in = (widths[4] if i == 3 else outputs[i + 1]) + widths[i] + skip_noise
            self.up.append(double_conv(n_in, outputs[i], norm=norm, n_middle=n_in // 2 if halved_middle else None))
        self.last = nn.Conv2d(s, channels, 1)
        self.stochastic, self.skip_noise, self.align_corners = stochastic, skip_noise, align_corners

    def sample_z(self, y: Tensor, generator: torch.Generator | None = None) -> Seeds:
        """Four noise maps per row of y, at its size and a half, a quarter and an eighth of it."""
        height, width = y.shape[2:]
        maps = [torch.zeros(len(y), 1, height >> i, width >> i, dtype=y.dtype, device=y.device) for i in range(4)]
        first, second, third, fourth = [m.normal_(generator=generator) for m in maps] if self.stochastic else maps
        return first, second, third, fourth

    def forward(self, y: Tensor, z: Seeds) -> Tensor:
        """(B, C, H, W) inputs, H and W multiples of 16, and seeds -> (B, C, H, W) outputs, without activation."""
        features, skips = self.stem(y), []
        for noise, block in zip(z, self.down, strict=True):
            noisy = torch.cat([features, noise], 1)
            skips.append(noisy if self.skip_noise else features)
            features = block(max_pool2d(noisy, 2))
        for skip, block in zip(reversed(skips), reversed(self.up), strict=True):
            larger = interpolate(features, scale_factor=2, mode="bilinear", align_corners=self.align_corners)
            features = block(torch.cat([larger, skip], 1))
        output: Tensor = self.last(features)
        return output
