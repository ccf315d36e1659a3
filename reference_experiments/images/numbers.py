"""A measured number with its uncertainty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stochrobust import Features, Interval, Protocol, Score, frechet_distance, interval_by_halves, interval_of_mean
from stochrobust import precision_recall as precision_and_recall

REALISM = ("fid", "precision", "recall")


@dataclass(frozen=True)
class Number:
    """An estimate and where its expectation over new images is likely to lie, 95 %.

    Attributes:
        estimate: infinite where every image's number is.
        low, high: ends of the interval; None where there is none.
        standard_error: of the estimate.
        least: of a number per image, the smallest.
        n_infinite: how many of those are infinite, and not in the mean.
        draws: of a number of whole sets, that of each set of outputs; the estimate is their mean.
    """

    estimate: float
    low: float | None = None
    high: float | None = None
    standard_error: float | None = None
    least: float | None = None
    n_infinite: int = 0
    draws: tuple[float, ...] = ()


def per_image(values: Tensor) -> Number:
    """The mean of the finite values of (n,) images."""
    finite = values[values != math.inf]
    n_infinite, least = len(values) - len(finite), float(values.min())
    if len(finite) < 2:
        return Number(float(finite.mean()) if len(finite) else math.inf, least=least, n_infinite=n_infinite)
    return replace(_number(interval_of_mean(finite)), least=least, n_infinite=n_infinite)


def realism(
    real: Tensor, draws: Sequence[Tensor], *, features: Protocol, k: int, n_splits: int, seed: int
) -> tuple[dict[str, Number], Protocol]:
    """FID, precision and recall of several sets of outputs against one real set.

    Args:
        real: (n, d) features.
        draws: the same of each set of outputs.
        features: how they were made.
        k: neighbours.
        n_splits: splits into halves of the first set, for the interval; it is centred on the mean over the sets.
        seed: of the splits.

    Returns:
        The numbers, and the protocol that those of one set were measured by.
    """

    def statistic(*, real: Features, generated: Features) -> tuple[float, ...]:
        manifold = precision_and_recall(real=real, generated=generated, k=k)
        return frechet_distance(real=real, generated=generated), manifold.precision, manifold.recall

    first, *others = (Features(draw, features) for draw in draws)
    intervals = interval_by_halves(
        statistic, real=Features(real, features), generated=first, n_splits=n_splits,
        generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip
    score = intervals[1].estimate
    assert isinstance(score, Score)
    sets = [tuple(interval.estimate for interval in intervals)]
    sets += [statistic(real=Features(real, features), generated=other) for other in others]
    numbers = {}
    for name, interval, values in zip(REALISM, intervals, zip(*sets, strict=True), strict=True):
        plain = tuple(float(value) for value in values)
        mean = sum(plain) / len(plain)
        shift = mean - float(interval.estimate)
        number = _number(replace(interval, low=interval.low + shift, high=interval.high + shift))
        numbers[name] = replace(number, estimate=mean, draws=plain)
    return numbers, score.protocol


def _number(interval: Interval) -> Number:
    return Number(float(interval.estimate), interval.low, interval.high, interval.standard_error)
