"""What a linear restorer must amplify: closed forms, the map written out, and the choice of the ridge."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from stochrobust import LinearReference, linear_reference, psnr
from stochrobust.metrics.linear import RIDGES


def rows(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def written_out(y: Tensor, x: Tensor, ridge: float) -> Tensor:
    """K_r, by its formula."""
    a, b = y - y.mean(0), x - x.mean(0)
    c = a.T @ a / len(y)
    K: Tensor = b.T @ a / len(y) @ torch.linalg.inv(c + ridge * c.diagonal().mean() * torch.eye(len(c)).double())
    return K


@pytest.mark.parametrize("shape", [(40, 5, 3), (12, 30, 4), (25, 70, 80)])
def test_every_ridge_is_the_map_written_out(shape: tuple[int, int, int]) -> None:
    n, n_y, n_x = shape  # fewer elements than pairs; more, in the dual form; both sides large
    y, x, ridges = rows(n, n_y), rows(n, n_x), (1e-3, 0.1, 2.0)
    found = linear_reference(y, x, ridges=ridges)
    maps = [written_out(y, x, ridge) for ridge in ridges]
    exact = [torch.linalg.matrix_norm(K, 2).item() for K in maps]
    assert found.ridges == ridges
    assert found.sigma_max == pytest.approx(exact, rel=1e-6)
    assert found.amplification == pytest.approx([value * math.sqrt(n_y / n_x) for value in exact], rel=1e-6)


def test_the_largest_singular_value_is_found_in_wide_spectra_too() -> None:
    y, x = rows(300, 100) * torch.logspace(-2, 1, 100).double(), rows(300, 90)
    x = x + y[:, :90]
    for ridge, found in zip(RIDGES, linear_reference(y, x).sigma_max, strict=True):
        assert found == pytest.approx(torch.linalg.matrix_norm(written_out(y, x, ridge), 2).item(), rel=1e-4)


@pytest.mark.parametrize("folds", [2, 5])
def test_errors_are_of_pairs_left_out(folds: int) -> None:
    y, x = rows(20, 3), rows(20, 2)
    found = linear_reference(y, x, ridges=(0.1, 1.0), folds=folds)
    for ridge, value in zip(found.ridges, found.psnr, strict=True):
        errors = []
        for fold in range(folds):
            out = torch.arange(20) % folds == fold
            K = written_out(y[~out], x[~out], ridge)
            errors.append((x[~out].mean(0) + (y[out] - y[~out].mean(0)) @ K.T - x[out]).square())
        error = torch.cat(errors).mean()
        assert value == pytest.approx(psnr(error.sqrt().reshape(1, 1), torch.zeros(1, 1).double()).item())


def test_the_exact_map_of_gaussians_is_found() -> None:
    gains = torch.tensor([1.0, 0.5, 0.25]).double()
    x = rows(6000, 3)
    y = gains * x + 0.1 * rows(6000, 3)
    found = linear_reference(y, x)
    exact = (gains / (gains.square() + 0.01)).max().item()
    assert found.amplification[found.chosen] == pytest.approx(exact, rel=0.1)


def test_amplification_is_per_element() -> None:
    y = rows(200, 1)
    found = linear_reference(y, torch.cat([y] * 4, 1))  # sigma_max is 2, and no element moves by more than y's
    assert found.sigma_max[0] == pytest.approx(2, rel=1e-4)
    assert found.amplification[0] == pytest.approx(1, rel=1e-4)


def test_a_small_ridge_that_gains_nothing_is_not_taken() -> None:
    torch.manual_seed(0)
    y = rows(60, 10) * torch.logspace(0, -2, 10).double()
    x = y.sum(1, keepdim=True) + rows(60, 1)
    found = linear_reference(y, x)
    best = max(range(len(RIDGES)), key=lambda index: found.psnr[index])
    assert found.chosen > best
    assert found.psnr[found.chosen] > found.psnr[best] - 0.5
    assert found.amplification[found.chosen] < 0.9 * found.amplification[best]


def test_images_of_any_shape_and_dtype_count_by_their_elements() -> None:
    y, x = rows(30, 1, 2, 2), rows(30, 3, 4, 4)
    assert linear_reference(y, x) == linear_reference(y.flatten(1), x.flatten(1))
    assert isinstance(linear_reference(y.float().half(), x.bfloat16()), LinearReference)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": torch.rand(9, 2)}, ValueError, "x must have a row for each of y"),
        ({"x": torch.rand(10, 2) * torch.nan}, ValueError, "x must be finite"),
        ({"y": torch.ones(10, 2)}, ValueError, "y must vary"),
        ({"y": torch.ones(10, 2, dtype=torch.long)}, TypeError, "y must have a real floating-point"),
        ({"folds": 1}, ValueError, "folds must be at least 2"),
        ({"folds": 6}, ValueError, "2 pairs for each of the 6 folds"),
        ({"ridges": (0.0,)}, ValueError, "ridges must be a finite number above"),
        ({"ridges": (1.0, 0.5)}, ValueError, "ridges must ascend"),
        ({"ridges": ()}, ValueError, "ridges must ascend, at least one"),
    ],
)
def test_wrong_arguments(change: dict[str, Any], error: type[Exception], message: str) -> None:
    good: dict[str, Any] = {"y": torch.rand(10, 2), "x": torch.rand(10, 2)}
    with pytest.raises(error, match=message):
        linear_reference(**(good | change))
