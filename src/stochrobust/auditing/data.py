"""The data of an audit: read once, batch by batch, checked, and identified by a pixel hash."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from stochrobust._arguments import check_finite, check_tensor, describe
from stochrobust._tensors import Tree, tree_map, tree_rows, working
from stochrobust.auditing.pixels import PixelRange
from stochrobust.consistency.projector import Projector
from stochrobust.estimators.seeds import check_rows

AuditData: TypeAlias = Tensor | tuple[Tensor, Tensor] | Mapping[str, Any] | Iterable[Any]
"""Sources x, a pair (y, x), a mapping of "x", "y" and "cond", or batches of any of these."""
FORMS = 'x, (y, x) or {"y": y, "x": x, "cond": cond}'
SWAPPED_PSNR, SWAPPED_BY = 40.0, 20.0
"""dB of D(y) and x, and how much above those of D(x) and y: such pairs are (x, y)."""
UNIT = PixelRange()
AT_ONCE = 64
"""Inputs in a batch of a whole tensor, unless ``max_batch`` says otherwise."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Some inputs of the data.

    Attributes:
        first: number of the first one in the data.
        y, x: (B, ...) inputs and (B, C, H, W) sources.
        cond: further inputs of G, batch first.
        paired: whether y was given, and not made of x.
    """

    first: int
    y: Tensor
    x: Tensor
    cond: Tree = None
    paired: bool = False

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
        rows = slice(start, stop)
        return Batch(self.first + start, self.y[rows], self.x[rows], tree_rows(self.cond, rows), self.paired)


def read(
    data: AuditData,
    projector: Projector | None,
    max_batch: int | None,
    device: torch.device | None,
    pixels: PixelRange = UNIT,
) -> Iterator[Batch]:
    """The batches of the data in order, each of at most ``max_batch`` inputs.

    Args:
        data: see :data:`AuditData`; ``y = projector.D(x)`` where there is only x.
        projector: of the degradation; None if the data are pairs.
        max_batch: None: batches as they come, and :data:`AT_ONCE` of a tensor.
        device: that they are moved to; None: where they are.
        pixels: the range of x.

    Raises:
        TypeError, ValueError: naming ``data``, ``x`` or ``y``, what was expected and what came.
    """
    whole = is_whole(data)
    if isinstance(data, str | bytes) or not (whole or isinstance(data, Iterable)):
        raise TypeError(f"data must be {FORMS}, or batches of them, got {describe(data)}")
    first, like = 0, None
    for item in [data] if whole else data:
        y, x, cond = _parts(item, projector, pixels)
        like = like or (y.shape[1:], x.shape[1:])
        if (y.shape[1:], x.shape[1:]) != like:
            raise ValueError(f"data must have one shape of y and x, {like}, got {describe(y)} and {describe(x)}")
        y, x, cond = (tree_map(lambda leaf: _there(leaf, device), part) for part in (y, x, cond))
        batch = Batch(first, y, x, cond, paired=_named(item)[0] is not None)
        if not first:
            _check_order(batch, projector)
        yield from batch.groups(max_batch or (AT_ONCE if whole else len(x)))
        first += len(x)
    if not first:
        raise ValueError("data must not be empty, got no batch")


def _there(tensor: Tensor, device: torch.device | None) -> Tensor:
    return tensor.detach() if device is None else tensor.detach().to(device)


def read_images(
    name: str, images: Tensor | Iterable[Any], max_batch: int | None, pixels: PixelRange = UNIT
) -> Iterator[Tensor]:
    """Batches of images of a range: of a tensor, or of an iterable of them, or of tuples that begin with them."""
    if isinstance(images, str | bytes | dict) or not isinstance(images, Iterable):
        raise TypeError(f"{name} must be images or batches of them, got {describe(images)}")
    for item in [images] if isinstance(images, Tensor) else images:
        batch = pixels.checked(name, item[0] if isinstance(item, tuple | list) and item else item)
        yield from batch.detach().split(max_batch or AT_ONCE)


def is_whole(data: object) -> bool:
    """Whether the data are one x, one pair (y, x) of tensors, or one mapping, rather than batches."""
    is_pair = isinstance(data, tuple) and len(data) == 2 and all(isinstance(part, Tensor) for part in data)
    return is_pair or isinstance(data, Tensor | Mapping)


def _parts(item: object, projector: Projector | None, pixels: PixelRange) -> tuple[Tensor, Tensor, Tree]:
    """y, x and cond of a batch as the caller has it."""
    y, x, cond = _named(item)
    x = pixels.checked("x", x)
    if y is None:
        if projector is None:
            raise ValueError("projector must be given, or data must hold pairs (y, x): got x alone")
        with torch.no_grad():
            y = projector.D(x)
    else:
        check_finite("y", check_tensor("y", y, min_ndim=2))
        if len(y) != len(x) or y.device != x.device:
            raise ValueError(f"y must have one row for each of x, on its device, {describe(x)}, got {describe(y)}")
    check_rows("cond", cond, len(x), "one per sample", x.device)
    return y, x, cond


def _named(item: object) -> tuple[Any, Any, Any]:
    """The parts of a batch by their roles; y is None where it is to be made."""
    if isinstance(item, Mapping):
        if "x" not in item:
            raise ValueError(f"data must have batches {FORMS}, got one with the keys {_listed(map(repr, item))}")
        return item.get("y"), item["x"], item.get("cond")
    parts = item if isinstance(item, tuple | list) else (item,)
    if len(parts) == 1:
        return None, parts[0], None
    if len(parts) != 2:
        raise ValueError(f"data must have batches {FORMS}, got one of {len(parts)} parts")
    y, x = parts
    if isinstance(x, Tensor) and (x.ndim < 2 or not x.is_floating_point()):
        raise ValueError(
            f"data must have batches {FORMS}, got {describe(y)} and {describe(x)}: of images with labels, give the "
            "images alone, as in (image for image, label in loader), and the projector that makes y"
        )
    return y, x, None


def _check_order(batch: Batch, projector: Projector | None) -> None:
    """Refuses (x, y) for (y, x), where the projector tells them apart."""
    if projector is None or not batch.paired or batch.y.ndim != batch.x.ndim:
        return
    straight, swapped = _agreement(batch.y, batch.x, projector), _agreement(batch.x, batch.y, projector)
    if swapped > SWAPPED_PSNR and swapped > straight + SWAPPED_BY:
        found = "does not fit" if math.isnan(straight) or straight == -math.inf else f"has {straight:.1f} dB only"
        raise ValueError(
            f"data must hold pairs (y, x), the degraded one first; got D(y) equal to x at {swapped:.1f} dB, while D(x) "
            f"{found}: the two are swapped"
        )


def _agreement(y: Tensor, x: Tensor, projector: Projector) -> float:
    """PSNR of D(x) and y in dB over all, for a range of 1; -inf where the shapes do not fit."""
    try:
        with torch.no_grad():
            error = float((working(projector.D(x)) - working(y)).square().mean())
    except (ValueError, RuntimeError, TypeError):
        return -math.inf
    return math.inf if error == 0 else -10 * math.log10(error)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
