"""Precision and recall of a generated set by manifolds of nearest neighbours: exact, and in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

from torch import Tensor

from stochrobust.metrics._manifolds import Manifolds, manifolds
from stochrobust.metrics.features import FeatureSet
from stochrobust.metrics.protocol import Score


@dataclass(frozen=True, eq=False)
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
    results = tuple(map(precision_recall_of, manifolds(real, generated, k)))
    return results if isinstance(k, Sequence) else results[0]


def precision_recall_of(members: Manifolds) -> PrecisionRecall:
    """Precision and recall of memberships that are known."""
    inside = members.n_balls > 0
    return PrecisionRecall(
        k=members.k,
        precision=members.share("precision", inside),
        recall=members.share("recall", members.real_in_generated),
        generated_in_real=inside,
        real_in_generated=members.real_in_generated,
    )
