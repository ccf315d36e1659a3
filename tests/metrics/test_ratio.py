"""Intervals of ratios of means: Fieller's ends found by trial, their coverage, and where the lower mean is no help."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy.stats import ttest_1samp
from torch import Tensor

from stochrobust import interval_of_ratio


def pairs(n: int, mean: float = 2.0) -> tuple[Tensor, Tensor]:
    noise = torch.randn(2, n, dtype=torch.float64)
    return 3 * mean + noise[0], mean + 0.5 * noise[0] + noise[1]


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_its_ends_are_the_ratios_that_a_t_test_just_tolerates(level: float) -> None:
    a, b = pairs(12)
    found = interval_of_ratio(a, b, level=level)
    assert found.estimate == pytest.approx((a.mean() / b.mean()).item())
    for end in (found.low, found.high):
        assert ttest_1samp((a - end * b).numpy(), 0).pvalue == pytest.approx(1 - level)
    assert found.low < found.estimate < found.high


def test_it_holds_the_ratio_as_often_as_it_says() -> None:
    found = [interval_of_ratio(*pairs(20, mean=0.6)) for _ in range(600)]
    assert 0.92 < sum(i.low <= 3 <= i.high for i in found) / 600 < 0.98
    assert any(math.isinf(i.high) for i in found)


def test_its_standard_error_is_that_of_first_order() -> None:
    estimates = torch.tensor([interval_of_ratio(*pairs(400)).estimate for _ in range(400)])
    assert interval_of_ratio(*pairs(400)).standard_error == pytest.approx(estimates.std().item(), rel=0.2)


def test_a_lower_mean_that_is_not_above_zero_leaves_a_lower_end() -> None:
    a = torch.tensor([2.0, 4.0, 6.0, 5.0])
    for b in (torch.tensor([1.0, -2.0, 3.0, -3.0]), torch.tensor([-1.0, -2.0, -3.0, -2.0])):
        found = interval_of_ratio(a, b)
        assert math.isinf(found.estimate)
        assert math.isinf(found.high)
        assert 0 < found.low < math.inf


def test_nothing_above() -> None:
    found = interval_of_ratio(torch.zeros(4), torch.rand(4) + 1)
    assert (found.estimate, found.low, found.high) == (0, 0, 0)
    both = interval_of_ratio(torch.zeros(4), torch.zeros(4))
    assert math.isnan(both.estimate)
    uncertain = interval_of_ratio(torch.tensor([3.0, -1.0, 2.0, -1.0]), torch.rand(4) + 1)
    assert uncertain.low == 0
    assert 0 < uncertain.high < math.inf


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"numerators": torch.ones(3, dtype=torch.long)}, TypeError, "numerators must be a tensor of a real floating"),
        ({"denominators": [1.0, 2.0]}, TypeError, "denominators must be a tensor"),
        ({"denominators": torch.ones(4)}, ValueError, "a value for each of numerators, 3, got 4"),
        ({"numerators": torch.ones(3, 1)}, ValueError, "numerators must be a vector of at least 2"),
        ({"numerators": torch.ones(3) * torch.nan}, ValueError, "numerators must be finite"),
        ({"level": 1.0}, ValueError, "level must be between 0 and 1"),
    ],
)
def test_wrong_arguments(change: dict[str, Any], error: type[Exception], message: str) -> None:
    good: dict[str, Any] = {"numerators": torch.ones(3), "denominators": torch.ones(3)}
    with pytest.raises(error, match=message):
        interval_of_ratio(**(good | change))
