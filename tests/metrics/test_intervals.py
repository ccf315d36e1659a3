"""Intervals: by their formulas, by what they draw, and by how often they hold the truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from stochrobust.metrics.features import Features
from stochrobust.metrics.frechet import frechet_distance
from stochrobust.metrics.intervals import Interval, interval_by_halves, interval_of_mean
from stochrobust.metrics.manifolds import density_coverage, prdc, precision_recall
from stochrobust.metrics.protocol import Protocol, Score
from tests.metrics.neighbour_sets import normal


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def difference_of_means(*, real: Tensor, generated: Tensor) -> float:
    return float(real.double().mean() - generated.double().mean())


# -- means -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_interval_of_a_mean_is_students(level: float, dtype: torch.dtype) -> None:
    values = (30 + normal(12)).to(dtype)
    found = interval_of_mean(values, level=level)
    numbers = values.double().numpy()
    low, high = stats.t.interval(level, 11, numbers.mean(), stats.sem(numbers))
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-12)
    assert (found.estimate, found.standard_error) == pytest.approx((numbers.mean(), stats.sem(numbers)), rel=1e-12)
    assert interval_of_mean(values) == interval_of_mean(values, level=0.95)


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 10), (50, 50), (4999, 5000)])
def test_the_interval_of_a_share_is_wilsons(hits: int, n: int) -> None:
    values = torch.arange(n) < hits
    for level in (0.8, 0.95):
        found = interval_of_mean(values, level=level)
        expected = stats.binomtest(hits, n).proportion_ci(level, method="wilson")
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert found.estimate == hits / n
    assert found.high - found.low > 0
    assert found.standard_error == pytest.approx(math.sqrt(hits / n * (1 - hits / n) / n))


def test_the_interval_of_no_share_and_of_all_ends_there() -> None:
    """Exactly: rounding would put an end at -7e-18, or above the share."""
    for n in range(2, 200):
        for level in (0.8, 0.95, 0.99):
            none, every = (interval_of_mean(torch.full((n,), hit), level=level) for hit in (False, True))
            assert (none.low, every.high) == (0.0, 1.0)
            assert 0 < none.high < 1
            assert 0 < every.low < 1


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_how_often_the_interval_of_a_share_holds_it(share: float) -> None:
    """Summed over all outcomes of 100 samples, not simulated."""
    n = 100
    intervals = [interval_of_mean(torch.arange(n) < hits) for hits in range(n + 1)]
    chances = stats.binom.pmf(np.arange(n + 1), n, share)
    holds = sum(p for p, i in zip(chances, intervals, strict=True) if i.low <= share <= i.high)
    assert 0.92 < holds < 0.99


@pytest.mark.parametrize(
    ("values", "level", "error", "message"),
    [
        ([1.0, 2.0], 0.95, TypeError, r"values must be a tensor of a real floating-point dtype or bool, got \[1.0"),
        (torch.ones(3, dtype=torch.int64), 0.95, TypeError, "values must be a tensor of a real floating-point dtype"),
        (torch.ones(3, dtype=torch.complex64), 0.95, TypeError, "values must be a tensor of a real floating-point"),
        (torch.ones(3, 1), 0.95, ValueError, r"values must be a vector of at least 2, got .* \(3, 1\)"),
        (torch.ones(1), 0.95, ValueError, "values must be a vector of at least 2"),
        (torch.tensor([1.0, math.inf]), 0.95, ValueError, "values must be finite, got 1 NaN or infinite"),
        (torch.ones(3), 0.0, ValueError, "level must be between 0 and 1, got 0.0"),
        (torch.ones(3), 1, ValueError, "level must be between 0 and 1, got 1"),
        (torch.ones(3), "0.95", TypeError, "level must be a real number"),
        (torch.ones(3), math.nan, ValueError, "level must be a finite number"),
    ],
)
def test_errors_of_means(values: Any, level: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        interval_of_mean(values, level=level)


# -- halves: what is drawn ---------------------------------------------------------------------------------------------


class Recorder:
    """A statistic that keeps the rows it was shown, and returns the next of the given values."""

    def __init__(self, *values: float) -> None:
        self.values, self.calls = list(values), list[tuple[list[float], list[float]]]()

    def __call__(self, *, real: Any, generated: Any) -> float:
        self.calls.append((real[:, 0].tolist(), generated[:, 0].tolist()))
        return self.values.pop(0) if self.values else 0.0


def numbered(n: int) -> Tensor:
    return torch.arange(float(n))[:, None]


def test_the_formula() -> None:
    """Differences of 2 and 4: the squares have mean 10."""
    recorder = Recorder(7.0, 3.0, 1.0, -1.0, 3.0)
    found = interval_by_halves(recorder, real=numbered(8), generated=numbered(8), n_splits=2)
    error = math.sqrt(10 / 4)
    assert [found.estimate, found.standard_error] == pytest.approx([7.0, error])
    reach = stats.t.ppf(0.975, 2) * error
    assert [found.low, found.high] == pytest.approx([7 - reach, 7 + reach])
    assert len(recorder.calls) == 5
    wide = interval_by_halves(
        Recorder(7.0, 3.0, 1.0, -1.0, 3.0), real=numbered(8), generated=numbered(8), n_splits=2, level=0.5
    )
    assert wide.high - wide.low == pytest.approx(2 * stats.t.ppf(0.75, 2) * error)
    recorder = Recorder()
    interval_by_halves(recorder, real=numbered(8), generated=numbered(8))
    assert len(recorder.calls) == 41, "20 splits by default"


@pytest.mark.parametrize(("n", "m"), [(30, 30), (31, 31), (30, 90), (36, 12), (30, 17)])
def test_each_split_has_every_row_once_and_in_order(n: int, m: int) -> None:
    recorder = Recorder()
    interval_by_halves(recorder, real=numbered(n), generated=numbered(m), n_splits=6, generator=seeded())
    whole, *halves = recorder.calls
    assert whole == (numbered(n)[:, 0].tolist(), numbered(m)[:, 0].tolist())
    splits = list(zip(halves[::2], halves[1::2], strict=True))
    assert len(splits) == 6
    for one, other in splits:
        for number, size in enumerate((n, m)):
            assert sorted(one[number] + other[number]) == list(range(size))
            assert one[number] == sorted(one[number])
            assert abs(len(one[number]) - len(other[number])) <= max(1, size // min(n, m))
    assert len({str(split) for split in splits}) == 6


@pytest.mark.parametrize("seeds", [1, 3])
def test_rows_of_one_input_stay_together(seeds: int) -> None:
    recorder = Recorder()
    interval_by_halves(recorder, real=numbered(10), generated=numbered(10 * seeds), n_splits=3)
    for real, generated in recorder.calls:
        assert generated == [row * seeds + seed for row in real for seed in range(seeds)]
    recorder = Recorder()
    interval_by_halves(recorder, real=numbered(10), generated=numbered(11), n_splits=3, generator=seeded())
    assert any(real != generated[: len(real)] for real, generated in recorder.calls[1:])


def test_the_generator_draws_the_splits() -> None:
    def calls(generator: torch.Generator | None) -> list[Any]:
        recorder = Recorder()
        interval_by_halves(recorder, real=numbered(20), generated=numbered(20), n_splits=3, generator=generator)
        return recorder.calls

    state = torch.get_rng_state()
    assert calls(seeded(1)) == calls(seeded(1)) != calls(seeded(2))
    assert torch.equal(torch.get_rng_state(), state)
    one = calls(None)
    assert not torch.equal(torch.get_rng_state(), state), "the global generator must advance"
    assert calls(None) != one
    torch.set_rng_state(state)
    assert calls(None) == one


def test_several_numbers_share_the_splits() -> None:
    real, generated = normal(60, 3), normal(60, 3, seed=1) + 1

    def two(*, real: Tensor, generated: Tensor) -> tuple[float, float]:
        result = precision_recall(real=real, generated=generated)
        return result.precision, result.recall

    both = interval_by_halves(two, real=real, generated=generated, generator=seeded())
    for number in (0, 1):

        def one(*, real: Tensor, generated: Tensor, number: int = number) -> float:
            return two(real=real, generated=generated)[number]

        assert interval_by_halves(one, real=real, generated=generated, generator=seeded()) == both[number]
    assert both[0] != both[1]


def test_an_estimate_keeps_its_protocol() -> None:
    mine = Protocol(extractor="mine")
    seen: list[Any] = []

    def recall(*, real: Features, generated: Features) -> Score:
        seen.append(real)
        return precision_recall(real=real, generated=generated, k=2).recall

    found = interval_by_halves(
        recall, real=Features(normal(41, 3), mine), generated=Features(normal(30, 3, seed=1), mine), n_splits=2
    )
    assert isinstance(found.estimate, Score)
    protocol = found.estimate.protocol
    assert (protocol.extractor, protocol.metric, protocol.n_real, protocol.n_generated) == ("mine", "recall", 41, 30)
    assert all(isinstance(real, Features) and real.protocol == mine for real in seen)
    assert [len(real) for real in seen] == [41, 21, 20, 21, 20]
    assert type(found.low) is float


def test_sets_on_disk_and_in_batches(tmp_path: Path) -> None:
    real, generated = normal(60, 4), normal(50, 4, seed=1)
    for name, rows in (("real", real), ("generated", generated)):
        np.save(tmp_path / f"{name}.npy", rows.numpy())
    on_disk = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("real", "generated")}
    batches = {"real": iter(real.split(7)), "generated": iter(generated.split(9))}
    expected = interval_by_halves(difference_of_means, real=real, generated=generated, generator=seeded())
    assert interval_by_halves(difference_of_means, **on_disk, generator=seeded()) == expected
    assert interval_by_halves(difference_of_means, **batches, generator=seeded()) == expected


A = torch.ones(5, 2)
GOOD: dict[str, Any] = {"statistic": difference_of_means, "real": A, "generated": A}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"statistic": 3}, TypeError, r"statistic must be callable, got 3 \(int\)"),
        (
            {"statistic": lambda real, generated: "1"},
            TypeError,
            "what statistic returns must be a real number, got '1'",
        ),
        ({"statistic": lambda real, generated: math.nan}, ValueError, "what statistic returns must be a finite number"),
        ({"statistic": lambda real, generated: (1.0, math.inf)}, ValueError, "what statistic returns must be a finite"),
        ({"statistic": lambda real, generated: real.mean()}, TypeError, "what statistic returns must be a real number"),
        ({"real": A[:3]}, ValueError, "real must have at least 4 samples"),
        ({"generated": A[:3]}, ValueError, "generated must have at least 4 samples"),
        ({"generated": A[:, :1]}, ValueError, "generated must have the 2 features of real"),
        ({"generated": A * math.nan}, ValueError, "generated must be finite"),
        ({"real": 3}, TypeError, "real must be a torch.Tensor"),
        ({"n_splits": 1}, ValueError, "n_splits must be at least 2"),
        ({"n_splits": 2.5}, TypeError, "n_splits must be an integer"),
        ({"level": 95}, ValueError, "level must be between 0 and 1, got 95"),
        ({"generator": 3}, TypeError, r"generator must be a torch.Generator or None, got 3 \(int\)"),
    ],
)
def test_errors_of_halves(change: dict[str, Any], error: type[Exception], message: str) -> None:
    untyped: Callable[..., Any] = interval_by_halves
    untyped(**GOOD)
    with pytest.raises(error, match=message):
        untyped(**GOOD | change)


# -- halves: how often they hold the truth -----------------------------------------------------------------------------


def test_a_linear_metric_has_the_error_of_the_textbook() -> None:
    real, generated = normal(400, 1), 2 * normal(300, 1, seed=1)
    found = interval_by_halves(difference_of_means, real=real, generated=generated, n_splits=400, generator=seeded())
    expected = math.sqrt(float(real.var() / 400 + generated.var() / 300))
    assert found.standard_error == pytest.approx(expected, rel=0.1)


def test_what_two_sets_share_cancels() -> None:
    """Outputs of the same inputs: taken for independent, the error would be tens of times too large."""
    inputs = 10 * normal(200, 1)
    generated = (inputs + 0.1 * normal(200, 1, seed=1)).repeat_interleave(2, 0)
    found = interval_by_halves(difference_of_means, real=inputs, generated=generated, n_splits=200, generator=seeded())
    expected = float((inputs - generated[::2]).std()) / math.sqrt(200)
    assert found.standard_error == pytest.approx(expected, rel=0.15)


def all_five(*, real: Tensor, generated: Tensor) -> tuple[float, ...]:
    found = prdc(real=real, generated=generated, k=5)
    frechet = frechet_distance(real=real, generated=generated)
    return found.precision, found.recall, found.density, found.coverage, frechet


def draw(seed: int, n: int = 200) -> tuple[Tensor, Tensor]:
    return normal(n, 8, seed=2 * seed), 0.8 * normal(n, 8, seed=2 * seed + 1) + 0.3


def share_held(intervals: Sequence[tuple[Interval, ...]], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    ends = np.array([[(i.low, i.high) for i in found] for found in intervals])
    held: NDArray[np.float64] = ((ends[..., 0] <= truth) & (truth <= ends[..., 1])).mean(0)
    return held


@pytest.mark.slow
def test_intervals_hold_the_expectation_about_as_often_as_they_say() -> None:
    """And those that take memberships for independent do not."""
    draws = [draw(seed) for seed in range(1000, 1150)]
    truth = np.mean([all_five(real=real, generated=generated) for real, generated in draws], axis=0)
    by_halves, of_means = [], []
    for seed in range(60):
        real, generated = draw(seed)
        found = interval_by_halves(all_five, real=real, generated=generated, n_splits=12, generator=seeded(seed))
        by_halves.append(found)
        balls = density_coverage(real=real, generated=generated).n_balls
        of_means.append((interval_of_mean(balls / 5.0),))
    held = share_held(by_halves, truth)
    assert (held >= 0.85).all(), held
    assert held.mean() > 0.91
    assert share_held(of_means, truth[2:3])[0] < 0.87
    errors = np.array([[i.standard_error for i in found] for found in by_halves]).mean(0)
    ratio = errors / np.std([[i.estimate for i in found] for found in by_halves], axis=0)
    assert ((ratio > 0.7) & (ratio < 1.5)).all(), ratio


def test_a_bootstrap_would_shrink_the_balls() -> None:
    """Copies among the samples drawn: every number leaves its own interval, so none can be built from them."""
    real, generated = draw(0)
    plain = all_five(real=real, generated=generated)
    found = interval_by_halves(all_five, real=real, generated=generated, generator=seeded())
    generator, draws = seeded(), []
    for _ in range(30):
        rows, columns = (torch.randint(200, (200,), generator=generator) for _ in range(2))
        draws.append(all_five(real=real[rows], generated=generated[columns]))
    shift = np.mean(draws, axis=0) - plain
    for number in (0, 1, 3):
        assert shift[number] < -2 * found[number].standard_error
