"""CEM: the averaging kernel, a bicubic kernel, a naive correlation, the phase, and kernels that lose frequencies."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from stochrobust.consistency import BlockAverageProjector, CEMProjector


def bicubic_taps(scale: int) -> Tensor:
    """The antialiased bicubic (a = -1/2) weights of one output pixel, for even scales, over its 4 * scale inputs."""
    t = ((torch.arange(4 * scale, dtype=torch.float64) - (4 * scale - 1) / 2) / scale).abs()
    near = 1.5 * t**3 - 2.5 * t**2 + 1
    far = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    taps = torch.where(t <= 1, near, torch.where(t < 2, far, 0))
    return taps / taps.sum()


def naive(x: Tensor, kernel: Tensor, scale: int) -> Tensor:
    """Term by term: the definition in the docstring."""
    (kh, kw), (height, width) = kernel.shape, x.shape[-2:]
    p, q = -((scale - kh) // 2), -((scale - kw) // 2)  # the ceiling of (kh - scale) / 2
    out = x.new_zeros(*x.shape[:-2], height // scale, width // scale)
    for i in range(height // scale):
        for j in range(width // scale):
            for u in range(kh):
                for v in range(kw):
                    out[..., i, j] += kernel[u, v] * x[..., (scale * i + u - p) % height, (scale * j + v - q) % width]
    return out


@pytest.mark.parametrize(("kernel", "scale"), [((3, 4), 2), ((2, 5), 3), ((1, 1), 4), ((7, 2), 1), ((5, 9), 4)])
def test_degradation_is_its_definition(kernel: tuple[int, int], scale: int) -> None:
    weights = torch.randn(kernel, dtype=torch.float64)
    x = torch.randn(2, 1, 2 * scale, 3 * scale, dtype=torch.float64)
    expected = naive(x, weights, scale)
    torch.testing.assert_close(CEMProjector(weights, scale).D(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8, 16])
def test_the_averaging_kernel_gives_block_averages(scale: int) -> None:
    kernel = torch.ones(scale, scale, dtype=torch.float64) / scale**2
    cem, blocks = CEMProjector(kernel, scale), BlockAverageProjector(scale)
    x, y = torch.rand(2, 3, 3 * scale, 4 * scale).double(), torch.rand(2, 3, 3, 4).double()
    torch.testing.assert_close(cem.D(x), blocks.D(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(cem.pinv(y), blocks.pinv(y), rtol=0, atol=1e-12)
    torch.testing.assert_close(cem.project(x, y), blocks.project(x, y), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("size", "offset"), [(1, 1), (3, 1), (5, 1), (2, 1), (4, 0), (6, -1)])
def test_the_kernel_is_centred_on_the_block(size: int, offset: int) -> None:
    """With s = 4, an odd kernel is centred on pixel 1 of the block's 0..3, an even one between pixels 1 and 2."""
    first_tap = torch.zeros(size, size)
    first_tap[0, 0] = 1
    x = torch.arange(64.0).reshape(1, 1, 8, 8)
    first = offset - (size // 2 if size % 2 else 0)
    assert CEMProjector(first_tap, 4).D(x)[0, 0, 1, 1].round().item() == x[0, 0, 4 + first, 4 + first].item()
    centre = torch.zeros(size, size)
    centre[size // 2, size // 2] = 1
    assert CEMProjector(centre, 4).D(x)[0, 0, 0, 0].round().item() == x[0, 0, 2 - size % 2, 2 - size % 2].item()


def test_bicubic_downscaling_by_four() -> None:
    taps = bicubic_taps(4)
    projector = CEMProjector(torch.outer(taps, taps), 4)
    x, y = torch.rand(2, 3, 64, 64).double(), torch.rand(2, 3, 16, 16).double()
    torch.testing.assert_close(projector.D(projector.project(x, y)), y, rtol=0, atol=1e-14)
    resized = F.interpolate(x, (16, 16), mode="bicubic", antialias=True)
    torch.testing.assert_close(projector.D(x)[..., 2:-2, 2:-2], resized[..., 2:-2, 2:-2], rtol=0, atol=1e-12)


def test_what_the_kernel_loses_is_left_as_it_is() -> None:
    """Blocks of width 2 s, every s: a LR checkerboard pattern cannot be had, and is not imposed."""
    projector = CEMProjector(torch.full((4, 4), 1 / 16), 2)
    pattern = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(2, 2)[None, None]
    x = torch.rand(1, 1, 8, 8)
    torch.testing.assert_close(projector.project(x, projector.D(x) + pattern), x)
    torch.testing.assert_close(projector.D(projector.project(x, 0.3 + pattern)), torch.full((1, 1, 4, 4), 0.3))


def test_tolerance() -> None:
    """(1, 0.9) every pixel: the highest frequency is scaled by 0.1, the lowest by 1.9."""
    kernel = torch.tensor([[1.0, 0.9]])
    x, y = torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, -1.0]]]])
    torch.testing.assert_close(CEMProjector(kernel, 1).D(CEMProjector(kernel, 1).project(x, y)), y)
    assert CEMProjector(kernel, 1, rtol=0.05).project(x, y).abs().max() > 9
    assert CEMProjector(kernel, 1, rtol=0.06).project(x, y).abs().max() < 1e-6


def test_the_settings_are_shown() -> None:
    assert repr(CEMProjector(torch.ones(3, 5), 4)) == "CEMProjector(kernel=(3, 5), scale=4, rtol=1e-06)"


def test_a_later_change_of_the_kernel_is_the_callers_alone() -> None:
    kernel = torch.ones(1, 1, dtype=torch.float64)
    projector = CEMProjector(kernel, 1)
    kernel.zero_()
    assert projector.D(torch.ones(1, 1, 1, 1)).item() == pytest.approx(1)
