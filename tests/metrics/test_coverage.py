"""Ranks by distance from a reference: even for the posterior, and what each reference sees of what is none."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from stochrobust import SampleKeys, coverage_ranks, coverage_test
from stochrobust.metrics.coverage import holm

N, S, D = 800, 7, 6
SCALE = torch.tensor([2.0, 1.0, 1.0, 0.5, 0.5, 0.2], dtype=torch.float64)


def drawn(spread: Tensor | float = 1.0, shift: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs, sources and means of N(mean, diag(SCALE^2)); outputs have another spread and mean where told."""
    means = torch.randn(N, D, dtype=torch.float64)
    x = means + SCALE * torch.randn(N, D, dtype=torch.float64)
    samples = means[:, None] + shift + spread * SCALE * torch.randn(N, S, D, dtype=torch.float64)
    return samples.flatten(0, 1), x, means


def test_ranks_are_what_their_formula_says() -> None:
    samples, x, reference = torch.randn(12, 2, 3), torch.randn(4, 2, 3), torch.randn(4, 2, 3)
    found = coverage_ranks(samples, x, 3, reference=reference)
    for b in range(4):
        own = (x[b] - reference[b]).norm()
        assert found[b].item() == sum(bool((samples[3 * b + s] - reference[b]).norm() < own) for s in range(3))
    one = coverage_ranks(samples, x, 3, reference=reference[:1])
    assert torch.equal(one, coverage_ranks(samples, x, 3, reference=reference[:1].expand(4, 2, 3)))
    assert found.dtype == torch.int64


@pytest.mark.parametrize("kind", ["another", "mean", "own", "zero"])
def test_ranks_of_a_posterior_sampler_are_even(kind: str) -> None:
    samples, x, means = drawn()
    references = {"another": x.roll(1, 0), "mean": means, "own": means + 9, "zero": torch.zeros(1, D).double()}
    ranks = coverage_ranks(samples, x, S, reference=references[kind])
    assert ranks.min() == 0
    assert ranks.max() == S
    found = coverage_test(ranks, S)
    assert found.p_value.item() > 0.001
    assert found.gap.item() < 1.63 / math.sqrt(N)


@pytest.mark.parametrize(
    ("options", "low"),
    [({"spread": 0.7}, False), ({"spread": 1.4}, True), ({"shift": 0.5}, False)],
)
def test_ranks_show_what_is_wrong(options: dict[str, float], low: bool) -> None:
    samples, x, means = drawn(**options)
    ranks = coverage_ranks(samples, x, S, reference=means + options.get("shift", 0.0))
    found = coverage_test(ranks, S)
    assert found.p_value.item() < 1e-4
    assert (ranks.double().mean() < S / 2).item() is low


def test_features_decide_what_is_seen() -> None:
    samples, x, means = drawn(1 + 2 * (SCALE == 0.2))  # wrong only where the images hardly vary
    plain = coverage_test(coverage_ranks(samples, x, S, reference=means), S)
    white = coverage_test(coverage_ranks(samples, x, S, reference=means, features=lambda v: v / SCALE), S)
    assert white.p_value.item() < 1e-6 < plain.p_value.item()


def test_equal_distances_rank_at_random_by_the_generator() -> None:
    samples, x = torch.zeros(3 * 20_000, 1), torch.zeros(20_000, 1)
    options: dict[str, Any] = {"reference": torch.ones(1, 1)}
    ranks = coverage_ranks(samples, x, 3, generator=torch.Generator().manual_seed(1), **options)
    assert (ranks.bincount(minlength=4) / 20_000 - 0.25).abs().max() < 0.015
    assert torch.equal(ranks, coverage_ranks(samples, x, 3, generator=torch.Generator().manual_seed(1), **options))
    assert not torch.equal(ranks, coverage_ranks(samples, x, 3, generator=torch.Generator().manual_seed(2), **options))
    both = coverage_ranks(samples[:600], x[:200], 3, generator=SampleKeys(range(200)), **options)
    alone = coverage_ranks(samples[300:600], x[100:200], 3, generator=SampleKeys(range(100, 200)), **options)
    assert torch.equal(both[100:], alone)


