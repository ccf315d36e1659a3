"""Precision, recall, density and coverage together, at the price of the first two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

from stochrobust.metrics._manifolds import Manifolds, manifolds
from stochrobust.metrics.density_coverage import DensityCoverage, density_coverage_of
from stochrobust.metrics.features import FeatureSet
from stochrobust.metrics.precision_recall import PrecisionRecall, precision_recall_of


@dataclass(frozen=True, eq=False)
class PRDC(PrecisionRecall, DensityCoverage):
    """All that a :class:`PrecisionRecall` and a :class:`DensityCoverage` of one ``k`` have, under the same names.

    Args:
        k, precision, recall, generated_in_real, real_in_generated: as in :class:`PrecisionRecall`.
        density, coverage, n_balls, covered: as in :class:`DensityCoverage`.

    Example:
        >>> import torch
        >>> points = torch.tensor([[0.0], [1.0], [2.0]])
        >>> four = prdc(real=points, generated=points[:2], k=1)
        >>> float(four.precision), float(four.coverage)
        (1.0, 1.0)
    """


@overload
def prdc(*, real: FeatureSet, generated: FeatureSet, k: int = 5) -> PRDC: ...
@overload
def prdc(*, real: FeatureSet, generated: FeatureSet, k: Sequence[int]) -> tuple[PRDC, ...]: ...
def prdc(*, real: FeatureSet, generated: FeatureSet, k: int | Sequence[int] = 5) -> PRDC | tuple[PRDC, ...]:
    """Precision, recall, density and coverage in one pass, each as its own function would give it.

    Args:
        real: ``(N, d)`` features of real samples, as for :func:`precision_recall`.
        generated: ``(M, d)`` the same of generated samples.
        k: number of neighbours for all four, from 1 to ``min(N, M) - 1``; or several, all answered in one pass.

    Returns:
        A :class:`PRDC`, or a tuple of them, one for each of several ``k``.

    Raises:
        TypeError: as :func:`precision_recall`.
        ValueError: as :func:`precision_recall`.

    Example:
        >>> import torch
        >>> real = torch.tensor([[0.0], [1.0], [2.0], [6.0]])
        >>> generated = torch.tensor([[0.5], [1.0], [9.0]])
        >>> result = prdc(real=real, generated=generated, k=1)
        >>> result.precision, result.recall, result.density, result.coverage
        (1.0, 1.0, 2.0, 1.0)

    Source:
        M. Naeem et al., Reliable Fidelity and Diversity Metrics for Generative Models, ICML 2020; k = 5 is their
        choice for all four, where :func:`precision_recall` has 3.
    """
    results = tuple(map(_prdc_of, manifolds(real, generated, k)))
    return results if isinstance(k, Sequence) else results[0]


def _prdc_of(members: Manifolds) -> PRDC:
    return PRDC(**{**vars(precision_recall_of(members)), **vars(density_coverage_of(members))})
