"""Density and coverage of a generated set by balls of nearest neighbours: exact, and in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

from torch import Tensor

from stochrobust.metrics._manifolds import Manifolds, manifolds
from stochrobust.metrics.features import FeatureSet
from stochrobust.metrics.protocol import Score


@dataclass(frozen=True, eq=False)
class DensityCoverage:
    """Density and coverage for one number of neighbours, and what they are means of.

    Args:
        k: number of neighbours that set the radii.
        density: mean number of real balls around a generated sample, over k: in [0, N / k], about 1 for equal laws.
        coverage: share of the real samples whose ball holds a generated sample, in [0, 1].
        n_balls: ``(M,)`` int64 per generated sample, how many real balls hold it.
        covered: ``(N,)`` bool per real sample.

    Example:
        >>> import torch
        >>> points = torch.tensor([[0.0], [1.0], [2.0]])
        >>> density_coverage(real=points, generated=points[:2] / 2, k=1).covered
        tensor([ True,  True, False])
    """

    k: int
    density: Score
    coverage: Score
    n_balls: Tensor
    covered: Tensor


@overload
def density_coverage(*, real: FeatureSet, generated: FeatureSet, k: int = 5) -> DensityCoverage: ...
@overload
def density_coverage(*, real: FeatureSet, generated: FeatureSet, k: Sequence[int]) -> tuple[DensityCoverage, ...]: ...
def density_coverage(
    *, real: FeatureSet, generated: FeatureSet, k: int | Sequence[int] = 5
) -> DensityCoverage | tuple[DensityCoverage, ...]:
    """Density and coverage: how many real samples are near each generated one, and how many have one near them.

    Each real sample has a closed ball whose radius is the distance to its k-th nearest *other* real sample (a copy
    of it counts as another)::

        n_balls_j = #{i : ||generated_j - real_i|| <= ||real_i - NN_k(real_i, real without real_i)||}
        density   = mean_j n_balls_j / k,    coverage = mean_i [ball i holds some generated_j]

    Unlike precision and recall, neither uses balls of the generated set, whose outliers would inflate recall, and an
    outlier among the real samples counts as one ball among others. Two samples of one continuous law have on average
    density 1 and coverage ``1 - (N - 1) ... (N - k) / ((N + M - 1) ... (N + M - k))``: near ``1 - 2^-k`` for N = M.

    Exact, in bounded memory, and with repeated samples handled once, in the same way and at the same conditions as
    :func:`precision_recall`; two matrix products instead of its three.

    Args:
        real: ``(N, d)`` features, or raw vectors, of real samples; float16, bfloat16, float32 or float64, any range:
            a tensor, an array (``numpy.memmap``: stays on disk), :class:`Features`, or an iterable of batches of them.
        generated: ``(M, d)`` the same of generated samples.
        k: number of neighbours, from 1 to ``min(N, M) - 1``; or several, all answered in one pass.

    Returns:
        A :class:`DensityCoverage`, or a tuple of them, one for each of several ``k``.

    Raises:
        TypeError: if a set is not a real floating-point tensor, or ``k`` is neither an integer nor a sequence of them.
        ValueError: if the sets are not matrices of the same d, dtype and device, are not finite, or do not have more
            samples than ``k``, or were made by two protocols.

    Example:
        >>> import torch
        >>> real = torch.tensor([[0.0], [1.0], [2.0], [6.0]])
        >>> generated = torch.tensor([[0.5], [1.0], [9.0]])
        >>> result = density_coverage(real=real, generated=generated, k=1)
        >>> result.n_balls, result.covered
        (tensor([2, 3, 1]), tensor([True, True, True, True]))
        >>> result.density, result.coverage
        (2.0, 1.0)

    Source:
        M. Naeem et al., Reliable Fidelity and Diversity Metrics for Generative Models, ICML 2020, Eq. 3 and 4; k = 5
        is their choice.
    """
    results = tuple(map(density_coverage_of, manifolds(real, generated, k, around_generated=False)))
    return results if isinstance(k, Sequence) else results[0]


def density_coverage_of(members: Manifolds) -> DensityCoverage:
    """Density and coverage of memberships that are known."""
    density = int(members.n_balls.sum()) / (members.k * len(members.n_balls))
    return DensityCoverage(
        k=members.k,
        density=members.score("density", density),
        coverage=members.share("coverage", members.covered),
        n_balls=members.n_balls,
        covered=members.covered,
    )
