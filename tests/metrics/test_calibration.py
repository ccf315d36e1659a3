"""CRPS, ranks, and spread over error: closed forms of Gaussians, naive versions, and what they say of no spread."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from stochrobust import SampleKeys, crps, rank_histogram, spread_error
from stochrobust.metrics.calibration import squared_spread_and_error

N, S, SIGMA = 4000, 5, 0.3


def forecasts(width: float = 1.0, n_seeds: int = S) -> tuple[Tensor, Tensor]:
    """Samples of N(mean, (width sigma)^2), and sources of N(mean, sigma^2); means differ between the inputs."""
    means = torch.rand(N, 1, 3, dtype=torch.float64)
    samples = means + width * SIGMA * torch.randn(N, n_seeds, 3, dtype=torch.float64)
    return samples.flatten(0, 1), means[:, 0] + SIGMA * torch.randn(N, 3, dtype=torch.float64)


@pytest.mark.parametrize("n_seeds", [2, 5])
def test_crps_of_a_gaussian_posterior(n_seeds: int) -> None:
    found = crps(*forecasts(n_seeds=n_seeds), n_seeds)
    assert found.mean().item() == pytest.approx(SIGMA / math.sqrt(math.pi), rel=0.03)  # whatever the number of samples


def test_crps_is_least_for_the_posterior() -> None:
    scores = [crps(*forecasts(width), S).mean() for width in (0.3, 1.0, 2.0)]
    assert scores[1] < scores[0]
    assert scores[1] < scores[2]


def test_crps_is_what_its_formula_says() -> None:
    samples, x = torch.randn(6, 2, 2), torch.randn(2, 2, 2)
    for b in range(2):
        own = samples[3 * b : 3 * b + 3]
        pairs = torch.stack([(own[s] - own[t]).abs() for s in range(3) for t in range(3) if s != t])
        expected = (own - x[b]).abs().mean(0) - pairs.mean(0) / 2
        assert crps(samples, x, 3)[b].item() == pytest.approx(expected.mean().item(), abs=1e-6)


def test_crps_of_one_sample_is_its_mean_absolute_error() -> None:
    samples, x = torch.randn(4, 3), torch.randn(4, 3)
    assert torch.allclose(crps(samples, x, 1), (samples - x).abs().mean(1))


def test_crps_scales_and_has_a_gradient() -> None:
    samples, x = torch.randn(6, 3), torch.randn(2, 3)
    assert torch.allclose(crps(255 * samples, 255 * x, 3), 255 * crps(samples, x, 3), atol=1e-4)
    assert torch.autograd.gradcheck(lambda s: crps(s, x.double(), 3), samples.double().requires_grad_())


def test_ranks_of_a_gaussian_posterior_are_even() -> None:
    shares = rank_histogram(*forecasts(), S)
    assert shares.shape == (N, S + 1)
    assert torch.allclose(shares.sum(1), torch.ones(N, dtype=torch.float64))
    assert (shares.mean(0) - 1 / (S + 1)).abs().max() < 0.015


def test_ranks_show_too_little_and_too_much_spread() -> None:
    narrow, wide = (rank_histogram(*forecasts(width), S).mean(0) for width in (0.3, 2.0))
    assert narrow[0] > 0.3 > narrow[2]
    assert wide[0] < 0.1 < wide[2]
    low = rank_histogram(torch.zeros(2, 4), torch.ones(1, 4), 2)  # the source above both
    assert low.tolist() == [[0, 0, 1]]


def test_equal_values_rank_at_random_by_the_generator() -> None:
    fixed = torch.zeros(3, 30_000), torch.zeros(1, 30_000)
    shares = rank_histogram(*fixed, 3, generator=torch.Generator().manual_seed(1))
    assert (shares - 0.25).abs().max() < 0.01
    assert torch.equal(shares, rank_histogram(*fixed, 3, generator=torch.Generator().manual_seed(1)))
    assert not torch.equal(shares, rank_histogram(*fixed, 3, generator=torch.Generator().manual_seed(2)))
    both = rank_histogram(torch.zeros(4, 9), torch.zeros(2, 9), 2, generator=SampleKeys([5, 6]))
    alone = rank_histogram(torch.zeros(2, 9), torch.zeros(1, 9), 2, generator=SampleKeys([6]))
    assert torch.equal(both[1:], alone)


@pytest.mark.parametrize("n_seeds", [2, 5])
@pytest.mark.parametrize("width", [1.0, 0.5, 2.0])
def test_spread_over_error_of_gaussians(width: float, n_seeds: int) -> None:
    # that of the law, whatever the number of outputs that stand for it
    assert spread_error(*forecasts(width, n_seeds), n_seeds).item() == pytest.approx(width, rel=0.06)


def test_spread_over_error_is_what_its_formula_says() -> None:
    samples, x = 0.3 * torch.randn(6, 4, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    outputs = samples.reshape(2, 3, 4)
    mean = (outputs[:, 0] + outputs[:, 1] + outputs[:, 2]) / 3
    variance = (outputs - mean[:, None]).square().sum(1) / 2
    expected = variance.mean() / ((mean - x).square().mean() - variance.mean() / 3)
    assert spread_error(samples, x, 3).item() == pytest.approx(expected.sqrt().item())
    assert squared_spread_and_error(samples, x, 3).law_error(3).mean().item() == pytest.approx(
        ((mean - x).square().mean() - variance.mean() / 3).item()
    )


def test_spread_over_error_at_the_awkward_points() -> None:
    x = torch.zeros(1, 2)
    assert spread_error(torch.ones(2, 2), x, 2).item() == 0
    assert spread_error(torch.tensor([[-1.0, -1.0], [1.0, 1.0]]), x, 2).item() == math.inf
    assert math.isnan(spread_error(torch.zeros(2, 2), x, 2).item())


def test_spread_and_error_of_each_input() -> None:
    samples, x = torch.randn(6, 4), torch.randn(2, 4)
    found = squared_spread_and_error(samples, x, 3)
    assert torch.allclose(found.spread, samples.reshape(2, 3, 4).var(1).mean(1))
    assert torch.allclose(found.error, (samples.reshape(2, 3, 4).mean(1) - x).square().mean(1))
    assert squared_spread_and_error(x, x, 1).spread.tolist() == [0, 0]


CALLS: dict[str, Callable[..., Any]] = {"crps": crps, "ranks": rank_histogram, "spread": spread_error}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_kinds_of_floats(call: Callable[..., Any]) -> None:
    samples, x = torch.rand(4, 8), torch.rand(2, 8)
    assert call(samples.double(), x.double(), 2).dtype == torch.float64
    assert call(samples.bfloat16(), x.bfloat16(), 2).dtype == torch.float32


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((torch.ones(4, 3, dtype=torch.uint8), torch.ones(2, 3), 2), TypeError, "samples must have a real floating"),
        ((torch.ones(4, 3), torch.ones(2, 3, dtype=torch.long), 2), TypeError, "x must have a real floating-point"),
        ((torch.ones(5, 3), torch.ones(2, 3), 2), ValueError, "samples must have 2 rows for each of x"),
        ((torch.ones(4, 1), torch.ones(2, 3), 2), ValueError, "samples must have 2 rows for each of x"),
        ((torch.ones(4, 3) * torch.nan, torch.ones(2, 3), 2), ValueError, "samples must be finite"),
        ((torch.ones(4, 3), torch.ones(2, 3) * torch.inf, 2), ValueError, "x must be finite"),
        ((torch.ones(4, 3), torch.ones(2, 3), 0), ValueError, "n_seeds must be at least"),
    ],
)
def test_wrong_arguments(call: Callable[..., Any], arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(*arguments)


def test_a_spread_needs_two_seeds() -> None:
    with pytest.raises(ValueError, match="n_seeds must be at least 2, got 1"):
        spread_error(torch.ones(2, 3), torch.ones(2, 3), 1)
