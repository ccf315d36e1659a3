"""The sets in which a perturbation may move: L2 and L-infinity balls, cut by a box of valid inputs and a mask."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from stochrobust._arguments import describe
from stochrobust._tensors import flat, flat_norm, per_sample, unit
from stochrobust.estimators.seeds import Randomness, draw_like

Bound: TypeAlias = float | Tensor
ON_SPHERE = 1 - 1e-5  # of a radius: what lies beyond counts as on the sphere
BISECTIONS = 60  # halvings of the multiplier's bracket: to the last bit of a float64 where the box is active


def shown_radius(eps: float | Tensor) -> str:
    """A radius as settings are printed: the number, or the shape of a tensor of several."""
    return f"tensor of shape {tuple(eps.shape)}" if isinstance(eps, Tensor) and eps.ndim else f"{float(eps):g}"


def check_radius(eps: object) -> None:
    """A number, finite and not negative, or a tensor of real numbers, one or one per sample."""
    if isinstance(eps, bool) or not isinstance(eps, Real | Tensor):
        raise TypeError(f"eps must be a number or a (B,) tensor, got {describe(eps)}")
    if not isinstance(eps, Tensor):
        try:
            number = float(eps)
        except OverflowError:
            number = math.inf
        if not 0 <= number < math.inf:
            raise ValueError(f"eps must be finite and not negative, got {eps!r:.40}")
    elif eps.is_complex() or eps.dtype == torch.bool or eps.layout != torch.strided:
        raise TypeError(f"eps must be a number or a (B,) tensor of real numbers, got {describe(eps)}")
    elif eps.ndim > 1 or eps.is_meta:
        raise ValueError(f"eps must be a number or a (B,) tensor of numbers, got {describe(eps)}")


def check_eps(eps: float | Tensor, y: Tensor) -> Tensor:
    """eps as a (B,) tensor of non-negative radii in y's dtype and device."""
    check_radius(eps)
    if isinstance(eps, Tensor):
        if eps.shape not in ((), (len(y),)):
            raise ValueError(f"eps must be a number or have one radius per sample, ({len(y)},), got {describe(eps)}")
        radii = eps.detach().to(y).expand(len(y))
        valid = bool((torch.isfinite(radii) & (radii >= 0)).all())
    else:
        valid, radii = True, torch.full((len(y),), float(eps), dtype=y.dtype, device=y.device)
        least, most = _squarable(y.dtype)
        if eps != 0 and not least <= eps <= most:  # as below, without reading from the device
            raise ValueError(f"eps must be 0 or between {least:.1e} and {most:.1e} in {y.dtype}, got {float(eps):g}")
        return radii
    if not valid:
        raise ValueError(f"eps must be finite and not negative, got {eps!r}")
    _check_squares(radii)
    return radii


def _bound(bound: Bound) -> Bound:
    """One end of a box: a number, which may be infinite, or a tensor of real numbers."""
    if isinstance(bound, Tensor):
        if bound.is_complex() or bound.dtype == torch.bool or bound.layout != torch.strided:
            raise TypeError(f"box must hold real numbers, got {describe(bound)}")
    elif isinstance(bound, bool) or not isinstance(bound, Real):
        raise TypeError(f"box must hold numbers or tensors, got {describe(bound)}")
    return bound


def _squarable(dtype: torch.dtype) -> tuple[float, float]:
    """The least and the largest number whose square is neither 0 nor infinite."""
    limits = torch.finfo(dtype)
    return math.sqrt(limits.tiny), math.sqrt(limits.max)


def _check_squares(radii: Tensor) -> None:
    """Radii whose squares the dtype can tell from 0 and from infinity."""
    least, most = _squarable(radii.dtype)
    if bool(((radii != 0) & ((radii < least) | (radii > most))).any()):
        raise ValueError(
            f"eps must be 0 or between {least:.1e} and {most:.1e} in {radii.dtype}, got {float(radii.max()):g}"
        )


