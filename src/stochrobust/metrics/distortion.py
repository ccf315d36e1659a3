"""Distortion: the PSNR of single images, and its summary over many."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from stochrobust._arguments import check_alike, check_finite, check_real, check_tensor
from stochrobust._tensors import working


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
    check_tensor("a", a, min_ndim=1)
    check_tensor("b", b)
    check_alike("b", b, "a", a)
    check_finite("a", a)
    check_finite("b", b)
    return psnr_of_difference(working(a) - working(b), data_range)


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


def psnr_of_difference(difference: Tensor, data_range: float) -> Tensor:
    """``(B,)``; the largest difference is taken out first, so that no square under- or overflows."""
    peak_db = 20 * math.log10(check_real("data_range", data_range, minimum=0.0, open_minimum=True))
    rows = difference.reshape(len(difference), -1)
    largest = rows.detach().abs().amax(1, keepdim=True)
    mean = (rows / largest.where(largest > 0, 1.0)).square().mean(1)
    return peak_db - 20 * largest[:, 0].log10() - 10 * mean.where(largest[:, 0] > 0, 1.0).log10()
