"""SRFlow's flow network: levels of squeeze, flow steps and split, by which an image becomes latents and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from reference_experiments.networks.flow_layers import FlowStep, Split2d, Squeeze
from reference_experiments.networks.rrdb import Result, recomputed

Latents: TypeAlias = tuple[Tensor, ...]
"""(eps_split, z), in the order in which encoding emits them; z alone where there is no split."""

COLOURS = 3
UNCONDITIONAL_STEPS = 2
UNUSED_CHANNELS = 96


class ExplodedInverse(ValueError):
    """Decoding left the floating-point numbers; the message names the layer where it did."""


class Stage(NamedTuple):
    """A layer with its place: its level (from 1) and its number in the published list."""

    layer: nn.Module
    level: int
    number: int


class FlowNetwork(nn.Module):
    """The invertible map between an image and its latents, given features at each level.

    Args:
        n_features: channels of the features at every level.
        levels: how often 2 x 2 pixels become channels.
        steps: conditional flow steps per level, after two unconditional ones.
        hidden: channels inside the subnetworks.
        checkpointing: keep only the inputs of the flow steps for a backward pass, and compute the steps again in it.

    Source: Lugmayr et al., ECCV 2020, Figure 2.
    """

    def __init__(self, n_features: int, levels: int, steps: int, hidden: int, *, checkpointing: bool = False) -> None:
        super().__init__()
        self.checkpointing = checkpointing
        layers: list[nn.Module] = []
        self.level_of: list[int] = []
        channels = COLOURS
        for level in range(1, levels + 1):
            channels *= 4
            conditions = [None] * UNCONDITIONAL_STEPS + [n_features] * steps
            layers += [Squeeze(), *(FlowStep(channels, n, hidden) for n in conditions)]
            if level < levels - 1:
                layers.append(Split2d(channels))
                channels //= 2
            self.level_of += [level] * (len(layers) - len(self.level_of))
        self.layers = nn.ModuleList(layers)
        # In the published checkpoint, and part of no computation.
        self.f = nn.Sequential(nn.Conv2d(n_features, UNUSED_CHANNELS, 3, padding=1)).requires_grad_(False)

    def stages(self) -> list[Stage]:
        """All layers in the order of encoding."""
        return [Stage(*stage, i) for i, stage in enumerate(zip(self.layers, self.level_of, strict=True))]

    def latent_shapes(self, height: int, width: int) -> list[tuple[int, int, int]]:
        """(channels, rows, columns) of each latent of an image of this size."""
        shapes, channels = [], COLOURS
        for layer, level, _ in self.stages():
            if isinstance(layer, Squeeze):
                channels *= 4
            elif isinstance(layer, Split2d):
                shapes.append((channels - layer.n_kept, height >> level, width >> level))
                channels = layer.n_kept
        last = self.level_of[-1]
        return [*shapes, (channels, height >> last, width >> last)]

    def encode(self, x: Tensor, features: Sequence[Tensor]) -> tuple[Latents, Tensor]:
        """The latents of x, and ``log |det d(latents)/dx|``.

        Args:
            x: (B, 3, H, W).
            features: per level l from 1, (B, n_features, H / 2^l, W / 2^l).
        """
        latents: list[Tensor] = []
        logdet = x.new_zeros(len(x))
        for layer, level, _ in self.stages():
            if isinstance(layer, Split2d):
                x, eps, change = layer.encode(x)
                latents.append(eps)
            else:
                x, change = self.applied(layer.encode, x, features[level - 1])  # type: ignore[arg-type]
            logdet = logdet + change
        return (*latents, x), logdet

    def decode(self, latents: Latents, features: Sequence[Tensor]) -> Tensor:
        """The image of the latents: (B, 3, H, W). Features of one row go with all rows of the latents.

        Raises:
            ExplodedInverse: if it is not finite.
        """
        emitted = list(latents)
        x = emitted.pop()
        for stage in reversed(self.stages()):
            x = self.undo(stage, x, emitted, features)
        if not bool(x.isfinite().all()):
            raise ExplodedInverse(self.explosion(latents, features))
        return x

    def undo(self, stage: Stage, x: Tensor, emitted: list[Tensor], features: Sequence[Tensor]) -> Tensor:
        """One layer's inverse; a split takes the last of the emitted latents."""
        if isinstance(stage.layer, Split2d):
            return stage.layer.decode(x, emitted.pop())
        inverted: Tensor = self.applied(stage.layer.decode, x, features[stage.level - 1])  # type: ignore[arg-type]
        return inverted

    def applied(self, step: Callable[[Tensor, Tensor], Result], x: Tensor, u: Tensor) -> Result:
        """``step(x, u)``, with or without what a backward pass needs."""
        return recomputed(step, x, u) if self.checkpointing else step(x, u)

    @torch.no_grad()
    def explosion(self, latents: Latents, features: Sequence[Tensor]) -> str:
        """Where a decoding that is not finite stopped to be so, and how large the numbers were before."""
        for what, tensors in {"z": latents, "the features of y": features}.items():
            if not all(bool(tensor.isfinite().all()) for tensor in tensors):
                return f"the inverse needs finite inputs, but {what} held numbers that are not finite"
        emitted = list(latents)
        x = emitted.pop()
        for stage in reversed(self.stages()):
            largest = float(x.abs().max())
            x = self.undo(stage, x, emitted, features)
            if not bool(x.isfinite().all()):
                layer = f"layers.{stage.number} ({type(stage.layer).__name__}, level {stage.level})"
                return f"the inverse exploded in {layer}: not finite in {x.dtype}, from numbers of up to {largest:.3g}"
        return "the inverse was not finite, and finite when repeated"


def at_size_of(features: Tensor, like: Tensor) -> Tensor:
    """The nearest features at another size."""
    return interpolate(features, like.shape[-2:], mode="nearest")
