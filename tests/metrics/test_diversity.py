"""The per-pixel standard deviation, of a stack of samples and of a stream."""

from __future__ import annotations

import math
import statistics

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stochrobust.metrics import diversity
from stochrobust.metrics.diversity import PerPixelStd, per_pixel_std


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def streamed(samples: Tensor, n_seeds: int) -> PerPixelStd:
    spread = PerPixelStd()
    for x_hat in samples.unflatten(0, (-1, n_seeds)).unbind(1):
        spread.update(x_hat)
    return spread


def both(samples: Tensor, n_seeds: int, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    return per_pixel_std(samples, n_seeds, mask=mask), streamed(samples, n_seeds).compute(mask)


# -- truth -------------------------------------------------------------------------------------------------------------


def test_two_samples_by_hand() -> None:
    """|a - b| / sqrt(2) per element; and a mean of deviations, 3 / sqrt(2), not a root of mean variance."""
    samples = torch.tensor([[0.0, 0.0], [2.0, 4.0], [5.0, 5.0], [5.0, 5.0]])
    for got in both(samples, 2):
        assert got.tolist() == pytest.approx([3 / math.sqrt(2), 0])


@pytest.mark.parametrize("n_seeds", [2, 3, 6])
def test_the_standard_library(n_seeds: int) -> None:
    samples = draws(12, 2, 3)
    expected = []
    for first in range(0, 12, n_seeds):
        columns = samples[first : first + n_seeds].flatten(1).T.tolist()
        expected.append(statistics.mean(statistics.stdev(column) for column in columns))
    for got in both(samples, n_seeds):
        assert got.tolist() == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("shape", [(), (5,), (3, 4, 4)])
def test_map(shape: tuple[int, ...]) -> None:
    samples = draws(6, *shape)
    torch.testing.assert_close(streamed(samples, 3).map(), samples.unflatten(0, (2, 3)).std(1), rtol=1e-13, atol=0)


@pytest.mark.parametrize("chunk", [1, 7, 30, 2**17])
def test_a_stack_in_parts(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    """Parts of an input, inputs one by one, several at once; and all at once where a gradient is asked for."""
    monkeypatch.setattr(diversity, "_CHUNK", chunk)
    samples = draws(12, 3, 5)
    expected = samples.unflatten(0, (4, 3)).std(1).flatten(1).mean(1)
    torch.testing.assert_close(per_pixel_std(samples, 3), expected, rtol=1e-13, atol=0)
    torch.testing.assert_close(per_pixel_std(samples.requires_grad_(), 3).detach(), expected, rtol=1e-13, atol=0)


def test_a_square_out_of_range_is_no_missing_value() -> None:
    samples = torch.tensor([[1e30, 0.0], [0.0, 0.0]])
    assert per_pixel_std(samples, 2).tolist() == [math.inf]
    with pytest.raises(ValueError, match="samples must be finite, got 1 NaN or infinite"):
        per_pixel_std(torch.tensor([[torch.nan, 0.0], [0.0, 0.0]]), 2)
    mask = torch.tensor([[False, True]])
    with pytest.raises(ValueError, match="samples must be finite"):
        per_pixel_std(torch.tensor([[torch.inf, 0.0], [0.0, 1.0]]), 2, mask=mask)


@given(seed=st.integers(0, 2**31), scale=st.floats(0.1, 10), shift=st.floats(-10, 10))
def test_shift_scale_and_order(seed: int, scale: float, shift: float) -> None:
    samples = draws(8, 3, 2, seed=seed)
    reordered = samples.unflatten(0, (2, 4)).flip(1).flatten(0, 1)
    for got, expected in zip(both(scale * reordered + shift, 4), both(samples, 4), strict=True):
        torch.testing.assert_close(got, scale * expected, rtol=1e-11, atol=0)


# -- numbers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_an_offset_costs_no_accuracy(offset: float) -> None:
    samples = (offset + draws(64, 500)).float()
    expected = samples.double().std(0)
    for got in (per_pixel_std(samples, 64), streamed(samples, 64).compute()):
        assert float(got) == pytest.approx(float(expected.mean()), rel=1e-6)
    torch.testing.assert_close(streamed(samples, 64).map()[0].double(), expected, rtol=3e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_precision(dtype: torch.dtype) -> None:
    samples = (3 + draws(32, 300)).to(dtype)
    expected = samples.double().unflatten(0, (2, 16)).std(1).mean(1).tolist()
    for got in both(samples, 16):
        assert got.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert got.tolist() == pytest.approx(expected, rel=1e-13 if dtype == torch.float64 else 1e-6)


def test_memory_does_not_grow_and_the_sample_is_left_alone() -> None:
    spread, x_hat, sizes = PerPixelStd(), torch.empty(2, 10), set()
    samples = draws(2 * 20, 10).float()
    for s in range(20):
        x_hat.copy_(samples[s::20])  # one buffer for all, as a caller might
        before = x_hat.clone()
        spread.update(x_hat)
        assert torch.equal(x_hat, before)
        sizes.add(sum(value.numel() for value in vars(spread).values() if isinstance(value, Tensor)))
    assert sizes == {3 * 20}
    assert spread.n_samples == 20
    torch.testing.assert_close(spread.compute(), per_pixel_std(samples, 20))


def test_gradient() -> None:
    assert torch.autograd.gradcheck(lambda x: per_pixel_std(x, 3), (draws(6, 4).requires_grad_(),))
    spread = PerPixelStd()
    for _ in range(2):
        spread.update(draws(6, 4).requires_grad_())
    assert not spread.compute().requires_grad


# -- mask --------------------------------------------------------------------------------------------------------------


def test_mask_restricts_the_mean() -> None:
    samples = draws(4, 3, 4, 4)
    samples[:, :, 3] = 1.0  # a quarter is observed: 0.105 overall is 0.14 where it varies
    mask = torch.ones(4, 1, dtype=torch.bool)
    mask[3] = False
    for whole, masked in zip(both(samples, 2), both(samples, 2, mask), strict=True):
        torch.testing.assert_close(masked, whole * 4 / 3)


@pytest.mark.parametrize("shape", [(4, 5), (3, 1, 1), (1, 1, 4, 5), (2, 3, 4, 5)])
def test_mask_broadcasts(shape: tuple[int, ...]) -> None:
    samples = draws(6, 3, 4, 5)
    mask = torch.rand(shape) < 0.5
    mask[..., 0] = True
    deviation = samples.unflatten(0, (2, 3)).std(1)
    expected = [float(v[m].mean()) for v, m in zip(deviation, mask.expand(2, 3, 4, 5), strict=True)]
    for got in both(samples, 3, mask):
        assert got.tolist() == pytest.approx(expected, rel=1e-12)


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "n_seeds", "mask", "error", "message"),
    [
        ([1.0], 2, None, TypeError, "samples must be a torch.Tensor"),
        (torch.zeros(4, 2).int(), 2, None, TypeError, "samples must have a real"),
        (torch.zeros(5, 2), 2, None, ValueError, "samples must have a multiple of n_seeds = 2"),
        (torch.zeros(4, 2), 1, None, ValueError, "n_seeds must be at least 2"),
        (torch.zeros(4, 2), 2.0, None, TypeError, "n_seeds must be an integer"),
        (torch.full((4, 2), math.inf), 2, None, ValueError, "samples must be finite"),
        (torch.zeros(4, 2), 2, torch.ones(2), TypeError, "mask must be a bool tensor"),
        (torch.zeros(4, 2), 2, [True, True], TypeError, "mask must be a bool tensor"),
        (torch.zeros(4, 2), 2, torch.ones(3, dtype=torch.bool), ValueError, r"mask must broadcast to \(2, 2\)"),
        (torch.zeros(4, 2), 2, torch.tensor([[True, True], [False, False]]), ValueError, "true somewhere"),
    ],
)
def test_errors(samples: Tensor, n_seeds: int, mask: Tensor | None, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        per_pixel_std(samples, n_seeds, mask=mask)


def test_errors_of_the_stream() -> None:
    spread = PerPixelStd()
    with pytest.raises(ValueError, match="at least 2 samples, got 0"):
        spread.compute()
    spread.update(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="at least 2 samples, got 1"):
        spread.map()
    with pytest.raises(ValueError, match="x_hat must have the shape"):
        spread.update(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="dtype"):
        spread.update(torch.zeros(2, 3, dtype=torch.float64))
    with pytest.raises(ValueError, match="x_hat must be finite"):
        spread.update(torch.full((2, 3), math.nan))
    assert spread.n_samples == 1, "what was refused must not count"
    spread.update(torch.full((2, 3), 2.0))
    assert spread.compute().tolist() == pytest.approx([math.sqrt(2)] * 2)
    with pytest.raises(TypeError, match="mask must be a bool tensor"):
        spread.compute(torch.ones(3))
