"""Realism of single samples, against closed forms, brute force in float64, and its own properties."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stochrobust.metrics.features import Features
from stochrobust.metrics.precision_recall import precision_recall
from stochrobust.metrics.protocol import Protocol
from stochrobust.metrics.realism import _limits, _roots, realism
from tests.metrics.neighbour_sets import (
    DTYPES,
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

KS = (1, 3, 10)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    many_blocks(monkeypatch)


def assert_agrees(real: Tensor, generated: Tensor, truth: Truth, ks: tuple[int, ...]) -> None:
    """To the rounding of a square root; on which side of 1, and whether infinite, exactly."""
    for k in ks:
        found, expected = realism(real=real, generated=generated, k=k), truth.realism(k)
        assert found.dtype == torch.float64
        torch.testing.assert_close(found.cpu(), expected, rtol=1e-15, atol=0, msg=f"k = {k}")
        assert torch.equal(found.cpu() >= 1, expected >= 1), k


def assert_exact(real: Tensor, generated: Tensor, ks: tuple[int, ...] = KS) -> None:
    assert_agrees(real, generated, brute_force(real.cpu(), generated.cpu()), ks)


# -- closed form -------------------------------------------------------------------------------------------------------


def test_on_a_line_by_hand() -> None:
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


def test_a_tight_cluster_and_a_wide_cloud_tell_the_roles_apart() -> None:
    wide, tight = normal(300, 8), 0.05 * normal(200, 8, seed=1)
    assert realism(real=wide, generated=tight).shape == (200,)
    assert bool((realism(real=wide, generated=tight) > 0.9).all())
    assert float(realism(real=tight, generated=wide).median()) < 0.05


# -- brute force -------------------------------------------------------------------------------------------------------


@many_problems
@pytest.mark.usefixtures("small_blocks")
def test_every_value_is_that_of_brute_force(kind: str, d: int) -> None:
    for (real, generated), truth in known(kind, d):
        assert_agrees(real, generated, truth, KS)


@pytest.mark.usefixtures("small_blocks")
def test_equidistant_points() -> None:
    simplex = torch.eye(60)
    assert_exact(simplex, simplex.roll(1, 0), (1, 3))
    assert_exact(simplex, 0.5 * simplex + 0.25, (1, 3))


def test_ordinary_blocks() -> None:
    real, generated = normal(1500, 6), normal(1100, 6, seed=1) + 0.3
    assert_agrees(real, generated, brute_force(real, generated, by_halves=False), (3,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("factor", [1e-25, 1e-18, 1e-8, 1e8, 1e18])
@pytest.mark.usefixtures("small_blocks")
def test_ratios_far_from_one(factor: float, dtype: torch.dtype) -> None:
    """Radii and distances of different magnitude: their quotients pass the range of float32 on either side."""
    real, other = factor * normal(70, 3), normal(50, 3, seed=1)
    for generated in (other, factor * 1e-6 * other, factor * other):
        assert_exact(real.to(dtype), generated.to(dtype))


@given(seed=st.integers(0, 2**31), n=st.integers(4, 40), d=st.integers(1, 4), levels=st.integers(1, 4))
def test_ties_and_duplicates_of_any_kind(seed: int, n: int, d: int, levels: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    real, generated = (torch.randint(-levels, levels + 1, (m, d), generator=generator) for m in (n, n + 3))
    assert_exact(0.1 * real.float() + 7, 0.1 * generated.float() + 7, (1, 2, 3))


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


# -- properties --------------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**31), d=st.integers(1, 5))
def test_order_of_the_samples(seed: int, d: int) -> None:
    real, generated = normal(30, d, seed=seed), normal(25, d, seed=seed + 1)
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.randperm(30, generator=generator), torch.randperm(25, generator=generator)
    plain = realism(real=real, generated=generated)
    assert torch.equal(realism(real=real[rows], generated=generated[columns]), plain[columns])
    one = realism(real=real, generated=generated[3:4])
    torch.testing.assert_close(one, plain[3:4], rtol=1e-15, atol=0)


@given(seed=st.integers(0, 2**31), power=st.integers(-20, 20), shift=st.integers(-8, 8))
def test_scale_and_shift(seed: int, power: int, shift: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    real, generated = (torch.randint(100, (30, 3), generator=generator).float() for _ in range(2))
    moved = realism(real=(real + shift) * 2.0**power, generated=(generated + shift) * 2.0**power)
    assert torch.equal(moved, realism(real=real, generated=generated))


def test_k_counts() -> None:
    real, generated = normal(60, 3), normal(50, 3, seed=1)
    default = realism(real=real, generated=generated)
    assert torch.equal(default, realism(real=real, generated=generated, k=3))
    assert not torch.equal(default, realism(real=real, generated=generated, k=4))
    assert_exact(real[:6], generated, (5,))


def test_sets_on_disk_and_in_batches(tmp_path: Path) -> None:
    real, generated = normal(60, 4), normal(50, 4, seed=1)
    expected = realism(real=real, generated=generated)
    for name, rows in (("real", real), ("generated", generated)):
        np.save(tmp_path / f"{name}.npy", rows.numpy())
    on_disk = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("real", "generated")}
    assert torch.equal(realism(**on_disk), expected)
    assert torch.equal(realism(real=iter(real.split(7)), generated=(rows for rows in generated.split(9))), expected)


def test_inputs_are_left_alone_and_no_gradient_is_kept() -> None:
    real, generated = normal(30, 4).requires_grad_(), normal(30, 4, seed=1)
    before, state = real.detach().clone(), torch.get_rng_state()
    result = realism(real=real, generated=generated)
    assert torch.equal(real, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert not result.requires_grad
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(realism(real=real, generated=generated), result)


# -- cost --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["random", "collapsed", "memorised", "far"])
def test_few_distances_are_summed_one_by_one(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    n, d = 1500, 256
    real, other = normal(n, d), normal(n, d, seed=1)
    sets = {"random": other, "collapsed": other[:1].repeat(n, 1), "memorised": chosen(real, n), "far": other + 100}
    settled = count_settled(monkeypatch)
    observed = largest((real, sets[kind]), realism)
    assert sum(settled) < 12 * n
    assert observed.product_dtypes == {torch.float32}


def test_pairs_copies_cost_nothing_and_no_matrix_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    n = 4000
    settled = count_settled(monkeypatch)
    copies = normal(n // 4, 2).repeat(4, 1)
    assert largest((copies, normal(n, 2, seed=1)), realism).elements <= 2048 * 1024 < n * n / 7
    assert sum(settled) < 8 * n, "balls of radius 0 were settled one by one"


def test_half_of_a_product() -> None:
    """Only the balls that count are multiplied with the generated samples."""
    n, m = 4000, 2000
    products = largest((normal(n, 4), normal(m, 4, seed=1)), realism).products
    assert products < n * m / 2 + n * n / 2 + 1024 * (n + m) / 2 + 2 * 1024**2


# -- errors ------------------------------------------------------------------------------------------------------------

A = torch.zeros(5, 2)
MINE, THEIRS = (Features(A, Protocol(extractor=name)) for name in ("mine", "theirs"))


@pytest.mark.parametrize(
    ("real", "generated", "k", "error", "message"),
    [
        ([[0.0]], A, 3, TypeError, "real must be a torch.Tensor"),
        (A, A.int(), 3, TypeError, "generated must have a real floating-point dtype"),
        (A[0], A, 3, ValueError, "real must have 2 dimensions"),
        (A, A[:0], 3, ValueError, "generated must not be empty"),
        (A, A[:, :1], 3, ValueError, "generated must have the 2 features of real"),
        (A, A.double(), 3, ValueError, "generated must have the dtype and device of real"),
        (A, A + math.nan, 3, ValueError, "generated must be finite, got 10 NaN"),
        (A - math.inf, A, 3, ValueError, "real must be finite"),
        (MINE, THEIRS, 3, ValueError, "generated must have the protocol of real, got another: extractor"),
        (A, A, 5, ValueError, r"real must have at least 6 samples, got .* \(5, 2\)"),
        (A, A, 0, ValueError, "k must be at least 1"),
        (A, A, 2.0, TypeError, "k must be an integer"),
        (A, A, True, TypeError, "k must be an integer"),
        (A, A, (1, 2), TypeError, "k must be an integer"),
    ],
)
def test_errors(real: Any, generated: Any, k: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        realism(real=real, generated=generated, k=k)


def test_roles_must_be_named() -> None:
    untyped: Callable[..., Any] = realism
    with pytest.raises(TypeError, match="positional"):
        untyped(A, A)


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_dtype_gives_float64(dtype: torch.dtype) -> None:
    assert realism(real=normal(9, 2).to(dtype), generated=normal(9, 2, seed=1).to(dtype)).dtype == torch.float64


@pytest.mark.gpu
@pytest.mark.parametrize("kind", make_sets(1))
def test_the_same_on_a_gpu(kind: str) -> None:
    real, generated = make_sets(17)[kind]
    assert_exact(real.cuda(), generated.cuda())
    assert realism(real=real.cuda(), generated=generated.cuda()).is_cuda
