"""What a super-resolution paper means by PSNR: which channels, which part of the image, which rounding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from reference_experiments.data.sr_benchmarks import luma
from stochrobust import psnr

PEAK = 255


@dataclass(frozen=True)
class PSNRConvention:
    """``PSNR(a, b)`` with peak 1, of images that are rounded, then reduced to luma, then cut.

    Args:
        channels: "rgb" takes the mean squared error over all three; "y" that of luma alone (ITU-R BT.601, studio
            swing, not rounded again), whose peak is 1 too, though it spans 219 / 255.
        shave: pixels cut at each side, at least 0.
        rounding: "none" leaves the numbers as they are; "round" (to the nearest) and "truncate" (down) clamp them to
            [0, 1] and then to multiples of 1 / 255.

    Raises:
        ValueError: naming the argument.

    Example:
        >>> import torch
        >>> a, b = torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.1)
        >>> PSNRConvention()(a, b), PSNRConvention("y")(a, b)  # luma moves by 219 / 255 of a grey step
        (tensor([20.]), tensor([21.3219]))
    """

    channels: Literal["rgb", "y"] = "rgb"
    shave: int = 0
    rounding: Literal["none", "round", "truncate"] = "none"

    def __post_init__(self) -> None:
        if self.channels not in ("rgb", "y"):
            raise ValueError(f'channels must be "rgb" or "y", got {self.channels!r}')
        if self.rounding not in ("none", "round", "truncate"):
            raise ValueError(f'rounding must be "none", "round" or "truncate", got {self.rounding!r}')
        if self.shave < 0:
            raise ValueError(f"shave must be at least 0, got {self.shave}")

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """PSNR of each pair.

        Args:
            a: (B, 3, H, W), RGB in [0, 1].
            b: of the same shape, dtype and device.

        Returns:
            (B,) in dB, infinite where the two are then equal.

        Raises:
            ValueError: if the images are not RGB, or nothing is left of them.
        """
        return psnr(self.view(a), self.view(b))

    def view(self, x: Tensor) -> Tensor:
        """What of the images is compared: (B, 3 or 1, H - 2 shave, W - 2 shave)."""
        if x.ndim != 4 or x.shape[1] != 3 or min(x.shape[2:]) <= 2 * self.shave:
            sides = f"sides above {2 * self.shave} (a border of {self.shave} is cut)"
            raise ValueError(f"images must be (B, 3, H, W) with {sides}, got {tuple(x.shape)}")
        x = self.rounded(x)
        x = luma(x) if self.channels == "y" else x
        return x[..., self.shave : x.shape[2] - self.shave, self.shave : x.shape[3] - self.shave]

    def rounded(self, x: Tensor) -> Tensor:
        """x as 8 bits would keep it, in its own dtype."""
        if self.rounding == "none":
            return x
        levels = PEAK * x.clamp(0, 1)
        return (levels.round() if self.rounding == "round" else levels.floor()) / PEAK


PLAIN = PSNRConvention()
"""Floats as they are: the default of the attack study."""
BENCHMARK = PSNRConvention("y", 4, "round")
"""That of most published numbers for 4x super-resolution: luma of 8-bit outputs, a border of as many pixels cut."""
SRFLOW = PSNRConvention("rgb", 0, "truncate")
"""That of SRFlow's own evaluation, which truncates its outputs to 8 bits."""
