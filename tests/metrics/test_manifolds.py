"""Precision, recall, density, coverage and realism: one battery for all of them, then what each says by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stochrobust.metrics import _distances, _neighbours
from stochrobust.metrics.features import Features
from stochrobust.metrics.manifolds import (
    PRDC,
    DensityCoverage,
    PrecisionRecall,
    _limits,
    _roots,
    density_coverage,
    prdc,
    precision_recall,
    realism,
)
from stochrobust.metrics.protocol import Protocol
from tests.metrics.neighbour_sets import (
    DTYPES,
    KS,
    Largest,
    Sets,
    Truth,
    brute_force,
    chosen,
    count_settled,
    known,
    make_sets,
    many_blocks,
    many_problems,
    normal,
)
from tests.metrics.neighbour_sets import largest as largest_of

Metric = Callable[..., Any]
METRICS: tuple[Metric, ...] = (precision_recall, density_coverage, prdc, realism)
each_metric = pytest.mark.parametrize("metric", METRICS)
BOTH = pytest.mark.parametrize("metric", [density_coverage, prdc])


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    many_blocks(monkeypatch)


@pytest.fixture
def settled_pairs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    return count_settled(monkeypatch)


def largest(sets: Sets) -> Largest:
    return largest_of(sets, precision_recall)


def answers(metric: Metric, real: Tensor, generated: Tensor, ks: tuple[int, ...]) -> list[Any]:
    """For each k; all in one call where the metric takes several."""
    if metric is realism:
        return [realism(real=real, generated=generated, k=k) for k in ks]
    return list(metric(real=real, generated=generated, k=ks))


def assert_agrees(metric: Metric, real: Tensor, generated: Tensor, truth: Truth, ks: tuple[int, ...] = KS) -> None:
    """Every decision, to the last bit; realism to the rounding of a square root, and exactly on which side of 1."""
    for k, result in zip(ks, answers(metric, real, generated, ks), strict=True):
        if isinstance(result, Tensor):
            expected = truth.realism(k)
            assert result.dtype == torch.float64
            torch.testing.assert_close(result.cpu(), expected, rtol=1e-15, atol=0, msg=f"k = {k}")
            assert torch.equal(result.cpu() >= 1, expected >= 1), k
            continue
        assert result.k == k
        if isinstance(result, PrecisionRecall):
            in_real, in_generated = truth.generated_in_real(k), truth.real_in_generated(k)
            assert torch.equal(result.generated_in_real.cpu(), in_real), k
            assert torch.equal(result.real_in_generated.cpu(), in_generated), k
            assert result.precision == float(in_real.double().mean())
            assert result.recall == float(in_generated.double().mean())
        if isinstance(result, DensityCoverage):
            n_balls, covered = truth.n_balls(k), truth.covered(k)
            assert torch.equal(result.n_balls.cpu(), n_balls), k
            assert torch.equal(result.covered.cpu(), covered), k
            assert result.n_balls.dtype == torch.int64
            assert result.density == int(n_balls.sum()) / (k * len(n_balls))
            assert result.coverage == int(covered.sum()) / len(covered)


def assert_exact(
    metric: Metric, real: Tensor, generated: Tensor, ks: tuple[int, ...] = KS, *, by_halves: bool = True
) -> None:
    assert_agrees(metric, real, generated, brute_force(real.cpu(), generated.cpu(), by_halves=by_halves), ks)


def assert_same(one: object, other: object) -> None:
    """Two results that agree in every field, and so would their tensors."""
    if isinstance(one, Tensor):
        assert isinstance(other, Tensor)
        assert torch.equal(one, other)
        return
    assert vars(one).keys() == vars(other).keys()
    for name, value in vars(one).items():
        another = vars(other)[name]
        assert torch.equal(value, another) if isinstance(value, Tensor) else value == another, name


# -- of all of them: the decisions are those of brute force ------------------------------------------------------------


@each_metric
@many_problems
@pytest.mark.usefixtures("small_blocks")
def test_every_decision_is_that_of_brute_force(kind: str, d: int, metric: Metric) -> None:
    for (real, generated), truth in known(kind, d):
        assert_agrees(metric, real, generated, truth)


@each_metric
@pytest.mark.usefixtures("small_blocks")
def test_equidistant_points(metric: Metric) -> None:
    """All distances of a simplex tie: nothing but the deciding sum can tell."""
    simplex = torch.eye(90)
    assert_exact(metric, simplex, simplex.roll(1, 0), (1, 3))
    assert_exact(metric, simplex, 0.5 * simplex + 0.25, (1, 3))


@each_metric
def test_ordinary_blocks_and_the_library_sum(metric: Metric) -> None:
    """Where nothing ties, it does not matter how the definition is summed."""
    real, generated = normal(1500, 6), normal(1300, 6, seed=1) + 0.3
    assert_exact(metric, real, generated, (1, 3), by_halves=False)


@given(
    seed=st.integers(0, 2**31),
    n=st.integers(4, 40),
    d=st.integers(1, 4),
    levels=st.integers(1, 4),
    metric=st.sampled_from(METRICS),
)
def test_ties_and_duplicates_of_any_kind(seed: int, n: int, d: int, levels: int, metric: Metric) -> None:
    generator = torch.Generator().manual_seed(seed)
    real, generated = (torch.randint(-levels, levels + 1, (m, d), generator=generator) for m in (n, n + 3))
    assert_exact(metric, 0.1 * real.float() + 7, 0.1 * generated.float() + 7, (1, 2, 3))


@each_metric
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("factor", [1e-25, 1e-18, 1e-8, 1e8, 1e18])
@pytest.mark.usefixtures("small_blocks")
def test_sets_of_different_magnitude(factor: float, dtype: torch.dtype, metric: Metric) -> None:
    """Quotients of radii and distances pass the range of float32 on either side."""
    real, other = factor * normal(70, 3), normal(50, 3, seed=1)
    for generated in (other, factor * 1e-6 * other, factor * other):
        assert_exact(metric, real.to(dtype), generated.to(dtype), (1, 3))


@each_metric
def test_the_largest_k(metric: Metric) -> None:
    assert_exact(metric, normal(6, 2), normal(9, 2, seed=1), (5,))


@each_metric
def test_nothing_depends_on_a_collision_of_keys(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_distances, "_keys", lambda features: torch.zeros(len(features), dtype=torch.int64))
    assert_exact(metric, *make_sets(3)["duplicated"])


# -- of all of them: properties ----------------------------------------------------------------------------------------


def per_sample(result: Any) -> tuple[list[Tensor], list[Tensor]]:
    """What a result says of each generated and of each real sample."""
    if isinstance(result, Tensor):
        return [result], []
    of_generated, of_real = ("generated_in_real", "n_balls"), ("real_in_generated", "covered")
    return tuple([getattr(result, n) for n in names if hasattr(result, n)] for names in (of_generated, of_real))  # type: ignore[return-value]


@given(seed=st.integers(0, 2**31), d=st.integers(1, 5), metric=st.sampled_from(METRICS))
def test_order_of_the_samples(seed: int, d: int, metric: Metric) -> None:
    real, generated = normal(30, d, seed=seed), normal(25, d, seed=seed + 1)
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.randperm(30, generator=generator), torch.randperm(25, generator=generator)
    plain = per_sample(metric(real=real, generated=generated))
    shuffled = per_sample(metric(real=real[rows], generated=generated[columns]))
    for order, before, after in zip((columns, rows), plain, shuffled, strict=True):
        assert all(torch.equal(b, a[order]) for a, b in zip(before, after, strict=True))


@given(
    seed=st.integers(0, 2**31),
    power=st.integers(-20, 20),
    shift=st.integers(-8, 8),
    metric=st.sampled_from(METRICS),
)
def test_scale_shift_and_turn(seed: int, power: int, shift: int, metric: Metric) -> None:
    """By powers of two, by integers and by a quarter: nothing loses a digit, so nothing may change."""
    generator = torch.Generator().manual_seed(seed)
    real, generated = (torch.randint(100, (30, 3), generator=generator).float() for _ in range(2))
    quarter = torch.tensor([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    plain = metric(real=real, generated=generated)
    for turn in (torch.eye(3), quarter):
        moved = [(rows @ turn + shift) * 2.0**power for rows in (real, generated)]
        assert_same(metric(real=moved[0], generated=moved[1]), plain)


@each_metric
def test_each_k_is_what_it_is_alone(metric: Metric) -> None:
    real, generated = normal(200, 5), normal(150, 5, seed=1) + 1
    for k, result in zip((5, 1, 3), answers(metric, real, generated, (5, 1, 3)), strict=True):
        assert_same(metric(real=real, generated=generated, k=k), result)
    default = 3 if metric in (precision_recall, realism) else 5
    assert_same(metric(real=real, generated=generated), metric(real=real, generated=generated, k=default))


@each_metric
def test_sets_on_disk_and_in_batches(metric: Metric, tmp_path: Path) -> None:
    real, generated = normal(60, 4), normal(50, 4, seed=1)
    expected = metric(real=real, generated=generated)
    for name, rows in (("real", real), ("generated", generated)):
        np.save(tmp_path / f"{name}.npy", rows.numpy())
    on_disk = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("real", "generated")}
    assert_same(metric(**on_disk), expected)
    assert_same(metric(real=iter(real.split(7)), generated=(rows for rows in generated.split(9))), expected)


@each_metric
def test_inputs_are_left_alone_and_no_gradient_is_kept(metric: Metric) -> None:
    real, generated = normal(150, 64).requires_grad_(), normal(150, 64, seed=1) + 3
    before, state = real.detach().clone(), torch.get_rng_state()
    result = metric(real=real, generated=generated)
    assert torch.equal(real, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(values.requires_grad for side in per_sample(result) for values in side)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert_same(metric(real=real, generated=generated), result)


# -- of all of them: cost ----------------------------------------------------------------------------------------------


@each_metric
@pytest.mark.parametrize("kind", ["random", "collapsed", "modes with noise", "tight in wide", "offset"])
def test_no_matrix_of_all_distances(kind: str, metric: Metric) -> None:
    n = 4000
    real, other = normal(n, 2), normal(n, 2, seed=1)
    sets = {
        "random": other,
        "collapsed": other[:1].repeat(n, 1),
        "modes with noise": chosen(other[:4], n) + 1e-6 * normal(n, 2, seed=2),
        "tight in wide": 1e-3 * other,
        "offset": other + 1e4,
    }
    assert largest_of((real, sets[kind]), metric).elements <= 2048 * 1024 < n * n / 7


@each_metric
@pytest.mark.parametrize("kind", ["random", "collapsed", "modes", "memorised", "far"])
def test_few_distances_are_summed_one_by_one(kind: str, metric: Metric, settled_pairs: list[int]) -> None:
    n, d = 1500, 256
    real, other = normal(n, d), normal(n, d, seed=1)
    sets = {"random": other, "collapsed": other[:1].repeat(n, 1), "modes": chosen(other[:5], n), "far": other + 100}
    metric(real=real, generated=sets.get(kind, chosen(real, n)), k=3)
    assert sum(settled_pairs) < 12 * n


# -- of all of them: errors --------------------------------------------------------------------------------------------

A = torch.zeros(5, 2)
MINE, THEIRS = (Features(A, Protocol(extractor=name)) for name in ("mine", "theirs"))
WRONG: list[tuple[Any, Any, Any, type[Exception], str]] = [
    ([[0.0]], A, 3, TypeError, "real must be a torch.Tensor"),
    (3, A, 3, TypeError, "real must be a torch.Tensor, an array, Features or batches"),
    (A, A.int(), 3, TypeError, "generated must have a real floating-point dtype"),
    (A[0], A, 3, ValueError, "real must have 2 dimensions"),
    (A, A[None], 3, ValueError, "generated must have 2 dimensions"),
    (A, A[:0], 3, ValueError, "generated must not be empty"),
    (A, iter(()), 3, ValueError, "generated must not be empty"),
    (A, A[:, :1], 3, ValueError, "generated must have the 2 features of real"),
    (A, A.double(), 3, ValueError, "generated must have the dtype and device of real"),
    (A, A.to("meta"), 3, ValueError, "generated must have the dtype and device of real"),
    (A, A + math.nan, 3, ValueError, "generated must be finite, got 10 NaN"),
    (A - math.inf, A, 3, ValueError, "real must be finite"),
    (MINE, THEIRS, 3, ValueError, "generated must have the protocol of real, got another: extractor"),
    (A, torch.zeros(9, 2), 5, ValueError, r"real must have at least 6 samples, got .* \(5, 2\)"),
    (A, A, 0, ValueError, "k must be at least 1"),
    (A, A, 2.0, TypeError, "k must be an integer"),
    (A, A, True, TypeError, "k must be an integer"),
]
OF_SEVERAL_KS: list[tuple[Any, Any, Any, type[Exception], str]] = [
    (torch.zeros(9, 2), A, (1, 5), ValueError, "generated must have at least 6 samples"),
    (A, A, (1, 0), ValueError, "k must be at least 1"),
    (A, A, (1.0,), TypeError, "k must be an integer"),
    (A, A, (), ValueError, "k must be an integer or a non-empty sequence"),
    (A, A, "3", ValueError, "k must be an integer or a non-empty sequence"),
]


@each_metric
@pytest.mark.parametrize(("real", "generated", "k", "error", "message"), WRONG)
def test_errors(metric: Metric, real: Any, generated: Any, k: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        metric(real=real, generated=generated, k=k)


@pytest.mark.parametrize("metric", [precision_recall, density_coverage, prdc])
@pytest.mark.parametrize(("real", "generated", "k", "error", "message"), OF_SEVERAL_KS)
def test_errors_of_several_ks(
    metric: Metric, real: Any, generated: Any, k: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        metric(real=real, generated=generated, k=k)


def test_realism_takes_one_k() -> None:
    untyped: Metric = realism
    with pytest.raises(TypeError, match="k must be an integer"):
        untyped(real=A, generated=A, k=(1, 2))


@each_metric
def test_roles_must_be_named(metric: Metric) -> None:
    with pytest.raises(TypeError, match="positional"):
        metric(A, A)


@each_metric
@pytest.mark.gpu
@pytest.mark.parametrize("kind", make_sets(1))
def test_the_same_on_a_gpu(kind: str, metric: Metric) -> None:
    real, generated = make_sets(17)[kind]
    assert_exact(metric, real.cuda(), generated.cuda())
    assert all(values.is_cuda for values in per_sample(metric(real=real.cuda(), generated=generated.cuda()))[0])


# -- precision and recall ----------------------------------------------------------------------------------------------


def test_precision_and_recall_on_a_line_by_hand() -> None:
    """Closed balls: at k = 1 the real radii are 1, and the generated 0.5, 0.5, 0.5 and 6.5; 2 is 0.5 from 1.5."""
    real = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    generated = torch.tensor([[0.5], [1.0], [1.5], [8.0]])
    one, two = precision_recall(real=real, generated=generated, k=[1, 2])
    assert (one.k, one.precision, one.recall) == (1, 0.75, 1.0)
    assert one.generated_in_real.tolist() == [True, True, True, False]
    assert one.real_in_generated.tolist() == [True, True, True, True]
    assert precision_recall(real=real[:, [0, 0]], generated=generated[:, [0, 0]] + 100, k=2).recall == 0.0
    assert (two.k, two.precision) == (2, 0.75)


def test_a_tight_cluster_and_a_wide_cloud_tell_precision_from_recall() -> None:
    wide, tight = normal(300, 8), 0.05 * normal(200, 8, seed=1)
    result = precision_recall(real=wide, generated=tight)
    assert result.precision == 1.0
    assert result.recall < 0.02
    swapped = precision_recall(real=tight, generated=wide)
    assert (swapped.precision, swapped.recall) == (result.recall, result.precision)
    assert torch.equal(swapped.real_in_generated, result.generated_in_real)


@pytest.mark.parametrize("dtype", DTYPES)
def test_precision_and_recall_of_identical_sets(dtype: torch.dtype) -> None:
    for features in (normal(50, 3), normal(4, 5).repeat(10, 1)):
        result = precision_recall(real=features.to(dtype), generated=features.to(dtype), k=1)
        assert (result.precision, result.recall) == (1.0, 1.0)


def test_a_copy_of_a_sample_is_another_sample() -> None:
    """Pairs: at k = 1 the radius is 0, so only equal samples are in; at k = 2 it reaches the next pair."""
    real = torch.tensor([[0.0], [0.0], [1.0], [1.0]])
    generated = torch.tensor([[0.5], [1.0], [1.0 + 2**-20], [7.0]])
    one, two = precision_recall(real=real, generated=generated, k=(1, 2))
    assert one.generated_in_real.tolist() == [False, True, False, False]
    assert two.generated_in_real.tolist() == [True, True, True, False]


def test_a_collapsed_generator_on_a_real_sample_is_precise() -> None:
    real = normal(100, 16)
    result = precision_recall(real=real, generated=real[:1].repeat(60, 1))
    assert result.precision == 1.0
    assert result.real_in_generated.nonzero().tolist() == [[0]]


def test_manifolds_grow_with_k() -> None:
    real, generated = normal(200, 5), normal(150, 5, seed=1) + 1
    results = precision_recall(real=real, generated=generated, k=[5, 1, 3])
    assert [result.k for result in results] == [5, 1, 3]
    assert float(results[1].precision) < float(results[2].precision) < float(results[0].precision)
    with pytest.raises(ValueError, match="two protocols do not compare: k: 1 and 3"):
        _ = results[1].precision < results[2].precision
    for result in results:
        alone = precision_recall(real=real, generated=generated, k=result.k)
        assert isinstance(alone, PrecisionRecall)
        assert torch.equal(alone.generated_in_real, result.generated_in_real)
        assert torch.equal(alone.real_in_generated, result.real_in_generated)
    default = precision_recall(real=real, generated=generated)
    assert (default.k, default.precision) == (3, results[2].precision)


@pytest.mark.usefixtures("small_blocks")
def test_ties_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nearly all pairs of these points are equally near: no bound tells neighbours apart, and no list may hold all."""
    n, d = 200, 100
    monkeypatch.setattr(_distances, "_CHUNK", 50 * d)
    corners = torch.cat([torch.eye(d), -torch.eye(d)])
    assert largest((corners, corners[:10] + 5)).elements <= n * d < n * (n - 1) / 1.9


