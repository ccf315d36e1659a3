"""Density and coverage, and all four numbers at once: closed forms, brute force in float64, and properties."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stochrobust.metrics import _distances, _neighbours
from stochrobust.metrics.density_coverage import DensityCoverage, density_coverage
from stochrobust.metrics.features import Features
from stochrobust.metrics.prdc import PRDC, prdc
from stochrobust.metrics.precision_recall import PrecisionRecall, precision_recall
from stochrobust.metrics.protocol import Protocol
from tests.metrics.neighbour_sets import (
    KS,
    Truth,
    brute_force,
    chosen,
    count_settled,
    known,
    largest,
    make_sets,
    many_blocks,
    many_problems,
    normal,
)

BOTH = pytest.mark.parametrize("metric", [density_coverage, prdc])


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    many_blocks(monkeypatch)


def assert_agrees(results: tuple[DensityCoverage, ...], truth: Truth, ks: tuple[int, ...]) -> None:
    for k, result in zip(ks, results, strict=True):
        n_balls, covered = truth.n_balls(k), truth.covered(k)
        assert torch.equal(result.n_balls.cpu(), n_balls), k
        assert torch.equal(result.covered.cpu(), covered), k
        assert result.n_balls.dtype == torch.int64
        assert (result.k, result.density) == (k, int(n_balls.sum()) / (k * len(n_balls)))
        assert result.coverage == int(covered.sum()) / len(covered)


def assert_exact(real: Tensor, generated: Tensor, ks: tuple[int, ...] = KS) -> None:
    truth = brute_force(real.cpu(), generated.cpu())
    assert_agrees(density_coverage(real=real, generated=generated, k=ks), truth, ks)


def assert_same(one: object, other: object) -> None:
    """Two results that agree in every field, and so would their tensors."""
    assert vars(one).keys() == vars(other).keys()
    for name, value in vars(one).items():
        another = vars(other)[name]
        assert torch.equal(value, another) if isinstance(value, Tensor) else value == another, name


# -- closed form -------------------------------------------------------------------------------------------------------


def test_on_a_line_by_hand() -> None:
    """At k = 1 the radii are 1, 1, 1, 5: 0.5 is in the balls of 0 and 1, 3.0 in those of 2 and 8, 40 in none."""
    real = torch.tensor([[0.0], [1.0], [2.0], [7.0]])
    generated = torch.tensor([[0.5], [3.0], [40.0]])
    one, two = density_coverage(real=real, generated=generated, k=[1, 2])
    assert one.n_balls.tolist() == [2, 2, 0]
    assert one.covered.tolist() == [True, True, True, True]
    assert (one.k, one.density, one.coverage) == (1, 4 / 3, 1.0)
    # at k = 2 they are 2, 1, 2, 6
    assert two.n_balls.tolist() == [3, 2, 0]
    assert (two.k, two.density, two.coverage) == (2, 5 / 6, 1.0)
    assert density_coverage(real=real, generated=generated[1:], k=1).coverage == 0.5


def test_a_tight_cluster_and_a_wide_cloud_tell_the_roles_apart() -> None:
    """The sets that show swapped roles, as in torch-fidelity #58: dense and hardly covering, or the reverse."""
    wide, tight = normal(300, 8), 0.05 * normal(200, 8, seed=1)
    result, swapped = density_coverage(real=wide, generated=tight), density_coverage(real=tight, generated=wide)
    assert result.density > 1.5
    assert result.coverage < 0.5
    assert swapped.density < 0.01
    assert swapped.coverage < 0.01
    assert (len(result.n_balls), len(result.covered)) == (200, 300)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_identical_sets(k: int) -> None:
    """A sample lies in its own ball and in those of the k samples, on average, that it is a neighbour of."""
    real = normal(80, 4)
    result = density_coverage(real=real, generated=real, k=k)
    assert (result.density, result.coverage) == ((k + 1) / k, 1.0)
    repeated = normal(4, 5).repeat(10, 1)
    assert density_coverage(real=repeated, generated=repeated, k=k).n_balls.tolist() == [10] * 40


