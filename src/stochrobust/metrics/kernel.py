"""The kernel distance of two sets of vectors (KID on features of its network): unbiased, for few samples too."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stochrobust._arguments import check_count
from stochrobust.metrics.features import FeatureSet, gather_pair
from stochrobust.metrics.protocol import Score

_BLOCK = 1024  # samples of each set whose kernel values are held at once
_METRIC = "kernel distance, (x.y / d + 1)^3"


@dataclass(frozen=True)
class KernelDistance:
    """The kernel distance of two sets, and how much it would vary from one draw of the samples to the next.

    Args:
        value: the distance, or its mean over subsets; may be negative.
        std: standard deviation of an estimate from as many samples: of the subsets' values (divisor ``n_subsets``), or
            without subsets a jackknife estimate, which tends to be too large rather than too small.

    Example:
        >>> import torch
        >>> real = torch.rand(50, 3, generator=torch.Generator().manual_seed(0))
        >>> found = kernel_distance(real=real, generated=real + 1)
        >>> found.value > 10 * found.std
        True
    """

    value: Score
    std: Score


def kernel_distance(
    *,
    real: FeatureSet,
    generated: FeatureSet,
    subset_size: int | None = None,
    n_subsets: int = 100,
    generator: torch.Generator | None = None,
) -> KernelDistance:
    """The squared maximum mean discrepancy under a cubic kernel, estimated without bias.

    ``mean_{i != j} k(r_i, r_j) + mean_{i != j} k(g_i, g_j) - 2 mean_{i, j} k(r_i, g_j),  k(x, y) = (x.y / d + 1)^3``

    Unlike the Frechet distance its expectation does not depend on the number of samples, and is 0 for equal laws; so
    single values may be negative. By default all pairs of all samples are taken, in blocks: memory beyond the features
    is a few of them, and nothing is drawn. With ``subset_size`` it is the mean over random subsets, as in the source,
    which is noisier and cheaper. Kernel values are computed and summed in float64; the error is some 1e-15 of their
    mean. No gradient. Works on the device of the inputs, which must support float64.

    Args:
        real: ``(N, d)`` features, or raw vectors, of real samples; float16, bfloat16, float32 or float64, any range:
            a tensor, an array (``numpy.memmap``: stays on disk), :class:`~stochrobust.metrics.features.Features`, or an
            iterable of batches of them.
        generated: ``(M, d)`` the same of generated samples; M may differ from N.
        subset_size: number of samples of each set in a subset, from 2 to ``min(N, M)``; 1000 in the source. None: no
            subsets, all samples, of which there must be 3.
        n_subsets: number of subsets, each drawn without replacement; nothing without ``subset_size``.
        generator: draws the subsets; the global generator by default.

    Returns:
        A :class:`KernelDistance`.

    Raises:
        TypeError: if a set is not of real floating-point numbers, or a count is no integer.
        ValueError: if the sets are not matrices of the same d, dtype, device and protocol, are not finite, have too few
            samples, or kernel values beyond the range of float64.

    Example:
        >>> import torch
        >>> real = torch.tensor([[-1.0], [0.0], [1.0]])
        >>> round(kernel_distance(real=real, generated=real + 1).value, 3)  # 2/3 + 29/3 - 2 * 13/3
        1.667

    Source:
        M. Binkowski, D. Sutherland, M. Arbel, A. Gretton, Demystifying MMD GANs, ICLR 2018, Section 4.
    """
    if subset_size is not None:
        check_count("subset_size", subset_size, minimum=2)
    check_count("n_subsets", n_subsets)
    reals, others = gather_pair(real, generated, minimum=subset_size or 3)
    metric = _METRIC if subset_size is None else f"{_METRIC}, mean over {n_subsets} subsets of {subset_size}"
    with torch.no_grad():
        if subset_size is None:
            value, std = _whole(reals.values, others.values)
        else:
            subsets = _subsets(reals.values, others.values, subset_size, n_subsets, generator)
            values = torch.stack([_PairSums.of(*pair).distance() for pair in subsets])
            value, std = float(values.mean()), float(values.std(correction=0))
    if not math.isfinite(value + std):
        raise ValueError("real and generated must have kernel values within the range of float64, got larger ones")
    protocol = replace(reals.conditions(others), metric=metric)
    return KernelDistance(Score(value, protocol), Score(std, replace(protocol, metric=f"{metric}: standard deviation")))


@dataclass(frozen=True, eq=False)
class _PairSums:
    """Per sample, the sum of its kernel values with the other samples of its set, and with those of the other set."""

    real_real: Tensor
    real_generated: Tensor
    generated_real: Tensor
    generated_generated: Tensor

    @classmethod
    def of(cls, real: Tensor, generated: Tensor) -> _PairSums:
        return cls(_sums_within(real), *_sums_between(real, generated), _sums_within(generated))

    def distance(self) -> Tensor:
        """The unbiased estimate."""
        n, m = len(self.real_real), len(self.generated_generated)
        within = self.real_real.sum() / (n * (n - 1)) + self.generated_generated.sum() / (m * (m - 1))
        return within - 2 * self.real_generated.sum() / (n * m)

    def without_each_real(self) -> Tensor:
        """The estimate without the first, the second, ... real sample."""
        n, m = len(self.real_real) - 1, len(self.generated_generated)
        real = (self.real_real.sum() - 2 * self.real_real) / (n * (n - 1))
        between = (self.real_generated.sum() - self.real_generated) / (n * m)
        return real + self.generated_generated.sum() / (m * (m - 1)) - 2 * between

    def swapped(self) -> _PairSums:
        """With the sets in each other's place."""
        return _PairSums(self.generated_generated, self.generated_real, self.real_generated, self.real_real)