class Ball(Protocol):
    """What an ascent needs of the set it moves in."""

    def check(self, y: Tensor) -> None: ...
    def project(self, delta: Tensor, y: Tensor, eps: Tensor) -> Tensor: ...
    def random_point(self, y: Tensor, eps: Tensor, generator: Randomness, purpose: str = "start") -> Tensor: ...
    def direction(self, gradient: Tensor) -> Tensor: ...
    def turn(
        self, delta: Tensor, gradient: Tensor, memory: Tensor, eps: Tensor, longest: float
    ) -> tuple[Tensor, Tensor]: ...
    def norm(self, delta: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class _Cut:
    """A ball cut by what is allowed: ``box = (lowest, highest)`` value of y + delta, and where delta may be non-zero.

    Args:
        box: bounds of y + delta, numbers or tensors broadcastable to y; y itself must lie inside. None: unbounded.
        mask: broadcastable to y; True or 1 where delta may move, False or 0 where it stays zero. None: everywhere.
    """

    box: tuple[Bound, Bound] | None = None
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        if self.mask is not None:
            if not isinstance(self.mask, Tensor):
                raise TypeError(f"mask must be a torch.Tensor or None, got {describe(self.mask)}")
            if self.mask.is_complex() or self.mask.layout != torch.strided:
                raise TypeError(f"mask must be dense, and hold only 0 and 1, got {describe(self.mask)}")
        if self.box is not None:
            if not isinstance(self.box, tuple) or len(self.box) != 2:
                raise TypeError(f"box must be a pair (lowest, highest) or None, got {describe(self.box)}")
            low, high = (_bound(bound) for bound in self.box)
            if not isinstance(low, Tensor) and not isinstance(high, Tensor) and not low < high:
                raise ValueError(f"box must be (lowest, highest), got {self.box}")

    def check(self, y: Tensor) -> None:
        """Raise where the box does not hold y or the mask does not fit it."""
        if self.mask is not None:
            _check_broadcast("mask", self.mask, y)
            mask = self.mask.to(torch.float32)
            some = flat(mask.expand(y.shape)).amax(1)
            if not bool(((mask == 0) | (mask == 1)).all()) or not bool((some == 1).all()):
                raise ValueError(f"mask must hold only 0 and 1, some 1 for each sample, got {describe(self.mask)}")
        if self.box is not None:
            low, high = self.box
            for bound in (low, high):
                if isinstance(bound, Tensor):
                    _check_broadcast("box", bound, y)
            if not bool(((y >= low) & (y <= high)).all()):
                raise ValueError(f"y must lie inside the box {self.box}, got values in [{y.min():g}, {y.max():g}]")

    def allowed(self, delta: Tensor) -> Tensor:
        """delta where the mask lets it move, zero elsewhere."""
        return delta if self.mask is None else torch.where(self.mask.to(torch.bool), delta, 0.0)

    def inside_box(self, delta: Tensor, y: Tensor) -> Tensor:
        """The delta nearest to this one with y + delta in the box, element by element."""
        if self.box is None:
            return delta
        low, high = self.box
        return torch.minimum(torch.maximum(delta, low - y), high - y)

    def turned_inside(self, delta: Tensor, y: Tensor) -> Tensor:
        """delta, mirrored at the elements where the box leaves more room on the other side."""
        kept, mirrored = self.inside_box(delta, y), self.inside_box(-delta, y)
        return torch.where(kept.abs() >= mirrored.abs(), kept, mirrored)


@dataclass(frozen=True)
class L2(_Cut):
    """``{delta : ||delta||_2 <= eps}``, the norm taken over all elements of a sample (the ball of Eq. 2 to 7).

    Args:
        box: ``(lowest, highest)`` value of y + delta, numbers or tensors; y must lie inside. None: unbounded.
        mask: broadcastable to y; True or 1 where delta may move. None: everywhere.

    Example:
        >>> import torch
        >>> y, eps = torch.zeros(1, 2), torch.tensor([1.0])
        >>> L2().project(torch.tensor([[3.0, 4.0]]), y, eps)
        tensor([[0.6000, 0.8000]])
    """

    def project(self, delta: Tensor, y: Tensor, eps: Tensor) -> Tensor:
        """The point of the ball, box and mask nearest to delta (B, ...)."""
        delta = self.allowed(delta)
        if self.box is None:
            return _shrink(delta, eps)
        # min ||d - delta|| in ball and box is d = clip(delta * t) with t in (0, 1]: find t where the ball is active.
        low, high = torch.zeros_like(eps), torch.ones_like(eps)
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            outside = flat_norm(self.inside_box(delta * per_sample(middle, delta), y)) > eps
            low, high = torch.where(outside, low, middle), torch.where(outside, middle, high)
        whole = self.inside_box(delta, y)
        fits = per_sample(flat_norm(whole) <= eps, delta)
        cut = self.inside_box(delta * per_sample(low, delta), y)
        return _shrink(torch.where(fits, whole, cut), eps)

    def random_point(self, y: Tensor, eps: Tensor, generator: Randomness, purpose: str = "start") -> Tensor:
        """A point of the ball, uniform where neither box nor mask cuts it, never zero if eps and the cuts allow."""
        normal = draw_like(y, generator, purpose)
        radius = 1 - draw_like(flat(y)[:, 0], generator, purpose + " radius", uniform=True)  # in (0, 1]
        free = flat(self.allowed(torch.ones_like(y))).sum(1)
        point = unit(self.allowed(normal)) * per_sample(eps * radius ** (1 / free), y)
        return _shrink(self.turned_inside(point, y), eps)

    def direction(self, gradient: Tensor) -> Tensor:
        """The direction of norm 1 along which a linear function with this gradient grows most."""
        return unit(self.allowed(gradient))

    def turn(
        self, delta: Tensor, gradient: Tensor, memory: Tensor, eps: Tensor, longest: float
    ) -> tuple[Tensor, Tensor]:
        """delta moved along ``memory`` plus the unit gradient, and that sum; of both, what does not leave the ball.

        The move is ``longest`` radii long, but on the sphere no more than twice ``|g_free| / g_radial``, after which it
        would point where the gradient does, as power iteration goes; so near a top, and the memory is dropped there.
        """
        gradient, outward = self.allowed(gradient), unit(delta)
        on_sphere = flat_norm(delta) >= ON_SPHERE * eps

        def free(vector: Tensor) -> tuple[Tensor, Tensor]:
            radial = torch.where(on_sphere, flat(vector * outward).sum(1).clamp_min(0), 0.0)
            return vector - outward * per_sample(radial, vector), radial

        along, radial = free(gradient)
        power = flat_norm(along) / radial.clamp_min(torch.finfo(radial.dtype).tiny)
        length = torch.where(radial > 0, (2 * power).clamp(max=longest), longest)
        memory, _ = free(torch.where(per_sample(length < longest, delta), 0.0, memory) + unit(along))
        return delta + unit(memory) * per_sample(eps * length, delta), memory

    def norm(self, delta: Tensor) -> Tensor:
        """``||delta||_2`` per sample, (B,)."""
        return flat_norm(delta)


@dataclass(frozen=True)
class Linf(_Cut):
    """``{delta : max |delta_i| <= eps}``, the ball of sign attacks such as I-FGSM.

    Args:
        box: ``(lowest, highest)`` value of y + delta, numbers or tensors; y must lie inside. None: unbounded.
        mask: broadcastable to y; True or 1 where delta may move. None: everywhere.

    Example:
        >>> import torch
        >>> y, eps = torch.zeros(1, 2), torch.tensor([1.0])
        >>> Linf().project(torch.tensor([[3.0, -0.5]]), y, eps)
        tensor([[ 1.0000, -0.5000]])
    """

    def project(self, delta: Tensor, y: Tensor, eps: Tensor) -> Tensor:
        """The point of the ball, box and mask nearest to delta (B, ...)."""
        radius = per_sample(eps, delta)
        return self.inside_box(torch.maximum(torch.minimum(self.allowed(delta), radius), -radius), y)

    def random_point(self, y: Tensor, eps: Tensor, generator: Randomness, purpose: str = "start") -> Tensor:
        """A point of the ball, uniform where neither box nor mask cuts it."""
        uniform = 2 * draw_like(y, generator, purpose, uniform=True) - 1
        return self.turned_inside(self.allowed(uniform) * per_sample(eps, y), y)

    def direction(self, gradient: Tensor) -> Tensor:
        """The direction of norm 1 along which a linear function with this gradient grows most: its sign."""
        return self.allowed(gradient).sign()

    def turn(
        self, delta: Tensor, gradient: Tensor, memory: Tensor, eps: Tensor, longest: float
    ) -> tuple[Tensor, Tensor]:
        """delta moved by ``longest`` radii along the signs of ``memory`` plus the gradient's signs, and that sum."""
        memory = memory + self.direction(gradient)
        return delta + self.direction(memory) * per_sample(longest * eps, delta), memory

    def norm(self, delta: Tensor) -> Tensor:
        """``max |delta_i|`` per sample, (B,)."""
        return flat(delta).abs().amax(dim=1)


def _shrink(delta: Tensor, eps: Tensor) -> Tensor:
    """delta scaled down to norm eps where it is longer."""
    norm = flat_norm(delta)
    factor = torch.where(norm > eps, eps / norm.clamp_min(torch.finfo(norm.dtype).tiny), torch.ones_like(norm))
    return delta * per_sample(factor, delta)


def _check_broadcast(name: str, value: Tensor, y: Tensor) -> None:
    if value.device != y.device:
        raise ValueError(f"{name} must be on the device of y, {y.device}, got {describe(value)}")
    try:
        fits = torch.broadcast_shapes(value.shape, y.shape) == y.shape
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(f"{name} must broadcast to y's shape {tuple(y.shape)}, got {describe(value)}")
