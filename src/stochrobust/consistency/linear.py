"""Consistency with any linear map that is small enough to be written down."""

from __future__ import annotations

import torch
from torch import Tensor

from stochrobust._arguments import check_finite, check_tensor, describe
from stochrobust.consistency.cem import check_tolerance
from stochrobust.consistency.projector import ProjectorModule


class LinearProjector(ProjectorModule):
    """Projects onto ``{x : A x = y}`` for an explicit matrix: ``x_hat = x + A^+ (y - A x)``, x flattened.

    A may lack full rank; the part of y outside its range, which no x can give, is then left out. Computed in float64.

    Args:
        A: (m, n) matrix, n the number of elements of one x.
        rtol: singular values of A up to this share of the largest count as zero. The default is just above what a
            float32 matrix resolves.

    ``D(x)`` and y are (B, m), x is (B, ...) with n elements per sample, and ``pinv(y)`` is (B, n).

    Raises:
        TypeError, ValueError: A is no finite, non-empty floating-point matrix, or rtol not in [0, 1).

    Example:
        A matrix can be had from any linear map by applying it to the identity:

        >>> import torch
        >>> blur = torch.nn.AvgPool2d(3, stride=1)
        >>> A = blur(torch.eye(16).reshape(16, 1, 4, 4)).reshape(16, -1).T
        >>> projector = LinearProjector(A)
        >>> x, y = torch.rand(2, 1, 4, 4), torch.rand(2, 4)
        >>> torch.allclose(projector.D(projector.project(x, y)), y, atol=1e-6)
        True

    Source: the Moore-Penrose inverse; section 2.2 of the paper defines consistency.
    """

    A: Tensor
    A_pinv: Tensor

    def __init__(self, A: Tensor, *, rtol: float = 1e-6) -> None:
        super().__init__()
        register_inverse(self, "A", A, rtol)

    def _degrade(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.A.T

    def _lift(self, y: Tensor) -> Tensor:
        return y @ self.A_pinv.T

    def _degraded_shape(self, x: Tensor) -> torch.Size:
        rows, columns = self.A.shape
        if x[0].numel() != columns:
            raise ValueError(f"x must have {columns} elements per sample, the columns of A, got {describe(x)}")
        return torch.Size((x.shape[0], rows))

    def _check_degraded(self, y: Tensor) -> None:
        if y.ndim != 2 or y.shape[1] != self.A.shape[0]:
            raise ValueError(f"y must be (B, {self.A.shape[0]}), after the rows of A, got {describe(y)}")


class SeparableProjector(ProjectorModule):
    """Projects onto ``{x : V x W^T = y}``, a linear map along the height and one along the width of each channel.

    ``x_hat = x + V^+ (y - V x W^T) (W^+)^T``, exact for any size, kernel and border: the way to be consistent with a
    bicubic or Gaussian downscaling as a library performs it, borders included. Computed in float64.

    Args:
        height: (h, H) matrix V, applied along the height.
        width: (w, W) matrix W, applied along the width.
        rtol: singular values of either up to this share of its largest count as zero.

    Raises:
        TypeError, ValueError: a matrix is not finite, empty or no floating-point matrix, or rtol not in [0, 1).

    Example:
        Bicubic downscaling by 4 as PyTorch does it; its matrix is what it makes of the identity:

        >>> import torch
        >>> from torch.nn.functional import interpolate
        >>> def downscale(x, size):
        ...     return interpolate(x, size, mode="bicubic", antialias=True)
        >>> V = downscale(torch.eye(16, dtype=torch.float64)[None, None], (4, 16))[0, 0]
        >>> projector = SeparableProjector(height=V, width=V)
        >>> x, y = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 4, 4)
        >>> torch.allclose(downscale(projector.project(x, y), (4, 4)), y, atol=1e-6)
        True

    Source: the pseudo-inverse of a Kronecker product is that of its factors.
    """

    height: Tensor
    height_pinv: Tensor
    width: Tensor
    width_pinv: Tensor

    def __init__(self, *, height: Tensor, width: Tensor, rtol: float = 1e-6) -> None:
        super().__init__()
        register_inverse(self, "height", height, rtol)
        register_inverse(self, "width", width, rtol)

    def _degrade(self, x: Tensor) -> Tensor:
        return self.height @ x @ self.width.T

    def _lift(self, y: Tensor) -> Tensor:
        return self.height_pinv @ y @ self.width_pinv.T

    def _degraded_shape(self, x: Tensor) -> torch.Size:
        self._check_image("x", x, axis=1)
        return torch.Size((*x.shape[:2], self.height.shape[0], self.width.shape[0]))

    def _check_degraded(self, y: Tensor) -> None:
        self._check_image("y", y, axis=0)

    def _check_image(self, name: str, value: Tensor, axis: int) -> None:
        size = (self.height.shape[axis], self.width.shape[axis])
        if value.shape[2:] != size:
            raise ValueError(f"{name} must be (B, C, {size[0]}, {size[1]}), after the matrices, got {describe(value)}")


def register_inverse(module: torch.nn.Module, name: str, matrix: Tensor, rtol: float) -> None:
    """Registers a matrix and its pseudo-inverse, in float64, as buffers ``name`` and ``name_pinv``."""
    check_finite(name, check_tensor(name, matrix, ndim=2))
    wide = matrix.detach().double().clone()
    module.register_buffer(name, wide, persistent=False)
    module.register_buffer(f"{name}_pinv", torch.linalg.pinv(wide, rtol=check_tolerance(rtol)), persistent=False)