def test_samples_of_one_law_have_the_expected_values() -> None:
    """Only the order of distances matters, and of N - 1 real and M generated samples every order is as likely."""
    n, m, k = 12, 18, 3
    pairs = [(normal(n, 2, seed=2 * s), normal(m, 2, seed=2 * s + 1)) for s in range(400)]
    results = [density_coverage(real=real, generated=generated, k=k) for real, generated in pairs]
    expected = 1 - math.prod((n - i) / (n + m - i) for i in range(1, k + 1))
    for values, mean in (([r.density for r in results], 1.0), ([r.coverage for r in results], expected)):
        assert abs(np.mean(values) - mean) < 4 * np.std(values) / 20
        assert np.std(values) / 20 < 0.02, "the band would let anything through"


def test_copies_count() -> None:
    """At k = 1 the balls of a pair have radius 0 and are two; at k = 2 they reach the next pair."""
    real = torch.tensor([[0.0], [0.0], [1.0], [1.0], [9.0]])
    generated = torch.tensor([[0.0], [0.5], [0.5], [1.0 + 2**-20]])
    one, two = density_coverage(real=real, generated=generated, k=(1, 2))
    assert one.n_balls.tolist() == [2, 0, 0, 1]  # the last is in the ball of 9
    assert one.covered.tolist() == [True, True, False, False, True]
    assert two.n_balls.tolist() == [4, 4, 4, 3]
    assert two.covered.tolist() == [True] * 5


def test_a_collapsed_generator_on_a_real_sample_is_dense_and_covers_little() -> None:
    real = normal(100, 16)
    result = density_coverage(real=real, generated=real[:1].repeat(60, 1))
    assert (result.n_balls == result.n_balls[0]).all()
    assert result.coverage == int(result.n_balls[0]) / 100
    assert bool(result.covered[0])


def test_a_real_outlier_is_one_ball_more() -> None:
    """Its ball holds everything, so precision jumps to 1; density and coverage move by that one ball."""
    real, generated = normal(200, 3), normal(150, 3, seed=1) + 4
    with_outlier = torch.cat([real, torch.full((1, 3), 60.0)])
    before, after = (prdc(real=rows, generated=generated) for rows in (real, with_outlier))
    assert before.precision < 0.5
    assert after.precision == 1.0
    assert torch.equal(after.n_balls, before.n_balls + 1)
    assert torch.equal(after.covered, torch.cat([before.covered, torch.tensor([True])]))


def test_a_generated_outlier_is_in_no_ball() -> None:
    real, generated = normal(80, 3), normal(60, 3, seed=1)
    before = density_coverage(real=real, generated=generated)
    after = density_coverage(real=real, generated=torch.cat([generated, torch.full((1, 3), 1e3)]))
    assert torch.equal(after.n_balls, torch.cat([before.n_balls, torch.tensor([0])]))
    assert torch.equal(after.covered, before.covered)


# -- brute force -------------------------------------------------------------------------------------------------------


@many_problems
@pytest.mark.usefixtures("small_blocks")
def test_every_decision_is_that_of_brute_force(kind: str, d: int) -> None:
    for (real, generated), truth in known(kind, d):
        assert_agrees(density_coverage(real=real, generated=generated, k=KS), truth, KS)


@pytest.mark.parametrize("kind", make_sets(1))
@pytest.mark.usefixtures("small_blocks")
def test_all_four_at_once_are_those_of_brute_force(kind: str) -> None:
    for (real, generated), truth in known(kind, 3):
        results = prdc(real=real, generated=generated, k=KS)
        assert_agrees(results, truth, KS)
        for k, result in zip(KS, results, strict=True):
            assert torch.equal(result.generated_in_real, truth.generated_in_real(k))
            assert torch.equal(result.real_in_generated, truth.real_in_generated(k))


@pytest.mark.usefixtures("small_blocks")
def test_equidistant_points() -> None:
    """All distances of a simplex tie: nothing but the deciding sum can tell."""
    simplex = torch.eye(90)
    assert_exact(simplex, simplex.roll(1, 0), (1, 3))
    assert_exact(simplex, 0.5 * simplex + 0.25, (1, 3))


