"""SRFlow, a conditional normalising flow for super-resolution by 4: ``G(y, z)``, its inverse, its exact likelihood."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from reference_experiments.networks.flow_network import FlowNetwork, Latents, at_size_of
from reference_experiments.networks.rrdb import SCALE, RRDBNet
from reference_experiments.networks.weights import read_weights, with_weights

HEAT = 0.9
LEVELS = (2, 3)


@dataclass(frozen=True)
class SRFlowConfig:
    """Sizes of SRFlow; as they stand, those of the published general model for 4x (1,733 tensors, 39,541,811 values).

    Args:
        levels: 2 or 3; with 3 one latent is split off on the way, and inputs have even sides (or are padded).
        steps: conditional flow steps per level.
        hidden: channels inside the flow's subnetworks.
        n_blocks, width, growth: of the encoder, see :class:`RRDBNet`.
        stacked: numbers, from 0 and ascending, of the encoder's blocks whose outputs condition the flow too.

    Raises:
        ValueError: naming the size that cannot be.
    """

    levels: int = 3
    steps: int = 16
    hidden: int = 64
    n_blocks: int = 23
    width: int = 64
    growth: int = 32
    stacked: tuple[int, ...] = (1, 8, 15, 22)

    def __post_init__(self) -> None:
        if self.levels not in LEVELS:
            raise ValueError(f"levels must be one of {LEVELS}, got {self.levels}")
        if list(self.stacked) != sorted({i for i in self.stacked if 0 <= i < self.n_blocks}):
            raise ValueError(f"stacked must be ascending numbers of the {self.n_blocks} blocks, got {self.stacked}")

    @property
    def n_features(self) -> int:
        """Channels that condition each level."""
        return (1 + len(self.stacked)) * self.width


PUBLISHED = SRFlowConfig()


class Encoding(NamedTuple):
    """Latents of an image, ``log |det d(latents)/dx|`` (B,), and ``log p(x | y)`` in nats (B,)."""

    z: Latents
    logdet: Tensor
    log_likelihood: Tensor


class SRFlow(nn.Module):
    """``G(y, z)``: super-resolution by 4 with a seed ``z = (eps_split, z_last)``, both of which matter.

    ``log p(x | y) = log N(z; 0, I) + log |det dz/dx|`` with z all latents of x. A call is :meth:`decode`; seeds come
    from :meth:`sample_z`. The first call in train mode should be :meth:`encode`: it fits the ActNorms to its batch.

    Args:
        config: sizes.
        heat: standard deviation of the seeds ("temperature"), at least 0; 0 gives one output per input.
        checkpointing: keep only the inputs of the blocks and flow steps for a backward pass, and compute them again
            in it: far less memory for one more forward pass; the values are the same.

    Raises:
        ValueError: if heat is negative or not finite.

    Example:
        >>> import torch
        >>> G = SRFlow(SRFlowConfig(steps=1, n_blocks=1, width=8, growth=4, stacked=(0,))).eval()
        >>> y = torch.rand(2, 3, 6, 5)
        >>> z = G.sample_z(y, torch.Generator().manual_seed(0))
        >>> [tuple(latent.shape) for latent in z], tuple(G(y, z).shape)
        ([(2, 6, 12, 12), (2, 96, 3, 3)], (2, 3, 24, 20))

    Source: Lugmayr et al., "SRFlow: Learning the Super-Resolution Space with Normalizing Flow", ECCV 2020.
    """

    def __init__(self, config: SRFlowConfig = PUBLISHED, *, heat: float = HEAT, checkpointing: bool = False) -> None:
        super().__init__()
        if not 0 <= heat < math.inf:
            raise ValueError(f"heat must be at least 0 and finite, got {heat}")
        self.config, self.heat = config, heat
        encoder = RRDBNet(config.n_blocks, config.width, config.growth, checkpointing=checkpointing)
        flow = FlowNetwork(config.n_features, config.levels, config.steps, config.hidden, checkpointing=checkpointing)
        # The attributes have the names of the published tensors.
        self.RRDB, self.flowUpsamplerNet = encoder, flow

    def forward(self, y: Tensor, z: Latents) -> Tensor:
        """As :meth:`decode`."""
        return self.decode(y, z)

    def decode(self, y: Tensor, z: Latents) -> Tensor:
        """The image of the seed: differentiable in y, z and the parameters.

        Args:
            y: (B, 3, h, w), RGB in [0, 1]; odd sides are padded by reflection at the bottom and right, and the
                output is cropped. One image, (1, 3, h, w), goes with all rows of z: what depends on y alone, most of
                the work, is then done once.
            z: latents as :meth:`sample_z` shapes them.

        Returns:
            (B, 3, 4h, 4w), not clamped.

        Raises:
            ValueError: if y or z has another shape.
            ExplodedInverse: a ValueError, if the output is not finite; it names the layer.
        """
        height, width = y.shape[-2:]
        y = self.padded(y)
        found = [tuple(latent.shape) for latent in z]
        rows = found[0][0] if len(y) == 1 and found and found[0] else len(y)
        expected = [(rows, *shape) for shape in self.latent_shapes(y)]
        if found != expected:
            raise ValueError(f"z must be a tuple of tensors of shapes {expected} for this y, got {found}")
        x_hat = self.flowUpsamplerNet.decode(tuple(z), self.features(y))
        return x_hat[..., : SCALE * height, : SCALE * width]

    def encode(self, x: Tensor, y: Tensor) -> Encoding:
        """The latents that decode to x, and the likelihood of x.

        Args:
            x: (B, 3, 4h, 4w), RGB in [0, 1].
            y: (B, 3, h, w); with three levels, h and w are even.

        Raises:
            ValueError: for other shapes; a padded y has no likelihood of x alone.
        """
        if self.padded(y).shape != y.shape:
            raise ValueError(f"y must have sides that are multiples of {self.multiple} to encode, got {tuple(y.shape)}")
        expected = (len(y), 3, SCALE * y.shape[2], SCALE * y.shape[3])
        if tuple(x.shape) != expected:
            raise ValueError(f"x must be {expected}, {SCALE} times y, got {tuple(x.shape)}")
        z, logdet = self.flowUpsamplerNet.encode(x, self.features(y))
        return Encoding(z, logdet, logdet + sum(standard_normal(latent) for latent in z))

    def sample_z(self, y: Tensor, generator: torch.Generator | None = None) -> Latents:
        """Seeds for y, normal with standard deviation ``heat``: (B, 6, 2h, 2w) and (B, 96, h / 2, w / 2), h, w even."""
        like = {"generator": generator, "dtype": y.dtype, "device": y.device}
        shapes = self.latent_shapes(self.padded(y))
        return tuple(self.heat * torch.randn(len(y), *shape, **like) for shape in shapes)  # type: ignore[arg-type]

    def features(self, y: Tensor) -> list[Tensor]:
        """What conditions each level: own features first, then those of the stacked blocks, all of the level's size."""
        _, last, tapped = self.RRDB.body(y, self.config.stacked)
        features = last + self.RRDB.trunk_conv(last)  # from the last block, where ESRGAN adds the first convolution
        levels = [self.RRDB.doubled(features, self.RRDB.upconv1), features]
        if self.config.levels > len(levels):
            levels.append(interpolate(features, scale_factor=0.5, mode="bilinear", align_corners=False))
        if not tapped:
            return levels
        stacked = torch.cat(tapped, 1)
        return [torch.cat([own, at_size_of(stacked, own)], 1) for own in levels]

    def latent_shapes(self, y: Tensor) -> list[tuple[int, int, int]]:
        """Of each latent without its batch, for y of a size that needs no padding."""
        return self.flowUpsamplerNet.latent_shapes(SCALE * y.shape[-2], SCALE * y.shape[-1])

    @property
    def multiple(self) -> int:
        """Of which the sides of y are multiples, or are padded to be."""
        return int(2 ** (self.config.levels - 2))

    def padded(self, y: Tensor) -> Tensor:
        """y with its sides made multiples, by reflection at the bottom and right."""
        if y.ndim != 4 or y.shape[1] != 3 or min(y.shape[2:]) < self.multiple:
            raise ValueError(f"y must be (B, 3, h, w) with sides of at least {self.multiple}, got {tuple(y.shape)}")
        bottom, right = (-side % self.multiple for side in y.shape[-2:])
        return pad(y, (0, right, 0, bottom), mode="reflect") if bottom or right else y


