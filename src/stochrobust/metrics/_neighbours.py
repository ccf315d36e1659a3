"""Exact nearest neighbours and ball membership of large sets, block by block: no matrix of all distances exists."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from stochrobust.metrics._distances import (
    Block,
    DistinctRows,
    above,
    below,
    lower_bounds,
    paired_squared_distances,
    positions,
    working_dtype,
)

_ROWS, _COLUMNS = 2048, 1024  # of a block of distances
_SLICE = 256  # rows of a block searched for neighbours at once


def neighbour_radii(points: DistinctRows, ks: tuple[int, ...]) -> tuple[Tensor, torch.dtype]:
    """Squared distance of each distinct row to its k-th neighbour in the set, itself excluded, for several k.

    Args:
        points: U distinct rows of a set of N; each counts as often as it occurs there.
        ks: numbers of neighbours, from 1 to N - 1.

    Returns:
        ``(len(ks), U)`` float64, and the dtype whose products told the neighbours apart.
    """
    candidates = _Candidates(points, max(ks))
    for a, b in _block_pairs(points, candidates):
        candidates.offer(a, b)
    pairs, rank = candidates.settle()
    distance = torch.full((len(points), max(ks)), math.inf, dtype=torch.float64, device=rank.device)
    distance[pairs.row, rank] = pairs.high
    within = torch.zeros(distance.shape, dtype=torch.int64, device=rank.device)
    within[pairs.row, rank] = points.count[pairs.column]
    copies = points.count - 1
    within = within.cumsum(1) + copies[:, None]
    radii = [distance.where(within >= k, math.inf).amin(1).where(copies < k, 0.0) for k in ks]
    return torch.stack(radii), candidates.dtype


def ball_members(
    a: DistinctRows, b: DistinctRows, a_radii: Tensor, b_radii: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Which rows of each set lie in a closed ball around some row of the other.

    Args:
        a, b: the distinct rows, U and V of them.
        a_radii, b_radii: ``(K, U)`` and ``(K, V)`` squared radii in float64.
        dtype: of the products that decide what is clear.

    Returns:
        ``(K, U)`` and ``(K, V)`` bool: rows of ``a`` in balls of ``b``, rows of ``b`` in balls of ``a``.
    """
    centre = (a.mean() + b.mean()) / 2
    a_inside, b_inside = torch.zeros_like(a_radii, dtype=torch.bool), torch.zeros_like(b_radii, dtype=torch.bool)
    for top in range(0, len(a), _ROWS):
        rows = a.block(top, top + _ROWS, centre, dtype)
        for left in range(0, len(b), _COLUMNS):
            columns = b.block(left, left + _COLUMNS, centre, dtype)
            low = lower_bounds(rows, columns)
            for k in range(len(a_radii)):
                _mark(low, rows, a_radii[k, rows.span], columns, b_inside[k, columns.span])
                _mark(low.T, columns, b_radii[k, columns.span], rows, a_inside[k, rows.span])
    return a_inside, b_inside


def _mark(low: Tensor, balls: Block, radii: Tensor, queries: Block, inside: Tensor) -> None:
    """Mark in ``inside`` the queries that lie in some ball; ``low`` is ``(balls, queries)``."""
    outer = above(radii, low.dtype)[:, None]
    unclear = (~((low - outer).amin(0) > 0) & ~inside).nonzero()[:, 0]
    if len(unclear) == 0:
        return
    low = low[:, unclear]
    high = low + (balls.gap[:, None] + queries.gap[unclear])
    sure = (high <= below(radii, low.dtype)[:, None]).any(0)
    i, j = positions(~(low > outer) & ~sure)
    inside[unclear[sure]] = True
    j = unclear[j]
    hit = _distances(balls.points, balls.start + i, queries.points, queries.start + j) <= radii[i]
    inside[j[hit]] = True


def _distances(a: DistinctRows, i: Tensor, b: DistinctRows, j: Tensor) -> Tensor:
    """The deciding distances of pairs of distinct rows."""
    return paired_squared_distances(a.features, a.first[i], b.features, b.first[j])


def _block_pairs(points: DistinctRows, candidates: _Candidates) -> Iterator[tuple[Block, Block]]:
    """Every pair of rows once, by blocks: first each block with itself, then with the later ones."""
    centre = points.mean()
    for start in range(0, len(points), _COLUMNS):
        block = points.block(start, start + _COLUMNS, centre, candidates.dtype)
        yield block, block
    for top in range(0, len(points), _ROWS):
        rows = points.block(top, top + _ROWS, centre, candidates.dtype)
        for left in range(top + _COLUMNS, len(points), _COLUMNS):
            if rows.rows.dtype != candidates.dtype:
                rows = points.block(top, top + _ROWS, centre, candidates.dtype)
            earlier = next(rows.split(left - top))
            yield earlier, points.block(left, left + _COLUMNS, centre, candidates.dtype)


