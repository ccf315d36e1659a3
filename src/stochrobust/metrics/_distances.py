"""Squared distances between rows: exactly, by one float64 routine, and quickly, within a proven rounding bound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

_CHUNK = 2**18  # elements gathered at once: in float64 a few MiB, which caches hold


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """The distances that decide: ``sum_l (a_l - b_l)^2`` of each pair of rows, ``(m, d), (m, d) -> (m,)`` float64.

    The sum is taken by halves, in an order that depends on ``d`` alone. ``torch.sum`` does not promise that: with
    several threads it splits a long row by itself otherwise than the same row among many.
    """
    terms = (a.double() - b.double()).square_()
    width = terms.shape[1]
    while width > 1:
        half = (width + 1) // 2
        terms[:, : width - half] += terms[:, half:width]
        width = half
    return terms[:, 0].clone()


def paired_squared_distances(a: Tensor, i: Tensor, b: Tensor, j: Tensor) -> Tensor:
    """``squared_distances(a[i], b[j])``, a few pairs at a time."""
    distances = torch.empty(len(i), dtype=torch.float64, device=a.device)  # a list would keep the heap from shrinking
    for part, rows, columns in zip(*(_split(values, a) for values in (distances, i, j)), strict=True):
        part.copy_(squared_distances(a[rows], b[columns]))
    return distances


def working_dtype(features: Tensor) -> torch.dtype:
    """The dtype of the fast products: float32, or float64 where the products of float32 would not be of float32.

    TF32 and bfloat16 products are the caller's process-wide choice, which is left alone; they break the bound.
    """
    backend = torch.backends.cuda if features.is_cuda else torch.backends.mkldnn
    precision = getattr(getattr(backend, "matmul", None), "fp32_precision", None)
    if precision is None:  # torch < 2.9
        precision = torch.get_float32_matmul_precision()
    reduced = precision not in ("highest", "ieee", "none")
    long = features.shape[1] > 2**22  # past this the bound of Block does not hold in float32
    return torch.float64 if features.dtype == torch.float64 or reduced or long else torch.float32


@dataclass(frozen=True, eq=False)
class DistinctRows:
    """The distinct rows of a set, in an order that has nothing to do with their values.

    Args:
        features: ``(N, d)``, the set.
        first: ``(U,)``, where in the set each distinct row is.
        count: ``(U,)``, how often it is there.
        group: ``(N,)``, the distinct row that each row of the set equals.
    """

    features: Tensor
    first: Tensor
    count: Tensor
    group: Tensor

    def __len__(self) -> int:
        return len(self.first)

    def mean(self) -> Tensor:
        """``(d,)`` float64 mean of the distinct rows; it centres, so its last digits do not matter."""
        total = torch.zeros(self.features.shape[1], dtype=torch.float64, device=self.features.device)
        for part in _split(self.first, self.features):
            total += self.features[part].double().sum(0)
        return total / len(self)

    def block(self, start: int, stop: int, centre: Tensor, dtype: torch.dtype) -> Block:
        """The rows from ``start`` to ``stop``, or to the end, centred, in ``dtype``, with their part of the bound."""
        rows = self.features[self.first[start:stop]].to(dtype).sub_(centre.to(dtype))
        squares = torch.linalg.vector_norm(rows, dim=1).double().square()
        limits = torch.finfo(dtype)
        squares = squares.where(squares < limits.max / 8, torch.nan)  # what may overflow is undecided
        unit, width = limits.eps / 2, rows.shape[1]
        error = (3 * width + 128) * unit * squares + 16 * width * limits.tiny
        return Block(self, start, rows, (squares - error).to(dtype), (2 * (1 + 8 * unit) * error).to(dtype))


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive distinct rows, centred, and what bounds the error of their products.

    With ``s`` the squared norm of a centred row, ``u`` the unit roundoff of the dtype and ``tiny`` its smallest normal
    number, each row has ``low = s - e`` and ``gap = 2 e``, where ``e = (3 d + 128) u s + 16 d tiny``. The deciding
    distance of a row of block ``a`` and one of block ``b`` is at least ``a.low + b.low - 2 <a, b>`` as computed, and
    at most ``a.gap + b.gap`` above it: in units of the sum of both ``s``, the product is off by at most
    ``d u / (1 - d u)`` in whatever order it is summed, the norms by as much, centring by 4 u, the additions here by
    some 10 u, and the deciding distance by ``2 (log2 d + 4)`` units of float64. ``tiny`` covers underflow. A row whose
    ``s`` may overflow has NaN for bounds, which decide nothing.

    Source: N. Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, Section 3.1.
    """

    points: DistinctRows
    start: int
    rows: Tensor
    low: Tensor
    gap: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def span(self) -> slice:
        """Where among the distinct rows the block is."""
        return slice(self.start, self.start + len(self))

    def split(self, size: int) -> Iterator[Block]:
        """The block in parts of at most ``size`` rows."""
        parts = zip(*(values.split(size) for values in (self.rows, self.low, self.gap)), strict=True)
        for number, (rows, low, gap) in enumerate(parts):
            yield Block(self.points, self.start + number * size, rows, low, gap)


