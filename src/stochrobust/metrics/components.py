"""Whether sources err from the mean output as the outputs vary about it, direction by direction."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from stochrobust._arguments import check_count
from stochrobust.metrics.calibration import samples_and_sources


class PosteriorComponents(NamedTuple):
    """Squared errors along the directions in which outputs vary most, and outside of them, for each input.

    Attributes:
        error: (B, K + 1) squared error of the mean output along each of K directions; last, the sum over all others.
        expected: (B, K + 1) what samples of the posterior have there, in expectation.

    Example:
        >>> import torch
        >>> found = posterior_components(torch.randn(800, 5), torch.randn(100, 5), 8, k=2)
        >>> found.error.shape, found.ratio.shape
        (torch.Size([100, 3]), torch.Size([3]))
    """

    error: Tensor
    expected: Tensor

    @property
    def ratio(self) -> Tensor:
        """(K + 1,) mean error over mean expected error: 1 for samples of the posterior, more for too little spread."""
        return self.error.mean(0) / self.expected.mean(0)

    @property
    def outside(self) -> tuple[float, float]:
        """The share of the error outside of the directions, and that of a further output of the same input."""
        return tuple(float(part[:, -1].sum() / part.sum()) for part in (self.error, self.expected))  # type: ignore[return-value]


def posterior_components(samples: Tensor, x: Tensor, n_seeds: int, *, k: int = 3) -> PosteriorComponents:
    r"""Do the outputs vary in the directions in which they err, and by as much?

    Directions ``w_1, ..., w_K`` are the principal ones of half of the outputs of an input; mean m and variances
    ``lambda_k`` along them come from the other S_B outputs, which did not choose them. For samples of the posterior

    ``E (w_k^T (x - m))^2 = (1 + 1 / S_B) E lambda_k`` and ``E ||r||^2 = (1 + 1 / S_B) E (v - sum_k lambda_k)``

    exactly, with r what is left of ``x - m`` outside of the directions and v the sum of the variances of all elements.
    A spread of the right size in wrong places, such as noise, has a ratio far above 1 outside of the directions or
    along them, and one below it elsewhere. Uncertain directions only make K small; from the same outputs the variances
    would be too large (ratios of 0.67 to 0.87 for a posterior sampler).

    The ratio of means has the interval of :func:`~stochrobust.interval_of_ratio`, from the rows. The cost is a singular
    value decomposition of S / 2 outputs for each input.

    Args:
        samples: ``(B*S, ...)`` outputs, sample-major: row ``b*S + s`` is input b with seed s; any range.
        x: ``(B, ...)`` sources, in the same units.
        n_seeds: S, at least 4; the first ``S // 2`` choose the directions.
        k: K, at most; never more than ``S // 2 - 1``, or than x has elements.

    Returns:
        :class:`PosteriorComponents`, in squared units of x, in float32 (float64 for float64 inputs).

    Raises:
        TypeError, ValueError: as :func:`~stochrobust.crps`; there are fewer than 4 seeds.

    Example:
        >>> import torch
        >>> rows = torch.Generator().manual_seed(0)
        >>> scale = torch.tensor([3.0, 1.0, 0.3])
        >>> samples, x = (scale * torch.randn(n, 3, generator=rows) for n in (64_000, 4000))
        >>> found = posterior_components(samples, x, 16, k=1)
        >>> found.ratio.round(decimals=1)
        tensor([1., 1.])
        >>> noise = torch.randn(64_000, 3, generator=rows)  # about as much in all, and in no direction the right one
        >>> found = posterior_components(noise, x, 16, k=1)
        >>> found.ratio.round(decimals=1)
        tensor([3.0000, 3.2000])

    Source: E. Nehme et al., Uncertainty quantification via neural posterior principal components, NeurIPS 2023 (the
    directions); V. Fortin et al., Why should ensemble spread match the RMSE of the ensemble mean?, 2014 (the factor).
    """
    check_count("n_seeds", n_seeds, minimum=4)
    check_count("k", k)
    outputs, sources = samples_and_sources(samples, x, n_seeds)
    first, second = outputs.tensor_split([n_seeds // 2], dim=1)
    n_second = second.shape[1]
    kept = min(k, first.shape[1] - 1, sources.shape[1])
    directions = torch.linalg.svd(first - first.mean(1, keepdim=True), full_matrices=False).Vh[:, :kept]
    mean = second.mean(1)
    missed, spread = sources - mean, second - mean[:, None]
    along = torch.einsum("bkn,bn->bk", directions, missed).square()
    variances = torch.einsum("bkn,bsn->bks", directions, spread).square().sum(2) / (n_second - 1)
    total = spread.square().sum((1, 2)) / (n_second - 1)
    return PosteriorComponents(
        error=_with_rest(along, missed.square().sum(1)),
        expected=(1 + 1 / n_second) * _with_rest(variances, total),
    )


def _with_rest(parts: Tensor, whole: Tensor) -> Tensor:
    """(B, K + 1): the parts, and what of the whole they leave, not below zero but for rounding."""
    return torch.cat([parts, (whole - parts.sum(1)).clamp_min(0)[:, None]], 1)
