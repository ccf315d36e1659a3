"""Who lies in whose balls: what precision, recall, density and coverage are shares and means of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stochrobust._arguments import check_count, describe
from stochrobust.metrics._distances import distinct_rows
from stochrobust.metrics._neighbours import ball_members, neighbour_radii
from stochrobust.metrics.features import FeatureSet, gather_pair
from stochrobust.metrics.protocol import Protocol, Score


@dataclass(frozen=True, eq=False)
class Manifolds:
    """The members of the balls that reach to the k-th neighbour.

    Args:
        k: number of neighbours.
        protocol: the conditions of the comparison.
        n_balls: ``(M,)`` int64 per generated sample, how many real balls hold it.
        covered: ``(N,)`` bool per real sample, whether its ball holds a generated sample.
        real_in_generated: ``(N,)`` bool per real sample, whether a generated ball holds it.
    """

    k: int
    protocol: Protocol
    n_balls: Tensor
    covered: Tensor
    real_in_generated: Tensor

    def share(self, metric: str, inside: Tensor) -> Score:
        """The share of what is true, as a number with its protocol."""
        return self.score(metric, int(inside.sum()) / len(inside))

    def score(self, metric: str, value: float) -> Score:
        """A number with its protocol."""
        return Score(value, replace(self.protocol, metric=metric, k=self.k))


def manifolds(
    real: FeatureSet, generated: FeatureSet, k: int | Sequence[int], *, around_generated: bool = True
) -> list[Manifolds]:
    """The members for each ``k``; without ``around_generated``, none of generated balls, nor their cost."""
    ks = check_neighbours(k)
    reals, others = gather_pair(real, generated, minimum=max(ks) + 1)
    conditions = reals.conditions(others)
    with torch.no_grad(), torch.autocast(reals.values.device.type, enabled=False):
        a, b = distinct_rows(reals.values), distinct_rows(others.values)
        a_radii, dtype = neighbour_radii(a, ks)
        b_radii = a_radii.new_empty(0, len(b))
        if around_generated:
            b_radii, b_dtype = neighbour_radii(b, ks)
            dtype = torch.promote_types(dtype, b_dtype)
        of_a, of_b = ball_members(a, b, a_radii, b_radii, dtype)
        inside = of_b.n_balls > 0 if around_generated else torch.zeros_like(of_a.occupied)
        rows = zip(ks, of_a.n_balls[:, b.group], of_a.occupied[:, a.group], inside[:, a.group], strict=True)
        return [Manifolds(n, conditions, *members) for n, *members in rows]


def check_neighbours(k: object) -> tuple[int, ...]:
    """One number of neighbours, or several."""
    if not isinstance(k, Sequence):
        return (check_count("k", k),)
    if isinstance(k, str) or len(k) == 0:
        raise ValueError(f"k must be an integer or a non-empty sequence of integers, got {describe(k)}")
    return tuple(check_count("k", n) for n in k)
