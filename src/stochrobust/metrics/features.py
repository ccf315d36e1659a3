"""Sets of vectors with the protocol they were made by, and the ways a caller may hold one."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from stochrobust._arguments import check_alike, check_finite, check_tensor, describe
from stochrobust.metrics.protocol import Protocol, check_protocol

_RAW = Protocol()


@dataclass(frozen=True, eq=False)
class Features:
    """A set of vectors and how they were made.

    Args:
        values: ``(N, d)``, one row per sample.
        protocol: by which extractor and from what images; raw vectors by default.

    Raises:
        TypeError: ``values`` is no tensor of floating-point numbers, or ``protocol`` no :class:`~stochrobust.Protocol`.
        ValueError: ``values`` is no dense matrix.

    Example:
        >>> import torch
        >>> features = Features(torch.rand(5, 3))
        >>> len(features), features.protocol.extractor
        (5, 'raw vectors')
    """

    values: Tensor
    protocol: Protocol = _RAW

    def __post_init__(self) -> None:
        if not isinstance(self.values, Tensor):
            raise TypeError(f"values must be a torch.Tensor, got {describe(self.values)}")
        if not self.values.is_floating_point():
            raise TypeError(f"values must have a real floating-point dtype, got {describe(self.values)}")
        if self.values.ndim != 2 or self.values.layout != torch.strided:
            raise ValueError(f"values must be a dense (N, d) tensor, got {describe(self.values)}")
        check_protocol(self.protocol)

    def __len__(self) -> int:
        return len(self.values)

    def conditions(self, generated: Features) -> Protocol:
        """The protocol of a number that compares this real set with a generated one."""
        from stochrobust import __version__

        dtype = str(self.values.dtype).removeprefix("torch.")
        return replace(self.protocol, n_real=len(self), n_generated=len(generated), dtype=dtype, version=__version__)


_ROWS = (Tensor, np.ndarray, Features)
_Rows: TypeAlias = Tensor | np.ndarray[Any, Any] | Features
# A whole set, in memory or on disk (numpy.memmap), or its batches one after another.
FeatureSet: TypeAlias = _Rows | Iterable[_Rows]


def feature_batches(name: str, values: FeatureSet) -> Iterator[Features]:
    """The batches of a set, a whole one being a single batch, each checked and like the first; at least one.

    Raises:
        TypeError: if a batch is no matrix of real floating-point numbers.
        ValueError: if there is none, or one differs in width, dtype, device or protocol.
    """
    first = None
    for part in [values] if isinstance(values, _ROWS) else _iterate(name, values):
        batch = _as_features(name, part)
        first = first or batch
        check_alike(name, batch.values, "its first batch", first.values, shape=False)
        check_width(name, batch, "its first batch", first)
        yield batch
    if first is None:
        raise ValueError(f"{name} must not be empty, got an iterable without batches")


def gather_features(name: str, values: FeatureSet) -> Features:
    """The set as one matrix: a whole one is what the caller holds, batches are copied and let go one by one.

    A batch may be a view of a buffer that the next one is written to.
    """
    if isinstance(values, _ROWS):
        return next(feature_batches(name, values))
    batches = [replace(batch, values=batch.values.clone()) for batch in feature_batches(name, values)]
    if len(batches) == 1:
        return batches[0]
    first = batches[0]
    whole = first.values.new_empty(sum(map(len, batches)), first.values.shape[1])
    end = len(whole)
    while batches:
        batch = batches.pop()
        whole[end - len(batch) : end] = batch.values
        end -= len(batch)
    return Features(whole, first.protocol)


def gather_pair(real: FeatureSet, generated: FeatureSet, *, minimum: int) -> tuple[Features, Features]:
    """Two sets to compare: finite, alike in width, dtype, device and protocol, of at least ``minimum`` samples each."""
    reals, others = gather_features("real", real), gather_features("generated", generated)
    check_alike("generated", others.values, "real", reals.values, shape=False)
    check_width("generated", others, "real", reals)
    for name, features in (("real", reals), ("generated", others)):
        if len(features) < minimum:
            raise ValueError(f"{name} must have at least {minimum} samples, got {describe(features.values)}")
        check_finite(name, features.values)
    return reals, others


def _iterate(name: str, values: object) -> Iterable[Any]:
    if not isinstance(values, Iterable) or isinstance(values, str | bytes | dict):
        raise TypeError(f"{name} must be a torch.Tensor, an array, Features or batches of them, got {describe(values)}")
    return values


def _as_features(name: str, rows: object) -> Features:
    if isinstance(rows, np.ndarray):
        rows = _as_tensor(name, rows)
    features = rows if isinstance(rows, Features) else Features(check_tensor(name, rows, ndim=2))
    check_tensor(name, features.values, ndim=2)
    return Features(features.values.detach(), features.protocol)


def _as_tensor(name: str, array: np.ndarray[Any, Any]) -> Tensor:
    """The array's own memory, or file, as a tensor."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the array may be read-only: nothing is written to it
            return torch.from_numpy(array)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array that torch can view, got {array.dtype}: {error}") from error


def check_width(name: str, features: Features, like_name: str, like: Features) -> None:
    """Features of as many columns as ``like`` has."""
    width = like.values.shape[1]
    if features.values.shape[1] != width:
        raise ValueError(f"{name} must have the {width} features of {like_name}, got {describe(features.values)}")
    if features.protocol != like.protocol:
        difference = like.protocol.differences(features.protocol)
        raise ValueError(f"{name} must have the protocol of {like_name}, got another: {difference}")
