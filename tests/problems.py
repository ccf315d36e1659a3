"""Estimators that carry their own answer, and the networks that the tests share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def normal_z(width: int) -> Any:
    """``sample_z`` for seeds of ``width`` standard normal numbers."""

    def sample_z(y: Tensor, generator: torch.Generator | None) -> Tensor:
        return torch.randn(len(y), width, dtype=y.dtype, device=y.device, generator=generator)

    return sample_z


@dataclass(frozen=True)
class Linear:
    """``G(y, z) = A y + B z``: Eq. 6 is ``(eps sigma_max(A))^2`` for every z, and so is Eq. 4."""

    A: Tensor
    B: Tensor

    @classmethod
    def with_singular_values(cls, values: Sequence[float], n_seed: int = 3) -> Linear:
        """A random A of the given singular values, in float64."""
        n = len(values)
        left, right = (torch.linalg.qr(torch.randn(n, n, dtype=torch.float64)).Q for _ in range(2))
        return cls(left @ (torch.tensor(values, dtype=torch.float64)[:, None] * right), torch.randn(n, n_seed).double())

    def __call__(self, y: Tensor, z: Tensor) -> Tensor:
        return y @ self.A.T + z @ self.B.T

    def sample_z(self, y: Tensor, generator: torch.Generator | None) -> Tensor:
        return normal_z(self.B.shape[1])(y, generator)  # type: ignore[no-any-return]

    def sensitivity(self, eps: float) -> float:
        return float((eps * torch.linalg.matrix_norm(self.A, 2)) ** 2)


class SmallNet(nn.Module):
    """A little restorer with a seed, batch normalisation and dropout where asked for."""

    def __init__(self, width: int = 4, *, norm: bool = True, dropout: float = 0.0, recompute: bool = False) -> None:
        super().__init__()
        layers = [nn.Linear(2 * width, 16), nn.BatchNorm1d(16) if norm else nn.Identity(), nn.Tanh()]
        self.body = nn.Sequential(*layers, nn.Dropout(dropout))
        self.head = nn.Linear(16, width)
        self.recompute = recompute

    def sample_z(self, y: Tensor, generator: torch.Generator | None) -> Tensor:
        return torch.randn(y.shape, dtype=y.dtype, device=y.device, generator=generator)

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        inputs = torch.cat([y, z], 1)
        hidden = checkpoint(self.body, inputs, use_reentrant=False) if self.recompute else self.body(inputs)
        output: Tensor = self.head(hidden)
        return output


class FourSeeds(nn.Module):
    """Seeds of four sizes, as the paper's U-Net takes them, in a tuple."""

    sizes = (8, 4, 2, 1)

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4 + sum(self.sizes), 4)

    def sample_z(self, y: Tensor, generator: torch.Generator | None) -> tuple[Tensor, ...]:
        return tuple(torch.randn(len(y), size, dtype=y.dtype, generator=generator) for size in self.sizes)

    def forward(self, y: Tensor, z: tuple[Tensor, ...]) -> Tensor:
        output: Tensor = self.net(torch.cat([y, *z], 1)).sin()
        return output


def naive_change(G: Any, y: Tensor, delta: Tensor, z: Tensor, n_seeds: int) -> Tensor:
    """``mean_s ||G(y, z_s) - G(y + delta, z_s)||^2``, one sample and one seed at a time."""
    rows = []
    for b in range(len(y)):
        seeds = [z[b * n_seeds + s : b * n_seeds + s + 1] for s in range(n_seeds)]
        one, moved = y[b : b + 1], y[b : b + 1] + delta[b : b + 1]
        rows.append(torch.stack([(G(one, s) - G(moved, s)).square().sum() for s in seeds]).mean())
    return torch.stack(rows)


def disk_posterior_w2(y: float, delta: float) -> float:
    """W2 between the posteriors of the disk at y and y + delta, x_1 included."""
    heights = [math.sqrt(1 - at**2) for at in (y, y + delta)]
    return math.sqrt(delta**2 + (heights[1] - heights[0]) ** 2 / 3)
