"""The Inception-v3 of the Frechet inception distance, up to its last pooling: tables of layers, named as published."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEATURES = 2048


class _Layer(NamedTuple):
    """A convolution of a block: what it is applied to ("" is the block's input), its output channels and its kernel."""

    name: str
    source: str
    channels: int
    kernel: tuple[int, int]


class InceptionNetwork(nn.Module):
    """``(N, 3, 299, 299)`` images, about in [-1, 1], to ``(N, 2048)`` features; always in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Convolution(3, 32, (3, 3), stride=2)
        self.Conv2d_2a_3x3 = _Convolution(32, 32, (3, 3))
        self.Conv2d_2b_3x3 = _Convolution(32, 64, (3, 3), padding=(1, 1))
        self.Conv2d_3b_1x1 = _Convolution(64, 80, (1, 1))
        self.Conv2d_4a_3x3 = _Convolution(80, 192, (3, 3))
        self.Mixed_5b = _Block(192, _layers_a(32), _average())
        self.Mixed_5c = _Block(256, _layers_a(64), _average())
        self.Mixed_5d = _Block(288, _layers_a(64), _average())
        self.Mixed_6a = _Block(288, _layers_b(), _halving(), stride=2)
        self.Mixed_6b = _Block(768, _layers_c(128), _average())
        self.Mixed_6c = _Block(768, _layers_c(160), _average())
        self.Mixed_6d = _Block(768, _layers_c(160), _average())
        self.Mixed_6e = _Block(768, _layers_c(192), _average())
        self.Mixed_7a = _Block(768, _layers_d(), _halving(), stride=2)
        self.Mixed_7b = _Block(1280, _layers_e(), _average())
        self.Mixed_7c = _Block(FEATURES, _layers_e(), _maximum())

    def forward(self, images: Tensor) -> Tensor:
        hidden = images
        for name, layer in self.named_children():
            if name in ("Conv2d_3b_1x1", "Mixed_5b"):
                hidden = F.max_pool2d(hidden, 3, 2)
            hidden = layer(hidden)
        return hidden.mean(dim=(2, 3))


class _Convolution(nn.Module):
    """Convolution, normalisation by stored statistics whatever the mode, and ReLU."""

    def __init__(
        self, inputs: int, channels: int, kernel: tuple[int, int], stride: int = 1, padding: tuple[int, int] = (0, 0)
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, channels, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(channels, eps=0.001)

    def forward(self, values: Tensor) -> Tensor:
        bn = self.bn
        values = F.batch_norm(self.conv(values), bn.running_mean, bn.running_var, bn.weight, bn.bias, eps=bn.eps)
        return F.relu_(values)


class _Block(nn.Module):
    """Chains of convolutions of one input, and of its pooling; the ends of the chains are concatenated."""

    def __init__(self, inputs: int, layers: tuple[_Layer, ...], pool: nn.Module, stride: int = 1) -> None:
        super().__init__()
        self.layers = layers
        self.pool = pool
        inner = {layer.source for layer in layers}
        self.ends = tuple(name for name in (*(layer.name for layer in layers), "pool") if name not in inner)
        channels = {"": inputs, "pool": inputs}
        for name, source, outputs, kernel in layers:
            # A block that halves the grid does so, without padding, at the end of each chain.
            halves = stride > 1 and name in self.ends
            padding = (0, 0) if halves else (kernel[0] // 2, kernel[1] // 2)
            convolution = _Convolution(channels[source], outputs, kernel, stride if halves else 1, padding)
            self.add_module(name, convolution)
            channels[name] = outputs

    def forward(self, values: Tensor) -> Tensor:
        found = {"": values, "pool": self.pool(values)}
        for layer in self.layers:
            found[layer.name] = self.get_submodule(layer.name)(found[layer.source])
        return torch.cat([found[name] for name in self.ends], 1)


# Where this network differs from the Inception-v3 of image classification, and every distance depends on it: averages
# leave out the padding, and the last block takes a maximum where the one before it takes an average.
def _average() -> nn.Module:
    return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)


def _maximum() -> nn.Module:
    return nn.MaxPool2d(3, stride=1, padding=1)


def _halving() -> nn.Module:
    return nn.MaxPool2d(3, stride=2)


def _layers_a(pooled: int) -> tuple[_Layer, ...]:
    return (
        _Layer("branch1x1", "", 64, (1, 1)),
        _Layer("branch5x5_1", "", 48, (1, 1)),
        _Layer("branch5x5_2", "branch5x5_1", 64, (5, 5)),
        _Layer("branch3x3dbl_1", "", 64, (1, 1)),
        _Layer("branch3x3dbl_2", "branch3x3dbl_1", 96, (3, 3)),
        _Layer("branch3x3dbl_3", "branch3x3dbl_2", 96, (3, 3)),
        _Layer("branch_pool", "pool", pooled, (1, 1)),
    )


def _layers_b() -> tuple[_Layer, ...]:
    return (
        _Layer("branch3x3", "", 384, (3, 3)),
        _Layer("branch3x3dbl_1", "", 64, (1, 1)),
        _Layer("branch3x3dbl_2", "branch3x3dbl_1", 96, (3, 3)),
        _Layer("branch3x3dbl_3", "branch3x3dbl_2", 96, (3, 3)),
    )


def _layers_c(inner: int) -> tuple[_Layer, ...]:
    return (
        _Layer("branch1x1", "", 192, (1, 1)),
        _Layer("branch7x7_1", "", inner, (1, 1)),
        _Layer("branch7x7_2", "branch7x7_1", inner, (1, 7)),
        _Layer("branch7x7_3", "branch7x7_2", 192, (7, 1)),
        _Layer("branch7x7dbl_1", "", inner, (1, 1)),
        _Layer("branch7x7dbl_2", "branch7x7dbl_1", inner, (7, 1)),
        _Layer("branch7x7dbl_3", "branch7x7dbl_2", inner, (1, 7)),
        _Layer("branch7x7dbl_4", "branch7x7dbl_3", inner, (7, 1)),
        _Layer("branch7x7dbl_5", "branch7x7dbl_4", 192, (1, 7)),
        _Layer("branch_pool", "pool", 192, (1, 1)),
    )


def _layers_d() -> tuple[_Layer, ...]:
    return (
        _Layer("branch3x3_1", "", 192, (1, 1)),
        _Layer("branch3x3_2", "branch3x3_1", 320, (3, 3)),
        _Layer("branch7x7x3_1", "", 192, (1, 1)),
        _Layer("branch7x7x3_2", "branch7x7x3_1", 192, (1, 7)),
        _Layer("branch7x7x3_3", "branch7x7x3_2", 192, (7, 1)),
        _Layer("branch7x7x3_4", "branch7x7x3_3", 192, (3, 3)),
    )


def _layers_e() -> tuple[_Layer, ...]:
    return (
        _Layer("branch1x1", "", 320, (1, 1)),
        _Layer("branch3x3_1", "", 384, (1, 1)),
        _Layer("branch3x3_2a", "branch3x3_1", 384, (1, 3)),
        _Layer("branch3x3_2b", "branch3x3_1", 384, (3, 1)),
        _Layer("branch3x3dbl_1", "", 448, (1, 1)),
        _Layer("branch3x3dbl_2", "branch3x3dbl_1", 384, (3, 3)),
        _Layer("branch3x3dbl_3a", "branch3x3dbl_2", 384, (1, 3)),
        _Layer("branch3x3dbl_3b", "branch3x3dbl_2", 384, (3, 1)),
        _Layer("branch_pool", "pool", 192, (1, 1)),
    )