def test_ordinary_blocks() -> None:
    real, generated = normal(1500, 6), normal(1300, 6, seed=1) + 0.3
    truth = brute_force(real, generated, by_halves=False)
    assert_agrees(density_coverage(real=real, generated=generated, k=(1, 3)), truth, (1, 3))


def test_balls_that_hold_nearly_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many members to list are added up as they stand, copies counted, and the unclear ones are still settled."""
    real = torch.cat([normal(90, 40), normal(30, 40).repeat_interleave(2, 0)])
    generated = torch.cat([0.3 * normal(200, 40, seed=1), chosen(real, 30)])
    settled = count_settled(monkeypatch)
    assert_exact(real, generated, (100, 120))
    assert sum(settled) < 150 * 230 / 4
    assert bool((density_coverage(real=real, generated=generated, k=100).n_balls > 100).any())


@given(seed=st.integers(0, 2**31), n=st.integers(4, 40), d=st.integers(1, 4), levels=st.integers(1, 4))
def test_ties_and_duplicates_of_any_kind(seed: int, n: int, d: int, levels: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    real, generated = (torch.randint(-levels, levels + 1, (m, d), generator=generator) for m in (n, n + 3))
    assert_exact(0.1 * real.float() + 7, 0.1 * generated.float() + 7, (1, 2, 3))


# -- properties --------------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**31), d=st.integers(1, 5))
def test_order_of_the_samples(seed: int, d: int) -> None:
    real, generated = normal(30, d, seed=seed), normal(25, d, seed=seed + 1)
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.randperm(30, generator=generator), torch.randperm(25, generator=generator)
    plain = density_coverage(real=real, generated=generated)
    shuffled = density_coverage(real=real[rows], generated=generated[columns])
    assert torch.equal(shuffled.n_balls, plain.n_balls[columns])
    assert torch.equal(shuffled.covered, plain.covered[rows])
    assert 0 <= plain.coverage <= 1
    assert 0 <= plain.density <= 30 / 5


@given(seed=st.integers(0, 2**31), power=st.integers(-20, 20), shift=st.integers(-8, 8))
def test_scale_shift_and_turn(seed: int, power: int, shift: int) -> None:
    """By powers of two, by integers and by a quarter: nothing loses a digit, so nothing may change."""
    generator = torch.Generator().manual_seed(seed)
    real, generated = (torch.randint(100, (30, 3), generator=generator).float() for _ in range(2))
    quarter = torch.tensor([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    plain = density_coverage(real=real, generated=generated)
    for turn in (torch.eye(3), quarter):
        moved = [(rows @ turn + shift) * 2.0**power for rows in (real, generated)]
        assert_same(density_coverage(real=moved[0], generated=moved[1]), plain)


@given(seed=st.integers(0, 2**31), times=st.integers(1, 4))
def test_copies_of_all_generated_samples_change_neither(seed: int, times: int) -> None:
    real, generated = normal(30, 3, seed=seed), normal(25, 3, seed=seed + 1)
    plain, copied = (density_coverage(real=real, generated=rows) for rows in (generated, generated.repeat(times, 1)))
    assert (copied.density, copied.coverage) == (plain.density, plain.coverage)


def test_balls_grow_with_k_and_each_k_is_what_it_is_alone() -> None:
    real, generated = normal(200, 5), normal(150, 5, seed=1) + 1
    results = density_coverage(real=real, generated=generated, k=[5, 1, 3])
    assert [result.k for result in results] == [5, 1, 3]
    assert float(results[1].coverage) < float(results[2].coverage) < float(results[0].coverage)
    with pytest.raises(ValueError, match="two protocols do not compare: k: 1 and 3"):
        _ = results[1].coverage < results[2].coverage
    for result in results:
        alone = density_coverage(real=real, generated=generated, k=result.k)
        assert isinstance(alone, DensityCoverage)
        assert_same(alone, result)
    assert_same(density_coverage(real=real, generated=generated), results[0])


def test_all_four_are_those_of_their_own_functions() -> None:
    real, generated = normal(120, 4), normal(90, 4, seed=1) + 0.5
    for k in (1, 5):
        together = prdc(real=real, generated=generated, k=k)
        parts = (
            precision_recall(real=real, generated=generated, k=k),
            density_coverage(real=real, generated=generated, k=k),
        )
        assert isinstance(together, PRDC)
        assert isinstance(together, PrecisionRecall)
        assert isinstance(together, DensityCoverage)
        for name, value in (vars(parts[0]) | vars(parts[1])).items():
            other = getattr(together, name)
            assert torch.equal(value, other) if isinstance(value, Tensor) else value == other, name
        assert torch.equal(together.generated_in_real, together.n_balls > 0)
    assert prdc(real=real, generated=generated).k == 5
    assert [result.k for result in prdc(real=real, generated=generated, k=(2, 1))] == [2, 1]


def test_the_scores_carry_their_protocol() -> None:
    mine = Protocol(extractor="mine")
    result = prdc(real=Features(normal(20, 3), mine), generated=Features(normal(15, 3, seed=1), mine), k=2)
    for name in ("precision", "recall", "density", "coverage"):
        protocol = getattr(result, name).protocol
        assert (protocol.metric, protocol.k, protocol.extractor) == (name, 2, "mine")
        assert (protocol.n_real, protocol.n_generated, protocol.dtype) == (20, 15, "float32")


@BOTH
def test_sets_on_disk_and_in_batches(metric: Callable[..., Any], tmp_path: Path) -> None:
    real, generated = normal(60, 4), normal(50, 4, seed=1)
    expected = metric(real=real, generated=generated)
    for name, rows in (("real", real), ("generated", generated)):
        np.save(tmp_path / f"{name}.npy", rows.numpy())
    on_disk = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("real", "generated")}
    assert_same(metric(**on_disk), expected)
    assert_same(metric(real=iter(real.split(7)), generated=(rows for rows in generated.split(9))), expected)


def test_inputs_are_left_alone_and_no_gradient_is_kept() -> None:
    real, generated = normal(30, 4).requires_grad_(), normal(30, 4, seed=1)
    before, state = real.detach().clone(), torch.get_rng_state()
    result = density_coverage(real=real, generated=generated)
    assert torch.equal(real, before)
    assert torch.equal(torch.get_rng_state(), state)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert_same(density_coverage(real=real, generated=generated), result)


# -- cost --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["random", "collapsed", "tight in wide", "offset"])
def test_no_matrix_of_all_distances(kind: str) -> None:
    n = 4000
    real, other = normal(n, 2), normal(n, 2, seed=1)
    sets = {"random": other, "collapsed": other[:1].repeat(n, 1), "tight in wide": 1e-3 * other, "offset": other + 1e4}
    assert largest((real, sets[kind]), density_coverage).elements <= 2048 * 1024 < n * n / 7


def test_two_products_and_not_three() -> None:
    n, m = 3000, 2000
    sets = normal(n, 4), normal(m, 4, seed=1)
    blocks = 1024 * (n + m)  # those that reach over the end or the diagonal
    assert n * m + n * n / 2 <= largest(sets, density_coverage).products <= n * m + n * n / 2 + blocks
    three = n * m + n * n / 2 + m * m / 2
    assert three <= largest(sets, prdc).products == largest(sets, precision_recall).products <= three + 2 * blocks


@pytest.mark.parametrize("kind", ["random", "collapsed", "modes", "memorised"])
def test_few_distances_are_summed_one_by_one(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    n, d = 1500, 256
    real, other = normal(n, d), normal(n, d, seed=1)
    sets = {"random": other, "collapsed": other[:1].repeat(n, 1), "modes": chosen(other[:5], n)}
    settled = count_settled(monkeypatch)
    density_coverage(real=real, generated=sets.get(kind, chosen(real, n)), k=3)
    assert sum(settled) < 12 * n


def test_float64_products_tell_members_apart_once_one_set_needs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The generated set's clusters were beyond float32, and some real samples are in them: 60 times 250 pairs or so."""
    for name, size in (("_ROWS", 128), ("_COLUMNS", 64), ("_SLICE", 32)):
        monkeypatch.setattr(_neighbours, name, size)
    modes = normal(2, 32, seed=3)
    generated = chosen(modes, 500) + 1e-4 * normal(500, 32, seed=2)
    real = torch.cat([normal(440, 32), chosen(modes, 60, seed=8) + 1e-4 * normal(60, 32, seed=5)])
    settled = count_settled(monkeypatch)
    prdc(real=real, generated=generated)
    assert sum(settled) < 20_000, "with float32 products between the sets there are twice as many"