def lower_bounds(a: Block, b: Block) -> Tensor:
    """Lower bounds of the deciding distances, ``(len(a), len(b))``; upper ones are ``a.gap + b.gap`` above."""
    product = a.rows @ b.rows.T
    return torch.sub(b.low, product, alpha=2, out=product).add_(a.low[:, None])


def above(value: Tensor, dtype: torch.dtype) -> Tensor:
    """A number of ``dtype`` that is not below the float64 ``value``, but for underflow."""
    return (value * (1 + 2 * torch.finfo(dtype).eps)).to(dtype)


def below(value: Tensor, dtype: torch.dtype) -> Tensor:
    """A finite number of ``dtype`` that is not above the float64 ``value``, but for underflow."""
    return (value * (1 - 2 * torch.finfo(dtype).eps)).clamp(max=torch.finfo(dtype).max).to(dtype)


def positions(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns of what is true in a sparse ``(m, n)`` mask: ``nonzero``, slow on a CPU, by eight bytes."""
    mask = torch.nn.functional.pad(mask, (0, -mask.shape[1] % 8)).contiguous()
    row, word = mask.view(torch.int64).nonzero().unbind(1)
    hit, byte = mask.view(len(mask), -1, 8)[row, word].nonzero().unbind(1)
    return row[hit], 8 * word[hit] + byte


def distinct_rows(features: Tensor) -> DistinctRows:
    """Find the rows that occur more than once, by a 64-bit key and then by comparing them."""
    keys, order = torch.sort(_keys(features), stable=True)
    new = torch.ones_like(keys, dtype=torch.bool)
    new[1:] = keys[1:] != keys[:-1]
    first, group = order[new], torch.empty_like(order)
    group[order] = new.cumsum(0) - 1
    copies = order[~new]
    same = [(features[part] == features[first[group[part]]]).all(1) for part in _split(copies, features)]
    strays = copies[~torch.cat(same)]  # the key is that of another row: kept apart
    group[strays] = len(first) + torch.arange(len(strays), device=group.device)
    return DistinctRows(features, torch.cat([first, strays]), torch.bincount(group), group)


def _keys(features: Tensor) -> Tensor:
    """``(N,)`` int64: equal for equal rows, and hardly ever for others."""
    weights = torch.randint(2**62, features.shape[1:], generator=torch.Generator().manual_seed(0), device="cpu")
    weights = (2 * weights + 1).to(features.device)
    keys = torch.empty(len(features), dtype=torch.int64, device=features.device)
    size = max(1, _CHUNK // features.shape[1])
    for rows, part in zip(features.split(size), keys.split(size), strict=True):
        bits = (rows.double() + 0.0).view(torch.int64)  # adding 0.0 makes one zero of two
        torch.sum((bits ^ (bits >> 32)) * weights, 1, out=part)
    return keys


def _split(index: Tensor, features: Tensor) -> list[Tensor]:
    return list(index.split(max(1, _CHUNK // features.shape[1])))
