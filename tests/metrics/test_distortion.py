"""PSNR per sample, and its summary."""

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

from stochrobust.metrics import distortion
from stochrobust.metrics.distortion import PSNRSummary, psnr, summarize_psnr

INF = math.inf


def images(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def naive_psnr(a: Tensor, b: Tensor, peak: float) -> list[float]:
    """Sample by sample, in float64."""
    pairs = zip(a.double().numpy(), b.double().numpy(), strict=True)
    return [10 * math.log10(peak**2 / np.mean((x - y) ** 2)) for x, y in pairs]


# -- psnr --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_many_samples_in_parts(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, layout: torch.memory_format
) -> None:
    """Parts of one sample, of several, and all at once where a gradient is asked for."""
    a, b = (images(7, 3, 5, 4, seed=seed, dtype=dtype).to(memory_format=layout) for seed in (0, 1))
    expected = naive_psnr(a, b, 1.0)
    for chunk in (1, 60, 150, 2**17):
        monkeypatch.setattr(distortion, "_CHUNK", chunk)
        assert psnr(a, b).tolist() == pytest.approx(expected, rel=1e-5)
        assert psnr(a.clone().requires_grad_(), b).tolist() == pytest.approx(expected, rel=1e-5)


def test_what_is_far_out_of_range_among_ordinary_samples() -> None:
    a = torch.zeros(4, 6)
    b = torch.tensor([1e-30, 0.1, 1e30, 0.0])[:, None].expand(4, 6)
    assert psnr(a, b).tolist() == pytest.approx([600, 20, -600, INF], rel=1e-6)


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


# -- summaries ---------------------------------------------------------------------------------------------------------


def test_summary_averages_the_finite_and_counts_the_rest() -> None:
    assert summarize_psnr(torch.tensor([[30.0, INF], [40.0, INF], [20.0, 30.0]])) == PSNRSummary(30.0, 4, 2)
    assert summarize_psnr(torch.tensor([INF, INF])) == PSNRSummary(INF, 0, 2)
    halves = torch.tensor([30.09375, 30.109375], dtype=torch.float16)  # neighbours: their mean is no half
    assert summarize_psnr(halves).mean == 30.1015625


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
    (summarize_psnr, (NAN,), {}, ValueError, "must be finite"),
    (summarize_psnr, (torch.tensor([-INF]),), {}, ValueError, "must be finite"),
    (summarize_psnr, ([1.0],), {}, TypeError, "values must be"),
]


@pytest.mark.parametrize(("function", "args", "kwargs", "error", "message"), BAD)
def test_errors(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        function(*args, **kwargs)
