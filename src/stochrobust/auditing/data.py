"""The data of an audit: read once, batch by batch, checked, and identified by a pixel hash."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from stochrobust._arguments import check_finite, check_tensor, describe
from stochrobust.consistency.projector import Projector

AuditData: TypeAlias = Tensor | tuple[Tensor, Tensor] | Iterable[Any]
"""Sources x, a pair (y, x), or batches of either."""
AT_ONCE = 64
"""Inputs in a batch of a whole tensor, unless ``max_batch`` says otherwise."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Some inputs of the data.

    Attributes:
        first: number of the first one in the data.
        y, x: (B, ...) inputs and (B, C, H, W) sources.
    """

    first: int
    y: Tensor
    x: Tensor

    def __len__(self) -> int:
        return len(self.x)

    @property
    def ids(self) -> list[int]:
        """Their numbers in the data, which their random numbers belong to."""
        return list(range(self.first, self.first + len(self)))

    def groups(self, size: int) -> Iterator[Batch]:
        """The batch in parts of at most ``size`` inputs, at least 1."""
        for start in range(0, len(self), max(1, size)):
            yield self.part(start, start + max(1, size))

    def part(self, start: int, stop: int) -> Batch:
        """The inputs of a slice."""
        return Batch(self.first + start, self.y[start:stop], self.x[start:stop])


def read(
    data: AuditData, projector: Projector | None, max_batch: int | None, device: torch.device | None
) -> Iterator[Batch]:
    """The batches of the data in order, each of at most ``max_batch`` inputs.

    Args:
        data: see :data:`AuditData`; ``y = projector.D(x)`` where there is only x.
        projector: of the degradation; None if the data are pairs.
        max_batch: None: batches as they come, and :data:`AT_ONCE` of a tensor.
        device: that they are moved to; None: where they are.

    Raises:
        TypeError, ValueError: naming ``data``, ``x`` or ``y``, what was expected and what came.
    """
    whole = is_whole(data)
    if isinstance(data, str | bytes | dict) or not (whole or isinstance(data, Iterable)):
        raise TypeError(f"data must be x, a pair (y, x), or batches of either, got {describe(data)}")
    first, like = 0, None
    for item in [data] if whole else data:
        y, x = _both(item, projector)
        like = like or (y.shape[1:], x.shape[1:])
        if (y.shape[1:], x.shape[1:]) != like:
            raise ValueError(f"data must have one shape of y and x, {like}, got {describe(y)} and {describe(x)}")
        y, x = (value.detach() if device is None else value.detach().to(device) for value in (y, x))
        batch = Batch(first, y, x)
        yield from batch.groups(max_batch or (AT_ONCE if whole else len(x)))
        first += len(x)
    if not first:
        raise ValueError("data must not be empty, got no batch")


def read_images(name: str, images: Tensor | Iterable[Any], max_batch: int | None) -> Iterator[Tensor]:
    """Batches of images in [0, 1]: of a tensor, or of an iterable of them, or of tuples that begin with them."""
    if isinstance(images, str | bytes | dict) or not isinstance(images, Iterable):
        raise TypeError(f"{name} must be images or batches of them, got {describe(images)}")
    for item in [images] if isinstance(images, Tensor) else images:
        batch = check_unit_images(name, item[0] if isinstance(item, tuple | list) and item else item)
        yield from batch.detach().split(max_batch or AT_ONCE)


def check_unit_images(name: str, images: object) -> Tensor:
    """(B, C, H, W) floating-point images in [0, 1]."""
    tensor = check_tensor(name, images, ndim=4)
    check_finite(name, tensor)
    low, high = (float(value) for value in torch.aminmax(tensor.detach()))
    if low < 0 or high > 1:
        raise ValueError(f"{name} must have values in [0, 1], got {low} to {high}: rescale or clamp them")
    return tensor


def is_whole(data: object) -> bool:
    """Whether the data are one x, or one pair (y, x) of tensors, rather than batches."""
    is_pair = isinstance(data, tuple) and len(data) == 2 and all(isinstance(part, Tensor) for part in data)
    return is_pair or isinstance(data, Tensor)


def _both(item: object, projector: Projector | None) -> tuple[Tensor, Tensor]:
    """y and x of a batch as the caller has it."""
    parts = item if isinstance(item, tuple | list) else (item,)
    if len(parts) == 1:
        x = check_unit_images("x", parts[0])
        if projector is None:
            raise ValueError("projector must be given, or data must hold pairs (y, x): got x alone")
        with torch.no_grad():
            return projector.D(x), x
    if len(parts) != 2:
        raise ValueError(f"data must have batches x or (y, x), got one of {len(parts)} parts")
    y, x = check_tensor("y", parts[0], min_ndim=2), check_unit_images("x", parts[1])
    check_finite("y", y)
    if len(y) != len(x) or y.device != x.device:
        raise ValueError(f"y must have one row for each of x, on its device, {describe(x)}, got {describe(y)}")
    return y, x
