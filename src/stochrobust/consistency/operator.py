"""Consistency with any linear map that is given by what it does: blurs, masks in k-space, tomography."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeAlias

import torch
from torch import Tensor

from stochrobust._arguments import check_count, check_tensor, describe
from stochrobust._tensors import flat, per_sample
from stochrobust.consistency.cem import check_tolerance
from stochrobust.consistency.projector import ProjectorModule

Linear: TypeAlias = Callable[[Any], Any]
GIVE_ADJOINT = (
    "A carries no gradient (a no_grad inside, or not torch?), from which its adjoint would be had: give adjoint="
)
SAME_PRODUCT = 1e-3  # what <A u, v> and <u, A^T v> may differ by, of |A u| |v|: float32 operators are good to 1e-5


class OperatorProjector(ProjectorModule):
    """Projects onto ``{x : A x = y}`` without a matrix: ``x_hat = x + A^+ (y - A x)``, by conjugate gradients.

    A^+ y is the least-squares solution of least norm, which conjugate gradients on the normal equations find from zero
    (CGLS), sample by sample, until ``|A^T (y - A x)| <= rtol |A^T y|``. The gradient with respect to y is ``(A^T)^+``
    of what arrives, found in the same way: no iteration is recorded, and A need not be differentiable. It does not
    reach parameters of A.

    A may return a complex tensor; y is then its ``torch.view_as_real``, and x stays real. It may return a list of
    tensors: y is then all of them flattened and joined, (B, M). A module A stays on its device.

    Args:
        A: the linear map, batch first, ``A(x) -> y``; samples must not depend on each other.
        adjoint: ``adjoint(y) -> x``, its transpose, which takes what A returns. None: by autograd through A.
        like: one x, (1, ...): the shape and the device of what A takes. Its values are not read.
        rtol: where the iteration stops. 1e-8 leaves about 100 dB or more of a well-conditioned A.
        max_steps: at most so many steps; a warning says when they did not suffice.
        dtype: what A is called with. The iteration itself is in float64.

    Raises:
        TypeError, ValueError: naming the setting; if A is not linear, or ``adjoint`` not its adjoint, at random x.

    Warns:
        RuntimeWarning: if the tolerance is not reached: A is ill-conditioned, or its adjoint is inexact.

    Example:
        >>> import torch
        >>> taps = torch.tensor([[[[0.25, 0.5, 0.25]]]], dtype=torch.float64)
        >>> blur = lambda x: torch.nn.functional.conv2d(x, taps)
        >>> projector = OperatorProjector(blur, like=torch.zeros(1, 1, 8, 8))
        >>> x, y = torch.rand(2, 1, 8, 8), torch.rand(2, 1, 8, 6)
        >>> torch.allclose(blur(projector.project(x, y).double()), y.double(), atol=1e-5)
        True

    Source: A. Bjorck, Numerical Methods for Least Squares Problems, 1996, section 7.4 (CGLS).
    """

    def __init__(
        self,
        A: Linear,
        adjoint: Linear | None = None,
        *,
        like: Tensor,
        rtol: float = 1e-8,
        max_steps: int = 1000,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        check_tensor("like", like, min_ndim=2)
        if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
            raise TypeError(f"dtype must be a floating-point torch.dtype, got {describe(dtype)}")
        for name, value in (("A", A), ("adjoint", adjoint)):
            if not callable(value) and (name == "A" or value is not None):
                raise TypeError(f"{name} must be callable, got {describe(value)}")
        self.rtol, self.max_steps = check_tolerance(rtol), check_count("max_steps", max_steps)
        self.shape, self.device, self.dtype = like.shape[1:], like.device, dtype
        # A module among the attributes would be cast with the model that holds this one.
        self._maps = (A, adjoint)
        try:
            self._parts = _parts(A(torch.zeros(1, *self.shape, dtype=dtype, device=self.device)))
            self._y_shape = torch.Size(self._joined(self._parts).shape[1:])
            self._check_linear()
        except RuntimeError as error:
            if dtype == torch.float64 and not self._takes(dtype) and self._takes(torch.float32):
                raise ValueError(
                    f"A and adjoint are called in float64 and failed ({str(error).splitlines()[0]}); they work in "
                    "float32: pass dtype=torch.float32, and rtol=1e-5, as float32 holds no 1e-8"
                ) from error
            raise

    @classmethod
    def from_deepinv(cls, physics: Any, *, like: Tensor, rtol: float = 1e-5, max_steps: int = 1000) -> Self:
        """The projector of a linear physics of deepinv, without its noise: ``physics.A`` and ``physics.A_adjoint``.

        Args:
            physics: a ``deepinv.physics.LinearPhysics``, stacked ones included.
            like: one x, (1, C, H, W).
            rtol, max_steps: as of the class; deepinv's operators are in float32, which holds no 1e-8.
        """

        def adjoint(y: Any) -> Any:
            if not isinstance(y, list):
                return physics.A_adjoint(y)
            from deepinv.utils import TensorList

            return physics.A_adjoint(TensorList(y))

        if not callable(getattr(physics, "A_adjoint", None)):
            raise TypeError(f"physics must be a linear physics, with A and A_adjoint, got {describe(physics)}")
        return cls(physics.A, adjoint, like=like, rtol=rtol, max_steps=max_steps, dtype=torch.float32)

    def _degrade(self, x: Tensor) -> Tensor:
        applied: Tensor = _Applied.apply(x, self._forward, self._adjoint)  # type: ignore[no-untyped-call]
        return applied

    def _lift(self, y: Tensor) -> Tensor:
        return self._solved(y, None)

    def _solved(self, y: Tensor, of: Tensor | None) -> Tensor:
        solve = functools.partial(self._solve, of=of)
        solved: Tensor = _Solved.apply(y, self._forward, self._adjoint, solve)  # type: ignore[no-untyped-call]
        return solved

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """``x + A^+ (y - A x)``, to ``rtol`` of ``|A^T y|``. See :meth:`ProjectorModule.project`."""
        dtype = self._check_pair(x, y)
        wide, observed = self._wide(x), self._wide(y)
        # Of an x that is consistent already, y - A x is rounding, which has no solution to a share of itself.
        return (wide + self._solved(observed - self._degrade(wide), observed.detach())).to(dtype)

    def _solve(self, forward: Linear, adjoint: Linear, y: Tensor, of: Tensor | None = None) -> Tensor:
        x, reached = least_squares(forward, adjoint, y, self.rtol, self.max_steps, of=of)
        if reached > self.rtol:
            warnings.warn(
                f"{self.max_steps} steps of conjugate gradients reached {reached:.1g}, not rtol={self.rtol:g}: take "
                "more max_steps, or a larger rtol",
                RuntimeWarning,
                stacklevel=2,
            )
        return x

    def _forward(self, x: Tensor) -> Tensor:
        return self._joined(_parts(self._maps[0](x.to(self.dtype)))).double()

    def _adjoint(self, y: Tensor) -> Tensor:
        A, adjoint = self._maps
        if adjoint is not None:
            parts = self._split(y.to(self.dtype))
            x: Tensor = adjoint(parts[0] if len(parts) == 1 else parts)
            return (x.real if x.is_complex() else x).double()
        with torch.inference_mode(False), torch.enable_grad():
            zero = torch.zeros(len(y), *self.shape, dtype=self.dtype, device=y.device, requires_grad=True)
            try:
                measured = self._joined(_parts(A(zero)))
            except RuntimeError as error:
                if "numpy() on Tensor that requires grad" not in str(error):
                    raise
                raise ValueError(GIVE_ADJOINT) from error
            if not measured.requires_grad:
                raise ValueError(GIVE_ADJOINT)
            (gradient,) = torch.autograd.grad(measured, zero, y.to(self.dtype).clone())
        return gradient.double()

    def _takes(self, dtype: torch.dtype) -> bool:
        """Whether A can be called in a dtype, and ``adjoint`` with what it returns."""
        A, adjoint = self._maps
        try:
            with torch.no_grad():
                measured = A(torch.zeros(1, *self.shape, dtype=dtype, device=self.device))
                if adjoint is not None:
                    adjoint(measured)
        except (RuntimeError, TypeError, ValueError):
            return False
        return True

    def _joined(self, parts: list[Tensor]) -> Tensor:
        real = [torch.view_as_real(part) if part.is_complex() else part for part in parts]
        return real[0] if len(real) == 1 else torch.cat([flat(part) for part in real], 1)

    def _split(self, y: Tensor) -> list[Tensor]:
        """What A returns, of the tensor that :meth:`_joined` makes of it."""
        shapes = [(*part.shape[1:], 2) if part.is_complex() else tuple(part.shape[1:]) for part in self._parts]
        pieces = flat(y).split([torch.Size(shape).numel() for shape in shapes], 1)
        real = [piece.reshape(-1, *shape) for piece, shape in zip(pieces, shapes, strict=True)]
        return [
            torch.view_as_complex(piece.contiguous()) if part.is_complex() else piece
            for piece, part in zip(real, self._parts, strict=True)
        ]

    def _check_linear(self) -> None:
        """A(u) against its double, and <A u, v> against <u, A^T v>."""
        stream = torch.Generator().manual_seed(0)
        u, v = (
            torch.randn(1, *shape, dtype=torch.float64, generator=stream).to(self.device)
            for shape in (self.shape, self._y_shape)
        )
        with torch.no_grad():
            image, back = self._forward(u), self._adjoint(v)
            doubled = self._forward(2 * u)
        size = float(image.norm() * v.norm())
        if float((doubled - 2 * image).norm()) > SAME_PRODUCT * float(doubled.norm()):
            raise ValueError("A must be linear: A(2 x) is not 2 A(x); leave noise and offsets out")
        if back.shape != u.shape:
            raise ValueError(f"adjoint must return what A takes, {tuple(u.shape)}, got {describe(back)}")
        if abs(float((image * v).sum() - (u * back).sum())) > SAME_PRODUCT * size:
            raise ValueError("adjoint must be the adjoint of A: <A u, v> and <u, adjoint(v)> differ at random u and v")

    def _degraded_shape(self, x: Tensor) -> torch.Size:
        if x.shape[1:] != self.shape or x.device != self.device:
            raise ValueError(f"x must be (B, {', '.join(map(str, self.shape))}) on {self.device}, got {describe(x)}")
        return torch.Size((len(x), *self._y_shape))

    def _check_degraded(self, y: Tensor) -> None:
        if y.shape[1:] != self._y_shape or y.device != self.device:
            raise ValueError(f"y must be (B, {', '.join(map(str, self._y_shape))}) on {self.device}, got {describe(y)}")

    def extra_repr(self) -> str:
        """Shapes and tolerance."""
        return f"x={tuple(self.shape)}, y={tuple(self._y_shape)}, rtol={self.rtol:g}, max_steps={self.max_steps}"


def least_squares(
    forward: Linear, adjoint: Linear, y: Tensor, rtol: float, max_steps: int, *, of: Tensor | None = None
) -> tuple[Tensor, float]:
    """The x of least norm that minimises ``|A x - y|``, sample by sample, and the relative slope that is left (CGLS).

    A sample whose slope has fallen to ``rtol`` of its first, or of ``A^T of`` where that is larger, stays as it is, so
    that others do not change it.
    """
    left = y
    slope = adjoint(left)
    x, along = torch.zeros_like(slope), slope
    first = power = flat(slope).square().sum(1)
    if of is not None:
        first = torch.maximum(first, flat(adjoint(of)).square().sum(1))
    going = power > rtol**2 * first
    for _ in range(max_steps):
        if not bool(going.any()):
            break
        image = forward(along)
        length = torch.where(going, power / flat(image).square().sum(1), 0.0)
        x = x + per_sample(length, along) * along
        left = left - per_sample(length, left) * image
        slope = adjoint(left)
        before, power = power, torch.where(going, flat(slope).square().sum(1), power)
        along = torch.where(per_sample(going, along), slope + per_sample(power / before, along) * along, along)
        going = going & (power > rtol**2 * first)
    reached = torch.where(first > 0, (power / first).sqrt(), 0.0)
    return x, float(reached.amax())


class _Applied(torch.autograd.Function):
    """``A x``, whose gradient is ``A^T`` of what arrives."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, forward: Linear, adjoint: Linear) -> Tensor:
        ctx.maps = forward, adjoint
        applied: Tensor = forward(x)
        return applied

    @staticmethod
    def backward(ctx: Any, *arrived: Tensor) -> tuple[Tensor, None, None]:
        forward, adjoint = ctx.maps
        return _Applied.apply(arrived[0], adjoint, forward), None, None  # type: ignore[no-untyped-call]


class _Solved(torch.autograd.Function):
    """``A^+ y``, whose gradient is ``(A^T)^+`` of what arrives."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, forward: Linear, adjoint: Linear, solve: Callable[..., Tensor]) -> Tensor:
        ctx.maps = forward, adjoint, solve
        return solve(forward, adjoint, y)

    @staticmethod
    def backward(ctx: Any, *arrived: Tensor) -> tuple[Tensor, None, None, None]:
        forward, adjoint, solve = ctx.maps
        # A gradient has a size of its own.
        backwards = functools.partial(solve, of=None)
        return _Solved.apply(arrived[0], adjoint, forward, backwards), None, None, None  # type: ignore[no-untyped-call]


def _parts(measured: Any) -> list[Tensor]:
    """What A returned, as a list of tensors; deepinv's TensorList has them in ``x``."""
    if isinstance(measured, Tensor):
        return [measured]
    inside = getattr(measured, "x", measured)
    if not isinstance(inside, Sequence) or not inside or not all(isinstance(part, Tensor) for part in inside):
        raise TypeError(f"A must return a tensor or a list of tensors, got {describe(measured)}")
    return list(inside)
