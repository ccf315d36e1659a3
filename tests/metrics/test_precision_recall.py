"""Precision and recall, against closed forms, brute force in float64, their own properties, and another package."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stochrobust.metrics import _distances, _neighbours
from stochrobust.metrics.precision_recall import PrecisionRecall, precision_recall
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


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    many_blocks(monkeypatch)


@pytest.fixture
def settled_pairs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    return count_settled(monkeypatch)


def largest(sets: Sets) -> Largest:
    return largest_of(sets, precision_recall)


def assert_agrees(real: Tensor, generated: Tensor, truth: Truth, ks: tuple[int, ...]) -> None:
    for k, result in zip(ks, precision_recall(real=real, generated=generated, k=ks), strict=True):
        in_real, in_generated = truth.generated_in_real(k), truth.real_in_generated(k)
        assert torch.equal(result.generated_in_real.cpu(), in_real), k
        assert torch.equal(result.real_in_generated.cpu(), in_generated), k
        assert (result.k, result.precision) == (k, float(in_real.double().mean()))
        assert result.recall == float(in_generated.double().mean())


def assert_exact(real: Tensor, generated: Tensor, ks: tuple[int, ...] = KS, *, by_halves: bool = True) -> None:
    assert_agrees(real, generated, brute_force(real.cpu(), generated.cpu(), by_halves=by_halves), ks)


# -- closed form -------------------------------------------------------------------------------------------------------


def test_on_a_line_by_hand() -> None:
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
def test_identical_sets(dtype: torch.dtype) -> None:
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


# -- brute force -------------------------------------------------------------------------------------------------------


@many_problems
@pytest.mark.usefixtures("small_blocks")
def test_every_decision_is_that_of_brute_force(kind: str, d: int) -> None:
    for (real, generated), truth in known(kind, d):
        assert_agrees(real, generated, truth, KS)


@pytest.mark.usefixtures("small_blocks")
def test_equidistant_points() -> None:
    """All distances of a simplex tie: nothing but the deciding sum can tell."""
    simplex = torch.eye(90)
    assert_exact(simplex, simplex.roll(1, 0), (1, 3))
    assert_exact(simplex, 0.5 * simplex + 0.25, (1, 3))


def test_ordinary_blocks_and_the_library_sum() -> None:
    """Where nothing ties, it does not matter how the definition is summed."""
    real, generated = normal(1500, 6), normal(1300, 6, seed=1) + 0.3
    assert_exact(real, generated, (1, 3), by_halves=False)


@given(seed=st.integers(0, 2**31), n=st.integers(4, 40), d=st.integers(1, 4), levels=st.integers(1, 4))
def test_ties_and_duplicates_of_any_kind(seed: int, n: int, d: int, levels: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    real, generated = (torch.randint(-levels, levels + 1, (m, d), generator=generator) for m in (n, n + 3))
    assert_exact(0.1 * real.float() + 7, 0.1 * generated.float() + 7, (1, 2, 3))


def test_nothing_depends_on_a_collision_of_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_distances, "_keys", lambda features: torch.zeros(len(features), dtype=torch.int64))
    rows = _distances.distinct_rows(torch.tensor([[1.0], [2.0], [1.0], [2.0]]))
    assert (len(rows), rows.group.tolist(), rows.count.tolist()) == (3, [0, 1, 0, 2], [2, 1, 1])
    assert_exact(*make_sets(3)["duplicated"])


# -- properties --------------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**31), d=st.integers(1, 5))
def test_order_of_the_samples(seed: int, d: int) -> None:
    real, generated = normal(30, d, seed=seed), normal(25, d, seed=seed + 1)
    order = torch.randperm(25, generator=torch.Generator().manual_seed(seed))
    plain = precision_recall(real=real, generated=generated)
    shuffled = precision_recall(real=real, generated=generated[order])
    assert torch.equal(shuffled.generated_in_real, plain.generated_in_real[order])
    assert torch.equal(shuffled.real_in_generated, plain.real_in_generated)


@given(seed=st.integers(0, 2**31), power=st.integers(-20, 20), shift=st.integers(-8, 8))
def test_scale_and_shift(seed: int, power: int, shift: int) -> None:
    """By powers of two and by integers that lose no digit: the same sets to the last bit."""
    generator = torch.Generator().manual_seed(seed)
    real, generated = (torch.randint(100, (30, 3), generator=generator).float() for _ in range(2))
    plain = precision_recall(real=real, generated=generated)
    moved = precision_recall(real=(real + shift) * 2.0**power, generated=(generated + shift) * 2.0**power)
    assert (moved.precision, moved.recall) == (plain.precision, plain.recall)


def test_manifolds_grow_with_k_and_each_k_is_what_it_is_alone() -> None:
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


def test_the_largest_k() -> None:
    assert_exact(normal(6, 2), normal(9, 2, seed=1), (5,))


def test_inputs_are_left_alone_and_no_gradient_is_kept() -> None:
    real, generated = normal(30, 4).requires_grad_(), normal(30, 4, seed=1)
    before, state = real.detach().clone(), torch.get_rng_state()
    result = precision_recall(real=real, generated=generated)
    assert torch.equal(real, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert not result.generated_in_real.requires_grad
    with torch.inference_mode():
        assert precision_recall(real=real, generated=generated).recall == result.recall


# -- the machinery -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2, 7, 100, 2048, 100_001])
def test_a_distance_does_not_depend_on_the_company_it_is_computed_in(d: int) -> None:
    """``torch.sum`` fails this with two threads for the last d."""
    torch.set_num_threads(2)
    a, b = normal(5, d), normal(5, d, seed=1)
    together = _distances.squared_distances(a, b)
    assert torch.equal(_distances.squared_distances(b, a), together)
    for row in range(5):
        assert torch.equal(_distances.squared_distances(a[row : row + 1], b[row : row + 1])[0], together[row])
    exact = [math.fsum((x - y) ** 2 for x, y in zip(*rows, strict=True)) for rows in zip(a.tolist(), b.tolist())]  # noqa: B905
    assert together.tolist() == pytest.approx(exact, rel=1e-15)


@given(value=st.floats(0, 1e300), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_rounding_to_either_side(value: float, dtype: torch.dtype) -> None:
    exact = torch.tensor(value, dtype=torch.float64)
    up, down = _distances.above(exact, dtype), _distances.below(exact, dtype)
    tiny = torch.finfo(dtype).tiny
    assert float(down) - tiny <= value <= float(up) + tiny
    assert math.isfinite(float(down))
    if tiny < value < 1e38:
        assert float(up) - float(down) < 8 * torch.finfo(dtype).eps * value


def test_equal_rows_are_found() -> None:
    features = torch.tensor([[1.0, 0.0], [2.0, 3.0], [1.0, -0.0], [1.0, 0.0], [3.0, 2.0]])
    rows = _distances.distinct_rows(features)
    assert len(rows) == 3
    assert torch.equal(features[rows.first][rows.group], features)
    assert rows.count[rows.group].tolist() == [3, 1, 3, 3, 1]


@pytest.mark.parametrize("kind", ["random", "collapsed", "modes with noise", "offset"])
def test_no_matrix_of_all_distances(kind: str) -> None:
    n, d = 4000, 2
    real, other = normal(n, d), normal(n, d, seed=1)
    modes = chosen(other[:4], n) + 1e-6 * normal(n, d, seed=2)
    sets = {"random": other, "collapsed": other[:1].repeat(n, 1), "modes with noise": modes, "offset": other + 1e4}
    assert largest((real, sets[kind])).elements <= 2048 * 1024 < n * n / 7


@pytest.mark.usefixtures("small_blocks")
def test_the_sizes_of_blocks_bound_them() -> None:
    assert largest((normal(400, 2), normal(400, 2, seed=1))).elements < 400 * 60


@pytest.mark.usefixtures("small_blocks")
def test_ties_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nearly all pairs of these points are equally near: no bound tells neighbours apart, and no list may hold all."""
    n, d = 200, 100
    monkeypatch.setattr(_distances, "_CHUNK", 50 * d)
    corners = torch.cat([torch.eye(d), -torch.eye(d)])
    assert largest((corners, corners[:10] + 5)).elements <= n * d < n * (n - 1) / 1.9


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