@pytest.mark.usefixtures("small_blocks")
def test_the_sizes_of_blocks_bound_them() -> None:
    assert largest((normal(400, 2), normal(400, 2, seed=1))).elements < 400 * 60


def test_few_pairs_are_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    original = _distances.positions

    def counted(mask: Tensor) -> Sets:
        row, column = original(mask)
        counts.append(len(row))
        return row, column

    monkeypatch.setattr(_neighbours, "positions", counted)
    n = 3000
    precision_recall(real=normal(n, 16), generated=normal(n, 16, seed=1))
    assert sum(counts) < 2 * n * 3 * 8  # two sets, k = 3, and a few per block


def test_float64_products_tell_apart_what_float32_ones_do_not(
    settled_pairs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in (("_ROWS", 128), ("_COLUMNS", 64), ("_SLICE", 32)):
        monkeypatch.setattr(_neighbours, name, size)
    n = 500
    real, other = normal(n, 32), normal(n, 32, seed=1)
    noisy = chosen(other[:2], n) + 1e-4 * normal(n, 32, seed=2)
    assert largest((real, other)).product_dtypes == {torch.float32}
    settled_pairs.clear()
    assert largest((real, noisy)).product_dtypes == {torch.float32, torch.float64}
    assert sum(settled_pairs) < 40 * n < n * n / 2 / 2  # the pairs within the two clusters
    assert largest((real + 1000, other + 1000)).product_dtypes == {torch.float32}, "centring takes an offset away"
    assert largest((real.double(), other.double())).product_dtypes == {torch.float64}
    assert largest((real.half(), other.half())).product_dtypes == {torch.float32}


@pytest.fixture(params=["medium", "high"])
def reduced_precision(request: pytest.FixtureRequest) -> Iterator[None]:
    torch.set_float32_matmul_precision(request.param)
    yield
    torch.set_float32_matmul_precision("highest")


@pytest.mark.usefixtures("reduced_precision")
def test_reduced_precision_of_the_process_is_left_alone_and_does_no_harm() -> None:
    before = torch.get_float32_matmul_precision()
    real, generated = normal(150, 64) + 3, normal(150, 64, seed=1) + 3
    assert largest((real, generated)).product_dtypes == {torch.float64}
    assert_exact(precision_recall, real, generated, (1, 3))
    assert torch.get_float32_matmul_precision() == before


def prdc_precision_recall(real: Tensor, generated: Tensor, k: int) -> tuple[float, float]:
    prdc = pytest.importorskip("prdc")
    values = prdc.compute_prdc(real.double().numpy(), generated.double().numpy(), nearest_k=k)
    return values["precision"], values["recall"]


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("d", [2, 32])
def test_prdc_agrees_where_nothing_ties(k: int, d: int) -> None:
    real, generated = normal(300, d), normal(250, d, seed=1) + 0.5
    result = precision_recall(real=real, generated=generated, k=k)
    assert (result.precision, result.recall) == pytest.approx(prdc_precision_recall(real, generated, k), abs=1e-12)
    assert 0.02 < result.precision < 0.99


def test_prdc_is_wrong_about_a_collapsed_generator() -> None:
    """Its balls are open, so those of radius 0 do not even hold their centre."""
    real = torch.randint(9, (100, 16), generator=torch.Generator().manual_seed(0)).float()
    collapsed = real[:1].repeat(60, 1)
    result = precision_recall(real=real, generated=collapsed)
    assert result.recall == 0.01
    assert prdc_precision_recall(real, collapsed, 3)[1] == 0.0
    doubled = real.repeat_interleave(4, 0)  # likewise the real ones, at k = 3
    assert precision_recall(real=doubled, generated=real).precision == 1.0
    assert prdc_precision_recall(doubled, real, 3)[0] == 0.0


# -- density and coverage, and all four --------------------------------------------------------------------------------


def test_density_and_coverage_on_a_line_by_hand() -> None:
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


def test_a_tight_cluster_and_a_wide_cloud_tell_density_from_coverage() -> None:
    """The sets that show swapped roles, as in torch-fidelity #58: dense and hardly covering, or the reverse."""
    wide, tight = normal(300, 8), 0.05 * normal(200, 8, seed=1)
    result, swapped = density_coverage(real=wide, generated=tight), density_coverage(real=tight, generated=wide)
    assert result.density > 1.5
    assert result.coverage < 0.5
    assert swapped.density < 0.01
    assert swapped.coverage < 0.01
    assert (len(result.n_balls), len(result.covered)) == (200, 300)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_density_and_coverage_of_identical_sets(k: int) -> None:
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


def test_balls_that_hold_nearly_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many members to list are added up as they stand, copies counted, and the unclear ones are still settled."""
    real = torch.cat([normal(90, 40), normal(30, 40).repeat_interleave(2, 0)])
    generated = torch.cat([0.3 * normal(200, 40, seed=1), chosen(real, 30)])
    settled = count_settled(monkeypatch)
    assert_exact(density_coverage, real, generated, (100, 120))
    assert sum(settled) < 150 * 230 / 4
    assert bool((density_coverage(real=real, generated=generated, k=100).n_balls > 100).any())


@given(seed=st.integers(0, 2**31), times=st.integers(1, 4))
def test_copies_of_all_generated_samples_change_neither(seed: int, times: int) -> None:
    real, generated = normal(30, 3, seed=seed), normal(25, 3, seed=seed + 1)
    plain, copied = (density_coverage(real=real, generated=rows) for rows in (generated, generated.repeat(times, 1)))
    assert (copied.density, copied.coverage) == (plain.density, plain.coverage)


def test_balls_grow_with_k() -> None:
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


def test_two_products_and_not_three() -> None:
    n, m = 3000, 2000
    sets = normal(n, 4), normal(m, 4, seed=1)
    blocks = 1024 * (n + m)  # those that reach over the end or the diagonal
    assert n * m + n * n / 2 <= largest_of(sets, density_coverage).products <= n * m + n * n / 2 + blocks
    three = n * m + n * n / 2 + m * m / 2
    assert three <= largest_of(sets, prdc).products == largest_of(sets, precision_recall).products <= three + 2 * blocks


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


# -- realism -----------------------------------------------------------------------------------------------------------


def test_realism_on_a_line_by_hand() -> None:
    """At k = 1 the radii are 1, 1, 2, 3: the median is 1.5, and the last two balls are left out."""
    real = torch.tensor([[0.0], [1.0], [3.0], [6.0]])
    generated = torch.tensor([[0.0], [0.5], [2.0], [3.0], [6.0], [-4.0]])
    assert realism(real=real, generated=generated, k=1).tolist() == [math.inf, 2.0, 1.0, 0.5, 0.2, 0.25]


def test_a_ball_of_median_radius_counts() -> None:
    """Of the radii 1, 1, 2, 3, 4 (k = 1) the median is 2: the ball of 3 reaches to 1 and 5."""
    real = torch.tensor([[0.0], [1.0], [3.0], [6.0], [10.0]])
    assert realism(real=real, generated=torch.tensor([[5.0], [10.0]]), k=1).tolist() == [1.0, 2 / 7]


def test_copies_count_in_the_median() -> None:
    """Radii 0, 0, 0, 1, 1, 2: the median is 0.5 and only the copies' balls count; without two of them, others do."""
    real = torch.tensor([[0.0], [0.0], [0.0], [10.0], [11.0], [13.0]])
    generated = torch.tensor([[0.0], [10.0]])
    assert realism(real=real, generated=generated, k=1).tolist() == [1.0, 0.0]
    assert realism(real=real[2:], generated=generated, k=1).tolist() == [0.1, math.inf]


def test_equal_numbers_have_ratio_one() -> None:
    """Balls of radius 0 hold their centre alone, and as something on their surface: 0 / 0 is 1, and 0 / x is 0."""
    real = torch.tensor([[0.0], [0.0], [5.0], [5.0]])
    assert realism(real=real, generated=torch.tensor([[0.0], [5.0], [1e-30]]), k=1).tolist() == [1.0, 1.0, 0.0]
    # a larger ratio to another ball wins: 0.5 is the centre of a ball of radius 0, in the middle of larger ones
    real = torch.tensor([[0.5], [0.5], [0.0], [1.0], [9.0], [10.0], [30.0], [70.0]])
    assert realism(real=real, generated=torch.tensor([[0.5]]), k=1).tolist() == [1.0]
    assert realism(real=real, generated=torch.tensor([[0.5]]), k=2).tolist() == [math.inf]


@pytest.mark.parametrize("power", [-500, 0, 500])
def test_numbers_whose_squares_do_not_fit(power: int) -> None:
    """Then all squared distances are 0, or infinite, and equal, or else they are right."""
    real = torch.tensor([[0.0], [1.0], [2.0], [3.0]], dtype=torch.float64)
    generated = torch.tensor([[0.25]], dtype=torch.float64)
    scaled = realism(real=real * 2.0**power, generated=generated * 2.0**power, k=1)
    assert scaled.tolist() == [4.0]
    assert realism(real=real * 2.0**-600, generated=generated * 2.0**-600, k=1).tolist() == [1.0]
    assert realism(real=real * 2.0**600, generated=generated * 2.0**600, k=1).tolist() == [1.0]


def test_just_outside_a_ball_is_below_one() -> None:
    """``torch.sqrt`` rounds the square root of 1 - 2^-53 to 1 on some machines."""
    squares = torch.tensor([1 - 2**-53, 1.0, 1 + 2**-52, 0.0, math.inf, 0.25], dtype=torch.float64)
    roots = _roots(squares.repeat(9)).view(9, 6)
    assert (roots[:, 0] < 1).all()
    assert (roots[:, 1:3] >= 1).all()
    assert roots[0, [1, 3, 4, 5]].tolist() == [1.0, 0.0, math.inf, 0.5]
    real = torch.tensor([[0.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    around = torch.tensor([[1.0, 0.0], [1.0, 2**-26]], dtype=torch.float64)  # at squared distance 1 and 1 + 2^-52
    assert (realism(real=real, generated=around.repeat(9, 1), k=1) >= 1).tolist() == [True, False] * 9


def test_noise_makes_samples_less_realistic() -> None:
    real, generated = normal(400, 8), normal(300, 8, seed=1)
    noise = normal(300, 8, seed=2)
    medians = [float(realism(real=real, generated=generated + s * noise).median()) for s in (0.0, 0.5, 1.0, 3.0)]
    assert medians == sorted(medians, reverse=True)
    assert medians[0] > 2 * medians[-1]


def test_a_tight_cluster_is_realistic_in_a_wide_cloud_and_not_the_reverse() -> None:
    wide, tight = normal(300, 8), 0.05 * normal(200, 8, seed=1)
    assert realism(real=wide, generated=tight).shape == (200,)
    assert bool((realism(real=wide, generated=tight) > 0.9).all())
    assert float(realism(real=tight, generated=wide).median()) < 0.05


@pytest.mark.parametrize("kind", ["random", "integers", "memorised", "tight in wide"])
def test_one_and_more_is_precision_without_the_wide_balls(kind: str) -> None:
    (real, generated), truth = known(kind, 3)[2]
    for k in (1, 3):
        found, inside = realism(real=real, generated=generated, k=k) >= 1, truth.generated_in_real(k)
        radii = truth.of_real[:, k - 1]
        pruned = truth.in_real(k)[radii <= np.quantile(radii, 0.5, method="lower")].any(0)
        assert found.tolist() == pruned.tolist()
        assert not bool((found & ~inside).any())
        assert float(inside.double().mean()) == precision_recall(real=real, generated=generated, k=k).precision


@given(
    radius=st.floats(-60, 60).map(lambda e: 10**e),
    best=st.floats(-60, 60).map(lambda e: 10**e),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
@settings(max_examples=500)
def test_what_is_ruled_out_is_never_the_largest(radius: float, best: float, dtype: torch.dtype) -> None:
    """Whatever underflows or is rounded, the limit is not below the quotient, but for an underflow of its own."""
    radii, bests = (torch.tensor([value], dtype=torch.float64) for value in (radius, best))
    limit, tiny = float(_limits(radii, bests, dtype)), torch.finfo(dtype).tiny
    assert limit == math.inf or Fraction(limit) + Fraction(tiny) >= Fraction(radius) / Fraction(best)
    if 1e-30 < radius < 1e30 and 1e-30 < best < 1e30 and 1e-30 < radius / best < 1e30:
        assert limit <= radius / best * (1 + 20 * torch.finfo(dtype).eps)


def test_limits_of_zero_and_infinity() -> None:
    radii, best = torch.tensor([0.0, 1.0]).double(), torch.tensor([0.0, math.inf]).double()
    limits = _limits(radii, best, torch.float32)
    assert limits[0].tolist() == [0.0, 0.0]
    assert float(limits[1, 0]) == math.inf
    assert 0 <= float(limits[1, 1]) < 1e-30


def test_pairs_copies_cost_nothing_and_no_matrix_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    n = 4000
    settled = count_settled(monkeypatch)
    copies = normal(n // 4, 2).repeat(4, 1)
    assert largest_of((copies, normal(n, 2, seed=1)), realism).elements <= 2048 * 1024 < n * n / 7
    assert sum(settled) < 8 * n, "balls of radius 0 were settled one by one"


def test_half_of_a_product() -> None:
    """Only the balls that count are multiplied with the generated samples."""
    n, m = 4000, 2000
    products = largest_of((normal(n, 4), normal(m, 4, seed=1)), realism).products
    assert products < n * m / 2 + n * n / 2 + 1024 * (n + m) / 2 + 2 * 1024**2


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_dtype_gives_float64(dtype: torch.dtype) -> None:
    assert realism(real=normal(9, 2).to(dtype), generated=normal(9, 2, seed=1).to(dtype)).dtype == torch.float64


def test_a_result_prints_its_numbers_and_the_shapes_of_its_tensors() -> None:
    real, generated = torch.rand(900, 3), torch.rand(500, 3)
    expected = "k=3, precision={0.precision!r}, recall={0.recall!r}, generated_in_real=(500,), real_in_generated=(900,)"
    found = precision_recall(real=real, generated=generated, k=3)
    assert repr(found) == f"PrecisionRecall({expected.format(found)})"
    pair = density_coverage(real=real, generated=generated, k=3)
    assert repr(pair) == (
        f"DensityCoverage(k=3, density={pair.density!r}, coverage={pair.coverage!r}, n_balls=(500,), covered=(900,))"
    )
    both = repr(prdc(real=real, generated=generated, k=3))
    assert both.startswith("PRDC(k=3, ")
    assert "n_balls=(500,)" in both
    assert "real_in_generated=(900,)" in both
    assert "tensor" not in both
