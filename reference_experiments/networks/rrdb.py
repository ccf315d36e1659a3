"""RRDBNet, the network of ESRGAN and the encoder of SRFlow, and the reader of its weights in their three namings."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu
from torch.utils.checkpoint import checkpoint

from reference_experiments.networks.weights import read_weights, with_weights

Result = TypeVar("Result")

SCALE = 4
SLOPE = 0.2
RESIDUAL = 0.2
INIT_GAIN = 0.1


class DenseBlock(nn.Module):
    """Five convolutions, each of all that came before it; the last, scaled, is added to the input."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3, self.conv4 = (conv3(width + i * growth, growth) for i in range(4))
        self.conv5 = conv3(width + 4 * growth, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, h, w) -> the same shape."""
        gathered = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            gathered = torch.cat([gathered, leaky_relu(conv(gathered), SLOPE)], 1)
        residual: Tensor = self.conv5(gathered)
        return x + RESIDUAL * residual


class RRDB(nn.Module):
    """Three dense blocks in a row, scaled and added to their input."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.RDB1, self.RDB2, self.RDB3 = (DenseBlock(width, growth) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, h, w) -> the same shape."""
        residual: Tensor = self.RDB3(self.RDB2(self.RDB1(x)))
        return x + RESIDUAL * residual


class Body(NamedTuple):
    """Features of RRDBNet at the size of y, (B, width, h, w) each: before the blocks, after them, and on the way."""

    first: Tensor
    last: Tensor
    tapped: list[Tensor]


class RRDBNet(nn.Module):
    """``G(y)``: super-resolution by 4; with the default sizes ESRGAN's, 702 tensors of 16,697,987 values.

    Its attributes have the names of the published tensors.

    Args:
        n_blocks: residual-in-residual dense blocks.
        width: channels of the features.
        growth: channels that each convolution of a dense block adds.
        checkpointing: keep only the blocks' inputs for a backward pass, and compute the blocks again in it.

    Source: Wang et al., "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks", ECCV workshops 2018,
        Figures 3 and 4.
    """

    def __init__(self, n_blocks: int = 23, width: int = 64, growth: int = 32, *, checkpointing: bool = False) -> None:
        super().__init__()
        self.checkpointing = checkpointing
        self.conv_first = conv3(3, width)
        self.RRDB_trunk = nn.Sequential(*(RRDB(width, growth) for _ in range(n_blocks)))
        self.trunk_conv, self.upconv1, self.upconv2, self.HRconv = (conv3(width, width) for _ in range(4))
        self.conv_last = conv3(width, 3)

    def body(self, y: Tensor, taps: Collection[int] = ()) -> Body:
        """The first convolution and the blocks.

        Args:
            y: (B, 3, h, w), RGB in [0, 1].
            taps: numbers, from 0, of the blocks whose outputs are wanted too.
        """
        first: Tensor = self.conv_first(y)
        last, tapped = first, []
        for i, block in enumerate(self.RRDB_trunk):
            last = recomputed(block, last) if self.checkpointing else block(last)
            if i in taps:
                tapped.append(last)
        return Body(first, last, tapped)

    def doubled(self, features: Tensor, conv: nn.Module) -> Tensor:
        """One of the two upsamplings: (B, width, h, w) -> (B, width, 2h, 2w), activated."""
        return leaky_relu(conv(interpolate(features, scale_factor=2, mode="nearest")), SLOPE)

    def forward(self, y: Tensor) -> Tensor:
        """(B, 3, h, w) RGB in [0, 1] -> (B, 3, 4h, 4w), not clamped."""
        first, last, _ = self.body(y)
        features = first + self.trunk_conv(last)
        features = self.doubled(self.doubled(features, self.upconv1), self.upconv2)
        x_hat: Tensor = self.conv_last(leaky_relu(self.HRconv(features), SLOPE))
        return x_hat


def conv3(n_in: int, n_out: int) -> nn.Conv2d:
    """A 3 x 3 convolution with a tenth of Kaiming's normal weights, and no bias at the start (ESRGAN, section 3.1)."""
    conv = nn.Conv2d(n_in, n_out, 3, padding=1)
    nn.init.kaiming_normal_(conv.weight)
    with torch.no_grad():
        conv.weight.mul_(INIT_GAIN)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


def recomputed(function: Callable[..., Result], *inputs: Tensor) -> Result:
    """``function(*inputs)``, of which a backward pass keeps the inputs alone."""
    if not torch.is_grad_enabled():
        return function(*inputs)
    result: Result = checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=False)
    return result


# -- published weights -------------------------------------------------------------------------------------------------

# ESRGAN's first release numbers its layers; BasicSR, its successor, renamed those of the second.
FIRST_RELEASE = {
    "model.0": "conv_first", "model.1.sub.{n_blocks}": "trunk_conv", "model.3": "upconv1", "model.6": "upconv2",
    "model.8": "HRconv", "model.10": "conv_last",
}  # fmt: skip
BASICSR = {
    "conv_first": "conv_first", "conv_body": "trunk_conv", "conv_up1": "upconv1", "conv_up2": "upconv2",
    "conv_hr": "HRconv", "conv_last": "conv_last",
}  # fmt: skip


def load_rrdbnet(path: Path, *, n_blocks: int = 23, width: int = 64, growth: int = 32) -> RRDBNet:
    """RRDBNet with published weights, in eval mode.

    Args:
        path: a checkpoint of ESRGAN or of one of its relatives, in the naming of its first release (``model.0``,
            ``model.1.sub.0``), of its second (``conv_first``, ``RRDB_trunk.0``) or of BasicSR (``conv_body``,
            ``body.0``): RRDB_ESRGAN_x4.pth, RRDB_PSNR_x4.pth and others.
        n_blocks, width, growth: as of :class:`RRDBNet`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or holds other tensors than these; they are named as in the file's own naming
            where that is known, else as in the second release.
    """
    weights = read_weights(path, "a checkpoint of RRDBNet (ESRGAN, x4)")
    renamed = own_names(weights, n_blocks, str(path))
    return with_weights(RRDBNet(n_blocks, width, growth), renamed, "RRDBNet", str(path))


def own_names(weights: Mapping[str, Tensor], n_blocks: int, origin: str) -> dict[str, Tensor]:
    """The tensors under the names of the second release; a name of no known naming stays as it is.

    Raises:
        ValueError: two tensors would have one name.
    """
    renamed: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        own = own_name(name, n_blocks)
        if own in renamed:
            raise ValueError(f"{origin} holds {own} in two namings, the second time as {name}")
        renamed[own] = tensor
    return renamed


def own_name(name: str, n_blocks: int) -> str:
    """One tensor's name in the second release."""
    layer, _, part = name.rpartition(".")
    first = {published.format(n_blocks=n_blocks): own for published, own in FIRST_RELEASE.items()}
    if layer in first or layer in BASICSR:
        return f"{first.get(layer) or BASICSR[layer]}.{part}"
    inner = re.fullmatch(r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0", layer)
    inner = inner or re.fullmatch(r"body\.(\d+)\.rdb(\d)\.conv(\d)", layer)
    return name if inner is None else "RRDB_trunk.{}.RDB{}.conv{}.".format(*inner.groups()) + part
