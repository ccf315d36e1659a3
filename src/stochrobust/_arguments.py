"""Checks of what a caller passes in: each raises, naming the argument, what was expected and what came."""

from __future__ import annotations

import math
from collections.abc import Sized
from dataclasses import fields, is_dataclass
from numbers import Integral, Number, Real

import numpy as np
import torch
from torch import Tensor, nn

_FEW = 4  # members of a tuple or list of settings; a longer one is data


def describe(value: object) -> str:
    """What came, in a few words, for an error message: of data the kind and the shape, never the values."""
    if isinstance(value, Tensor):
        return f"a {value.dtype} tensor of shape {tuple(value.shape)} on {value.device}"
    if isinstance(value, np.ndarray):
        return f"a {value.dtype} array of shape {value.shape}"
    kind = type(value).__name__
    if _is_setting(value):
        return f"{value!r} ({kind})"
    return f"a {kind} of length {len(value)}" if isinstance(value, Sized) else f"a {kind}"


def _is_setting(value: object) -> bool:
    """Numbers, words, and a few of them together, which a message may repeat."""
    if is_dataclass(value) and not isinstance(value, type):
        return all(_is_setting(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, tuple | list):
        return len(value) <= _FEW and all(map(_is_setting, value))
    return isinstance(value, (Number, str, type(None), torch.dtype))


def check_tensor(name: str, value: object, *, ndim: int | None = None, min_ndim: int = 0) -> Tensor:
    """A real floating-point tensor with samples in it, of ``ndim`` (or at least ``min_ndim``) dimensions."""
    if not isinstance(value, Tensor):
        advice = f": torch.from_dlpack({name}) is one" if hasattr(value, "__dlpack__") else ""
        raise TypeError(f"{name} must be a torch.Tensor, got {describe(value)}{advice}")
    if not value.is_floating_point():
        advice = f": of 8-bit images, take {name} / 255" if value.dtype == torch.uint8 else ""
        raise TypeError(f"{name} must have a real floating-point dtype, got {describe(value)}{advice}")
    if value.layout != torch.strided:
        raise ValueError(f"{name} must be a dense tensor, got one of layout {value.layout}")
    if ndim is not None and value.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimensions, got {describe(value)}")
    if value.ndim < min_ndim:
        raise ValueError(f"{name} must have at least {min_ndim} dimension(s), batch first, got {describe(value)}")
    if value.numel() == 0:
        raise ValueError(f"{name} must not be empty, got {describe(value)}")
    return value


def check_finite(name: str, value: Tensor) -> None:
    """No NaN and no infinity. Synchronises with the host, once; no copy of the values is made."""
    if value.numel() == 0 or not value.is_floating_point():
        return
    if value.is_meta:
        raise ValueError(f"{name} must hold numbers, got {describe(value)}")
    lowest, highest = torch.aminmax(value.detach())  # a twelfth of the time of isfinite; NaN passes through
    if math.isfinite(float(highest / 2 - lowest / 2)):
        return
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
    if int(value) >= 2**63:
        raise ValueError(f"{name} must be less than 2**63, got one of {int(value).bit_length()} bits")
    return int(value)


def check_integer(name: str, value: object) -> int:
    """Any integer."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {describe(value)}")
    return int(value)


def check_real(name: str, value: object, *, minimum: float = -math.inf, open_minimum: bool = False) -> float:
    """A finite real number of at least (or, with ``open_minimum``, above) ``minimum``."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a real number, got {describe(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or number < minimum or (open_minimum and number == minimum):
        bound = "" if minimum == -math.inf else f" {'above' if open_minimum else 'of at least'} {minimum}"
        raise ValueError(f"{name} must be a finite number{bound}, got {value!r:.40}")
    return number


def check_scale(name: str, value: object) -> float:
    """A number above 0 whose square float32 can tell from 0 and from infinity."""
    number = check_real(name, value, minimum=0.0, open_minimum=True)
    least, most = (math.sqrt(end) for end in (torch.finfo(torch.float32).tiny, torch.finfo(torch.float32).max))
    if not least <= number <= most:
        raise ValueError(f"{name} must be between {least:.1e} and {most:.1e}, got {number:g}")
    return number


def check_truth(name: str, value: object) -> None:
    """True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {describe(value)}")


def check_callable_or_none(name: str, value: object) -> None:
    """None, or something to call."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be callable or None, got {describe(value)}")


def check_module_or_none(name: str, value: object) -> None:
    """None, or a module."""
    if value is not None and not isinstance(value, nn.Module):
        raise TypeError(f"{name} must be a torch.nn.Module or None, got {describe(value)}")


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> str:
    """One of the named choices."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value


def check_declared_images(images: object, data_range: tuple[float, float], channels: int, *, uint8: bool) -> None:
    """``(N, channels, H, W)``, 8-bit or floating-point in ``data_range``. Synchronises with the images' device."""
    if not isinstance(images, Tensor):
        raise TypeError(f"images must be a torch.Tensor, got {type(images).__name__}")
    if images.ndim != 4 or images.numel() == 0:
        raise ValueError(f"images must be (N, {channels}, H, W) and not empty, got {describe(images)}")
    if images.shape[1] != channels:
        grey = images.shape[1] == 1
        advice = f": repeat the channel of grey images, images.expand(-1, {channels}, -1, -1)" if grey else ""
        raise ValueError(f"images must have {channels} channel(s), got {describe(images)}{advice}")
    if uint8:
        _check_uint8(images)
    else:
        _check_floats(images, *data_range)


def _check_uint8(images: Tensor) -> None:
    if images.dtype != torch.uint8:
        advice = "of x in [0, 1], (255 * x).round().to(torch.uint8)"
        raise TypeError(f"images must be 8-bit, torch.uint8 of 0 to 255, got {describe(images)}: {advice}")


def _check_floats(images: Tensor, low: float, high: float) -> None:
    if not images.is_floating_point():
        raise TypeError(f"images must be floating-point, in [{low}, {high}], got {describe(images)}: rescale them")
    lowest, highest = (float(value) for value in torch.aminmax(images.detach()))
    if not (low <= lowest and highest <= high):  # written so that NaN does not pass
        got = f"{lowest} to {highest}"
        raise ValueError(f"images must have values in [{low}, {high}], got {got}: clamp or rescale them")


def check_range(data_range: object) -> tuple[float, float]:
    """Two finite numbers, the second above the first."""
    if not isinstance(data_range, tuple | list) or len(data_range) != 2:
        raise TypeError(f"data_range must be (lowest, highest) or torch.uint8, got {describe(data_range)}")
    low, high = (check_real("data_range", value) for value in data_range)
    if not low < high:
        raise ValueError(f"data_range must increase, got {data_range!r}")
    return low, high


def check_image(name: str, value: Tensor) -> None:
    """(B, C, H, W)."""
    if value.ndim != 4:
        raise ValueError(f"{name} must be (B, C, H, W), got {describe(value)}")