def test_the_size_of_the_effect_does_not_grow_with_the_inputs() -> None:
    few, many = (torch.tensor([0, 0, 1, 2, 3, 3]).repeat(n) for n in (10, 1000))
    first, second = coverage_test(few, 3), coverage_test(many, 3)
    assert first.gap.item() == pytest.approx(1 / 12)
    assert second.gap.item() == pytest.approx(1 / 12)
    assert second.p_value < first.p_value


def test_the_statistic_is_pearsons_where_all_shapes_are_looked_for() -> None:
    from scipy.stats import chisquare

    ranks = torch.tensor([0] * 9 + [1] * 4 + [2] * 12 + [3] * 5)
    expected = chisquare(ranks.bincount().numpy()).pvalue  # four ranks: three shapes, all of them
    assert coverage_test(ranks, 3).p_value.item() == pytest.approx(expected, rel=1e-9)


def test_a_slope_is_seen_that_pearson_misses() -> None:
    from scipy.stats import chisquare

    ranks = torch.arange(16).repeat_interleave(torch.arange(38, 22, -1))
    assert chisquare(ranks.bincount().numpy()).pvalue > 0.5
    assert coverage_test(ranks, 15).p_value.item() < 0.03


def test_several_references_are_corrected_for() -> None:
    assert holm(torch.tensor([0.01, 0.04, 0.03, 0.5])).tolist() == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm(torch.tensor([0.7, 0.6])).tolist() == [1.0, 1.0]
    rows = torch.stack([torch.arange(4).repeat(25), torch.tensor([0, 0, 1, 2]).repeat(25)])
    alone = coverage_test(rows[1], 3)
    both = coverage_test(rows, 3)
    assert both.p_value[1].item() == pytest.approx(2 * alone.p_value.item())
    assert both.gap.tolist() == [0.0, alone.gap.item()]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"samples": torch.ones(5, 3)}, ValueError, "samples must have 2 rows for each of x"),
        ({"x": torch.ones(2, 3) * torch.nan}, ValueError, "x must be finite"),
        ({"n_seeds": 2.0}, TypeError, "n_seeds must be an integer"),
        ({"reference": torch.ones(3, 3)}, ValueError, "reference must have one row or those of x"),
        ({"reference": torch.ones(2, 4)}, ValueError, "reference must have one row or those of x"),
        ({"reference": torch.ones(2, 3) * torch.inf}, ValueError, "reference must be finite"),
        ({"reference": "x"}, TypeError, "reference must be a torch.Tensor"),
        ({"features": lambda v: v.sum()}, ValueError, "what features returns must have 2 dimensions"),
        ({"features": lambda v: v[:1]}, ValueError, "what features returns must have a row for each image"),
    ],
)
def test_wrong_arguments(change: dict[str, Any], error: type[Exception], message: str) -> None:
    good = {"samples": torch.ones(4, 3), "x": torch.ones(2, 3), "n_seeds": 2, "reference": torch.ones(1, 3)}
    call: Callable[..., Tensor] = coverage_ranks
    with pytest.raises(error, match=message):
        call(**(good | change))


@pytest.mark.parametrize(
    ("ranks", "error", "message"),
    [
        (torch.ones(3), TypeError, "ranks must be a tensor of integers"),
        ([1, 2], TypeError, "ranks must be a tensor of integers"),
        (torch.ones(0, dtype=torch.long), ValueError, "not empty"),
        (torch.tensor(1), ValueError, "ranks must be"),
        (torch.tensor([0, 4]), ValueError, "ranks must be from 0 to 3, got 0 to 4"),
        (torch.tensor([-1, 2]), ValueError, "ranks must be from 0 to 3, got -1 to 2"),
    ],
)
def test_wrong_ranks(ranks: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        coverage_test(ranks, 3)
