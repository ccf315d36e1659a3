"""Restorers that nobody would call good at everything, in closed form: rows to hold a study's models against."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from stochrobust import BlockAverageProjector, Consistent, InpaintingProjector

RIDGES = (5e-4, 1e-2, 0.2)
"""Of the linear restorers: nearly one PSNR, and robustness of very different size."""
Degradation = InpaintingProjector | BlockAverageProjector


class Function(nn.Module):
    """A function as a deterministic estimator ``G(y)``."""

    def __init__(self, restore: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.restore = restore

    def forward(self, y: Tensor) -> Tensor:
        """(B, ...) inputs to (B, ...) outputs."""
        x_hat: Tensor = self.restore(y)
        return x_hat


class Linear(nn.Module):
    """``E x + C_xy (C_yy + r I)^-1 (y - E y)``, the best linear restorer for r = 0.

    Args:
        x, y: (N, ...) training images and their inputs.
        ridge: r.
    """

    def __init__(self, x: Tensor, y: Tensor, ridge: float) -> None:
        super().__init__()
        self.varying = y.flatten(1).std(0) > 0  # what is masked is no input
        self.shape, flat_x, flat_y = x.shape[1:], x.flatten(1).double(), y.flatten(1)[:, self.varying].double()
        self.x, self.y = flat_x.mean(0), flat_y.mean(0)
        centred = flat_y - self.y
        of_y = centred.mT @ centred / len(y) + ridge * torch.eye(centred.shape[1], dtype=torch.float64)
        self.weight = torch.linalg.solve(of_y, centred.mT @ (flat_x - self.x) / len(y)).to(x)
        self.x, self.y = self.x.to(x), self.y.to(x)

    def forward(self, y: Tensor) -> Tensor:
        """(B, ...) inputs to (B, ...) outputs."""
        x_hat: Tensor = self.x + (y.flatten(1)[:, self.varying] - self.y) @ self.weight
        return x_hat.reshape(-1, *self.shape)


class Near(nn.Module):
    """The mean of training images, weighted by how near their inputs are, or the nearest of them alone.

    The mean is a regression of E[x | y] with the kernel ``exp(-||y - y_i||^2 / 2 h^2)``.

    Args:
        x, y: (N, ...) training images and their inputs.
        width: h; 0 for a copy of the nearest.
    """

    def __init__(self, x: Tensor, y: Tensor, width: float) -> None:
        super().__init__()
        self.x, self.y, self.width = x, y.flatten(1), width

    def forward(self, y: Tensor) -> Tensor:
        """(B, ...) inputs to (B, ...) outputs."""
        distances = torch.cdist(y.flatten(1), self.y)
        if not self.width:
            return self.x[distances.argmin(1)]
        weights = (-distances.square() / (2 * self.width**2)).softmax(1)
        return (weights @ self.x.flatten(1)).reshape(-1, *self.x.shape[1:])


def near_width(y: Tensor, n: int = 200) -> float:
    """The median distance of some inputs to the nearest other one."""
    flat = y.flatten(1)
    distances = torch.cdist(flat[:n], flat)
    distances[torch.arange(len(distances)), torch.arange(len(distances))] = torch.inf
    return float(distances.amin(1).median())


def references(x: Tensor, projector: Degradation) -> dict[str, Consistent]:
    """The rows by title, each made consistent like the models; bicubic enlargement is the images' own.

    Args:
        x: training images.
        projector: of the degradation.
    """
    y = projector.D(x)
    made: dict[str, nn.Module] = {"Pseudo-inverse": Function(projector.pinv)}
    made |= {f"Linear, ridge {ridge:g}": Linear(x, y, ridge) for ridge in RIDGES}
    made["Mean of near training images"] = Near(x, y, near_width(y))
    made["Copy of the nearest training image"] = Near(x, y, 0.0)
    return {title: Consistent(G, projector).eval() for title, G in made.items()}
