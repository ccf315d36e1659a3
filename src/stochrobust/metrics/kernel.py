"""The kernel distance of two sets of vectors (KID on features of its network): unbiased, for few samples too."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stochrobust._arguments import check_count, describe
from stochrobust.metrics._distances import working_dtype
from stochrobust.metrics.features import FeatureSet, gather_pair
from stochrobust.metrics.protocol import Score

_ROWS, _COLUMNS = 1024, 256  # samples of each set whose kernel values are held at once: caches hold them
_MANY, _WIDE = 512, 256  # distinct samples, features: from there on the rounding of float32 products averages out,
_OUTLIER = 10  # if no square of a sample is so many times the mean
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
    mean. From 512 distinct samples in each set and 256 features on, without outliers, the products of float32 features
    less their common mean are of float32, twice as fast. Their rounding averages out: to some 1e-10 of that mean, 1e-8
    where a few features dominate, far below what the distance varies by from one draw to the next. No gradient. Works
    on the device of the inputs, which must support float64.

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
    if not (generator is None or isinstance(generator, torch.Generator)):
        raise TypeError(f"generator must be a torch.Generator or None, got {describe(generator)}")
    reals, others = gather_pair(real, generated, minimum=subset_size or 3)
    metric = _METRIC if subset_size is None else f"{_METRIC}, mean over {n_subsets} subsets of {subset_size}"
    with torch.no_grad(), torch.autocast(reals.values.device.type, enabled=False):
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
        sides = _sides(real, generated)
        (within, between), (of_generated, back) = (_zeros(real), _zeros(real)), (_zeros(generated), _zeros(generated))
        _add_within(within, sides[0])
        _add_within(of_generated, sides[1])
        _add_between(between, back, *sides)
        return cls(within, between, back, of_generated)

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


@dataclass(frozen=True, eq=False)
class _Side:
    """Samples as ``<x, y> = <x - c, y - c> + <x - c, c> + <y - c, c> + <c, c>`` for a common centre c takes them.

    Args:
        samples: ``(n, d)``, as given.
        centre: c, in the dtype of the products.
        offset: ``(n,)`` float64, ``(<x - c, c> + <c, c> / 2) / d + 1 / 2``.
    """

    samples: Tensor
    centre: Tensor
    offset: Tensor

    def rows(self, span: slice) -> Tensor:
        """``x - c``, in the dtype of the products."""
        return self.samples[span].to(self.centre.dtype) - self.centre


def _sides(real: Tensor, generated: Tensor) -> tuple[_Side, _Side]:
    """Both sets, to be multiplied in float64 unless float32 will do."""
    if working_dtype(real) == torch.float32 and real.shape[1] >= _WIDE:
        centre = ((_mean(real) + _mean(generated)) / 2).float()
        sides = _side(real, centre), _side(generated, centre)
        if all(map(_averages_out, sides)):
            return sides
    centre = real.new_zeros(real.shape[1], dtype=torch.float64)
    return _side(real, centre), _side(generated, centre)


def _averages_out(side: _Side) -> bool:
    """Whether the rounding of float32 products does: over many distinct samples, none of which outweighs the others."""
    n, limit = len(side.samples), torch.finfo(side.centre.dtype).max
    norms = torch.cat([torch.linalg.vector_norm(side.rows(span), dim=1) for span in _blocks(side.samples, _COLUMNS)])
    largest, mean = float(norms.max().square()), float(norms.double().square().mean())
    distinct = len(side.offset.unique())  # no more than there are
    return largest < min(limit, _OUTLIER * mean) and distinct >= max(_MANY, n // 2)


def _side(samples: Tensor, centre: Tensor) -> _Side:
    offset, c = _zeros(samples) + 0.5, centre.double()
    if bool(c.any()):
        for span in _blocks(samples, _COLUMNS):
            offset[span] += (samples[span].double() @ c - c @ c / 2) / len(c)
    return _Side(samples, centre, offset)


def _mean(samples: Tensor) -> Tensor:
    return torch.stack([samples[span].sum(0, dtype=torch.float64) for span in _blocks(samples, _COLUMNS)]).sum(0) / len(
        samples
    )


def _add_between(a_sums: Tensor, b_sums: Tensor, a: _Side, b: _Side) -> None:
    for rows in _blocks(a.samples, _ROWS):
        left = a.rows(rows)
        for columns in _blocks(b.samples, _COLUMNS):
            values = _kernel(left, a.offset[rows], b.rows(columns), b.offset[columns])
            a_sums[rows] += values.sum(1)
            b_sums[columns] += values.sum(0)


def _add_within(sums: Tensor, side: _Side) -> None:
    """Each pair of blocks once: the block of a few columns with the rows before it, then with itself."""
    for columns in _blocks(side.samples, _COLUMNS):
        right = side.rows(columns)
        for rows in _blocks(side.samples[: columns.start], _ROWS):
            values = _kernel(side.rows(rows), side.offset[rows], right, side.offset[columns])
            sums[rows] += values.sum(1)
            sums[columns] += values.sum(0)
        sums[columns] += _kernel(right, side.offset[columns], right, side.offset[columns]).fill_diagonal_(0).sum(1)


def _kernel(a: Tensor, a_offset: Tensor, b: Tensor, b_offset: Tensor) -> Tensor:
    values = torch.add(a_offset[:, None], a @ b.T, alpha=1 / a.shape[1]).add_(b_offset)
    return (values * values).mul_(values)


def _blocks(samples: Tensor, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, len(samples))) for start in range(0, len(samples), size))


def _zeros(samples: Tensor) -> Tensor:
    return samples.new_zeros(len(samples), dtype=torch.float64)
