"""Block averages: closed forms of the paper's super-resolution."""

from __future__ import annotations

import pytest
import torch

from stochrobust.consistency import BlockAverageProjector


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8, 16])
def test_closed_form(scale: int) -> None:
    projector = BlockAverageProjector(scale)
    x, y = torch.rand(2, 3, 3 * scale, 2 * scale).double(), torch.rand(2, 3, 3, 2).double()
    means = x.reshape(2, 3, 3, scale, 2, scale).mean((3, 5))
    nearest = y.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    torch.testing.assert_close(projector.D(x), means, rtol=0, atol=1e-14)
    assert torch.equal(projector.pinv(y), nearest)
    torch.testing.assert_close(projector.D(nearest), y, rtol=0, atol=1e-14)
    torch.testing.assert_close(projector.D(projector.project(x, y)), y, rtol=0, atol=1e-14)


def test_measured_accuracy_in_float32() -> None:
    projector = BlockAverageProjector(4)
    x, y = torch.rand(4, 3, 64, 64), torch.rand(4, 3, 16, 16)
    x_hat = projector.project(x, y)
    assert (projector.D(x_hat.double()) - y).abs().max() < 5e-7


def test_the_scale_is_shown() -> None:
    assert repr(BlockAverageProjector(4)) == "BlockAverageProjector(scale=4)"
