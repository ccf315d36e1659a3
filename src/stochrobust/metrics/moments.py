"""Mean and covariance of a set of vectors: gathered batch by batch, merged over shards, kept on disk."""

from __future__ import annotations

import math
import os
from dataclasses import replace

import torch
from torch import Tensor

from stochrobust._arguments import check_alike, check_count, check_finite, check_tensor, describe
from stochrobust.metrics._scatter import BLOCK, Scatter, centred_rows, check_moments, check_packed
from stochrobust.metrics._statistics_file import read_statistics, write_statistics
from stochrobust.metrics.features import Features, FeatureSet, check_width, feature_batches
from stochrobust.metrics.protocol import Protocol, check_protocol

_RAW = Protocol()


class FrechetStatistics:
    """The moments of a set of vectors, all that the Frechet distance asks of it, in float64.

    ``mean = (1/n) sum_i x_i`` and ``covariance = (1/(n - 1)) sum_i (x_i - mean)(x_i - mean)^T``

    They are gathered batch by batch and merged over shards, in any order and of any sizes, with the same result up to
    rounding: vectors are centred before they are multiplied, so that a large mean costs no digits. As long as there
    are no more vectors than features the vectors are kept instead: their span is exact, and cheaper than a covariance.
    Memory is that of one covariance and some blocks. No gradient. All stays on the device of the first batch, which
    must support float64.

    An empty one is made without arguments; :meth:`of` makes that of a set, :meth:`load` that of a file, and
    :meth:`from_moments` one of moments that somebody else computed.

    Example:
        >>> import torch
        >>> statistics = FrechetStatistics()
        >>> for batch in torch.tensor([[0.0, 1.0], [2.0, 1.0], [4.0, 4.0]]).split(2):
        ...     statistics.update(batch)
        >>> statistics.n, statistics.mean.tolist(), statistics.covariance.tolist()
        (3, [2.0, 2.0], [[4.0, 3.0], [3.0, 3.0]])

    Source:
        T. Chan, G. Golub, R. LeVeque, Algorithms for Computing the Sample Variance, The American Statistician 37, 1983.
    """

    def __init__(self) -> None:
        self._like: Features | None = (
            None  # of no rows, but of the width, dtype, device and protocol that all must have
        )
        self._waiting: list[Tensor] = []  # float64 rows that are not among the sums; never changed in place
        self._sums: Scatter | None = None

    @classmethod
    def of(cls, features: FeatureSet) -> FrechetStatistics:
        """The statistics of a set of vectors: an empty one after :meth:`update`."""
        return statistics_of("features", features)

    @classmethod
    def from_moments(cls, mean: Tensor, covariance: Tensor, n: int, *, protocol: Protocol = _RAW) -> FrechetStatistics:
        """Statistics that somebody else computed.

        Args:
            mean: ``(d,)``, of any real floating-point dtype.
            covariance: ``(d, d)`` with divisor ``n - 1``, symmetric and positive semi-definite.
            n: number of vectors they were computed from, at least 2.
            protocol: how those vectors were made; raw vectors by default.

        Raises:
            TypeError: if one is no real floating-point tensor, or ``n`` no integer.
            ValueError: if shapes, devices or dtypes do not fit, a value is not finite, or the matrix is no covariance.
        """
        count = check_count("n", n, minimum=2)
        check_moments(mean, covariance)
        check_protocol(protocol)
        statistics = cls()
        with torch.inference_mode(mode=False), torch.no_grad():
            statistics._like = _no_rows(covariance, protocol, covariance.dtype)
            statistics._sums = Scatter(count, mean.to(torch.float64, copy=True), covariance.double() * (count - 1))
        return statistics

    @property
    def n(self) -> int:
        """The number of vectors."""
        return (self._sums.count if self._sums else 0) + sum(map(len, self._waiting))

    @property
    def mean(self) -> Tensor:
        """``(d,)`` float64; needs one vector."""
        self._first()
        if self._sums:
            self._settle(capacity=0)
            return self._sums.mean.clone()
        return centred_rows(torch.cat(self._waiting))[1]

    @property
    def covariance(self) -> Tensor:
        """``(d, d)`` float64 with divisor ``n - 1``, made at each call; needs two vectors."""
        if self.n < 2:
            raise ValueError(f"the statistics must have at least 2 samples, got {self.n}")
        return self._all().covariance()

    @property
    def covariance_root(self) -> Tensor | None:
        """``(n - 1, d)`` float64 with ``root^T root`` the covariance if ``2 <= n <= d``, or None; made at each call."""
        if self._sums or self.n < 2:
            return None
        centred, _ = centred_rows(torch.cat(self._waiting))
        # A reflection that takes (1, ..., 1) to the first axis, along which centred rows have nothing: n - 1 are left.
        return (centred[1:] - centred[0] / (1 + math.sqrt(self.n))) / math.sqrt(self.n - 1)

    @property
    def protocol(self) -> Protocol:
        """How the vectors were made, and their dtype."""
        like = self._first()
        return replace(like.protocol, dtype=str(like.values.dtype).removeprefix("torch."))

    @property
    def device(self) -> torch.device:
        """Where the moments are."""
        return self._first().values.device

    def update(self, features: FeatureSet) -> None:
        """Take in more vectors.

        Args:
            features: ``(b, d)`` float16, bfloat16, float32 or float64: a tensor, an array,
                :class:`~stochrobust.metrics.features.Features`, or an iterable of batches of them.

        Raises:
            TypeError: if a batch is no matrix of real floating-point numbers.
            ValueError: if a batch is not finite, or differs from those before it in width, dtype, device or protocol;
                those before it stay taken in.
        """
        self._take("features", features)

    def merge(self, other: FrechetStatistics) -> FrechetStatistics:
        """New statistics, of the vectors of both; an empty one adds nothing.

        Raises:
            TypeError: if ``other`` is no :class:`FrechetStatistics`.
            ValueError: if the vectors differ in width, dtype, device or protocol.
        """
        if not isinstance(other, FrechetStatistics):
            raise TypeError(f"other must be FrechetStatistics, got {describe(other)}")
        if self._like is not None and other._like is not None:
            _check_kind("other", other._like, "these statistics", self._like)
        merged = FrechetStatistics()
        merged._like = other._like if self._like is None else self._like
        merged._waiting = self._waiting + other._waiting
        with torch.inference_mode(mode=False), torch.no_grad():
            if self._sums and other._sums:
                merged._sums = self._sums.joined(other._sums)
            elif sums := self._sums or other._sums:
                merged._sums = sums.copy()
            merged._settle()
        return merged

    def packed(self) -> Tensor:
        """``(d + 2, d)`` float64, to be sent to other processes: n in the first row, the mean, the sums of products."""
        self._first()
        sums = self._all()
        return torch.cat([torch.full_like(sums.mean, sums.count)[None], sums.mean[None], sums.products])

    @classmethod
    def unpacked(cls, packed: Tensor, protocol: Protocol) -> FrechetStatistics:
        """The statistics that were :meth:`packed`, given their protocol; its ``dtype`` is float64 if it has none."""
        check_finite("packed", check_tensor("packed", packed))
        check_packed(packed)
        check_protocol(protocol)
        statistics = cls()
        with torch.inference_mode(mode=False), torch.no_grad():
            statistics._like = _no_rows(packed, protocol)
            statistics._sums = Scatter(int(packed[0, 0]), packed[1].clone(), packed[2:].clone())
        return statistics

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the statistics and their protocol to a file, at once and as a whole, under a checksum.

        Raises:
            ValueError: if there is no vector yet.
        """
        protocol = self.protocol
        rows = None if self._sums else torch.cat(self._waiting)
        write_statistics(path, self.packed() if rows is None else rows, protocol, is_packed=rows is None)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, device: torch.device | str = "cpu") -> FrechetStatistics:
        """The statistics that :meth:`save` wrote, bit for bit; nothing in the file is executed.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is no such file, or of another version, truncated or damaged.
        """
        values, protocol, is_packed = read_statistics(path)
        values = values.to(device)
        if is_packed:
            return cls.unpacked(values, protocol)
        statistics = cls()
        statistics._like = _no_rows(values, protocol)
        statistics._waiting = [values]
        return statistics

    def _take(self, name: str, features: FeatureSet) -> None:
        for batch in feature_batches(name, features):
            like = _no_rows(batch.values, batch.protocol, batch.values.dtype) if self._like is None else self._like
            _check_kind(name, batch, "those before", like)
            check_finite(name, batch.values)
            self._like = like
            with torch.inference_mode(mode=False), torch.no_grad():  # or later batches could not be added in place
                for rows in batch.values.split(BLOCK):
                    self._waiting.append(rows.to(torch.float64, copy=True))
                    self._settle()

    def _settle(self, capacity: int | None = None) -> None:
        """Move waiting rows into the sums if there are more than may wait: a block, or before any sum as many as d."""
        waiting = sum(map(len, self._waiting))
        if capacity is None:
            capacity = BLOCK if self._sums or not waiting else self._waiting[0].shape[1]
        if waiting > capacity:
            rows, self._waiting = torch.cat(self._waiting), []
            self._sums = self._sums.add(rows) if self._sums else Scatter.of(rows)

    def _all(self) -> Scatter:
        """The sums over all vectors; before there are any, of those that wait, which go on waiting."""
        if not self._sums:
            return Scatter.of(torch.cat(self._waiting))
        self._settle(capacity=0)
        return self._sums

    def _first(self) -> Features:
        if self._like is None:
            raise ValueError("the statistics must have at least 1 sample, got 0")
        return self._like


def statistics_of(name: str, features: FeatureSet) -> FrechetStatistics:
    """The statistics of a set that errors call by this name."""
    statistics = FrechetStatistics()
    statistics._take(name, features)
    return statistics


def _no_rows(rows: Tensor, protocol: Protocol, dtype: torch.dtype | None = None) -> Features:
    """An empty set of the width and on the device of these rows, of this dtype or the one that the protocol tells."""
    dtype = dtype or getattr(torch, protocol.dtype or "float64")
    return Features(rows.new_empty(0, rows.shape[1], dtype=dtype), protocol)


def _check_kind(name: str, features: Features, like_name: str, like: Features) -> None:
    """The same width, dtype, device and protocol."""
    check_alike(name, features.values, like_name, like.values, shape=False)
    check_width(name, features, like_name, like)
