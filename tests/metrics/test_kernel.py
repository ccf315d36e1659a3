"""The kernel distance, against its definition in plain loops, its expectation, and its own properties."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import stochrobust
from stochrobust.metrics import kernel as module
from stochrobust.metrics.features import Features
from stochrobust.metrics.kernel import KernelDistance, kernel_distance
from stochrobust.metrics.protocol import Protocol, Score

MINE, THEIRS = Protocol(extractor="mine"), Protocol(extractor="theirs")
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@pytest.fixture(params=[(1024, 256), (5, 3), (3, 5)])
def _block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is, and in blocks that do not divide the sets."""
    for name, size in zip(("_ROWS", "_COLUMNS"), request.param, strict=True):
        monkeypatch.setattr(module, name, size)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def definition(real: Tensor, generated: Tensor) -> float:
    """All pairs, one by one."""

    def kernel(x: list[float], y: list[float]) -> float:
        return (math.fsum(a * b for a, b in zip(x, y, strict=True)) / len(x) + 1) ** 3

    x, y = real.double().tolist(), generated.double().tolist()
    within = [
        math.fsum(kernel(a, b) for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j)
        / (len(rows) * (len(rows) - 1))
        for rows in (x, y)
    ]
    return within[0] + within[1] - 2 * math.fsum(kernel(a, b) for a in x for b in y) / (len(x) * len(y))


# -- the value ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_block")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "m", "d"), [(3, 3, 1), (3, 9, 4), (8, 5, 2), (13, 13, 30)])
def test_it_is_the_mean_over_all_pairs(n: int, m: int, d: int, dtype: torch.dtype) -> None:
    real, generated = normal(n, d).to(dtype), (normal(m, d, seed=1) + 1).to(dtype)
    assert kernel_distance(real=real, generated=generated).value == pytest.approx(
        definition(real, generated), rel=1e-13
    )


def test_it_is_computed_in_float64() -> None:
    """Kernel values near 1e12 leave float32 nothing of a distance near 1e6."""
    real, generated = (100 + normal(50, 3, seed=seed).float() for seed in (0, 1))
    distance = kernel_distance(real=real, generated=generated).value
    assert distance == pytest.approx(definition(real, generated), rel=1e-7)


def large_sets() -> dict[str, tuple[Tensor, Tensor]]:
    """Of float32 features, each of a kind by which their products could lose digits."""
    real, generated = normal(700, 300), normal(600, 300, seed=1)
    decay = 1 / (1 + torch.arange(300) / 10)
    sets = {
        "shifted": (real, generated + 0.1),
        "positive and sparse": ((real * decay).relu() * 10, ((generated + 0.1) * decay).relu() * 10),
        "far from zero": (100 + real, 101 + generated),
        "outliers": (real * (1 + 100 * (normal(700, 1, seed=2) > 2)), generated),
        "few features": (real[:, :2] + 3, generated[:, :2]),
        "squares beyond float32": (1e25 * real, 1e25 * generated),
        "tiny": (1e-3 * real, 1e-3 * generated + 0.05),
        "copies": (real, generated[:9].repeat(70, 1)),
        "few samples": (real[:300], generated + 0.1),
    }
    return {name: (a.float(), b.float()) for name, (a, b) in sets.items()}


