"""The toy distributions and the hand-made estimators on them. Points are (n, 2); y is their first coordinate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def uniform(n: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Tensor:
    """n numbers uniform on [0, 1), on the generator's device."""
    return torch.rand(n, generator=generator, device=generator.device, dtype=dtype)


def disk(n: int, generator: torch.Generator) -> Tensor:
    """n points uniform on the unit disk (section 4)."""
    radius, angle = uniform(n, generator).sqrt(), 2 * math.pi * uniform(n, generator)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], 1)


def half_height(y: Tensor) -> Tensor:
    """``sqrt(1 - y^2)``: the posterior on the disk is uniform on plus and minus that; 0 outside."""
    return (1 - y.square()).clamp_min(0).sqrt()


def disk_posterior(y: Tensor, generator: torch.Generator) -> Tensor:
    """One draw of X given Y = y, (n,) -> (n, 2): the only perfect and consistent estimator (Theorem 1)."""
    return torch.stack([y, half_height(y) * (2 * uniform(len(y), generator, y.dtype) - 1)], 1)


def sine_estimator(y: Tensor, alpha: float) -> Tensor:
    """``(y, sqrt(1 - y^2) sin(alpha y))``: robust for alpha = 1, erratic for alpha = 50 (section 4)."""
    return torch.stack([y, half_height(y) * torch.sin(alpha * y)], 1)


def square(n: int, generator: torch.Generator) -> Tensor:
    """n points uniform on the unit square (App. C)."""
    return torch.stack([uniform(n, generator), uniform(n, generator)], 1)


def triangle(phase: Tensor) -> Tensor:
    """A triangle wave of period 1 between 0 (at 0) and 1 (at 1/2)."""
    return 1 - (2 * (phase % 1.0) - 1).abs()


def zigzag(y: Tensor, f: int) -> Tensor:
    """``(y, arccos(cos(2 pi f y)) / pi)``, a triangle wave of f periods on [0, 1] (App. C)."""
    return torch.stack([y, triangle(f * y)], 1)


def zigzag_transport(x: Tensor, f: int) -> Tensor:
    """``T_0(x) = (K_f(x), x_2)``, which carries the square to the zigzag (Eq. 12, 13)."""
    cell = (2 * f * x[:, 0]).floor()
    offset = torch.where(cell % 2 == 1, 1 - x[:, 1], x[:, 1])
    return torch.stack([(cell + offset) / (2 * f), x[:, 1]], 1)


@dataclass(frozen=True)
class Ellipses:
    """The region between two concentric ellipses (App. B.1); the paper prints no equation.

    The outer axes are read off Figure 4; the hole's size and the estimators' frequencies are those whose precision
    and recall come nearest to the printed ones (X_2's precision is the share of the height outside the hole).

    Attributes:
        a: outer half axis along x_1, that is y.
        b: outer half axis along x_2.
        inner: both inner half axes, as a fraction of the outer ones.
    """

    a: float = 0.75
    b: float = 1.0
    inner: float = 0.6

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n points uniform on the region."""
        low = self.inner**2
        radius = (low + (1 - low) * uniform(n, generator)).sqrt()
        angle = 2 * math.pi * uniform(n, generator)
        return torch.stack([self.a * radius * angle.cos(), self.b * radius * angle.sin()], 1)

    def edges(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """The inner (0 where there is no hole) and outer height of the region above y."""
        outer = self.b * (1 - (y / self.a).square()).clamp_min(0).sqrt()
        hole = self.inner * self.b * (1 - (y / (self.inner * self.a)).square()).clamp_min(0).sqrt()
        return hole, outer

    def one_side(self, y: Tensor, f: float = 12.0) -> Tensor:
        """X_1: erratic and continuous, above the hole where there is one (high precision, low recall)."""
        hole, outer = self.edges(y)
        beyond = ((y.abs() / self.a - self.inner) / 0.1).clamp(0, 1)  # opens downwards, past the hole's end
        low = hole - outer * beyond
        return torch.stack([y, low + (outer - low) * triangle(f * y / self.a)], 1)

    def both_sides(self, y: Tensor, f: float = 6.0) -> Tensor:
        """X_2: erratic and continuous over the whole height, through the hole (lower precision, high recall)."""
        _, outer = self.edges(y)
        return torch.stack([y, outer * (2 * triangle(f * y / self.a) - 1)], 1)
