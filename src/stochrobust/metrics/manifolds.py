"""Precision, recall, density, coverage and realism: who lies in whose balls, exactly and in bounded memory.

A set is known by closed balls around its members, each of which reaches to the member's k-th nearest *other* member (a
copy of it counts as another). Precision, recall, density and coverage are shares and means of who lies in them, and
realism of a sample is how deep it lies. All come from one pass over the distances, and each decision is the one that
squared distances, summed in float64 in one order, would give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import overload

import torch
from torch import Tensor

from stochrobust._arguments import check_count, describe
from stochrobust._tensors import brief
from stochrobust.metrics._distances import Block, DistinctRows, above, distinct_rows, positions
from stochrobust.metrics._neighbours import ball_members, cross_blocks, deciding_distances, neighbour_radii, slices
from stochrobust.metrics.features import FeatureSet, gather_pair
from stochrobust.metrics.protocol import Protocol, Score


@dataclass(frozen=True, eq=False, repr=False)
class PrecisionRecall:
    """Precision and recall for one number of neighbours, and the memberships whose means they are.

    Args:
        k: number of neighbours that set the radii.
        precision: share of the generated samples that lie in the manifold of the real ones, in [0, 1].
        recall: share of the real samples that lie in the manifold of the generated ones, in [0, 1].
        generated_in_real: ``(M,)`` bool, per generated sample.
        real_in_generated: ``(N,)`` bool, per real sample.

    Example:
        >>> import torch
        >>> points = torch.tensor([[0.0], [1.0], [2.0]])
        >>> precision_recall(real=points, generated=points[:2], k=1).real_in_generated
        tensor([True, True, True])
    """

    k: int
    precision: Score
    recall: Score
    generated_in_real: Tensor
    real_in_generated: Tensor

    def __repr__(self) -> str:
        return brief(self)


@dataclass(frozen=True, eq=False, repr=False)
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

    def __repr__(self) -> str:
        return brief(self)


@dataclass(frozen=True, eq=False, repr=False)
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
def precision_recall(*, real: FeatureSet, generated: FeatureSet, k: int = 3) -> PrecisionRecall: ...
@overload
def precision_recall(*, real: FeatureSet, generated: FeatureSet, k: Sequence[int]) -> tuple[PrecisionRecall, ...]: ...
def precision_recall(
    *, real: FeatureSet, generated: FeatureSet, k: int | Sequence[int] = 3
) -> PrecisionRecall | tuple[PrecisionRecall, ...]:
    """Improved precision and recall: how far each of two sets of vectors lies within the manifold of the other.

    The manifold of a set is the union of closed balls around its members; the radius of each is the distance to the
    k-th nearest *other* member (a copy of it counts as another)::

        x in manifold(S)  <=>  ||x - s|| <= ||s - NN_k(s, S without s)||  for some s in S         (Eq. 1 of the source)
        precision = mean_j [generated_j in manifold(real)],  recall = mean_i [real_i in manifold(generated)]    (Eq. 2)

    Exact: every decision is the one that squared distances, ``sum (a - b)^2`` in float64 and always in the same
    order, would give. Products in float32 (float64 for float64 features, or where the process allows TF32 or
    bfloat16 products) settle what lies outside their rounding error; the rest is summed up in float64. Repeated
    samples are handled once. Sets of samples that nearly coincide, or of many distances that tie, cost more.

    Memory beyond the features is a few blocks of distances and a few numbers per sample and neighbour; there is no
    matrix of N x N. No gradient. Works on the device of the inputs, which must support float64. :func:`prdc` gives
    density and coverage too, at the same cost.

    Args:
        real: ``(N, d)`` features, or raw vectors, of real samples; float16, bfloat16, float32 or float64, any range:
            a tensor, an array (``numpy.memmap``: stays on disk), :class:`Features`, or an iterable of batches of them.
        generated: ``(M, d)`` the same of generated samples.
        k: number of neighbours, from 1 to ``min(N, M) - 1``; or several, all answered in one pass.

    Returns:
        A :class:`PrecisionRecall`, or a tuple of them, one for each of several ``k``.

    Raises:
        TypeError: if a set is not a real floating-point tensor, or ``k`` is neither an integer nor a sequence of them.
        ValueError: if the sets are not matrices of the same d, dtype and device, are not finite, or do not have more
            samples than ``k``, or were made by two protocols.

    Example:
        >>> import torch
        >>> real = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
        >>> generated = torch.tensor([[1.0], [1.25], [1.5], [1.75]])
        >>> result = precision_recall(real=real, generated=generated, k=1)
        >>> result.precision, result.recall, result.real_in_generated
        (1.0, 0.5, tensor([False,  True,  True, False]))

    Source:
        T. Kynkäänniemi et al., Improved Precision and Recall Metric for Assessing Generative Models, NeurIPS 2019.
        k = 3 is also the choice of Ohayon et al., ICML 2023, Appendix E.2.5.
    """
    results = tuple(map(_precision_recall_of, _manifolds(real, generated, k)))
    return results if isinstance(k, Sequence) else results[0]


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
        real: ``(N, d)`` features, or raw vectors, of real samples, in any form that :func:`precision_recall` takes.
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
    results = tuple(map(_density_coverage_of, _manifolds(real, generated, k, around_generated=False)))
    return results if isinstance(k, Sequence) else results[0]


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
    results = tuple(map(_prdc_of, _manifolds(real, generated, k)))
    return results if isinstance(k, Sequence) else results[0]


def realism(*, real: FeatureSet, generated: FeatureSet, k: int = 3) -> Tensor:
    """Realism of each generated sample: how deep it lies in the manifold of the real ones, or how far outside.

    The largest ratio of a real sample's radius, the distance to its k-th nearest *other* real sample, to its distance
    from the generated one::

        R(g) = max_i ||real_i - NN_k(real_i, real without real_i)|| / ||g - real_i||      over the i of small radius

    Only radii that are at most the median radius count: the wide balls of outliers would make everything realistic.
    ``R(g) >= 1`` exactly if g lies in one of these closed balls, which is so for no more samples than precision counts.
    A ratio of equal numbers is 1, and that of 0 and 0 too: a sample at the centre of a ball has R = inf, unless the
    radius is 0 (a real sample with k copies); then it counts as lying on the ball's surface.

    Exact, in bounded memory, and with repeated samples handled once, in the same way as :func:`precision_recall`: the
    squares of radii and distances are summed in float64, products in float32 only rule out what cannot be largest.

    Args:
        real: ``(N, d)`` features, or raw vectors, of real samples, in any form that :func:`precision_recall` takes.
        generated: ``(M, d)`` the same of generated samples; one is enough.
        k: number of neighbours, from 1 to ``N - 1``.

    Returns:
        ``(M,)`` float64 in [0, inf], on the device of the inputs. No gradient.

    Raises:
        TypeError: if a set is not a real floating-point tensor, or ``k`` is not an integer.
        ValueError: if the sets are not matrices of the same d, dtype and device, are not finite, or were made by two
            protocols, or if there are no more than ``k`` real samples.

    Example:
        >>> import torch
        >>> real = torch.tensor([[0.0], [1.0], [2.0], [6.0]])
        >>> realism(real=real, generated=torch.tensor([[1.0], [1.5], [3.0], [6.0]]), k=1)
        tensor([   inf, 2.0000, 1.0000, 0.2500], dtype=torch.float64)

    Source:
        T. Kynkäänniemi et al., Improved Precision and Recall Metric for Assessing Generative Models, NeurIPS 2019,
        Section 5.
    """
    check_count("k", k)
    reals, others = gather_pair(real, generated, minimum=1)
    if len(reals) <= k:
        raise ValueError(f"real must have at least {k + 1} samples, got {describe(reals.values)}")
    with torch.no_grad(), torch.autocast(reals.values.device.type, enabled=False):
        points, queries = distinct_rows(reals.values), distinct_rows(others.values)
        radii, dtype = neighbour_radii(points, (k,))
        points, kept = _small_balls(points, radii[0])
        best = torch.zeros(len(queries), dtype=torch.float64, device=kept.device)
        for rows, columns, low in cross_blocks(points, queries, dtype):
            _raise(best[columns.span], low, rows, kept[rows.span], columns)
        return _roots(best)[queries.group]


# -- who lies in whose balls -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Manifolds:
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


def _manifolds(
    real: FeatureSet, generated: FeatureSet, k: int | Sequence[int], *, around_generated: bool = True
) -> list[_Manifolds]:
    """The members for each ``k``; without ``around_generated``, none of generated balls, nor their cost."""
    ks = _check_neighbours(k)
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
        return [_Manifolds(n, conditions, *members) for n, *members in rows]


def _check_neighbours(k: object) -> tuple[int, ...]:
    """One number of neighbours, or several."""
    if not isinstance(k, Sequence):
        return (check_count("k", k),)
    if isinstance(k, str) or len(k) == 0:
        raise ValueError(f"k must be an integer or a non-empty sequence of integers, got {describe(k)}")
    return tuple(check_count("k", n) for n in k)


def _precision_recall_of(members: _Manifolds) -> PrecisionRecall:
    """Precision and recall of memberships that are known."""
    inside = members.n_balls > 0
    return PrecisionRecall(
        k=members.k,
        precision=members.share("precision", inside),
        recall=members.share("recall", members.real_in_generated),
        generated_in_real=inside,
        real_in_generated=members.real_in_generated,
    )


def _density_coverage_of(members: _Manifolds) -> DensityCoverage:
    """Density and coverage of memberships that are known."""
    density = int(members.n_balls.sum()) / (members.k * len(members.n_balls))
    return DensityCoverage(
        k=members.k,
        density=members.score("density", density),
        coverage=members.share("coverage", members.covered),
        n_balls=members.n_balls,
        covered=members.covered,
    )


def _prdc_of(members: _Manifolds) -> PRDC:
    return PRDC(**{**vars(_precision_recall_of(members)), **vars(_density_coverage_of(members))})


# -- the largest ratio of a radius and a distance ----------------------------------------------------------------------


def _small_balls(points: DistinctRows, radii: Tensor) -> tuple[DistinctRows, Tensor]:
    """The distinct rows whose radius is at most the median, copies counted, and their radii.

    The lower of two medians will do: no radius lies strictly between it and their mean.
    """
    small = radii <= radii.repeat_interleave(points.count).median()
    # The group of a row that is left out means nothing now, and nothing asks for it.
    return replace(points, first=points.first[small], count=points.count[small]), radii[small]


def _raise(best: Tensor, low: Tensor, balls: Block, radii: Tensor, queries: Block) -> None:
    """Raise the largest squared ratio of each query to that of a block; ``low`` is ``(balls, queries)``."""
    guess = (low / above(radii, low.dtype)[:, None]).argmin(0)
    everyone = torch.arange(len(queries), device=guess.device)
    best.copy_(torch.maximum(best, _ratios(radii[guess], deciding_distances(balls, guess, queries, everyone))))
    for here, part, rows in slices(balls, low):
        i, j = positions(~(rows > _limits(radii[here], best, low.dtype)))
        best.scatter_reduce_(0, j, _ratios(radii[here][i], deciding_distances(part, i, queries, j)), "amax")


def _limits(radii: Tensor, best: Tensor, dtype: torch.dtype) -> Tensor:
    """``(balls, queries)``, not below ``radii / best``: a distance above it has no ratio above ``best``."""
    tiny = torch.finfo(dtype).tiny  # what underflow takes from either factor, the other would magnify
    limits = (above(radii, dtype) + tiny)[:, None] * above(1 / best, dtype).clamp(min=tiny)
    limits[radii == 0] = 0.0  # off its centre, such a ball has ratio 0
    return limits


def _ratios(radii: Tensor, distances: Tensor) -> Tensor:
    return (radii / distances).where(radii != distances, 1.0)


def _roots(squares: Tensor) -> Tensor:
    """Square roots on the side of 1 where the squares are: ``torch.sqrt`` may round ``1 - 2^-53`` up to 1."""
    roots = squares.sqrt()
    return torch.where(squares < 1, roots.clamp(max=1 - 2**-53), roots.clamp(min=1.0))
