"""Inpainting: the observed pixels are those of y, bit for bit, and nothing else of y is read."""

from __future__ import annotations

import pytest
import torch

from stochrobust.consistency import InpaintingProjector


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32, torch.uint8])
def test_the_papers_mask(dtype: torch.dtype) -> None:
    projector = InpaintingProjector((torch.arange(64)[:, None] >= 48).to(dtype))
    x, y = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)
    x_hat = projector.project(x, y)
    assert torch.equal(x_hat[:, :, :48], x[:, :, :48])
    assert torch.equal(x_hat[:, :, 48:], y[:, :, 48:])
    assert torch.equal(projector.D(x)[:, :, 48:], x[:, :, 48:])
    assert projector.D(x)[:, :, :48].count_nonzero() == 0


def test_what_is_not_observed_does_not_leak() -> None:
    projector = InpaintingProjector(torch.tensor([True, False]))
    x = torch.tensor([[1.0, 2.0]], requires_grad=True)
    y = torch.tensor([[3.0, torch.nan]], requires_grad=True)
    assert projector.project(x, y).tolist() == [[3.0, 2.0]]
    assert projector.residual(x, y).tolist() == [[2.0, 0.0]]
    assert projector.pinv(y).tolist() == [[3.0, 0.0]]
    grad_x, grad_y = torch.autograd.grad(projector.project(x, y).sum() + projector.residual(x, y).sum(), (x, y))
    assert grad_x.tolist() == [[-1.0, 1.0]]
    assert grad_y.tolist() == [[2.0, 0.0]]


def test_a_later_change_of_the_mask_is_the_callers_alone() -> None:
    mask = torch.ones(2, dtype=torch.bool)
    projector = InpaintingProjector(mask)
    mask[0] = False
    assert projector.D(torch.ones(1, 2)).tolist() == [[1.0, 1.0]]


def test_one_mask_per_sample() -> None:
    projector = InpaintingProjector(torch.tensor([[1, 0], [0, 1]]))
    assert projector.project(torch.zeros(2, 2), torch.ones(2, 2)).tolist() == [[1.0, 0.0], [0.0, 1.0]]
    with pytest.raises(ValueError, match="x must have a shape that a mask of"):
        projector.project(torch.zeros(4, 2), torch.ones(4, 2))
