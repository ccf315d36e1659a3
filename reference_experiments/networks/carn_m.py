"""CARN-M, a convolutional super-resolver without noise and without normalisation, and the reader of its weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn

from reference_experiments.networks.weights import read_weights, with_weights

SCALES = (2, 3, 4)
WIDTH, GROUPS = 64, 4
RGB_MEAN = (0.4488, 0.4371, 0.4040)
SHA256 = "d48a759a84509351facb6b7c6d5bd6edec98b98519b8c464ee4ab44d2ba964ff"


class MeanShift(nn.Module):
    """Adds a constant colour; a 1 x 1 convolution, because its published weights come as one."""

    def __init__(self, sign: int) -> None:
        super().__init__()
        self.shifter = nn.Conv2d(3, 3, 1)
        with torch.no_grad():
            self.shifter.weight.copy_(torch.eye(3)[..., None, None])
            self.shifter.bias.copy_(sign * torch.tensor(RGB_MEAN))  # type: ignore[union-attr]
        self.shifter.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> the same shape."""
        shifted: Tensor = self.shifter(x)
        return shifted


class Merge(nn.Module):
    """Gathers ``n`` feature maps into one: 1 x 1 convolution and ReLU."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(n * WIDTH, WIDTH, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """(B, 64 n, H, W) -> (B, 64, H, W)."""
        merged: Tensor = self.body(x)
        return merged


class EfficientResidual(nn.Module):
    """The paper's residual-E block: two grouped 3 x 3 convolutions, a pointwise one, the input added, ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=GROUPS), nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=GROUPS), nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(B, 64, H, W) -> the same shape."""
        residual: Tensor = self.body(x)
        return (x + residual).relu()


def cascade(x: Tensor, stages: tuple[nn.Module, ...], merges: tuple[nn.Module, ...]) -> Tensor:
    """``o_k = merge_k([x, stage_1(o_0), ..., stage_k(o_{k-1})])`` with ``o_0 = x``; the last o."""
    output, gathered = x, x
    for stage, merge in zip(stages, merges, strict=True):
        gathered = torch.cat([gathered, stage(output)], 1)
        output = merge(gathered)
    return output


class Cascade(nn.Module):
    """A local cascade: one residual-E block used three times (CARN-M shares it), each use merged with all before."""

    def __init__(self) -> None:
        super().__init__()
        self.b1 = EfficientResidual()
        self.c1, self.c2, self.c3 = Merge(2), Merge(3), Merge(4)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 64, H, W) -> the same shape."""
        return cascade(x, (self.b1,) * 3, (self.c1, self.c2, self.c3))


class PixelShuffleUp(nn.Module):
    """Enlarges feature maps: per factor a grouped convolution, ReLU and a pixel shuffle."""

    def __init__(self, *factors: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for r in factors:
            conv = nn.Conv2d(WIDTH, r * r * WIDTH, 3, padding=1, groups=GROUPS)
            layers += [conv, nn.ReLU(), nn.PixelShuffle(r)]
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 64, h, w) -> (B, 64, s h, s w)."""
        enlarged: Tensor = self.body(x)
        return enlarged


class CARNM(nn.Module):
    """``G(y)``: CARN-M for one of the scales that its weights, 414,811 values in all, serve together.

    Args:
        scale: 2, 3 or 4: which of the three upsamplers is used; a model holds all of them.

    Raises:
        ValueError: for another scale.

    Source: Ahn, Kang and Sohn, "Fast, Accurate, and Lightweight Super-Resolution with Cascading Residual Network",
        ECCV 2018, Figures 2 to 4.
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        if scale not in SCALES:
            raise ValueError(f"scale must be one of {SCALES}, got {scale!r}")
        self.scale = scale
        self.sub_mean, self.add_mean = MeanShift(-1), MeanShift(1)
        self.entry = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.b1, self.b2, self.b3 = Cascade(), Cascade(), Cascade()
        self.c1, self.c2, self.c3 = Merge(2), Merge(3), Merge(4)
        self.upsample = nn.ModuleDict({"up2": PixelShuffleUp(2), "up3": PixelShuffleUp(3), "up4": PixelShuffleUp(2, 2)})
        self.exit = nn.Conv2d(WIDTH, 3, 3, padding=1)

    def forward(self, y: Tensor) -> Tensor:
        """(B, 3, h, w) RGB in [0, 1] -> (B, 3, scale * h, scale * w), not clamped."""
        features = self.entry(self.sub_mean(y))
        features = cascade(features, (self.b1, self.b2, self.b3), (self.c1, self.c2, self.c3))
        x_hat: Tensor = self.add_mean(self.exit(self.upsample[f"up{self.scale}"](features)))
        return x_hat


def load_carn_m(path: Path, scale: int) -> CARNM:
    """CARN-M with its published weights, in eval mode.

    Args:
        path: the file ``checkpoint/carn_m.pth`` of the authors' repository, github.com/nmhkahn/CARN-pytorch.
        scale: 2, 3 or 4.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is another file (by its SHA-256), or scale is none of the three.
    """
    model = CARNM(scale)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: it should be CARN-M's published checkpoint/carn_m.pth")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256:
        raise ValueError(f"{path} must be the published carn_m.pth, of SHA-256 {SHA256}, got {found}")
    return with_weights(model, read_weights(path, "CARN-M's published checkpoint"), "CARN-M", str(path))
