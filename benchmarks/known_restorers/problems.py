"""Images of known law, degraded, with their exact posterior: Gaussian ones, and mixtures of two Gaussians."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from stochrobust import LinearProjector, Projector

SIDE = 12
N_PIXELS = SIDE * SIDE
CONTRAST = 0.15
"""Standard deviation of a pixel, about 1/2."""


def covariance(power: float) -> Tensor:
    """(n, n) float64, of a pixel CONTRAST^2, whose power falls with frequency as that of natural images (2 to 3)."""
    size = 2 * SIDE
    f = torch.fft.fftfreq(size).double()
    squares = f[:, None].square() + f.square()
    squares[0, 0] = squares[0, 1]
    correlation = torch.fft.ifft2(squares ** (-power / 2)).real
    rows, columns = (place.flatten() for place in torch.meshgrid(*[torch.arange(SIDE)] * 2, indexing="ij"))
    found = correlation[(rows[:, None] - rows) % size, (columns[:, None] - columns) % size]
    scaled: Tensor = CONTRAST**2 * found / found.diagonal().mean() + 1e-9 * torch.eye(N_PIXELS).double()
    return scaled


def degradation(task: str) -> Tensor:
    """(m, n) float64: the rows that are observed, averages, a blur, or the identity."""
    if task == "inpainting":
        kept = torch.ones(SIDE, SIDE, dtype=torch.bool)
        kept[SIDE // 3 : 2 * SIDE // 3] = False
        return torch.eye(N_PIXELS).double()[kept.flatten()]
    if task in ("x2", "x3", "x4"):
        scale = int(task[1:])
        mean = torch.eye(SIDE // scale).double().repeat_interleave(scale, 1) / scale
        return torch.kron(mean, mean)
    if task == "blur":
        places = torch.arange(SIDE).double()
        kernel = (-(places[:, None] - places).square() / 2).exp()
        kernel /= kernel.sum(1, keepdim=True)
        return torch.kron(kernel, kernel)
    if task == "denoising":
        return torch.eye(N_PIXELS).double()
    raise ValueError(f"task must be a known one, got {task!r}")


@dataclass(frozen=True, eq=False)
class Problem:
    """``x ~ 1/2 + N(s a, C)`` with s = 1 or -1, ``y = A x + noise n``; a = 0 makes it Gaussian.

    Attributes:
        name: such as "x2, power 3, noise 0.05".
        A: (m, n).
        C: (n, n).
        noise: standard deviation.
        mode: (n,) a.
    """

    name: str
    A: Tensor
    C: Tensor
    noise: float
    mode: Tensor

    @property
    def projector(self) -> Projector:
        """Of the degradation, for images and inputs (B, 1, ...)."""
        return _Flat(self.A)

    def draw(self, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """Inputs (N, 1, 1, m) and sources (N, 1, SIDE, SIDE)."""
        generator = torch.Generator().manual_seed(seed)
        sign = 2.0 * torch.randint(2, (n, 1), generator=generator).double() - 1
        x = 0.5 + sign * self.mode + torch.randn(n, N_PIXELS, generator=generator).double() @ _root(self.C).T
        x = x.clamp(0, 1)
        y = x @ self.A.T
        y = y + self.noise * torch.randn(y.shape, generator=generator).double()
        return y.float()[:, None, None], x.float().reshape(n, 1, SIDE, SIDE)

    @functools.cached_property
    def gain(self) -> Tensor:
        """(n, m): K, of the posterior mean of one mode."""
        found: Tensor = torch.linalg.solve(self._covariance_of_y, self.A @ self.C).T
        return found

    @functools.cached_property
    def spread(self) -> Tensor:
        """(n, n): a root of the posterior's covariance of one mode."""
        return _root(self.C - self.gain @ self.A @ self.C)

    @property
    def centre_of_y(self) -> Tensor:
        return 0.5 * self.A.sum(1)

    def weight(self, y: Tensor) -> Tensor:
        """(B,) the probability of s = 1 given y (B, m)."""
        pull = torch.linalg.solve(self._covariance_of_y, self.A @ self.mode).to(y)
        found: Tensor = (2 * (y - self.centre_of_y.to(y)) @ pull).sigmoid()
        return found

    @functools.cached_property
    def _covariance_of_y(self) -> Tensor:
        floor = max(self.noise**2, 1e-10)
        found: Tensor = self.A @ self.C @ self.A.T + floor * torch.eye(len(self.A)).double()
        return found


def _root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = vectors * values.clamp_min(0).sqrt()
    return root


class _Flat:
    """A :class:`Projector` of a matrix, for images (B, 1, SIDE, SIDE) and inputs (B, 1, 1, m)."""

    def __init__(self, A: Tensor) -> None:
        self.inner = LinearProjector(A)

    def D(self, x: Tensor) -> Tensor:
        return self.inner.D(x.flatten(1))[:, None, None]

    def pinv(self, y: Tensor) -> Tensor:
        return self.inner.pinv(y.flatten(1)).reshape(-1, 1, SIDE, SIDE)

    def residual(self, x: Tensor, y: Tensor) -> Tensor:
        return self.inner.residual(x.flatten(1), y.flatten(1))[:, None, None]

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        return self.inner.project(x.flatten(1), y.flatten(1)).reshape(x.shape)


def problems() -> dict[str, Problem]:
    """All tasks, by name."""
    zero = torch.zeros(N_PIXELS).double()
    found = []
    for power in (2.0, 3.0):
        for task in ("inpainting", "x2", "x3", "x4", "blur", "denoising"):
            for noise in (0.0, 0.05):
                if noise or task not in ("blur", "denoising"):
                    name = f"{task}, power {power:.0f}, noise {noise}"
                    found.append(Problem(name, degradation(task), covariance(power), noise, zero))
    places = torch.linspace(-math.pi, math.pi, SIDE).double()
    mode = (0.15 * places.sin()[:, None] * places.cos()).flatten()
    for task in ("inpainting", "x4"):
        found.append(Problem(f"{task}, two modes", degradation(task), covariance(3.0) / 4, 0.0, mode))
        found.append(Problem(f"{task}, two modes, noise 0.05", degradation(task), covariance(3.0) / 4, 0.05, mode))
    return {problem.name: problem for problem in found}
