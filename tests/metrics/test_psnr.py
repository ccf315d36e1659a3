"""PSNR per sample, Eq. 9, AI-PSNR, and the exchange of decibels for a radius."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stochrobust.metrics.psnr import (
    PSNRSummary,
    adversarial_input_psnr,
    eps_from_psnr,
    psnr,
    psnr_from_eps,
    robustness_psnr,
    summarize_psnr,
)

INF = math.inf


def images(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def naive_psnr(a: Tensor, b: Tensor, peak: float) -> list[float]:
    """Sample by sample, in float64."""
    pairs = zip(a.double().numpy(), b.double().numpy(), strict=True)
    return [10 * math.log10(peak**2 / np.mean((x - y) ** 2)) for x, y in pairs]


# -- psnr --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("data_range", "expected"), [(1.0, 20.0), (2.0, 26.0206), (255, 68.1308)])
def test_a_constant_difference(data_range: float, expected: float) -> None:
    a = torch.full((2, 3, 4, 5), 0.3, dtype=torch.float64)
    assert psnr(a, a - 0.1, data_range=data_range).tolist() == pytest.approx([expected] * 2, abs=1e-4)


@pytest.mark.parametrize("shape", [(4,), (4, 7), (4, 3, 8, 6)])
@pytest.mark.parametrize("data_range", [1.0, 2.0])
def test_the_naive_formula(shape: tuple[int, ...], data_range: float) -> None:
    a, b = images(*shape), images(*shape, seed=1)
    got = psnr(a, b, data_range=data_range)
    assert got.shape == (4,)
    assert got.tolist() == pytest.approx(naive_psnr(a, b, data_range), rel=1e-13)


def test_samples_are_not_pooled() -> None:
    b = torch.tensor([[0.1] * 10, [0.001] * 10], dtype=torch.float64)
    values = psnr(torch.zeros_like(b), b)
    assert values.tolist() == pytest.approx([20, 60])
    pooled = -10 * b.square().mean().log10()
    assert values.mean() == pytest.approx(40)
    assert pooled == pytest.approx(23.01, abs=0.01)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_precision(dtype: torch.dtype) -> None:
    """Halves are compared as they are, in float32: neither their difference nor its square is rounded to half."""
    a, b = images(2, 3, 64, 64, dtype=dtype), images(2, 3, 64, 64, seed=1, dtype=dtype)
    got = psnr(a, b)
    assert got.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert got.tolist() == pytest.approx(naive_psnr(a, b, 1), rel=1e-13 if dtype == torch.float64 else 1e-6)


@pytest.mark.parametrize("size", [1e-45, 1e-30, 1e-3, 1e30])
def test_infinite_where_equal_and_only_there(size: float) -> None:
    a = torch.zeros(2, 100)
    b = a.clone()
    b[1, 3] = size
    values = psnr(a, b)
    assert values[0] == INF
    assert float(values[1]) == pytest.approx(20 - 20 * math.log10(float(b[1, 3])), rel=1e-6)


@given(seed=st.integers(0, 2**31), scale=st.floats(1e-3, 1e3), batch=st.integers(1, 4))
def test_symmetric_and_scales_with_the_range(seed: int, scale: float, batch: int) -> None:
    a, b = images(batch, 3, 5, seed=seed), images(batch, 3, 5, seed=seed + 1)
    expected = psnr(a, b)
    assert torch.equal(psnr(b, a), expected)
    torch.testing.assert_close(psnr(a * scale, b * scale, data_range=scale), expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(torch.cat([psnr(x[None], y[None]) for x, y in zip(a, b, strict=True)]), expected)


def test_gradient() -> None:
    a, b = images(3, 4).requires_grad_(), images(3, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(psnr, (a, b))


# -- Eq. 9 -------------------------------------------------------------------------------------------------------------


def test_mean_over_the_seeds_of_each_input() -> None:
    level = torch.tensor([0.1, 0.01, 0.001, 0.1, 0.1, 0.1], dtype=torch.float64)
    attacked = level[:, None].expand(6, 9)
    got = robustness_psnr(torch.zeros_like(attacked), attacked, n_seeds=3)
    assert got.tolist() == pytest.approx([(20 + 40 + 60) / 3, 20])
    assert robustness_psnr(torch.zeros_like(attacked), attacked).tolist() == pytest.approx([20, 40, 60, 20, 20, 20])


def test_robustness_takes_the_range() -> None:
    clean, attacked = images(4, 9), images(4, 9, seed=1)
    got = robustness_psnr(clean, attacked, n_seeds=2, data_range=2.0) - robustness_psnr(clean, attacked, n_seeds=2)
    assert got.tolist() == pytest.approx([20 * math.log10(2)] * 2)


def test_one_unchanged_seed_makes_the_mean_infinite() -> None:
    clean, attacked = torch.zeros(4, 5), torch.full((4, 5), 0.1)
    attacked[1] = 0
    assert robustness_psnr(clean, attacked, n_seeds=2).tolist() == [INF, pytest.approx(20)]


# -- AI-PSNR -----------------------------------------------------------------------------------------------------------


def test_adversarial_input_psnr_is_that_of_the_sum() -> None:
    y, delta = images(3, 2, 8, 8), images(3, 2, 8, 8, seed=1) - 0.5
    for data_range in (1.0, 2.0):
        got = adversarial_input_psnr(y, delta, data_range=data_range)
        assert got.tolist() == pytest.approx(naive_psnr(y + delta, y, data_range), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_delta_that_the_sum_would_round_away_counts(dtype: torch.dtype) -> None:
    y = torch.ones(2, 50, dtype=dtype)
    delta = torch.tensor([[1e-9], [0.0]]).expand(2, 50)  # in float32, as attacks keep it
    assert torch.equal(y + delta, torch.ones(2, 50))
    assert adversarial_input_psnr(y, delta).tolist() == [pytest.approx(180), INF]


def test_the_radius_of_a_ball_is_the_psnr_of_its_sphere() -> None:
    delta = torch.randn(4, 3, 64, 64, dtype=torch.float64)
    delta *= 2.5 / delta.flatten(1).norm(dim=1).view(4, 1, 1, 1)
    assert adversarial_input_psnr(delta, delta).tolist() == pytest.approx([psnr_from_eps(2.5, 12288)] * 4)


# -- summaries ---------------------------------------------------------------------------------------------------------


def test_summary_averages_the_finite_and_counts_the_rest() -> None:
    assert summarize_psnr(torch.tensor([[30.0, INF], [40.0, INF], [20.0, 30.0]])) == PSNRSummary(30.0, 4, 2)
    assert summarize_psnr(torch.tensor([INF, INF])) == PSNRSummary(INF, 0, 2)
    halves = torch.tensor([30.09375, 30.109375], dtype=torch.float16)  # neighbours: their mean is no half
    assert summarize_psnr(halves).mean == 30.1015625


# -- eps and decibels --------------------------------------------------------------------------------------------------

# eps, decibels, elements: of the paper's Sections 6.1.1 and E.2.3.
PAPER = [(2.5, 32.94, 3 * 64 * 64), (0.553, 34.0, 3 * 16 * 16), (0.276, 34.0, 3 * 8 * 8), (0.138, 34.0, 3 * 4 * 4)]


@pytest.mark.parametrize(("eps", "decibels", "n"), PAPER)
def test_the_papers_radii(eps: float, decibels: float, n: int) -> None:
    assert psnr_from_eps(eps, n) == pytest.approx(decibels, abs=0.025)
    assert eps_from_psnr(decibels, n) == pytest.approx(eps, rel=3e-3)
    assert eps_from_psnr(decibels, n, data_range=2.0) == pytest.approx(2 * eps, rel=3e-3)
    assert psnr_from_eps(eps, n, data_range=2.0) == pytest.approx(decibels + 6.02, abs=0.025)


@given(eps=st.floats(1e-6, 1e6), n=st.integers(1, 10**7), data_range=st.floats(1e-3, 1e3))
def test_inverses(eps: float, n: int, data_range: float) -> None:
    decibels = psnr_from_eps(eps, n, data_range=data_range)
    assert eps_from_psnr(decibels, n, data_range=data_range) == pytest.approx(eps, rel=1e-12)
    tensor = torch.tensor([eps, 2 * eps], dtype=torch.float64)
    tensor_decibels = psnr_from_eps(tensor, n, data_range=data_range)
    assert float(tensor_decibels[0]) == pytest.approx(decibels, rel=1e-12, abs=1e-12)
    torch.testing.assert_close(eps_from_psnr(tensor_decibels, n, data_range=data_range), tensor, rtol=1e-12, atol=0)


def test_no_perturbation_is_infinite_decibels_and_back() -> None:
    assert psnr_from_eps(0, 10) == INF
    assert eps_from_psnr(INF, 10) == 0.0
    assert torch.equal(psnr_from_eps(torch.zeros(2), 10), torch.tensor([INF, INF]))
    assert torch.equal(eps_from_psnr(torch.tensor([INF]), 10), torch.zeros(1))


def test_numbers_give_numbers_and_tensors_tensors() -> None:
    assert isinstance(psnr_from_eps(1, 4), float)
    assert isinstance(eps_from_psnr(30, 4), float)
    assert psnr_from_eps(torch.ones(3, dtype=torch.float16), 4).dtype == torch.float32
    assert eps_from_psnr(torch.ones(3, 2, dtype=torch.float64), 4).dtype == torch.float64


# -- errors ------------------------------------------------------------------------------------------------------------

A = torch.zeros(2, 3)
NAN = torch.full((2, 3), math.nan)
BAD: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    (psnr, ([0.0], A), {}, TypeError, "a must be a torch.Tensor"),
    (psnr, (A, A.long()), {}, TypeError, "b must have a real floating-point dtype"),
    (psnr, (A, A[:1]), {}, ValueError, "b must have the shape"),
    (psnr, (A, A.double()), {}, ValueError, "b must have the shape, dtype"),
    (psnr, (NAN, A), {}, ValueError, "a must be finite"),
    (psnr, (A, NAN), {}, ValueError, "b must be finite"),
    (psnr, (A, A), {"data_range": 0.0}, ValueError, "data_range must be a finite number above 0"),
    (psnr, (A, A), {"data_range": "1"}, TypeError, "data_range must be a real number"),
    (robustness_psnr, (torch.zeros(5, 2), torch.zeros(5, 2)), {"n_seeds": 2}, ValueError, "multiple of n_seeds = 2"),
    (robustness_psnr, (A, A), {"n_seeds": 0}, ValueError, "n_seeds must be at least 1"),
    (robustness_psnr, (A, A), {"n_seeds": 1.0}, TypeError, "n_seeds must be an integer"),
    (adversarial_input_psnr, (A, A[:, :1]), {}, ValueError, "delta must have the shape"),
    (adversarial_input_psnr, (A, NAN), {}, ValueError, "delta must be finite"),
    (adversarial_input_psnr, (A.int(), A), {}, TypeError, "y must have a real"),
    (summarize_psnr, (NAN,), {}, ValueError, "must be finite"),
    (summarize_psnr, (torch.tensor([-INF]),), {}, ValueError, "must be finite"),
    (summarize_psnr, ([1.0],), {}, TypeError, "values must be"),
    (eps_from_psnr, (math.nan, 4), {}, ValueError, "psnr_db must be neither"),
    (eps_from_psnr, (-INF, 4), {}, ValueError, "psnr_db must be neither"),
    (eps_from_psnr, (NAN, 4), {}, ValueError, "psnr_db must be neither"),
    (eps_from_psnr, (30.0, 0), {}, ValueError, "n_elements must be at least 1"),
    (eps_from_psnr, (30.0, 4), {"data_range": -1}, ValueError, "data_range must be"),
    (psnr_from_eps, (-1.0, 4), {}, ValueError, "eps must be at least 0"),
    (psnr_from_eps, (INF, 4), {}, ValueError, "eps must be at least 0"),
    (psnr_from_eps, (-A - 1, 4), {}, ValueError, "eps must be at least 0"),
    (psnr_from_eps, ("1", 4), {}, TypeError, "eps must be a real number"),
    (psnr_from_eps, (1.0, 4.0), {}, TypeError, "n_elements must be an integer"),
]


@pytest.mark.parametrize(("function", "args", "kwargs", "error", "message"), BAD)
def test_errors(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        function(*args, **kwargs)