def _whole(real: Tensor, generated: Tensor) -> tuple[float, float]:
    """The estimate from all samples, and its standard deviation by leaving out each sample of either set in turn."""
    sums = _PairSums.of(real, generated)
    variance = 0.0
    for left_out in (sums.without_each_real(), sums.swapped().without_each_real()):
        variance += float(left_out.var(correction=0)) * (len(left_out) - 1)
    return float(sums.distance()), math.sqrt(variance)


def _subsets(
    real: Tensor, generated: Tensor, size: int, count: int, generator: torch.Generator | None
) -> Iterator[tuple[Tensor, Tensor]]:
    device = generator.device if generator else "cpu"
    for _ in range(count):
        first, second = (
            torch.randperm(len(rows), generator=generator, device=device)[:size] for rows in (real, generated)
        )
        yield real[first.to(real.device)], generated[second.to(real.device)]


def _sums_between(real: Tensor, generated: Tensor) -> tuple[Tensor, Tensor]:
    real_sums, generated_sums = _zeros(real), _zeros(generated)
    for rows in _blocks(real):
        for columns in _blocks(generated):
            values = _kernel(real[rows], generated[columns])
            real_sums[rows] += values.sum(1)
            generated_sums[columns] += values.sum(0)
    return real_sums, generated_sums


def _sums_within(samples: Tensor) -> Tensor:
    sums = _zeros(samples)
    for rows in _blocks(samples):
        sums[rows] += _kernel(samples[rows], samples[rows]).fill_diagonal_(0).sum(1)
        for columns in _blocks(samples, rows.stop):
            values = _kernel(samples[rows], samples[columns])
            sums[rows] += values.sum(1)
            sums[columns] += values.sum(0)
    return sums


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a.double() @ b.double().T).div_(a.shape[1]).add_(1).pow_(3)


def _blocks(samples: Tensor, start: int = 0) -> Iterator[slice]:
    return (slice(begin, begin + _BLOCK) for begin in range(start, len(samples), _BLOCK))


def _zeros(samples: Tensor) -> Tensor:
    return samples.new_zeros(len(samples), dtype=torch.float64)