class _Pairs(NamedTuple):
    """``column`` may be a neighbour of ``row``; bounds of their squared distance, in float64."""

    row: Tensor
    column: Tensor
    low: Tensor
    high: Tensor

    def take(self, index: Tensor) -> _Pairs:
        return _Pairs(*(values[index] for values in self))

    def where(self, mask: Tensor) -> _Pairs:
        return self.take(mask.nonzero()[:, 0])  # found once, not once for each


class _Candidates:
    """The pairs of distinct rows of a set that may be among the k nearest of their first one."""

    def __init__(self, points: DistinctRows, k: int) -> None:
        self.points, self.k, self.dtype = points, k, working_dtype(points.features)
        self._bound = torch.full((len(points),), math.inf, dtype=torch.float64, device=points.first.device)
        self._parts: list[_Pairs] = []
        self._size, self._limit = 0, 3 * k * len(points) + 2**12

    def offer(self, a: Block, b: Block) -> None:
        """Keep the pairs of two blocks that may be among the k nearest of either end."""
        low, same = lower_bounds(a, b), a.start == b.start
        if same:
            low.fill_diagonal_(math.inf)
            self._tighten(low, a)
        columns = above(self._bound[b.span], low.dtype)
        for part, rows in zip(a.split(_SLICE), low.split(_SLICE), strict=True):
            bound = torch.maximum(above(self._bound[part.span], low.dtype)[:, None], columns)
            i, j = positions(~(rows > bound))
            values, gap = rows[i, j].double(), part.gap[i].double() + b.gap[j]
            self._add(part.start + i, b.start + j, values, gap)
            if not same:
                self._add(b.start + j, part.start + i, values, gap)

    def settle(self) -> tuple[_Pairs, Tensor]:
        """Replace bounds by distances, and keep the k nearest of each row; by row and distance, with their ranks."""
        pairs, _ = self._prune()
        ends = torch.minimum(pairs.row, pairs.column), torch.maximum(pairs.row, pairs.column)
        once, back = torch.unique(ends[0] * len(self.points) + ends[1], return_inverse=True)
        i, j = once // len(self.points), once % len(self.points)
        distance = _distances(self.points, i, self.points, j)[back]
        self._parts = [pairs._replace(low=distance, high=distance)]
        pairs, rank = self._prune()
        return self._keep(pairs, rank, rank < self.k)

    def _tighten(self, low: Tensor, block: Block) -> None:
        """Bound the k-th distance of the rows of a block by the rows of the same block."""
        if len(block) > self.k:
            high = torch.topk(low + block.gap, self.k, largest=False).values[:, -1] + block.gap
            self._bound[block.span] = self._bound[block.span].fmin(above(high.double(), low.dtype).double())

    def _add(self, row: Tensor, column: Tensor, low: Tensor, gap: Tensor) -> None:
        low, high = low.nan_to_num(-math.inf, math.inf), (low + gap).nan_to_num(math.inf, math.inf)
        pairs = _Pairs(row, column, low, high).where((low <= self._bound[row]) & (row != column))
        self._parts.append(pairs)
        self._size += len(pairs.row)
        if self._size > self._limit:
            self._prune()
            if self._size > 2 * self._limit // 3:  # the bounds are too wide to tell neighbours apart
                self.settle()
                self.dtype = torch.float64

    def _prune(self) -> tuple[_Pairs, Tensor]:
        """Tighten the bound of each row, drop what lies beyond; the rest by row and upper bound, with their ranks."""
        pairs = _Pairs(*(torch.cat(parts) for parts in zip(*self._parts, strict=True)))
        pairs = pairs.take(torch.argsort(pairs.high))
        pairs = pairs.take(torch.argsort(pairs.row, stable=True))
        rank = torch.arange(len(pairs.row), device=pairs.row.device) - torch.searchsorted(pairs.row, pairs.row)
        last = pairs.where(rank == self.k - 1)
        self._bound[last.row] = self._bound[last.row].fmin(last.high)
        return self._keep(pairs, rank, pairs.low <= self._bound[pairs.row])

    def _keep(self, pairs: _Pairs, rank: Tensor, mask: Tensor) -> tuple[_Pairs, Tensor]:
        pairs = pairs.where(mask)
        self._parts, self._size = [pairs], len(pairs.row)
        return pairs, rank[mask]
