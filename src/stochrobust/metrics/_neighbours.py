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


class Members(NamedTuple):
    """Who lies in the closed balls of a set, for K radii of each.

    Args:
        n_balls: ``(K, V)`` int64, in how many balls each query lies; copies of a centre count.
        occupied: ``(K, U)`` bool, which balls hold some query.
    """

    n_balls: Tensor
    occupied: Tensor


def ball_members(
    a: DistinctRows, b: DistinctRows, a_radii: Tensor, b_radii: Tensor, dtype: torch.dtype
) -> tuple[Members, Members]:
    """Which rows of each set lie in closed balls around the rows of the other.

    Args:
        a, b: the distinct rows, U and V of them.
        a_radii, b_radii: ``(K, U)`` and ``(L, V)`` squared radii in float64, for K and L kinds of balls; none if 0.
        dtype: of the products that decide what is clear.

    Returns:
        The members of the balls around ``a``, and of those around ``b``.
    """
    around_a, around_b = _no_members(a_radii, b), _no_members(b_radii, a)
    for rows, columns, low in cross_blocks(a, b, dtype):
        _count(low, rows, a_radii, columns, around_a)
        _count(low.T, columns, b_radii, rows, around_b)
    return around_a, around_b


def cross_blocks(a: DistinctRows, b: DistinctRows, dtype: torch.dtype) -> Iterator[tuple[Block, Block, Tensor]]:
    """Every pair of a row of ``a`` and one of ``b`` once, by blocks, with lower bounds of their distances."""
    centre = (a.mean() + b.mean()) / 2
    for top in range(0, len(a), _ROWS):
        rows = a.block(top, top + _ROWS, centre, dtype)
        for left in range(0, len(b), _COLUMNS):
            columns = b.block(left, left + _COLUMNS, centre, dtype)
            yield rows, columns, lower_bounds(rows, columns)


def slices(block: Block, low: Tensor) -> Iterator[tuple[slice, Block, Tensor]]:
    """A block of distances by a few rows, which caches hold: where in the block, the rows, their distances."""
    size = _SLICE if low.device.type == "cpu" else len(block)
    for part, rows in zip(block.split(size), low.split(size), strict=True):
        start = part.start - block.start
        yield slice(start, start + len(part)), part, rows


def deciding_distances(a: Block, i: Tensor, b: Block, j: Tensor) -> Tensor:
    """The deciding distances of pairs of rows of two blocks."""
    return _distances(a.points, a.start + i, b.points, b.start + j)


def _no_members(radii: Tensor, queries: DistinctRows) -> Members:
    n_balls = torch.zeros(len(radii), len(queries), dtype=torch.int64, device=radii.device)
    return Members(n_balls, torch.zeros_like(radii, dtype=torch.bool))


def _count(low: Tensor, balls: Block, radii: Tensor, queries: Block, members: Members) -> None:
    """Count the members of a block; ``low`` is ``(balls, queries)``."""
    count = balls.points.count[balls.span]
    for here, part, rows in slices(balls, low):
        for k, radius in enumerate(radii[:, part.span]):
            n_balls, occupied = members.n_balls[k, queries.span], members.occupied[k, part.span]
            inner = below(radius, low.dtype)
            maybe = ~(rows > above(radius, low.dtype)[:, None])
            if 8 * int(maybe.count_nonzero()) > maybe.numel():  # too many to list
                sure = rows + (part.gap[:, None] + queries.gap) <= inner[:, None]
                occupied |= sure.any(1)
                n_balls += (count[here].double() @ sure.double()).long()
                maybe &= ~sure
            i, j = positions(maybe)
            hit = rows[i, j] + (part.gap[i] + queries.gap[j]) <= inner[i]
            near = (~hit).nonzero()[:, 0]
            hit[near] = deciding_distances(part, i[near], queries, j[near]) <= radius[i[near]]
            i, j = i[hit], j[hit]
            occupied[i] = True
            n_balls.index_add_(0, j, count[here][i])


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
