"""Evidence on the law of the outputs, and on steepness: what it reads on samplers whose law is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from stochrobust import AuditSettings, linear_reference
from stochrobust.auditing.law import SKETCH, Outputs, law_numbers, sketch
from stochrobust.auditing.quality import shortfall
from stochrobust.auditing.steepness import Pairs, steepness

N, S, D = 300, 8, 6
SCALE = torch.tensor([2.0, 1.0, 1.0, 0.5, 0.5, 0.2])


def outputs(width: Tensor | float = 1.0, shift: int = 0, n_seeds: int = S) -> Outputs:
    """Of y = x + noise, half of the variance left open, with the spread and of the inputs that are told."""
    y = SCALE * torch.randn(N, D)
    x = y + SCALE * torch.randn(N, D)
    samples = y.roll(shift, 0)[:, None] + width * SCALE * torch.randn(N, n_seeds, D)
    return Outputs(x, samples, y, y)


# -- the law -----------------------------------------------------------------------------------------------------------


def test_samples_of_the_posterior() -> None:
    found = law_numbers(outputs(), 0.95)
    assert found["coverage_gap"].estimate < 0.1
    assert found["coverage_p"].estimate > 1e-3
    for name in ("spread_principal", "spread_elsewhere"):
        assert found[name].low - 0.05 < 1 < found[name].high + 0.05
    assert found["conditional_frechet"].estimate < found["conditional_frechet_null"].high
    assert found["coverage_gap"].low <= found["coverage_gap"].estimate <= found["coverage_gap"].high


def test_too_little_spread() -> None:
    found = law_numbers(outputs(0.6), 0.95)
    assert found["coverage_gap"].estimate > 0.2
    assert found["coverage_p"].estimate < 1e-9
    assert found["spread_principal"].high < 0.8
    assert found["conditional_frechet"].estimate > 1.5 * found["conditional_frechet_null"].estimate


def test_outputs_of_other_inputs_have_the_right_spread_and_the_wrong_law() -> None:
    found = law_numbers(outputs(2**0.5, shift=1), 0.95)
    assert found["coverage_p"].estimate < 1e-9
    assert found["conditional_frechet"].estimate > 1.5 * found["conditional_frechet_null"].high


def test_spread_in_wrong_places() -> None:
    wrong = SCALE.flip(0) / SCALE  # as much in all
    found = law_numbers(outputs(wrong), 0.95)
    assert found["spread_principal"].low > 1.25
    assert found["spread_elsewhere"].high < 0.8
    assert found["coverage_p"].estimate < 1e-9


def test_of_few_seeds_only_the_distance_is_told() -> None:
    assert set(law_numbers(outputs(n_seeds=1), 0.95)) == {"conditional_frechet"}
    assert set(law_numbers(outputs(n_seeds=3), 0.95)) == {"conditional_frechet"}
    assert len(law_numbers(outputs(n_seeds=4), 0.95)) == 6
    few = outputs()
    assert "conditional_frechet" not in law_numbers(Outputs(few.x[:4], few.samples[:4], few.y[:4], None), 0.95)


@pytest.mark.parametrize(
    "rows", [[0], [0, 1], [0, 1, 2], [0] * 24, [0, 1] * 12, [0, 0, 0, 1]], ids=["1", "2", "3", "same", "two", "half"]
)
def test_where_a_half_of_the_images_is_all_the_same_there_is_no_coverage(rows: list[int]) -> None:
    of = outputs()
    few = Outputs(of.x[rows], of.samples[: len(rows)], of.y[: len(rows)], of.y[: len(rows)])
    found = law_numbers(few, 0.95)
    assert {"spread_principal", "spread_elsewhere"} <= set(found)
    assert not {"coverage_gap", "coverage_p"} & set(found)
    assert all(math.isfinite(number.estimate) for number in found.values())
    four = Outputs(of.x[:4], of.samples[:4], of.y[:4], None)
    assert "coverage_gap" in law_numbers(four, 0.95)


def test_random_directions_are_those_of_the_seed() -> None:
    one = outputs()
    again = [law_numbers(Outputs(one.x, one.samples, one.y, None, seed), 0.95)["coverage_p"] for seed in (1, 1, 2)]
    assert again[0] == again[1] != again[2]


def test_a_sketch_is_the_image_or_sums_that_keep_products() -> None:
    small = torch.randn(3, 1, 4, 4)
    assert torch.equal(sketch(small), small.flatten(1))
    large = torch.randn(40, 3, 32, 32)
    found = sketch(large)
    assert found.shape == (40, SKETCH)
    torch.testing.assert_close(sketch(2 * large[:1] - large[1:2]), 2 * found[:1] - found[1:2], rtol=1e-4, atol=1e-3)
    norms = found.square().sum(1) / large.flatten(1).square().sum(1)
    assert (norms.mean() - 1).abs() < 0.1
    assert (found @ found.T / large[0].numel() - torch.eye(40)).abs().max() < 0.5


# -- steepness ---------------------------------------------------------------------------------------------------------


def pairs(n: int = N) -> Pairs:
    found = Pairs()
    y = torch.randn(n, 1, 2, 2)
    for part in y.split(70):
        found.add(part, 2 * part)
    return found


def measured(gains: list[float]) -> dict[str, Tensor]:
    gain = torch.tensor(gains)
    return {"change": gain.square() * 1e-4, "length": torch.full_like(gain, 1e-4), "error": torch.full_like(gain, 1e-3)}


def test_the_reference_is_that_of_all_the_pairs() -> None:
    kept = pairs()
    assert kept.n == N
    found = linear_reference(torch.cat(kept.y), torch.cat(kept.x))
    reference = kept.amplification()
    assert reference is not None
    assert reference.estimate == found.amplification[found.chosen] == pytest.approx(2, rel=1e-3)
    assert reference.n == N
    assert pairs(9).amplification() is None
    still = Pairs()
    still.add(torch.ones(20, 3), torch.rand(20, 3))
    assert still.amplification() is None
    assert pairs(1500).n == 1000


def test_steep_inputs_are_those_over_three_times_the_reference() -> None:
    found = steepness(measured([5.8, 6.3, 9.0, 1.0]), pairs(), 0.95)
    assert found["steep_share"].estimate == 0.5
    assert found["steep_share"].low < 0.5 < found["steep_share"].high
    assert "spread_steep" not in found
    harmless = measured([9.0, 9.0]) | {"error": torch.full((2,), 1.0)}  # a hundredth of the error
    assert steepness(harmless, pairs(), 0.95)["steep_share"].estimate == 0
    assert steepness(measured([9.0, 1.0]), pairs(9), 0.95) == {}


def test_spread_over_error_is_that_of_the_steep_inputs() -> None:
    of_inputs = measured([9.0, 9.0, 1.0]) | {"spread": torch.tensor([4.0, 4.0, 9.0, 9.0])}
    of_inputs["law_error"] = torch.tensor([1.0, 3.0, 100.0, 100.0])
    assert steepness(of_inputs, pairs(), 0.95)["spread_steep"].estimate == pytest.approx(2**0.5)
    one = of_inputs | measured([9.0, 1.0, 1.0])
    assert steepness(one, pairs(), 0.95)["spread_steep"].estimate == pytest.approx(2)
    free = one | {"law_error": torch.tensor([-1.0, 3.0, 1.0, 1.0])}
    assert math.isinf(steepness(free, pairs(), 0.95)["spread_steep"].estimate)


# -- the look of the outputs -------------------------------------------------------------------------------------------


def test_shortfall_is_zero_for_real_images_and_all_for_others() -> None:
    settings = AuditSettings(n_splits=4)
    real = torch.randn(200, 3)
    assert abs(shortfall(real, torch.randn(200, 3), settings)["precision_shortfall"].estimate) < 0.06
    far = shortfall(real, torch.randn(200, 3) + 50, settings)["precision_shortfall"]
    assert far.estimate > 0.9
    assert 0.8 < far.low < far.estimate < far.high
    half = torch.cat([torch.randn(100, 3), torch.randn(100, 3) + 50])
    assert 0.4 < shortfall(real, half, settings)["precision_shortfall"].estimate < 0.6
    assert shortfall(real[:10], real[:10], settings) == {}
