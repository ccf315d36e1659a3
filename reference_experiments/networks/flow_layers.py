"""Invertible layers of SRFlow. Each has ``encode(x, u) -> (z, logdet)`` and ``decode(z, u) -> x``, exact inverses.

``u`` are features that condition the layer, ``logdet`` is ``log |det dz/dx|`` per sample, (B,). Attributes have the
names of the published tensors.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pixel_shuffle, pixel_unshuffle

Encoded: TypeAlias = tuple[Tensor, Tensor]

LEAST_SCALE = 1e-4
LEAST_DEVIATION = 1e-6
LOGS_GAIN = 3.0


class ActNorm(nn.Module):
    """``z = (x + b) exp(l)`` per channel; b and l make the first batch in train mode have mean 0 and deviation 1.

    Not if b is anything but zero by then: loaded values count as initialised. ``forward`` is ``encode`` without the
    log-determinant, as the networks inside a coupling use it.

    Source: Kingma and Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions", NeurIPS 2018, section 3.1.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.logs = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.settled = False

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Fit b and l to a batch, the first time that it is called, if b is zero."""
        self.settled = True
        if bool((self.bias != 0).any()):
            return
        variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
        self.bias.copy_(-mean)
        self.logs.copy_(-(variance.sqrt() + LEAST_DEVIATION).log())

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, h, w) -> the same shape."""
        if self.training and not self.settled:
            self.initialise(x.detach())
        return (x + self.bias) * self.logs.exp()

    def encode(self, x: Tensor) -> Encoded:
        """z and ``h w sum(l)``."""
        z = self(x)
        return z, (self.logs.sum() * pixels(x)).expand(len(x))

    def decode(self, z: Tensor) -> Tensor:
        """``z exp(-l) - b``."""
        return z * (-self.logs).exp() - self.bias


class Invertible1x1(nn.Module):
    """``z = W x`` at each pixel, W a plain matrix that starts as a random rotation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # Contiguous, which QR's result is not: a fused Adam goes by memory, and its saved moments are contiguous.
        self.weight = nn.Parameter(torch.linalg.qr(torch.randn(channels, channels))[0].contiguous())

    def encode(self, x: Tensor) -> Encoded:
        """z and ``h w log |det W|``."""
        logdet = torch.linalg.slogdet(self.weight.double())[1].to(x.dtype)
        return by_pixel(self.weight, x), (logdet * pixels(x)).expand(len(x))

    def decode(self, z: Tensor) -> Tensor:
        """``W^-1 z``, W inverted in float64; NaN where W is singular."""
        inverse, singular = torch.linalg.inv_ex(self.weight.double())
        return by_pixel(inverse.where(singular == 0, math.nan).to(z.dtype), z)


class NormedConv(nn.Conv2d):
    """A convolution without bias, of the same size, then an ActNorm."""

    def __init__(self, n_in: int, n_out: int, size: int) -> None:
        super().__init__(n_in, n_out, size, padding=size // 2, bias=False)
        nn.init.normal_(self.weight, 0.0, 0.05)
        self.actnorm = ActNorm(n_out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, n_in, h, w) -> (B, n_out, h, w)."""
        out: Tensor = self.actnorm(super().forward(x))
        return out

    def beside(self, x: Tensor, u: Tensor) -> Tensor:
        """Of ``cat([x, u], 1)`` for every row of x, (B, n_x, h, w), with one and the same u, (1, n_u, h, w)."""
        of_x, of_u = self.weight.split([x.shape[1], u.shape[1]], 1)
        out: Tensor = self.actnorm(conv2d(x, of_x, padding=self.padding) + conv2d(u, of_u, padding=self.padding))
        return out


class ZeroConv(nn.Conv2d):
    """A 3 x 3 convolution that starts at zero, its channels scaled by ``exp(3 logs)``."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(n_in, n_out, 3, padding=1)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]
        self.logs = nn.Parameter(torch.zeros(n_out, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, n_in, h, w) -> (B, n_out, h, w)."""
        return super().forward(x) * (LOGS_GAIN * self.logs).exp()


def subnetwork(n_in: int, hidden: int, n_out: int) -> nn.Sequential:
    """The network inside a coupling: 3 x 3, 1 x 1 and 3 x 3 convolutions with ReLUs between them."""
    return nn.Sequential(
        NormedConv(n_in, hidden, 3), nn.ReLU(), NormedConv(hidden, hidden, 1), nn.ReLU(), ZeroConv(hidden, n_out)
    )


