"""Distortion: the PSNR of single images, and its summary over many."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from stochrobust._arguments import check_alike, check_finite, check_scale, check_tensor
from stochrobust._tensors import flat, working

_CHUNK = 2**17  # elements of a difference in memory at once


def psnr(a: Tensor, b: Tensor, *, data_range: float = 1.0) -> Tensor:
    """Peak signal-to-noise ratio of each sample, infinite where the two are equal.

    ``psnr(a, b) = 20 log10(data_range / sqrt(mean (a - b)^2))``, with the mean over all the elements of a sample. The
    samples are not pooled, nothing is clamped, rounded or cropped, and no epsilon is added.

    Args:
        a: ``(B, ...)``, any range.
        b: of the same shape, dtype and device; the order of the two does not matter.
        data_range: peak of the signal, above 0: 1 for images in [0, 1], 2 for [-1, 1], 255 for 8-bit ones.

    Returns:
        ``(B,)`` in dB, in float32 (float64 for float64 inputs), which is also what the difference is taken in.
        Differentiable, save where the two are equal.

    Raises:
        TypeError: if an input is not a real floating-point tensor, or ``data_range`` not a number.
        ValueError: if the inputs differ in shape, dtype or device, are not finite, or ``data_range`` is not above 0.

    Example:
        >>> import torch
        >>> psnr(torch.zeros(2, 3, 4, 4), torch.tensor([0.0, 0.1]).view(2, 1, 1, 1).expand(2, 3, 4, 4))
        tensor([inf, 20.])

    Source: Ohayon et al., Reasons for the Superiority of Stochastic Estimators over Deterministic Ones, ICML 2023.
    """
    return psnr_of_pair("a", a, "b", b, data_range)


class PSNRSummary(NamedTuple):
    """Decibels of many samples as one number, without those that did not change.

    Attributes:
        mean: of the finite values in dB; infinite where there are none.
        n_finite: how many those are.
        n_infinite: and how many samples did not change.

    Example:
        >>> PSNRSummary(mean=30.0, n_finite=9, n_infinite=1).mean
        30.0
    """

    mean: float
    n_finite: int
    n_infinite: int


def summarize_psnr(values: Tensor) -> PSNRSummary:
    """Average decibels without letting samples that did not change decide: those are counted.

    Args:
        values: decibels of any shape, finite or ``inf``.

    Returns:
        The mean of the finite ones, and the counts of both.

    Raises:
        TypeError: if ``values`` is not a real floating-point tensor.
        ValueError: if it is empty, or has a NaN or ``-inf``.

    Example:
        >>> import torch
        >>> summarize_psnr(torch.tensor([30.0, 40.0, torch.inf]))
        PSNRSummary(mean=35.0, n_finite=2, n_infinite=1)
    """
    check_tensor("values", values)
    finite = values[values != math.inf]
    check_finite("values, where not inf,", finite)
    mean = float(finite.double().mean()) if len(finite) else math.inf
    return PSNRSummary(mean, len(finite), values.numel() - len(finite))


def psnr_of_pair(a_name: str, a: Tensor, b_name: str, b: Tensor, data_range: float) -> Tensor:
    """:func:`psnr` of inputs that errors call by these names."""
    check_tensor(a_name, a, min_ndim=1)
    check_tensor(b_name, b)
    check_alike(b_name, b, a_name, a)
    return psnr_of_difference({a_name: a, b_name: b}, data_range)


def psnr_of_difference(inputs: dict[str, Tensor], data_range: float) -> Tensor:
    """``(B,)`` of the difference of two inputs, or of one that is a difference, by the names that errors have for them.

    What is not finite makes the mean square so too: only where that is so, or where squares are so small or large that
    digits may be lost, are the inputs looked at again.
    """
    peak_db = 20 * math.log10(check_scale("data_range", data_range))
    values = tuple(inputs.values())
    mean = torch.cat([_difference(part).square().mean(1) for part in _parts(values)])
    limits = torch.finfo(mean.dtype)
    if bool(((mean >= limits.tiny / limits.eps**2) & (mean <= limits.max)).all()):
        return peak_db - 10 * mean.log10()
    for name, value in inputs.items():
        check_finite(name, value)
    return torch.cat([_scaled_psnr(_difference(part), peak_db) for part in _parts(values)])


def _parts(values: tuple[Tensor, ...]) -> Iterator[tuple[Tensor, ...]]:
    """A few samples at a time, which caches hold; all at once where that saves nothing."""
    first = values[0]
    all_at_once = first.device.type != "cpu" or (torch.is_grad_enabled() and any(v.requires_grad for v in values))
    size = len(first) if all_at_once else max(1, _CHUNK * len(first) // first.numel())
    return zip(*(value.split(size) for value in values), strict=True)


def _difference(part: tuple[Tensor, ...]) -> Tensor:
    """``(b, n)`` in float32 or better."""
    first, *others = map(working, part)
    return flat(first - others[0] if others else first)


def _scaled_psnr(rows: Tensor, peak_db: float) -> Tensor:
    """Of differences; the largest is taken out first, so that no square under- or overflows."""
    largest = rows.detach().abs().amax(1, keepdim=True)
    mean = (rows / largest.where(largest > 0, 1.0)).square().mean(1)
    return peak_db - 20 * largest[:, 0].log10() - 10 * mean.where(largest[:, 0] > 0, 1.0).log10()
