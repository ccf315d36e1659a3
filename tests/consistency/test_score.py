"""Consistency in decibels, of floats and of what eight bits keep."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from stochrobust.consistency import BlockAverageProjector, ConsistencyPSNR, InpaintingProjector, consistency_psnr

IDENTITY = BlockAverageProjector(1)


def flat(value: float) -> Tensor:
    return torch.full((1, 1, 2, 2), value, dtype=torch.float64)


def test_closed_form_per_sample() -> None:
    x_hat = torch.cat([flat(0.4), flat(0.31), flat(0.3)])
    score = consistency_psnr(x_hat, flat(0.3).expand(3, 1, 2, 2), IDENTITY)
    assert isinstance(score, ConsistencyPSNR)
    assert score.raw.tolist() == pytest.approx([20, 40, math.inf])
    stored = torch.tensor([102, 79, 77], dtype=torch.float64) / 255  # 0.4, 0.31 and 0.3 (76.5, which may go either way)
    assert score.rounded[:2].tolist() == pytest.approx((-20 * (stored[:2] - 0.3).abs().log10()).tolist())
    assert score.rounded[2] == pytest.approx(-20 * math.log10(0.5 / 255))


def test_the_projector_degrades() -> None:
    x_hat = torch.tensor([[[[0.0, 0.2], [0.4, 0.6]]]])
    assert consistency_psnr(x_hat, torch.full((1, 1, 1, 1), 0.4), BlockAverageProjector(2)).raw.item() == pytest.approx(
        20
    )


def test_data_range() -> None:
    unit = consistency_psnr(flat(0.4), flat(0.3), IDENTITY)
    bytes_ = consistency_psnr(255 * flat(0.4), 255 * flat(0.3), IDENTITY, data_range=255)
    torch.testing.assert_close(unit, bytes_)
    assert consistency_psnr(flat(0.4), flat(0.3), IDENTITY, data_range=10).raw.item() == pytest.approx(40)


def test_clamping_counts_in_rounded_only() -> None:
    score = consistency_psnr(torch.cat([flat(1.1), flat(-0.1)]), torch.cat([flat(1.1), flat(-0.1)]), IDENTITY)
    assert score.raw.tolist() == [math.inf, math.inf]
    assert score.rounded.tolist() == pytest.approx([20, 20])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_projected_images(dtype: torch.dtype) -> None:
    projector = BlockAverageProjector(4)
    x, y = 0.4 + 0.2 * torch.rand(2, 3, 16, 16), 0.4 + 0.2 * torch.rand(2, 3, 4, 4)  # so that nothing is clamped
    score = consistency_psnr(projector.project(x.to(dtype), y.to(dtype)), y.to(dtype), projector)
    assert score.raw.dtype == torch.promote_types(dtype, torch.float32)
    assert (score.raw > -20 * math.log10(torch.finfo(dtype).eps)).all()
    eight_bits_averaged = 20 * math.log10(255) + 10 * math.log10(12) + 10 * math.log10(16)
    assert score.rounded.tolist() == pytest.approx([eight_bits_averaged] * 2, abs=2)


def test_unobserved_pixels_are_not_read() -> None:
    projector = InpaintingProjector(torch.tensor([True, False, False, False]))
    y = torch.tensor([[0.5, torch.nan, 3.0, 4.0]])
    score = consistency_psnr(torch.tensor([[0.6, 0.0, 0.0, 0.0]]), y, projector)
    assert score.raw.item() - 10 * math.log10(4) == pytest.approx(20, abs=1e-4)
    assert consistency_psnr(projector.project(y.nan_to_num(), y), y, projector).raw.item() == math.inf


def test_low_precision_is_widened_before_it_is_rounded() -> None:
    x_hat = torch.rand(1, 1, 8, 8).bfloat16()
    score = consistency_psnr(x_hat, x_hat.float(), IDENTITY)
    assert score.raw.item() == math.inf
    assert score.rounded.dtype == torch.float32
    assert score.rounded.item() == pytest.approx(20 * math.log10(255) + 10 * math.log10(12), abs=1)


def test_bad_input() -> None:
    x_hat, y = flat(0.1), flat(0.1)
    with pytest.raises(TypeError, match="projector must have D, pinv, residual and project"):
        consistency_psnr(x_hat, y, lambda x: x)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="data_range must be a finite number above"):
        consistency_psnr(x_hat, y, IDENTITY, data_range=0.0)
    with pytest.raises(TypeError, match="x_hat must have a real floating-point dtype"):
        consistency_psnr(x_hat.long(), y, IDENTITY)
    with pytest.raises(ValueError, match=r"y must have the shape of D\(x\)"):
        consistency_psnr(x_hat, y[:, :, :1], IDENTITY)
    with pytest.raises(ValueError, match=r"y - D\(x_hat\) must be finite, got 4 NaN"):
        consistency_psnr(x_hat * torch.nan, y, IDENTITY)
