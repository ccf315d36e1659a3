"""The images that a command line names: a folder, an archive, an array's file, or ``module:factory``."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stochrobust.cli import arrays
from stochrobust.cli.arrays import ArrayBatches, read_array
from stochrobust.cli.factory import call_factory, is_factory
from stochrobust.cli.folder import Pictures, find_pictures, in_lists, stacked


@dataclass(frozen=True)
class Reading:
    """How images are read.

    Attributes:
        batch: most images at a time.
        n: the first so many, in the order of their names or rows; None: all.
        size, grey, left_out: of pictures, see :class:`Pictures`.
    """

    batch: int = 32
    n: int | None = None
    size: int | None = None
    grey: bool = False
    left_out: dict[str, str] | None = None


def open_images(
    spec: str, reading: Reading, device: torch.device | str = "cpu", *, role: str = "data"
) -> Iterable[Any]:
    """Batches of images: tensors (B, C, H, W) in [0, 1], or what a factory returns in place of them.

    Args:
        spec: path of a folder or zip archive of pictures, searched to its depths, or of a ``.npy``, ``.npz`` or ``.pt``
            file with one array; or ``module:factory``, which returns an array of images or batches for ``audit``.
        reading: how.
        device: for the factory.
        role: of the images, for the errors.

    Raises:
        FileNotFoundError: there is nothing of that name.
        ValueError: it holds no images, or not of the form that is asked for.
    """
    path = Path(spec).expanduser()
    if not path.exists() and is_factory(spec):
        found = call_factory(spec, device, role=role)
    elif path.suffix in arrays.SUFFIXES and not path.is_dir():
        found = read_array(path)
    else:
        names = find_pictures(path)[: reading.n]
        return Pictures(path, names, reading.batch, reading.size, reading.grey, reading.left_out)
    if reading.size is not None or reading.grey:
        raise ValueError(f"--size and --grey are for pictures: {role} {spec!r} has its size and its channels")
    if isinstance(found, np.ndarray | Tensor):
        everything = ArrayBatches(found, spec, reading.batch)
        return replace(everything, values=found[: reading.n])
    if not isinstance(found, Iterable):
        raise ValueError(f"{role} {spec!r}: the factory must return images or batches of them, got {type(found)}")
    return found if reading.n is None else Mapped(found, lambda batches: first_images(batches, reading.n or 0))


def paired(inputs: Iterable[Any], sources: Iterable[Any]) -> Iterable[Any]:
    """Batches (y, x), of pictures by their names, in the order of the sources; else row by row.

    The input of a picture has its name or, if no other source or input could be meant, its name with another suffix.

    Raises:
        ValueError: an input is missing or could be two, there are not as many of them as sources, or only one of the
            two are pictures.
    """
    if isinstance(inputs, Pictures) != isinstance(sources, Pictures):
        raise ValueError("inputs and data must both be pictures, or neither")
    if isinstance(inputs, Pictures) and isinstance(sources, Pictures):
        return PicturePairs(replace(inputs, names=_inputs_of(sources, inputs)), sources)
    if isinstance(inputs, ArrayBatches) and isinstance(sources, ArrayBatches):
        n = len(sources.values)
        if len(inputs.values) != n:
            raise ValueError(f"{inputs.name} must hold an input for each of {n} sources, got {len(inputs.values)}")
    return Mapped(inputs, lambda batches: zip(batches, sources, strict=True))


def _inputs_of(sources: Pictures, inputs: Pictures) -> tuple[str, ...]:
    """The name of the input of every source."""
    of_stem, stems = defaultdict(list), Counter(map(_stem, sources.names))
    for name in inputs.names:
        of_stem[_stem(name)].append(name)
    if missing := [name for name in sources.names if _stem(name) not in of_stem]:
        raise ValueError(f"{inputs.path} lacks {len(missing)} of the inputs, the first {_stem(missing[0])}.*")

    def found(name: str) -> str:
        same_stem = of_stem[_stem(name)]
        if name in same_stem:
            return name
        if len(same_stem) > 1 or stems[_stem(name)] > 1:
            raise ValueError(
                f"the input of {name} must be one file, got {', '.join(same_stem)} in {inputs.path} for "
                f"{stems[_stem(name)]} source(s) of that name"
            )
        return same_stem[0]

    return tuple(map(found, sources.names))


def _stem(name: str) -> PurePosixPath:
    return PurePosixPath(name).with_suffix("")


@dataclass(frozen=True)
class PicturePairs:
    """Batches (y, x) of pictures; where one of the two is left out, so is the other."""

    inputs: Pictures
    sources: Pictures

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        pairs = zip(self.inputs.each(), self.sources.each(), strict=True)
        both = ((y, x) for y, x in pairs if y is not None and x is not None)
        for some in in_lists(both, self.sources.batch):
            yield stacked([y for y, _ in some]), stacked([x for _, x in some])


@dataclass(frozen=True)
class Mapped:
    """Batches made of others, anew in every iteration."""

    batches: Iterable[Any]
    function: Callable[[Iterable[Any]], Iterable[Any]]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.function(self.batches))


def first_images(batches: Iterable[Any], n: int) -> Iterator[Any]:
    """Batches, or pairs of them, of the first n images."""
    for batch in batches:
        parts = batch if isinstance(batch, tuple | list) else (batch,)
        cut = tuple(part[:n] for part in parts)
        yield cut if len(cut) > 1 else cut[0]
        n -= len(cut[0])
        if n <= 0:
            return


def in_range(batches: Iterable[Any], sources: Iterable[Any], ends: tuple[float, float]) -> Iterable[Any]:
    """Batches in [0, 1], or pairs of them, brought to a range; those of a factory are in it, and stay as they are."""
    low, high = ends
    if ends == (0.0, 1.0) or not isinstance(sources, Pictures | ArrayBatches):
        return batches

    def to(batch: Any) -> Any:
        return tuple(map(to, batch)) if isinstance(batch, tuple | list) else batch * (high - low) + low

    return Mapped(batches, lambda some: map(to, some))


def moved(batches: Iterable[Any], device: torch.device | str) -> Iterable[Any]:
    """The batches, or pairs or mappings of them, on a device."""

    def to(batch: Any) -> Any:
        if isinstance(batch, dict):
            return {name: to(part) for name, part in batch.items()}
        if isinstance(batch, tuple | list):
            return tuple(map(to, batch))
        return batch.to(device) if isinstance(batch, Tensor) else batch

    return Mapped(batches, lambda some: map(to, some))


@dataclass(frozen=True)
class Counted:
    """Batches of which it is known how many there are, for a bar."""

    batches: Iterable[Any]
    n: int

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)

    def __len__(self) -> int:
        return self.n


def peeked(batches: Iterable[Any], role: str = "data") -> tuple[Any, Iterable[Any]]:
    """The first batch, and all of them, to be read once.

    Raises:
        ValueError: there are none.
    """
    iterator = iter(batches)
    for first in iterator:
        return first, chain([first], iterator)
    raise ValueError(f"{role} must hold images, got none")
