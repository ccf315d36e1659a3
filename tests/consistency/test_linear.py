"""Any matrix, and a matrix per axis: rank, tolerance, and a library's own resizing, borders included."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from stochrobust.consistency import BlockAverageProjector, LinearProjector, SeparableProjector


def test_y_outside_the_range_is_brought_into_it() -> None:
    """A reads x_1 twice: of two values that disagree, it takes the mean."""
    projector = LinearProjector(torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    x_hat = projector.project(torch.tensor([[7.0, 5.0]]), torch.tensor([[1.0, 2.0]]))
    torch.testing.assert_close(x_hat, torch.tensor([[1.5, 5.0]]))
    torch.testing.assert_close(projector.D(x_hat), torch.tensor([[1.5, 1.5]]))


def test_tolerance() -> None:
    A = torch.diag(torch.tensor([1.0, 1e-3]))
    y = torch.ones(1, 2)
    torch.testing.assert_close(LinearProjector(A).pinv(y), torch.tensor([[1.0, 1e3]]))
    torch.testing.assert_close(LinearProjector(A, rtol=1e-2).pinv(y), torch.tensor([[1.0, 0.0]]))
    separable = SeparableProjector(height=A, width=torch.eye(1), rtol=1e-2)
    torch.testing.assert_close(separable.pinv(y.reshape(1, 1, 2, 1)).flatten(), torch.tensor([1.0, 0.0]))
    separable = SeparableProjector(height=torch.eye(1), width=A, rtol=1e-2)
    torch.testing.assert_close(separable.pinv(y.reshape(1, 1, 1, 2)).flatten(), torch.tensor([1.0, 0.0]))


def test_a_float32_matrix_of_low_rank_is_seen_as_such() -> None:
    A = torch.outer(torch.linspace(0.1, 1, 30), torch.linspace(0.3, 2, 40))
    assert torch.linalg.matrix_rank(A.double()) > 1, "its rounding has full rank"
    assert LinearProjector(A).pinv(torch.rand(1, 30)).abs().max() < 1


def test_block_averages_as_matrices() -> None:
    rows, columns = (torch.block_diag(*[torch.full((1, 2), 0.5)] * n).double() for n in (2, 3))
    x, y = torch.rand(2, 1, 4, 6).double(), torch.rand(2, 1, 2, 3).double()
    expected = BlockAverageProjector(2).project(x, y)
    torch.testing.assert_close(SeparableProjector(height=rows, width=columns).project(x, y), expected)
    torch.testing.assert_close(LinearProjector(torch.kron(rows, columns)).project(x, y.flatten(1)), expected)


@pytest.mark.parametrize("mode", ["bicubic", "bilinear"])
def test_a_librarys_own_resizing_borders_included(mode: str) -> None:
    def downscale(x: Tensor, size: tuple[int, int]) -> Tensor:
        return F.interpolate(x, size, mode=mode, antialias=True)

    def along(size: int) -> Tensor:
        return downscale(torch.eye(size, dtype=torch.float64)[None, None], (size // 4, size))[0, 0]

    projector = SeparableProjector(height=along(32), width=along(24))
    x, y = torch.rand(2, 3, 32, 24).double(), torch.rand(2, 3, 8, 6).double()
    torch.testing.assert_close(downscale(x, (8, 6)), projector.D(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(downscale(projector.project(x, y), (8, 6)), y, rtol=0, atol=1e-12)


def test_a_later_change_of_the_matrix_is_the_callers_alone() -> None:
    A = torch.eye(2, dtype=torch.float64)
    projector = LinearProjector(A)
    A.zero_()
    assert projector.D(torch.ones(1, 2)).tolist() == [[1.0, 1.0]]