@pytest.mark.parametrize("name", large_sets())
def test_products_in_float32_of_many_samples(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real, generated = large_sets()[name]
    found = kernel_distance(real=real, generated=generated)
    monkeypatch.setattr(module, "_MANY", 10**9)
    expected = kernel_distance(real=real, generated=generated)
    assert found.value == pytest.approx(float(expected.value), rel=1e-7)
    assert found.std == pytest.approx(float(expected.std), rel=1e-6)
    exact = {"few features", "outliers", "squares beyond float32", "copies", "few samples"}
    assert (found.value == expected.value) == (name in exact)


def test_products_in_float32_of_equal_laws() -> None:
    """What cancels is known to as many digits less: the error is one of the mean of the kernel."""
    real, generated = (normal(900, 256, seed=seed).float() for seed in (0, 1))
    found = kernel_distance(real=real, generated=generated).value
    exact = kernel_distance(real=real.double(), generated=generated.double()).value
    assert 0 < abs(found - exact) < 1e-9  # of a kernel whose mean is near 1
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert kernel_distance(real=real, generated=generated).value == found


def test_reduced_precision_products_are_not_taken() -> None:
    """TF32 and bfloat16 products are the caller's process-wide choice."""
    real, generated = (normal(600, 256, seed=seed).float() for seed in (0, 1))
    exact = kernel_distance(real=real.double(), generated=generated.double()).value
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert kernel_distance(real=real, generated=generated).value == exact
    finally:
        torch.set_float32_matmul_precision(before)


def test_its_expectation_is_zero_for_equal_laws_and_small_sets() -> None:
    """Within four standard errors, where the biased mean over all pairs would be off by more."""
    sets = [(normal(6, 3, seed=seed), normal(9, 3, seed=seed + 5000)) for seed in range(1500)]
    values = torch.tensor([kernel_distance(real=real, generated=generated).value for real, generated in sets])
    assert (values < 0).any()
    error = float(values.std()) / len(values) ** 0.5
    assert abs(float(values.mean())) < 4 * error
    own = torch.cat([(real.square().sum(1) / 3 + 1) ** 3 for real, _ in sets]).mean() / 6
    assert float(own) > 8 * error, "the bias would not show"


def test_its_expectation_is_the_discrepancy_of_the_laws() -> None:
    """One feature, a normal law of mean 0 and one of mean t: ``E (xy + 1)^3`` by moments."""
    t = 1.0
    second, third = 1 + t**2, t**3 + 3 * t
    within = 1 + 3 * 0 + 3 * 1 + 0  # of the first: E xy = 0, E (xy)^2 = 1, E (xy)^3 = 0
    other = 1 + 3 * t**2 + 3 * second**2 + third**2
    between = 1 + 3 * 0 + 3 * second + 0
    expected = within + other - 2 * between
    draws = [(normal(20, 1, seed=seed), normal(20, 1, seed=seed + 5000) + t) for seed in range(600)]
    values = torch.tensor([kernel_distance(real=real, generated=generated).value for real, generated in draws])
    assert float(values.mean()) == pytest.approx(expected, abs=4 * float(values.std()) / len(values) ** 0.5)


@given(st.integers(3, 12), st.integers(3, 12), st.integers(1, 5), st.integers(0, 99))
def test_it_is_symmetric_and_turns_with_the_features(n: int, m: int, d: int, seed: int) -> None:
    real, generated = normal(n, d, seed=seed), normal(m, d, seed=seed + 100) * 2
    turn = torch.linalg.qr(normal(d, d, seed=seed + 200)).Q
    result = kernel_distance(real=real, generated=generated)
    for a, b in ((generated, real), (real @ turn, generated @ turn), (real.flip(0), generated.flip(0))):
        other = kernel_distance(real=a, generated=b)
        assert other.value == pytest.approx(float(result.value), rel=1e-9, abs=1e-9)
        assert other.std == pytest.approx(float(result.std), rel=1e-9)


def test_batches_and_arrays() -> None:
    real, generated = normal(20, 3).float(), normal(15, 3, seed=1).float()
    expected = kernel_distance(real=real, generated=generated)
    result = kernel_distance(real=iter(real.split(6)), generated=generated.numpy())
    assert (result.value, result.std) == (expected.value, expected.std)


# -- its standard deviation --------------------------------------------------------------------------------------------


def test_the_jackknife_leaves_out_one_sample_at_a_time() -> None:
    real, generated = normal(6, 2), normal(5, 2, seed=1) + 0.5
    variance = 0.0
    for rows in (real, generated):
        kept = [torch.cat([rows[:i], rows[i + 1 :]]) for i in range(len(rows))]
        estimates = [definition(some, generated) if rows is real else definition(real, some) for some in kept]
        variance += float(np.var(estimates)) * (len(rows) - 1)
    assert kernel_distance(real=real, generated=generated).std == pytest.approx(variance**0.5, rel=1e-10)


@pytest.mark.parametrize(("shift", "low", "high"), [(0.0, 1.0, 1.6), (1.0, 0.9, 1.1)])
def test_the_standard_deviation_is_that_over_draws(shift: float, low: float, high: float) -> None:
    """Where the laws are equal the jackknife is known to be too large."""
    draws = [(normal(40, 3, seed=seed), normal(30, 3, seed=seed + 5000) + shift) for seed in range(400)]
    results = [kernel_distance(real=real, generated=generated) for real, generated in draws]
    actual = float(torch.tensor([result.value for result in results]).std())
    assert low < float(torch.tensor([result.std for result in results]).mean()) / actual < high


# -- subsets -----------------------------------------------------------------------------------------------------------


def test_subsets_by_hand() -> None:
    real, generated = normal(20, 3), normal(15, 3, seed=1) + 1
    generator = torch.Generator().manual_seed(3)
    values = []
    for _ in range(4):
        first = torch.randperm(20, generator=generator)[:6]
        second = torch.randperm(15, generator=generator)[:6]
        values.append(definition(real[first], generated[second]))
    generator = torch.Generator().manual_seed(3)
    result = kernel_distance(real=real, generated=generated, subset_size=6, n_subsets=4, generator=generator)
    assert result.value == pytest.approx(float(np.mean(values)), rel=1e-12)
    assert result.std == pytest.approx(float(np.std(values)), rel=1e-12)


def test_a_generator_spares_the_global_one_and_none_advances_it() -> None:
    real, generated = normal(20, 3), normal(15, 3, seed=1)
    before = torch.get_rng_state()
    kernel_distance(real=real, generated=generated)
    draws = [
        kernel_distance(real=real, generated=generated, subset_size=5, generator=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    ]
    assert draws[0] == draws[1] != draws[2]
    assert torch.equal(torch.get_rng_state(), before)
    first, second = (kernel_distance(real=real, generated=generated, subset_size=5) for _ in range(2))
    assert first != second
    torch.set_rng_state(before)
    assert kernel_distance(real=real, generated=generated, subset_size=5) == first


def test_subsets_of_all_samples_are_all_alike() -> None:
    real, generated = normal(10, 3), normal(10, 3, seed=1)
    result = kernel_distance(real=real, generated=generated, subset_size=10, n_subsets=3)
    whole = kernel_distance(real=real, generated=generated)
    assert result.value == pytest.approx(float(whole.value), rel=1e-12)
    assert result.std == pytest.approx(0, abs=1e-12)
    assert kernel_distance(real=real, generated=generated, subset_size=2, n_subsets=1).std == 0.0


# -- its protocol, its memory, and what it leaves alone ----------------------------------------------------------------


def test_the_scores_carry_their_protocols() -> None:
    real, generated = Features(normal(9, 3).half(), MINE), Features(normal(8, 3, seed=1).half(), MINE)
    result = kernel_distance(real=real, generated=generated)
    assert isinstance(result, KernelDistance)
    assert isinstance(result.value, Score)
    assert result.value.protocol.metric == "kernel distance, (x.y / d + 1)^3"
    assert result.std.protocol.metric == "kernel distance, (x.y / d + 1)^3: standard deviation"
    for protocol in (result.value.protocol, result.std.protocol):
        assert (protocol.extractor, protocol.n_real, protocol.n_generated) == ("mine", 9, 8)
        assert (protocol.dtype, protocol.version) == ("float16", stochrobust.__version__)
    subsets = kernel_distance(real=real, generated=generated, subset_size=5, n_subsets=7)
    assert subsets.value.protocol.metric == "kernel distance, (x.y / d + 1)^3, mean over 7 subsets of 5"
    with pytest.raises(ValueError, match="two protocols do not compare: metric"):
        _ = subsets.value < result.value


class Largest(TorchDispatchMode):
    """The size of the largest tensor made inside."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.elements = max(self.elements, result.numel())
        return result


def test_piq_214_no_matrix_of_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its users ran out of memory on the kernel matrices of whole sets."""
    for name in ("_ROWS", "_COLUMNS"):
        monkeypatch.setattr(module, name, 50)
    real, generated = normal(400, 6), normal(350, 6, seed=1)
    with Largest() as largest:
        kernel_distance(real=real, generated=generated)
    assert largest.elements == 50 * 50


def test_no_gradient_no_autocast_and_inference_mode() -> None:
    real, generated = normal(20, 3).float().requires_grad_(), normal(15, 3, seed=1).float()
    expected = kernel_distance(real=real, generated=generated)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert kernel_distance(real=real, generated=generated) == expected
    with torch.inference_mode():
        assert kernel_distance(real=real + 0, generated=generated + 0) == expected
    assert real.grad is None


@pytest.mark.gpu
def test_a_gpu_agrees() -> None:
    real, generated = normal(30, 5), normal(20, 5, seed=1)
    expected = kernel_distance(real=real, generated=generated)
    result = kernel_distance(real=real.cuda(), generated=generated.cuda())
    assert result.value == pytest.approx(expected.value, rel=1e-12)
    on_device = torch.Generator("cuda").manual_seed(0)
    kernel_distance(real=real.cuda(), generated=generated.cuda(), subset_size=5, generator=on_device)


# -- what must be refused ----------------------------------------------------------------------------------------------

ROWS = torch.arange(10.0).view(5, 2)


def wrong_sets() -> Iterator[tuple[Any, type[Exception], str]]:
    yield None, TypeError, "must be a torch.Tensor, an array, Features or batches of them, got None"
    yield ROWS.byte(), TypeError, "must have a real floating-point dtype, got a torch.uint8"
    yield ROWS[:, 0], ValueError, "must have 2 dimensions"
    yield ROWS[:0], ValueError, "must not be empty"
    yield [], ValueError, "must not be empty, got an iterable without batches"
    yield ROWS[:2], ValueError, "must have at least 3 samples, got a torch.float32 tensor of shape (2, 2)"
    yield ROWS * torch.nan, ValueError, "must be finite, got 10 NaN or infinite value(s) among 10"


@pytest.mark.parametrize("role", ["real", "generated"])
@pytest.mark.parametrize(("values", "error", "message"), list(wrong_sets()))
def test_bad_sets(role: str, values: Any, error: type[Exception], message: str) -> None:
    sets = {"real": ROWS, "generated": ROWS, role: values}
    with pytest.raises(error, match=re.escape(f"{role} {message}")):
        kernel_distance(**sets)


@pytest.mark.parametrize(
    ("generated", "message"),
    [
        (
            Features(ROWS, THEIRS),
            "generated must have the protocol of real, got another: extractor: 'mine' and 'theirs'",
        ),
        (Features(ROWS[:, :1], MINE), "generated must have the 2 features of real"),
        (Features(ROWS.double(), MINE), "generated must have the dtype and device of real"),
    ],
)
def test_sets_that_do_not_compare(generated: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        kernel_distance(real=Features(ROWS, MINE), generated=generated)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"subset_size": 1}, ValueError, "subset_size must be at least 2, got 1"),
        ({"subset_size": 2.0}, TypeError, "subset_size must be an integer, got 2.0"),
        (
            {"subset_size": 6},
            ValueError,
            "real must have at least 6 samples, got a torch.float32 tensor of shape (5, 2)",
        ),
        ({"subset_size": 2, "n_subsets": 0}, ValueError, "n_subsets must be at least 1, got 0"),
        ({"n_subsets": None}, TypeError, "n_subsets must be an integer, got None"),
    ],
)
def test_bad_options(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        kernel_distance(real=ROWS, generated=ROWS, **options)


def test_kernel_values_beyond_float64_are_refused() -> None:
    with pytest.raises(ValueError, match="real and generated must have kernel values within the range of float64"):
        kernel_distance(real=ROWS.double() * 1e60, generated=ROWS.double())
