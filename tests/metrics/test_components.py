"""Errors along the directions of the outputs: closed forms, a naive version, and spread in wrong places."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from stochrobust import posterior_components

N, S = 1500, 12
SCALE = torch.tensor([3.0, 1.5, 0.7, 0.3, 0.1], dtype=torch.float64)


def drawn(of_samples: Tensor = SCALE, n_seeds: int = S) -> tuple[Tensor, Tensor]:
    means = torch.randn(N, 5, dtype=torch.float64)
    samples = means[:, None] + of_samples * torch.randn(N, n_seeds, 5, dtype=torch.float64)
    return samples.flatten(0, 1), means + SCALE * torch.randn(N, 5, dtype=torch.float64)


@pytest.mark.parametrize("n_seeds", [4, 5, 12])
def test_the_ratio_of_a_posterior_sampler_is_one(n_seeds: int) -> None:
    found = posterior_components(*drawn(n_seeds=n_seeds), n_seeds, k=2)
    kept = min(2, n_seeds // 2 - 1)
    assert found.error.shape == (N, kept + 1)
    assert found.ratio.tolist() == pytest.approx([1.0] * (kept + 1), abs=0.12)
    assert found.outside[0] == pytest.approx(found.outside[1], abs=0.03)


def test_the_ratio_is_the_square_of_what_the_spread_lacks() -> None:
    found = posterior_components(*drawn(SCALE / 2), S)
    # the mean of six outputs errs by SCALE^2 (1 + 1/24) where it should by SCALE^2 / 4 (1 + 1/6)
    assert found.ratio.tolist() == pytest.approx([4 * (1 + 1 / 24) / (1 + 1 / 6)] * 4, rel=0.12)


def test_spread_in_wrong_places_is_seen() -> None:
    found = posterior_components(*drawn(SCALE.flip(0)), S, k=1)  # as much in all
    assert found.ratio[0] < 0.2
    assert found.ratio[1] > 2
    assert found.outside[0] > found.outside[1] + 0.3


def test_components_are_what_their_formula_says() -> None:
    samples, x = torch.randn(3 * 7, 2, 2, dtype=torch.float64), torch.randn(3, 2, 2, dtype=torch.float64)
    found = posterior_components(samples, x, 7, k=2)
    for b in range(3):
        own = samples[7 * b : 7 * b + 7].flatten(1)
        values, vectors = torch.linalg.eigh(own[:3].T.cov())
        w = vectors[:, values.argsort(descending=True)[:2]]
        missed, rest = x[b].flatten() - own[3:].mean(0), own[3:] - own[3:].mean(0)
        along, variances = (w.T @ missed).square(), (rest @ w).square().sum(0) / 3
        assert found.error[b, :2].tolist() == pytest.approx(along.tolist())
        assert found.error[b, 2].item() == pytest.approx((missed.square().sum() - along.sum()).item())
        assert found.expected[b, :2].tolist() == pytest.approx((1.25 * variances).tolist())
        total = rest.square().sum() / 3
        assert found.expected[b, 2].item() == pytest.approx((1.25 * (total - variances.sum())).item())


def test_directions_are_chosen_by_other_outputs() -> None:
    # from the same ones the variances along them would be too large: this is what holding them out is for
    found = posterior_components(*drawn(torch.ones(5).double(), n_seeds=6), 6, k=1)
    assert found.expected[:, 0].mean().item() == pytest.approx((1 + 1 / 3), rel=0.1)


def test_k_is_at_most_what_there_is() -> None:
    assert posterior_components(torch.randn(80, 2), torch.randn(5, 2), 16, k=9).error.shape == (5, 3)
    assert posterior_components(torch.randn(20, 9), torch.randn(5, 9), 4, k=9).error.shape == (5, 2)
    whole = posterior_components(torch.randn(80, 2), torch.randn(5, 2), 16, k=2)
    assert whole.error[:, 2].max() < 1e-5


def test_outputs_that_do_not_vary() -> None:
    found = posterior_components(torch.zeros(8, 3), torch.ones(2, 3), 4)
    assert found.expected.abs().max() == 0
    assert found.error.sum().item() == pytest.approx(6)
    assert found.ratio.max() == torch.inf


def test_kinds_of_floats() -> None:
    samples, x = torch.rand(8, 3), torch.rand(2, 3)
    assert posterior_components(samples.double(), x.double(), 4).error.dtype == torch.float64
    assert posterior_components(samples.bfloat16(), x.bfloat16(), 4).expected.dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"samples": torch.ones(5, 3)}, ValueError, "samples must have 4 rows for each of x"),
        ({"n_seeds": 3}, ValueError, "n_seeds must be at least 4, got 3"),
        ({"k": 0}, ValueError, "k must be at least 1"),
        ({"k": 1.5}, TypeError, "k must be an integer"),
        ({"x": torch.ones(2, 3, dtype=torch.long)}, TypeError, "x must have a real floating-point"),
    ],
)
def test_wrong_arguments(change: dict[str, Any], error: type[Exception], message: str) -> None:
    good: dict[str, Any] = {"samples": torch.ones(8, 3), "x": torch.ones(2, 3), "n_seeds": 4}
    with pytest.raises(error, match=message):
        posterior_components(**(good | change))
