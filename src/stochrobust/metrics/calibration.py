"""Whether the outputs at one y are spread as the sources that they may come from: CRPS, ranks, spread over error."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from stochrobust._arguments import check_count, check_finite, check_tensor, describe
from stochrobust.estimators.seeds import Randomness, check_generator, draw_like


def crps(samples: Tensor, x: Tensor, n_seeds: int) -> Tensor:
    r"""Continuous ranked probability score of the outputs of each input, averaged over its elements.

    ``mean_l [ mean_s |x_sl - x_l| - 1/2 mean_{s != t} |x_sl - x_tl| ]``: the unbiased estimate of the score of the law
    that the samples come from, whatever their number; smallest, in expectation, for samples of the posterior. Of one
    sample it is the mean absolute error. It looks at one element at a time: how elements go together is no part of it.

    Args:
        samples: ``(B*S, ...)`` outputs, sample-major: row ``b*S + s`` is input b with seed s; any range.
        x: ``(B, ...)`` sources, in the same units.
        n_seeds: S, at least 1.

    Returns:
        ``(B,)`` in the units of x, in float32 (float64 for float64 inputs); it may be negative. Differentiable.

    Raises:
        TypeError: if ``samples`` or ``x`` is not a real floating-point tensor, or ``n_seeds`` no integer.
        ValueError: if the shapes or devices do not fit, or a value is not finite.

    Example:
        >>> import torch
        >>> crps(torch.tensor([[0.0], [2.0], [4.0]]), torch.tensor([[2.0]]), n_seeds=3)  # 4/3 - 1/2 * 8/3
        tensor([0.])
        >>> crps(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 1.0]]), n_seeds=1)
        tensor([0.2500])

    Source:
        T. Gneiting and A. Raftery, Strictly proper scoring rules, prediction, and estimation, JASA 2007; C. Ferro, Fair
        scores for ensemble forecasts, 2014 (the unbiased form).
    """
    outputs, sources = samples_and_sources(samples, x, n_seeds)
    distance = (outputs - sources[:, None]).abs().mean(1)
    if n_seeds > 1:
        # Among sorted values, that of rank s is the larger one in s pairs and the smaller one in S - 1 - s.
        weights = torch.arange(1 - n_seeds, n_seeds, 2, device=outputs.device, dtype=outputs.dtype)
        ordered = outputs.sort(1).values
        distance = distance - (ordered * weights[:, None]).sum(1) / (n_seeds * (n_seeds - 1))
    return distance.mean(1)


def rank_histogram(samples: Tensor, x: Tensor, n_seeds: int, *, generator: Randomness = None) -> Tensor:
    """Where the sources rank among the outputs: for each input, the share of elements with r outputs below the source.

    ``h_r = mean_l [ #{s : x_sl < x_l} = r ]`` for r = 0 to S. For samples of the posterior every rank is as likely as
    any other, so that the mean over inputs is flat; it is a U where the outputs vary too little, and a hill where they
    vary too much. Among outputs equal to the source a rank is drawn at random: elements that y fixes count as flat.

    Args:
        samples: ``(B*S, ...)`` outputs, sample-major: row ``b*S + s`` is input b with seed s; any range.
        x: ``(B, ...)`` sources, in the same units.
        n_seeds: S, at least 1.
        generator: draws the ranks among equals: a ``torch.Generator``, :class:`~stochrobust.SampleKeys`, or None for
            torch's global generator.

    Returns:
        ``(B, S + 1)``, each row summing to 1, in float32 (float64 for float64 inputs).

    Raises:
        TypeError, ValueError: as :func:`crps`.

    Example:
        >>> import torch
        >>> rank_histogram(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.5, 3.0]]), n_seeds=2)
        tensor([[0.0000, 0.5000, 0.5000]])

    Source: T. Hamill, Interpretation of rank histograms for verifying ensemble forecasts, Monthly Weather Review 2001.
    """
    outputs, sources = samples_and_sources(samples, x, n_seeds)
    below = (outputs < sources[:, None]).sum(1)
    equal = (outputs == sources[:, None]).sum(1)
    check_generator(generator)
    within = draw_like(sources, generator, "ranks", uniform=True) * (equal + 1)
    ranks = below + torch.minimum(within.long(), equal)
    counts = torch.zeros(len(ranks), n_seeds + 1, dtype=outputs.dtype, device=outputs.device)
    counts.scatter_add_(1, ranks, torch.ones_like(sources))
    return counts / ranks.shape[1]


def spread_error(samples: Tensor, x: Tensor, n_seeds: int) -> Tensor:
    """Spread of the outputs over the error of their law's mean: 1 for samples of the posterior, 0 without spread.

    ``sqrt( mean v / (mean (m - x)^2 - mean v / S) )`` with mean m and variance v (S - 1) over the seeds of each
    element; means over all elements and inputs. The subtracted term is what a mean of S outputs errs for being one of
    so few: what is left is the error of the mean of the law, whatever S. Below 1 the outputs vary less than they err.

    From few inputs the error may be no more than that term: then the ratio is infinite, and only the lower end of its
    interval says something. That is the root of :func:`~stochrobust.interval_of_ratio`, from the rows of
    :func:`squared_spread_and_error`.

    Args:
        samples: ``(B*S, ...)`` outputs, sample-major: row ``b*S + s`` is input b with seed s; any range.
        x: ``(B, ...)`` sources, in the same units.
        n_seeds: S, at least 2.

    Returns:
        A scalar, in float32 (float64 for float64 inputs); infinite where what is left of the error is not above zero,
        0 without spread; NaN where there is neither.

    Raises:
        TypeError, ValueError: as :func:`crps`; there are no fewer than 2 seeds.

    Example:
        >>> import torch
        >>> rows = torch.Generator().manual_seed(0)
        >>> samples, x = 0.5 * torch.randn(4000, 9, generator=rows), torch.randn(2000, 9, generator=rows)
        >>> round(spread_error(samples, x, n_seeds=2).item(), 2)  # half of the spread that they should have
        0.5

    Source: V. Fortin et al., Why should ensemble spread match the RMSE of the ensemble mean?, 2014.
    """
    check_count("n_seeds", n_seeds, minimum=2)
    moments = squared_spread_and_error(samples, x, n_seeds)
    spread, error = moments.spread.mean(), moments.law_error(n_seeds).mean()
    return (spread / error.clamp_min(0)).sqrt()


class SquaredSpreadAndError(NamedTuple):
    """Variance over seeds, and squared error of their mean: means over the elements of each input, ``(B,)``."""

    spread: Tensor
    error: Tensor

    def law_error(self, n_seeds: int) -> Tensor:
        """(B,) squared error of the mean of the law that the S outputs come from, unbiased: it may be below zero."""
        return self.error - self.spread / n_seeds


def squared_spread_and_error(samples: Tensor, x: Tensor, n_seeds: int) -> SquaredSpreadAndError:
    """What :func:`spread_error` is made of, for each input; the spread of one seed is zero."""
    outputs, sources = samples_and_sources(samples, x, n_seeds)
    spread = torch.zeros_like(sources) if n_seeds == 1 else outputs.var(1)
    return SquaredSpreadAndError(spread.mean(1), (outputs.mean(1) - sources).square().mean(1))


def samples_and_sources(samples: Tensor, x: Tensor, n_seeds: int) -> tuple[Tensor, Tensor]:
    """The samples (B, S, n) and the sources (B, n), checked, in float32 or better."""
    check_tensor("samples", samples, min_ndim=1)
    check_tensor("x", x, min_ndim=1)
    check_count("n_seeds", n_seeds)
    if samples.shape != (len(x) * n_seeds, *x.shape[1:]) or samples.device != x.device:
        raise ValueError(
            f"samples must have {n_seeds} rows for each of x, its shape and device, {describe(x)}, got "
            f"{describe(samples)}"
        )
    check_finite("samples", samples)
    check_finite("x", x)
    dtype = torch.promote_types(torch.promote_types(samples.dtype, x.dtype), torch.float32)
    return samples.to(dtype).reshape(len(x), n_seeds, -1), x.to(dtype).reshape(len(x), -1)
