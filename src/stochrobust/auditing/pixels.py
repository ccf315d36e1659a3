"""The range of the pixels: what images are brought to [0, 1] by, and outputs that are in another one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stochrobust._arguments import check_finite, check_real, check_tensor, describe
from stochrobust._tensors import working
from stochrobust.auditing.thresholds import FAR_OUTSIDE, MOSTLY_OUTSIDE, SOME_OUTSIDE
from stochrobust.estimators.diagnosis import Concern

STEEP, SURE = 1.5, 0.25
"""A slope of the outputs over the sources, and the share of their variance that it explains, which together no restorer
has that knows the range: by the best linear one the slope is that share, at most 1."""


@dataclass(frozen=True)
class PixelRange:
    """From the lowest value to the highest."""

    low: float = 0.0
    high: float = 1.0

    @property
    def width(self) -> float:
        """The peak of decibels."""
        return self.high - self.low

    def unit(self, images: Tensor) -> Tensor:
        """Images brought to [0, 1]."""
        return images if (self.low, self.high) == (0.0, 1.0) else (images - self.low) / self.width

    def from_unit(self, images: Tensor) -> Tensor:
        """And back."""
        return images if (self.low, self.high) == (0.0, 1.0) else images * self.width + self.low

    def checked(self, name: str, images: object) -> Tensor:
        """(B, C, H, W) floating-point images inside the range."""
        tensor = check_tensor(name, images, ndim=4)
        check_finite(name, tensor)
        low, high = (float(value) for value in torch.aminmax(tensor.detach()))
        if low < self.low or high > self.high:
            raise ValueError(
                f"{name} must have values in [{self.low:g}, {self.high:g}], got {low:g} to {high:g}: rescale or clamp "
                "them, or give their pixel_range"
            )
        return tensor


def check_pixel_range(pixel_range: object) -> PixelRange:
    """(lowest, highest) of the caller's."""
    if not isinstance(pixel_range, tuple | list) or len(pixel_range) != 2:
        raise TypeError(f"pixel_range must be (lowest, highest), got {describe(pixel_range)}")
    low, high = (check_real("pixel_range", value) for value in pixel_range)
    if not low < high:
        raise ValueError(f"pixel_range must increase, got {pixel_range!r}")
    return PixelRange(low, high)


def outside_of(outputs: Tensor, x: Tensor, pixels: PixelRange) -> Concern | None:
    """What is to be said of outputs that leave the range of the sources.

    Args:
        outputs: (B * S, ...) of G, in its units.
        x: (B, ...) the sources, inside the range.
        pixels: the range.

    Raises:
        ValueError: most of them lie outside, or they are the sources in other units.
    """
    values, sources = pixels.unit(working(outputs)), pixels.unit(working(x))
    share = float(((values < -FAR_OUTSIDE) | (values > 1 + FAR_OUTSIDE)).float().mean())
    slope, explained = _line(values, sources.repeat_interleave(len(values) // len(sources), 0))
    low, high = (float(value) for value in torch.aminmax(outputs))
    named, by = f"[{pixels.low:g}, {pixels.high:g}]", f"by more than {FAR_OUTSIDE:.0%} of its width"
    other_units = slope > STEEP and explained > SURE and share > 0
    if share > MOSTLY_OUTSIDE or other_units:
        raise ValueError(
            f"G's output must be in pixel_range, {named}, as x is: got {low:.4g} to {high:.4g}, {share:.0%} of it "
            f"outside {by}, at {slope:.3g} times the contrast of x; scale what G returns, or give data and outputs in "
            "one range and name it by pixel_range"
        )
    if share <= SOME_OUTSIDE:
        return None
    return Concern(
        f"{share:.0%} of the outputs' pixels lie outside of {named} {by} (all of them from {low:.4g} to {high:.4g}): G "
        "may answer in other units than x has (see pixel_range)",
        "outside the range",
    )


def _line(values: Tensor, sources: Tensor) -> tuple[float, float]:
    """Slope of the values over the sources, and the share of their variance that it explains."""
    a, b = (part.double() - part.double().mean() for part in (values, sources))
    above, below, own = float((a * b).sum()), float(b.square().sum()), float(a.square().sum())
    return (above / below, above**2 / (below * own)) if below > 0 and own > 0 else (0.0, 0.0)
