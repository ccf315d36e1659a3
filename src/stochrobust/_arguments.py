"""Checks of what a caller passes in: each raises, naming the argument, what was expected and what came."""

from __future__ import annotations

import math
from numbers import Integral, Real

import torch
from torch import Tensor


def describe(value: object) -> str:
    """What came, in a few words, for an error message."""
    if isinstance(value, Tensor):
        return f"a {value.dtype} tensor of shape {tuple(value.shape)} on {value.device}"
    return f"{value!r} ({type(value).__name__})"


def check_tensor(name: str, value: object, *, ndim: int | None = None, min_ndim: int = 0) -> Tensor:
    """A real floating-point tensor with samples in it, of ``ndim`` (or at least ``min_ndim``) dimensions."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {describe(value)}")
    if not value.is_floating_point():
        raise TypeError(f"{name} must have a real floating-point dtype, got {describe(value)}")
    if ndim is not None and value.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimensions, got {describe(value)}")
    if value.ndim < min_ndim:
        raise ValueError(f"{name} must have at least {min_ndim} dimension(s), batch first, got {describe(value)}")
    if value.numel() == 0:
        raise ValueError(f"{name} must not be empty, got {describe(value)}")
    return value


def check_finite(name: str, value: Tensor) -> None:
    """No NaN and no infinity. Synchronises with the host."""
    if not bool(torch.isfinite(value).all()):
        bad = int((~torch.isfinite(value)).sum())
        raise ValueError(f"{name} must be finite, got {bad} NaN or infinite value(s) among {value.numel()}")


def check_alike(name: str, value: Tensor, like_name: str, like: Tensor, *, shape: bool = True) -> None:
    """The same device and dtype as ``like`` and, unless told otherwise, the same shape."""
    same = value.device == like.device and value.dtype == like.dtype and (not shape or value.shape == like.shape)
    if not same:
        what = "shape, dtype and device" if shape else "dtype and device"
        raise ValueError(f"{name} must have the {what} of {like_name}, {describe(like)}, got {describe(value)}")


def check_count(name: str, value: object, *, minimum: int = 1) -> int:
    """An integer of at least ``minimum``."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {describe(value)}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}")
    return int(value)


def check_real(name: str, value: object, *, minimum: float = -math.inf, open_minimum: bool = False) -> float:
    """A finite real number of at least (or, with ``open_minimum``, above) ``minimum``."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a real number, got {describe(value)}")
    number = float(value)
    if not math.isfinite(number) or number < minimum or (open_minimum and number == minimum):
        bound = "" if minimum == -math.inf else f" {'above' if open_minimum else 'of at least'} {minimum}"
        raise ValueError(f"{name} must be a finite number{bound}, got {value!r}")
    return number


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> str:
    """One of the named choices."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value
