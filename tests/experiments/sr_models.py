"""Super-resolvers of somebody else's, as the study imports them by ``module:factory``."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reference_experiments.srflow.bicubic import enlarged

DEVICES: list[torch.device] = []
ROWS: list[int] = []


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.9))
        self.checkpointing = False

    def forward(self, y: Tensor) -> Tensor:
        return self.factor * enlarged(y)


class Grainy(nn.Module):
    def sample_z(self, y: Tensor, generator: torch.Generator | None) -> Tensor:
        return torch.randn(y.shape, generator=generator)

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        ROWS.append(len(y))
        return enlarged(y + 0.05 * z * y)


def hidden_noise(device: torch.device) -> object:
    DEVICES.append(device)
    return lambda y: enlarged(y + 0.05 * torch.randn_like(y))


def on(strength: float = 1.0, *, device: torch.device | str = "meta") -> object:
    DEVICES.append(torch.device(device))
    return lambda y: strength * enlarged(y)


def positional(where: torch.device, /) -> object:
    DEVICES.append(where)
    return enlarged


def twice() -> object:
    return lambda y: y.repeat_interleave(2, -1).repeat_interleave(2, -2)


def nothing() -> None:
    return None
