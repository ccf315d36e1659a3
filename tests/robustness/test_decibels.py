"""Eq. 9, AI-PSNR, and the exchange of decibels for a radius."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stochrobust.metrics.distortion import psnr
from stochrobust.robustness.decibels import adversarial_input_psnr, eps_from_psnr, psnr_from_eps, robustness_psnr
from tests.metrics.test_distortion import images, naive_psnr

INF = math.inf


@pytest.mark.parametrize("bad", [math.nan, INF, -INF])
def test_errors_name_the_argument_of_the_function_that_was_called(bad: float) -> None:
    good = torch.rand(2, 5)
    wrong = good.clone()
    wrong[1, 3] = bad
    calls: dict[str, Callable[[], object]] = {
        "a": lambda: psnr(wrong, good),
        "b": lambda: psnr(good, wrong),
        "clean": lambda: robustness_psnr(wrong, wrong),  # inf - inf
        "attacked": lambda: robustness_psnr(good, wrong),
        "delta": lambda: adversarial_input_psnr(good, wrong),
    }
    for name, call in calls.items():
        with pytest.raises(ValueError, match=f"^{name} must be finite, got"):
            call()
    with pytest.raises(ValueError, match="attacked must have the shape, dtype"):
        robustness_psnr(good, good[:1])
    with pytest.raises(TypeError, match=r"^clean must be a torch.Tensor, got a list of length 5"):
        robustness_psnr([0.0] * 5, good)  # type: ignore[arg-type]


@pytest.mark.parametrize("call", [lambda v: eps_from_psnr(v, 9), lambda v: psnr_from_eps(v, 9)])
def test_errors_do_not_print_tensors(call: Callable[[Tensor], object]) -> None:
    with pytest.raises(ValueError, match=r"got a torch.float32 tensor of shape \(2,\) on cpu$"):
        call(torch.tensor([math.nan, 1.0]))


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
    (robustness_psnr, (torch.zeros(5, 2), torch.zeros(5, 2)), {"n_seeds": 2}, ValueError, "multiple of n_seeds = 2"),
    (robustness_psnr, (A, A), {"n_seeds": 0}, ValueError, "n_seeds must be at least 1"),
    (robustness_psnr, (A, A), {"n_seeds": 1.0}, TypeError, "n_seeds must be an integer"),
    (adversarial_input_psnr, (A, A[:, :1]), {}, ValueError, "delta must have the shape"),
    (adversarial_input_psnr, (A, NAN), {}, ValueError, "delta must be finite"),
    (adversarial_input_psnr, (A.int(), A), {}, TypeError, "y must have a real"),
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
