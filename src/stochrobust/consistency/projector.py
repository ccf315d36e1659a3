"""What a projector is, and the part that the projectors here share: checks, precision, ``x + pinv(y - D(x))``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from stochrobust._arguments import check_tensor, describe


def check_projector(projector: object) -> None:
    """A projector, not its class."""
    if isinstance(projector, type) or not isinstance(projector, Projector):
        raise TypeError(f"projector must have D, pinv, residual and project, got {describe(projector)}")


@runtime_checkable
class Projector(Protocol):
    """A linear degradation D, its pseudo-inverse, and the orthogonal projection onto {x : D(x) = y}.

    Any object with these four methods is one.

    Example:
        >>> from stochrobust import BlockAverageProjector
        >>> isinstance(BlockAverageProjector(2), Projector)
        True
    """

    def D(self, x: Tensor) -> Tensor:
        """The degraded input that x would give."""
        ...

    def pinv(self, y: Tensor) -> Tensor:
        """The smallest x with D(x) = y."""
        ...

    def residual(self, x: Tensor, y: Tensor) -> Tensor:
        """``y - D(x)``, zero where y says nothing about x."""
        ...

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """The nearest point to x that is consistent with y."""
        ...


class ProjectorModule(nn.Module, ABC):
    """A :class:`Projector` from two linear maps, moved with the model that holds it.

    A subclass gives ``_degrade`` and ``_lift`` (D and its pseudo-inverse, on checked tensors of at least the dtype
    ``precision``) and the two shapes. Its buffers are settings, not weights: they follow ``.to(device)``, keep their
    dtype under ``.half()``, and stay out of the state dict.
    """

    precision = torch.float64

    @abstractmethod
    def _degrade(self, x: Tensor) -> Tensor: ...

    @abstractmethod
    def _lift(self, y: Tensor) -> Tensor: ...

    @abstractmethod
    def _degraded_shape(self, x: Tensor) -> torch.Size:
        """The shape of D(x); raises if there is none."""

    @abstractmethod
    def _check_degraded(self, y: Tensor) -> None:
        """Raises if no x has a D(x) of y's shape."""

    def D(self, x: Tensor) -> Tensor:
        """The degradation ``D(x)``, in x's dtype.

        Args:
            x: (B, ...) source images.

        Returns:
            What the images would be observed as, batch first.

        Raises:
            TypeError, ValueError: x is no floating-point tensor, or not of a shape or device that D takes.
        """
        self._check_source(x)
        return self._degrade(self._wide(x)).to(x.dtype)

    def pinv(self, y: Tensor) -> Tensor:
        """The pseudo-inverse ``D^+ y``: of all x with the least ``||D(x) - y||``, the smallest; in y's dtype.

        Args:
            y: (B, ...) degraded inputs, of the shape of ``D(x)``.

        Returns:
            Batch first, of the shape of x.

        Raises:
            TypeError, ValueError: y is no floating-point tensor, or not of a shape or device of ``D(x)``.
        """
        check_tensor("y", y, min_ndim=2)
        self._check_device("y", y)
        self._check_degraded(y)
        return self._lift(self._wide(y)).to(y.dtype)

    def residual(self, x: Tensor, y: Tensor) -> Tensor:
        """What of y the restoration x misses, ``y - D(x)``, in the dtype that x and y promote to.

        Args:
            x: (B, ...) restorations.
            y: (B, ...) degraded inputs, of the shape of ``D(x)``.

        Returns:
            Of y's shape; zero where y says nothing about x.

        Raises:
            TypeError, ValueError: as :meth:`project`.
        """
        dtype = self._check_pair(x, y)
        return (self._wide(y) - self._degrade(self._wide(x))).to(dtype)

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """The nearest x_hat to x with ``D(x_hat) = y``: ``x + pinv(y - D(x))``, differentiable in both.

        Computed in the class's ``precision`` or better, also under autocast, and returned in the dtype that x and y
        promote to, whose rounding of x_hat is what is left of ``D(x_hat) - y``.

        Args:
            x: (B, ...) restorations; any dtype of floats.
            y: (B, ...) degraded inputs, of the shape of ``D(x)``; any dtype of floats.

        Returns:
            The consistent restorations, of x's shape. Where y is not in the range of D, the nearest that is counts.

        Raises:
            TypeError: x or y is no floating-point tensor.
            ValueError: D does not take x's shape, y has not the shape of ``D(x)``, or the devices differ.
        """
        dtype = self._check_pair(x, y)
        wide = self._wide(x)
        return (wide + self._lift(self._wide(y) - self._degrade(wide)).reshape(x.shape)).to(dtype)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """``project(x, y)``."""
        return self.project(x, y)

    def _wide(self, x: Tensor) -> Tensor:
        return x.to(torch.promote_types(x.dtype, self.precision))

    def _check_device(self, name: str, value: Tensor) -> None:
        for buffer in self.buffers(recurse=False):
            if buffer.device != value.device:
                raise ValueError(f"{name} must be on the projector's device, {buffer.device}, got {describe(value)}")

    def _check_source(self, x: Tensor) -> torch.Size:
        check_tensor("x", x, min_ndim=2)
        self._check_device("x", x)
        return self._degraded_shape(x)

    def _check_pair(self, x: Tensor, y: Tensor) -> torch.dtype:
        """Returns the dtype of a result of both."""
        expected = self._check_source(x)
        check_tensor("y", y)
        if y.shape != expected or y.device != x.device:
            raise ValueError(
                f"y must have the shape of D(x), {tuple(expected)}, and be on {x.device}, got {describe(y)}"
            )
        return torch.promote_types(x.dtype, y.dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Moves the buffers without rounding them: ``model.half()`` must not change what D is."""
        before = dict(self.named_buffers(recurse=False))
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, buffer in before.items():
            moved = self.get_buffer(name)
            if moved.dtype != buffer.dtype:
                setattr(self, name, buffer.to(moved.device))
        return self