class ConditionalAffine(nn.Module):
    """Two affine maps: of all channels, by the features u; then of the second half, by u and the first half.

    Each is ``(x + shift) s`` with ``s = sigmoid(raw + 2) + 1e-4``.

    Source: Lugmayr et al., "SRFlow: Learning the Super-Resolution Space with Normalizing Flow", ECCV 2020, section 3.2.
    """

    def __init__(self, channels: int, n_features: int, hidden: int) -> None:
        super().__init__()
        self.n_first = channels // 2
        n_second = channels - self.n_first
        self.fAffine = subnetwork(self.n_first + n_features, hidden, 2 * n_second)
        self.fFeatures = subnetwork(n_features, hidden, 2 * channels)

    def encode(self, x: Tensor, u: Tensor) -> Encoded:
        """z and the sum of ``log s`` over all that is scaled."""
        shift, s = shift_and_scale(self.fFeatures(u))
        x = (x + shift) * s
        first, second = self.halves(x)
        second_shift, second_s = shift_and_scale(self.fAffine(torch.cat([first, u], 1)))
        z = torch.cat([first, (second + second_shift) * second_s], 1)
        return z, s.log().sum((1, 2, 3)) + second_s.log().sum((1, 2, 3))

    def decode(self, z: Tensor, u: Tensor) -> Tensor:
        """The inverse, in the opposite order; a u of one row conditions all rows of z, for the price of one."""
        first, second = self.halves(z)
        if len(u) == len(z):
            h = self.fAffine(torch.cat([first, u], 1))
        else:
            h = self.fAffine[1:](self.fAffine[0].beside(first, u))  # type: ignore[operator]
        shift, s = shift_and_scale(h)
        x = torch.cat([first, second / s - shift], 1)
        shift, s = shift_and_scale(self.fFeatures(u))
        return x / s - shift

    def halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The channels that stay and those that the second map moves."""
        return x[:, : self.n_first], x[:, self.n_first :]


class FlowStep(nn.Module):
    """ActNorm, invertible 1 x 1 convolution and, given the features' number, a conditional affine map."""

    def __init__(self, channels: int, n_features: int | None, hidden: int) -> None:
        super().__init__()
        self.actnorm = ActNorm(channels)
        self.invconv = Invertible1x1(channels)
        if n_features is not None:
            self.affine = ConditionalAffine(channels, n_features, hidden)
        self.conditional = n_features is not None

    def encode(self, x: Tensor, u: Tensor) -> Encoded:
        """(B, channels, h, w) and (B, n_features, h, w) -> z and logdet."""
        z, logdet = self.actnorm.encode(x)
        z, of_rotation = self.invconv.encode(z)
        logdet = logdet + of_rotation
        if self.conditional:
            z, of_affine = self.affine.encode(z, u)
            logdet = logdet + of_affine
        return z, logdet

    def decode(self, z: Tensor, u: Tensor) -> Tensor:
        """The inverse, in the opposite order."""
        if self.conditional:
            z = self.affine.decode(z, u)
        return self.actnorm.decode(self.invconv.decode(z))


class Squeeze(nn.Module):
    """2 x 2 pixels become channels, in the order of channel, row, column."""

    def encode(self, x: Tensor, u: Tensor) -> Encoded:
        """(B, c, h, w) -> (B, 4c, h / 2, w / 2), logdet 0."""
        return pixel_unshuffle(x, 2), x.new_zeros(len(x))

    def decode(self, z: Tensor, u: Tensor) -> Tensor:
        """(B, 4c, h, w) -> (B, c, 2h, 2w)."""
        return pixel_shuffle(z, 2)


class Split2d(nn.Module):
    """The second half of the channels leaves as a latent, standardised by what the first half tells of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.n_kept = channels // 2
        self.conv = ZeroConv(self.n_kept, 2 * (channels - self.n_kept))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The kept half, ``eps = (x - mean) exp(-logs)`` of the other one, and logdet, ``-sum logs``."""
        kept, emitted = x[:, : self.n_kept], x[:, self.n_kept :]
        mean, logs = crossed(self.conv(kept))
        return kept, (emitted - mean) * (-logs).exp(), -logs.sum((1, 2, 3))

    def decode(self, kept: Tensor, eps: Tensor) -> Tensor:
        """All channels again."""
        mean, logs = crossed(self.conv(kept))
        return torch.cat([kept, mean + logs.exp() * eps], 1)


def crossed(h: Tensor) -> tuple[Tensor, Tensor]:
    """The even and the odd channels."""
    return h[:, 0::2], h[:, 1::2]


def shift_and_scale(h: Tensor) -> tuple[Tensor, Tensor]:
    """What a subnetwork's output means: shift, and ``s = sigmoid(raw + 2) + 1e-4``."""
    shift, raw = crossed(h)
    return shift, torch.sigmoid(raw + 2) + LEAST_SCALE


def by_pixel(matrix: Tensor, x: Tensor) -> Tensor:
    """(c, c) and (B, c, h, w) -> (B, c, h, w)."""
    return conv2d(x, matrix[:, :, None, None])


def pixels(x: Tensor) -> int:
    """h w."""
    return x.shape[-2] * x.shape[-1]
