"""How consistent a restoration is with its input."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from stochrobust._arguments import check_finite, check_scale, check_tensor
from stochrobust._tensors import working
from stochrobust.consistency.projector import Projector, check_projector
from stochrobust.metrics.distortion import psnr


class ConsistencyPSNR(NamedTuple):
    """Consistency in dB per sample.

    Attributes:
        raw: (B,) of the floats as they are.
        rounded: (B,) of the image as 8 bits would store it, clamped and rounded.

    Example:
        >>> import torch
        >>> from stochrobust import BlockAverageProjector
        >>> x_hat, y = torch.full((1, 1, 2, 2), 0.1), torch.full((1, 1, 1, 1), 0.1)
        >>> found = consistency_psnr(x_hat, y, BlockAverageProjector(2))
        >>> round(found.rounded.item())  # 0.1 is 25.5 of 255
        54
    """

    raw: Tensor
    rounded: Tensor


def consistency_psnr(x_hat: Tensor, y: Tensor, projector: Projector, *, data_range: float = 1.0) -> ConsistencyPSNR:
    """The PSNR between what a restoration would be observed as and what was observed.

    ``10 log10(data_range^2 / mean((D(x_hat) - y)^2))``, the mean over all elements of y, `inf` where they are equal.
    ``rounded`` is the same after x_hat was clamped to [0, data_range] and rounded to 256 levels, as a file would;
    D(x_hat) and y are not rounded. Unobserved pixels (inpainting) count as equal: add 10 log10 r for the observed share
    r alone.

    Args:
        x_hat: (B, ...) restorations.
        y: (B, ...) the inputs they restore, of the shape of ``D(x_hat)``.
        projector: what degrades x_hat; one of :mod:`stochrobust.consistency`.
        data_range: the peak value of images, whose least is 0; 1 or 255, say.

    Returns:
        ``raw`` and ``rounded``, (B,) each, in dB.

    Raises:
        TypeError: projector has not the methods of a :class:`Projector`, or x_hat or y is no floating-point tensor.
        ValueError: data_range is not positive, a value is not finite, or the shapes do not fit.

    Example:
        >>> import torch
        >>> from stochrobust.consistency import BlockAverageProjector
        >>> y = torch.full((1, 3, 4, 4), 0.25)
        >>> consistency_psnr(torch.full((1, 3, 8, 8), 0.35), y, BlockAverageProjector(2)).raw
        tensor([20.])

    Source: section 2.2 of the paper; Lugmayr et al., "SRFlow", ECCV 2020 (LR-PSNR).
    """

    check_projector(projector)
    peak = check_scale("data_range", data_range)
    check_tensor("x_hat", x_hat, min_ndim=2)
    wide = working(x_hat)
    raw, rounded = (projector.residual(x, y) for x in (wide, as_8_bit(wide, peak)))
    check_finite("y - D(x_hat)", raw)
    zero = torch.zeros_like(raw)
    return ConsistencyPSNR(psnr(raw, zero, data_range=peak), psnr(rounded, zero, data_range=peak))


def as_8_bit(x: Tensor, data_range: float) -> Tensor:
    """The nearest of the 256 values from 0 to data_range."""
    return (x.clamp(0, data_range) * (255 / data_range)).round() * (data_range / 255)