def test_few_members_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the balls hold nearly all, the list would be long; where they hold little, only that is listed."""
    counts: list[int] = []
    original = _distances.positions

    def counted(mask: Tensor) -> tuple[Tensor, Tensor]:
        row, column = original(mask)
        counts.append(len(row))
        return row, column

    n = 2000
    for generated, k, hits in ((normal(n, 16, seed=1), 5, n * 5), (0.1 * normal(n, 16, seed=1), 500, n * n / 2)):
        a, b = _distances.distinct_rows(normal(n, 16)), _distances.distinct_rows(generated)
        radii, dtype = _neighbours.neighbour_radii(a, (k,))
        counts.clear()
        with monkeypatch.context() as patch:
            patch.setattr(_neighbours, "positions", counted)
            members, _ = _neighbours.ball_members(a, b, radii, radii.new_empty(0, n), dtype)
        assert int(members.n_balls.sum()) > 0.8 * hits, "these balls were to hold many"
        assert sum(counts) < 0.02 * n * n


# -- errors ------------------------------------------------------------------------------------------------------------

A = torch.zeros(5, 2)
MINE, THEIRS = (Features(A, Protocol(extractor=name)) for name in ("mine", "theirs"))


@BOTH
@pytest.mark.parametrize(
    ("real", "generated", "k", "error", "message"),
    [
        ([[0.0]], A, 3, TypeError, "real must be a torch.Tensor"),
        (3, A, 3, TypeError, "real must be a torch.Tensor, an array, Features or batches"),
        (A, A.int(), 3, TypeError, "generated must have a real floating-point dtype"),
        (A[0], A, 3, ValueError, "real must have 2 dimensions"),
        (A, A[:, :1], 3, ValueError, "generated must have the 2 features of real"),
        (A, A.double(), 3, ValueError, "generated must have the dtype and device of real"),
        (A, A.to("meta"), 3, ValueError, "generated must have the dtype and device of real"),
        (A, A + math.nan, 3, ValueError, "generated must be finite, got 10 NaN"),
        (A - math.inf, A, 3, ValueError, "real must be finite"),
        (MINE, THEIRS, 3, ValueError, "generated must have the protocol of real, got another: extractor"),
        (A, torch.zeros(9, 2), 5, ValueError, "real must have at least 6 samples"),
        (torch.zeros(9, 2), A, (1, 5), ValueError, "generated must have at least 6 samples"),
        (A, iter(()), 3, ValueError, "generated must not be empty"),
        (A, A, 0, ValueError, "k must be at least 1"),
        (A, A, (1, 0), ValueError, "k must be at least 1"),
        (A, A, 2.0, TypeError, "k must be an integer"),
        (A, A, True, TypeError, "k must be an integer"),
        (A, A, (), ValueError, "k must be an integer or a non-empty sequence"),
        (A, A, "3", ValueError, "k must be an integer or a non-empty sequence"),
    ],
)
def test_errors(
    metric: Callable[..., Any], real: Any, generated: Any, k: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        metric(real=real, generated=generated, k=k)


@BOTH
def test_roles_must_be_named(metric: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="positional"):
        metric(A, A)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", make_sets(1))
def test_the_same_on_a_gpu(kind: str) -> None:
    real, generated = make_sets(17)[kind]
    assert_exact(real.cuda(), generated.cuda())
    assert density_coverage(real=real.cuda(), generated=generated.cuda()).n_balls.is_cuda