@pytest.mark.parametrize("kind", ["random", "collapsed", "modes", "memorised"])
def test_few_distances_are_summed_one_by_one(kind: str, settled_pairs: list[int]) -> None:
    n, d = 1500, 256
    real, other = normal(n, d), normal(n, d, seed=1)
    sets = {"random": other, "collapsed": other[:1].repeat(n, 1), "modes": chosen(other[:5], n)}
    precision_recall(real=real, generated=sets.get(kind, chosen(real, n)))
    assert sum(settled_pairs) < 12 * n


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


def test_rows_too_long_for_the_bound_of_float32_are_multiplied_in_float64() -> None:
    assert _distances.working_dtype(torch.empty(0, 2**22)) == torch.float32
    assert _distances.working_dtype(torch.empty(0, 2**22 + 1)) == torch.float64


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
    assert_exact(real, generated, (1, 3))
    assert torch.get_float32_matmul_precision() == before


def test_autocast_does_no_harm() -> None:
    real, generated = normal(150, 64) + 3, normal(150, 64, seed=1) + 3
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_exact(real, generated, (1, 3))


# -- another package ---------------------------------------------------------------------------------------------------


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


# -- errors ------------------------------------------------------------------------------------------------------------

A = torch.zeros(5, 2)


@pytest.mark.parametrize(
    ("real", "generated", "k", "error", "message"),
    [
        ([[0.0]], A, 3, TypeError, "real must be a torch.Tensor"),
        (A, A.int(), 3, TypeError, "generated must have a real floating-point dtype"),
        (A[0], A, 3, ValueError, "real must have 2 dimensions"),
        (A, A[None], 3, ValueError, "generated must have 2 dimensions"),
        (A, A[:, :1], 3, ValueError, "generated must have the 2 features of real"),
        (A, A.double(), 3, ValueError, "generated must have the dtype and device of real"),
        (A, A.to("meta"), 3, ValueError, "generated must have the dtype and device of real"),
        (A, A + math.nan, 3, ValueError, "generated must be finite, got 10 NaN"),
        (A - math.inf, A, 3, ValueError, "real must be finite"),
        (A, torch.zeros(9, 2), 5, ValueError, "real must have at least 6 samples"),
        (torch.zeros(9, 2), A, (1, 5), ValueError, "generated must have at least 6 samples"),
        (A, A, 0, ValueError, "k must be at least 1"),
        (A, A, (1, 0), ValueError, "k must be at least 1"),
        (A, A, 2.0, TypeError, "k must be an integer"),
        (A, A, True, TypeError, "k must be an integer"),
        (A, A, (1.0,), TypeError, "k must be an integer"),
        (A, A, (), ValueError, "k must be an integer or a non-empty sequence"),
        (A, A, "3", ValueError, "k must be an integer or a non-empty sequence"),
    ],
)
def test_errors(real: Any, generated: Any, k: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        precision_recall(real=real, generated=generated, k=k)


def test_roles_must_be_named() -> None:
    with pytest.raises(TypeError, match="positional"):
        precision_recall(A, A)  # type: ignore[call-overload]


@pytest.mark.gpu
@pytest.mark.parametrize("kind", make_sets(1))
def test_the_same_on_a_gpu(kind: str) -> None:
    real, generated = make_sets(17)[kind]
    assert_exact(real.cuda(), generated.cuda())
    assert precision_recall(real=real.cuda(), generated=generated.cuda()).generated_in_real.is_cuda
