"""Conventions of PSNR, each option against a value computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from reference_experiments.psnr_convention import BENCHMARK, PLAIN, SRFLOW, PSNRConvention


def image(r: float, g: float, b: float, side: int = 4) -> Tensor:
    return torch.tensor([r, g, b], dtype=torch.float64).view(1, 3, 1, 1).expand(1, 3, side, side)


def decibels(mean_square: float) -> float:
    return -10 * math.log10(mean_square)


BLACK = image(0, 0, 0)


def test_rgb_averages_the_squares_of_three_channels() -> None:
    found = PSNRConvention("rgb")(BLACK, image(0.1, 0.2, 0.3))
    assert found.tolist() == pytest.approx([decibels((0.01 + 0.04 + 0.09) / 3)])


def test_y_weighs_the_channels_first() -> None:
    found = PSNRConvention("y")(BLACK, image(0.1, 0.2, 0.3))
    luma = (65.481 * 0.1 + 128.553 * 0.2 + 24.966 * 0.3) / 255
    assert found.tolist() == pytest.approx([decibels(luma**2)])


@pytest.mark.parametrize(("shave", "wrong", "left"), [(0, 16, 16), (1, 4, 4)])
def test_a_border_is_cut(shave: int, wrong: int, left: int) -> None:
    """An error at one inner pixel, and larger ones at the border: 16 pixels are seen, or the inner 4."""
    other = torch.zeros(1, 3, 4, 4, dtype=torch.float64)
    other[..., 1, 2] = 0.5
    border = [(0, j) for j in range(4)] + [(3, j) for j in range(4)] + [(1, 0), (2, 0), (1, 3), (2, 3)]
    for i, j in border:
        other[..., i, j] = 1
    squares = 0.25 + (12 if wrong == 16 else 0)
    assert PSNRConvention(shave=shave)(BLACK, other).tolist() == pytest.approx([decibels(squares / left)])


@pytest.mark.parametrize(
    ("rounding", "levels"), [("none", (10.4, 10.6, -3.0)), ("round", (10, 11, 0)), ("truncate", (10, 10, 0))]
)
def test_rounding_is_to_eight_bits_within_the_range(rounding: str, levels: tuple[float, ...]) -> None:
    a = image(10.4 / 255, 10.6 / 255, -3 / 255)
    found = PSNRConvention(rounding=rounding)(a, BLACK)  # type: ignore[arg-type]
    assert found.tolist() == pytest.approx([decibels(sum((level / 255) ** 2 for level in levels) / 3)])


def test_rounding_clamps_above_and_acts_on_both_images() -> None:
    white, a = image(1, 1, 1), image(1.4, 1.4, 1.4)
    convention = PSNRConvention(rounding="round")
    assert convention(a, white).tolist() == convention(white, a).tolist() == [math.inf]


def test_rounding_comes_before_luma_which_is_not_rounded() -> None:
    """10.4 levels of grey become 10, which move luma by 10 x 219 / 255 levels."""
    a = image(10.4 / 255, 10.4 / 255, 10.4 / 255)
    found = PSNRConvention("y", rounding="round")(a, BLACK)
    assert found.tolist() == pytest.approx([decibels((10 * 219 / 255 / 255) ** 2)])


def test_samples_are_kept_apart() -> None:
    pair = torch.cat([image(0.1, 0.1, 0.1), image(0.01, 0.01, 0.01)])
    assert PLAIN(pair, BLACK.expand(2, -1, -1, -1)).tolist() == pytest.approx([20, 40])


def test_named_conventions() -> None:
    assert PSNRConvention("rgb", 0, "none") == PLAIN
    assert PSNRConvention("y", 4, "round") == BENCHMARK
    assert PSNRConvention("rgb", 0, "truncate") == SRFLOW


def test_wrong_options_and_images_are_named() -> None:
    with pytest.raises(ValueError, match=r'channels must be "rgb" or "y", got \'luma\''):
        PSNRConvention("luma")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r'rounding must be "none", "round" or "truncate", got \'floor\''):
        PSNRConvention(rounding="floor")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"shave must be at least 0, got -1"):
        PSNRConvention(shave=-1)
    for wrong in (torch.zeros(1, 3, 8, 9), torch.zeros(1, 1, 9, 9), torch.zeros(3, 9, 9)):
        with pytest.raises(
            ValueError, match=r"images must be \(B, 3, H, W\) with sides above 8 \(a border of 4 is cut\), got "
        ):
            PSNRConvention(shave=4)(wrong, wrong)
