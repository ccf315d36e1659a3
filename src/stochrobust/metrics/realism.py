"""How realistic each generated sample is, by balls of nearest neighbours: exact, and in bounded memory."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from stochrobust._arguments import check_count, describe
from stochrobust.metrics._distances import Block, DistinctRows, above, distinct_rows, positions
from stochrobust.metrics._neighbours import cross_blocks, deciding_distances, neighbour_radii, slices
from stochrobust.metrics.features import FeatureSet, gather_pair


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
        real: ``(N, d)`` features, or raw vectors, of real samples; float16, bfloat16, float32 or float64, any range:
            a tensor, an array (``numpy.memmap``: stays on disk), :class:`Features`, or an iterable of batches of them.
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
