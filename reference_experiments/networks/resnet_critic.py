"""The paper's critic (Table 4): a residual network without normalisation, two blocks at each resolution."""

from __future__ import annotations

import itertools
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

SLOPE = 0.2


Init = Literal["torch", "kaiming"]


class ResidualBlock(nn.Module):
    """``shortcut(x) + gain conv(act(conv(act(x))))``; the shortcut is a 1 x 1 convolution where the widths differ."""

    def __init__(self, n_in: int, n_out: int, gain: float) -> None:
        super().__init__()
        self.gain = gain
        n_hidden = min(n_in, n_out)
        self.first = nn.Conv2d(n_in, n_hidden, 3, padding=1)
        self.second = nn.Conv2d(n_hidden, n_out, 3, padding=1)
        self.shortcut = nn.Identity() if n_in == n_out else nn.Conv2d(n_in, n_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.second(leaky_relu(self.first(leaky_relu(x, SLOPE)), SLOPE))
        output: Tensor = self.shortcut(x) + self.gain * branch
        return output


class ResNetCritic(nn.Module):
    """(B, channels, size, size) images in [0, 1] -> (B,) logits; the critic sees the image only, not y.

    Args:
        f: width of the first block; the paper's 16 (CelebA) and 32 (ImageNet).
        size: side of the images, a multiple of 32.
        channels: of the images.
        gain: of the residual branches. Table 4's 0.1 is read so; multiplying the sum would leave no signal.
        init: law of the first weights: "torch", PyTorch's own, as in the published code that Table 4 is of, under which
            the logits of different images first differ by some 1e-4; or "kaiming", which keeps the signal's size, so
            that a short training does not begin with thousands of steps of a blind critic.
        pool: side of the average pooling's window, 3 (stride 2, padding 1) or 2 (stride 2); Table 4 leaves it open.
    """

    def __init__(
        self, f: int = 16, size: int = 64, *, channels: int = 3, gain: float = 0.1, init: Init = "torch", pool: int = 3
    ) -> None:
        super().__init__()
        if size % 32:
            raise ValueError(f"size must be a multiple of 32, got {size}")
        if pool not in (2, 3):
            raise ValueError(f"pool must be 2 or 3, got {pool}")
        widths = [f, 2 * f, 4 * f, 8 * f, 16 * f, 16 * f]
        layers: list[nn.Module] = [nn.Conv2d(channels, f, 3, padding=1)]
        for narrow, wide in itertools.pairwise(widths):
            layers += [ResidualBlock(narrow, narrow, gain), ResidualBlock(narrow, wide, gain)]
            layers.append(nn.AvgPool2d(pool, 2, pool // 3))
        layers += [ResidualBlock(widths[-1], widths[-1], gain) for _ in range(2)]
        self.blocks = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1] * (size // 32) ** 2, 1)
        if init == "kaiming":
            for layer in self.modules():
                _keep_size(layer)

    def forward(self, x: Tensor) -> Tensor:
        features = leaky_relu(self.blocks(2 * x - 1), SLOPE)
        logits: Tensor = self.head(torch.flatten(features, 1))[:, 0]
        return logits


def _keep_size(layer: nn.Module) -> None:
    """First weights that keep the mean square of what the layer is fed with."""
    if isinstance(layer, nn.Conv2d):
        follows_activation = layer.bias is not None
        nn.init.kaiming_normal_(layer.weight, a=SLOPE, nonlinearity="leaky_relu" if follows_activation else "linear")
    if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
        nn.init.zeros_(layer.bias)