def standard_normal(z: Tensor) -> Tensor:
    """``log N(z; 0, I)`` per sample, (B,)."""
    return -0.5 * (z.square() + math.log(2 * math.pi)).sum((1, 2, 3))


def bits_per_pixel(log_likelihood: Tensor, height: int, width: int) -> Tensor:
    """``-log2 p(x | y) / (H W)``: bits per pixel, of three values each, as published; (B,)."""
    return -log_likelihood / (math.log(2) * height * width)


@torch.no_grad()
def inversion_error(G: SRFlow, y: Tensor, z: Latents) -> Tensor:
    """How far the inverse is from one in the dtype of y: ``max |encode(decode(y, z), y) - z|`` over all latents, (B,).

    About rounding where decoding is sound. A value that is not small beside ``heat`` says that the output does not
    belong to its seed, long before it stops to be finite: use float64 then.

    Raises:
        ValueError: as :meth:`SRFlow.decode` and, for odd sides, :meth:`SRFlow.encode`.
    """
    found = G.encode(G.decode(y, z), y).z
    return torch.stack([(a - b).abs().amax((1, 2, 3)) for a, b in zip(found, z, strict=True)]).amax(0)


def load_srflow(path: Path, config: SRFlowConfig = PUBLISHED, *, checkpointing: bool = False) -> SRFlow:
    """SRFlow with published weights (``SRFlow_DF2K_4X.pth``), in eval mode.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or holds other tensors than the network's; they are named.
    """
    weights = read_weights(path, "a checkpoint of SRFlow for 4x (SRFlow_DF2K_4X.pth)")
    return with_weights(SRFlow(config, checkpointing=checkpointing), weights, "SRFlow", str(path))
