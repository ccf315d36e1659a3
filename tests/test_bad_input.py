"""What a caller can get wrong, one row each: the error names the argument, what was expected and what came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stochrobust import (
    L2,
    PGD,
    AdamAscent,
    DenseSearch,
    InpaintingProjector,
    Linf,
    RobustnessLoss,
    SampleKeys,
    attack_evidence,
    mean_sensitivity,
    robustness_loss,
    same_seed_change,
    sensitivity,
    w2_sensitivity,
)
from tests.problems import normal_z

Y = torch.full((2, 3), 0.5)
PROJECTOR = InpaintingProjector(torch.tensor([True, False, True]))


def identity(y: Tensor) -> Tensor:
    return y


ENTRY: dict[str, Callable[..., Any]] = {
    "robustness_loss": lambda G, y, eps, n_seeds=1, **more: robustness_loss(G, y, eps, n_seeds, **more),
    "sensitivity": lambda G, y, eps, n_seeds=1, **more: sensitivity(G, y, eps, n_seeds, attack=PGD(2), **more),
    "mean_sensitivity": lambda G, y, eps, n_seeds=1, **more: mean_sensitivity(
        G, y, eps, n_seeds, attack=PGD(2), **more
    ),
    "w2_sensitivity": lambda G, y, eps, n_seeds=1, **more: w2_sensitivity(G, y, eps, n_seeds, attack=PGD(2), **more),
}
each_entry = pytest.mark.parametrize("entry", ENTRY.values(), ids=ENTRY.keys())

WRONG: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "G no callable": ({"G": 3}, TypeError, r"G must be callable .* got 3 \(int\)"),
    "y no tensor": ({"y": [0.5]}, TypeError, r"y must be a torch.Tensor, got \[0.5\]"),
    "y integer": ({"y": torch.ones(2, 3, dtype=torch.uint8)}, TypeError, "y must have a real floating-point dtype"),
    "y complex": ({"y": torch.ones(2, 3, dtype=torch.complex64)}, TypeError, "y must have a real floating-point dtype"),
    "y empty": ({"y": torch.ones(0, 3)}, ValueError, r"y must not be empty, got .* shape \(0, 3\)"),
    "y scalar": ({"y": torch.tensor(1.0)}, ValueError, "y must have at least 1 dimension"),
    "eps negative": ({"eps": -0.1}, ValueError, "eps must be finite and not negative, got -0.1"),
    "eps NaN": ({"eps": float("nan")}, ValueError, "eps must be finite and not negative, got nan"),
    "eps infinite": ({"eps": float("inf")}, ValueError, "eps must be finite"),
    "eps one negative": ({"eps": torch.tensor([0.1, -1.0])}, ValueError, "eps must be finite and not negative"),
    "eps of another batch": ({"eps": torch.ones(3)}, ValueError, r"eps must be a number or .* \(2,\), got .* \(3,\)"),
    "eps a word": ({"eps": "small"}, TypeError, "eps must be a number or a"),
    "eps a truth value": ({"eps": True}, TypeError, "eps must be a number or a"),
    "n_seeds 0": ({"n_seeds": 0}, ValueError, "n_seeds must be at least 1, got 0"),
    "n_seeds fraction": ({"n_seeds": 1.5}, TypeError, "n_seeds must be an integer, got 1.5"),
    "max_batch 0": ({"max_batch": 0}, ValueError, "max_batch must be at least 1, got 0"),
    "generator a number": ({"generator": 3}, TypeError, "generator must be a torch.Generator, SampleKeys or None"),
    "keys of another batch": ({"generator": SampleKeys([1])}, ValueError, "one id per sample, 2, got 1"),
    "z of another batch": ({"G": lambda y, z: y, "z": torch.ones(3, 1)}, ValueError, r"z must have 2 rows .* \(3, 1\)"),
    "z not expanded": (
        {"G": lambda y, z: y, "z": (torch.ones(2, 1),), "n_seeds": 2},
        ValueError,
        r"z must have 4 rows \(samples x n_seeds, sample-major\)",
    ),
    "sample_z of one row": (
        {"G": lambda y, z: y, "sample_z": lambda y, g: torch.ones(1, 2)},
        ValueError,
        r"sample_z\(y, generator\) must have 2 rows",
    ),
    "cond of another batch": ({"G": lambda y, c: y, "cond": {"a": torch.ones(3)}}, ValueError, "cond must have 2 rows"),
    "output no tensor": ({"G": lambda y: [y]}, TypeError, "G must return a floating-point tensor"),
    "output integer": ({"G": lambda y: y.long()}, TypeError, "G must return a floating-point tensor"),
    "output of another batch": ({"G": lambda y: y[:1]}, ValueError, "G must return one output per row, 2 of them"),
    "output scalar": ({"G": lambda y: y.sum()}, ValueError, "G must return one output per row"),
    "y outside the box": (
        {"y": Y + 0.6, "ball": L2(box=(0.0, 1.0))},
        ValueError,
        r"y must lie inside the box \(0.0, 1.0\), got values in \[1.1, 1.1\]",
    ),
    "y NaN in a box": ({"y": Y * float("nan"), "ball": Linf(box=(0.0, 1.0))}, ValueError, "y must lie inside the box"),
    "mask that cannot broadcast": ({"ball": L2(mask=torch.ones(2))}, ValueError, r"mask must broadcast .* \(2, 3\)"),
    "mask larger than y": ({"ball": L2(mask=torch.ones(2, 2, 3))}, ValueError, "mask must broadcast to y's shape"),
    "mask not binary": ({"ball": Linf(mask=torch.tensor([0.5, 1, 1]))}, ValueError, "mask must hold only 0 and 1"),
    "mask of zeros": ({"ball": L2(mask=torch.zeros(3))}, ValueError, "mask must .* some 1 for each sample"),
    "mask of zeros for one": (
        {"ball": L2(mask=torch.tensor([[0], [1]]))},
        ValueError,
        "mask must .* some 1 for each sample",
    ),
    "z elsewhere": (
        {"G": lambda y, z: y, "z": torch.ones(2, 1, device="meta")},
        ValueError,
        "z must be on the device of y, cpu",
    ),
    "cond elsewhere": ({"cond": torch.ones(2, 1, device="meta")}, ValueError, "cond must be on the device of y, cpu"),
    "ball a class": ({"ball": L2}, TypeError, r"ball must be a ball such as L2\(\) or Linf\(\)"),
    "mask elsewhere": ({"ball": L2(mask=torch.ones(3, device="meta"))}, ValueError, "mask must be on the device of y"),
    "box that cannot broadcast": ({"ball": L2(box=(0.0, torch.ones(2)))}, ValueError, "box must broadcast"),
}


@each_entry
@pytest.mark.parametrize(("change", "error", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_arguments(
    entry: Callable[..., Any], change: dict[str, Any], error: type[Exception], message: str
) -> None:
    arguments = {"G": identity, "y": Y, "eps": 0.1} | change
    with pytest.raises(error, match=message):
        entry(**arguments)


@pytest.mark.filterwarnings("ignore:all 2 seeds of every sample give the same output:stochrobust.AttackWarning")
@each_entry
def test_right_arguments_pass(entry: Callable[..., Any]) -> None:
    entry(G=identity, y=Y, eps=0.1)
    entry(G=identity, y=Y, eps=np.float32(0.1), n_seeds=np.int64(2))


@pytest.mark.parametrize("call", [robustness_loss, sensitivity])
@pytest.mark.parametrize("attack", ["pgd", PGD])
def test_an_attack_is_an_attack(call: Callable[..., Any], attack: Any) -> None:
    with pytest.raises(TypeError, match=r"attack must be an attack such as PGD\(\)"):
        call(identity, Y, 0.1, attack=attack)


@pytest.mark.parametrize("call", [robustness_loss, sensitivity, w2_sensitivity])
def test_a_start_at_zero_moves_nothing_and_is_refused(call: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"attack must not have start='zero' without reference=.* got PGD"):
        call(identity, Y, 0.1, attack=PGD(2, start="zero"))


@pytest.mark.parametrize(
    ("reference", "error", "message"),
    [
        (0.5, TypeError, "reference must be a torch.Tensor"),
        (torch.ones(2, 4), ValueError, r"reference must be a \(2, 3\) tensor .* like x_hat, got .* \(2, 4\)"),
        (torch.full((2, 3), torch.nan), ValueError, "reference must be finite, got 6 NaN"),
    ],
)
def test_a_reference_is_like_an_output(reference: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        sensitivity(identity, Y, 0.1, attack=PGD(2), reference=reference)


def test_nan_gradients_are_named_in_a_measurement() -> None:
    with pytest.raises(ValueError, match="the gradient of G at step 0 of the attack must be finite, got 6 NaN"):
        sensitivity(lambda y: (0 * y).square().sqrt() + y, Y, 0.1)


def test_the_call_of_a_dense_search_is_named() -> None:
    with pytest.raises(ValueError, match="output at step 9 of the attack must be finite"):
        sensitivity(NaNAtCall(12), torch.ones(1, 2), 0.1, attack=DenseSearch(4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: attack_evidence(identity, Y, 0.1, trials=0), ValueError, "trials must be at least 1, got 0"),
        (lambda: AdamAscent(betas=0.9), TypeError, r"betas must be a pair of numbers, got 0.9 \(float\)"),  # type: ignore[arg-type]
        (lambda: AdamAscent(betas=(0.9,)), TypeError, "betas must be a pair of numbers"),  # type: ignore[arg-type]
        (lambda: robustness_loss(identity, Y, 0.1, ball=PROJECTOR), TypeError, "ball must be a ball"),  # type: ignore[arg-type]
        (lambda: robustness_loss(identity, Y, 0.1, ball=L2(box=1.0)), TypeError, "box must be a pair"),  # type: ignore[arg-type]
        (lambda: robustness_loss(identity, Y, 0.1, ball=L2(mask=[1])), TypeError, "mask must be a torch"),  # type: ignore[arg-type]
    ],
)
def test_settings_of_a_wrong_kind(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_dense_search_is_for_small_inputs() -> None:
    with pytest.raises(
        ValueError, match=r"y must have at most 3 elements per sample for a DenseSearch, got .* \(2, 4\)"
    ):
        sensitivity(identity, torch.ones(2, 4), 0.1, attack=DenseSearch(3))


class ShapeShifter:
    """Returns another shape at every call."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, y: Tensor) -> Tensor:
        self.calls += 1
        return y.repeat(1, self.calls)


@each_entry
def test_output_whose_shape_changes(entry: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"G must return outputs of one shape, first \(3,\), then .* \(2, 6\)"):
        entry(G=ShapeShifter(), y=Y, eps=0.1)


class NaNAtCall:
    """Returns NaN from the given call on."""

    def __init__(self, first: int) -> None:
        self.calls, self.first = 0, first

    def __call__(self, y: Tensor) -> Tensor:
        self.calls += 1
        return y * (float("nan") if self.calls >= self.first else 2.0)


@pytest.mark.parametrize(
    ("first", "where"),
    [
        (1, "output at y"),
        (3, "step 0 of"),  # the second is the reference, at y by the kernels that a gradient needs
        (4, "step 1 of"),
        (5, "step 2 of"),
        (6, "step 3 of"),
        (7, "held-out seeds"),
        (8, r"output at y \+ delta"),
    ],
)
def test_nan_in_a_measurement_names_the_step(first: int, where: str) -> None:
    with pytest.raises(ValueError, match=rf"G's .*{where}.* must be finite, got \d NaN"):
        sensitivity(NaNAtCall(first), Y, 0.1, attack=PGD(2))


def test_an_output_without_gradient_is_told_from_one_that_ignores_its_input() -> None:
    def frozen(y: Tensor) -> Tensor:
        with torch.no_grad():
            return 2 * y

    for call in (sensitivity, robustness_loss):
        with pytest.raises(ValueError, match="carries no gradient"):
            call(frozen, Y, 0.1)


@pytest.mark.parametrize(
    ("delta", "error", "message"),
    [
        (torch.ones(2, 4), ValueError, r"delta must have the shape and device of y"),
        (torch.ones(2, 3, device="meta"), ValueError, "delta must have the shape and device of y"),
        (torch.ones(2, 3, dtype=torch.int64), TypeError, "delta must have a real floating-point dtype"),
        (0.1, TypeError, "delta must be a torch.Tensor"),
    ],
)
def test_wrong_delta(delta: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        same_seed_change(identity, Y, delta)
    with pytest.raises(error, match=message):
        robustness_loss(identity, Y, 0.1, delta=delta)


def test_reduction_is_one_of_three_and_relative_needs_a_radius() -> None:
    with pytest.raises(
        ValueError, match="reduction must be one of 'mean', 'squared_amplification', 'sum', 'relative', got 'none'"
    ):
        robustness_loss(identity, Y, 0.1, reduction="none")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="reduction must be one of"):
        RobustnessLoss(0.1, reduction="none")  # type: ignore[arg-type]
    for eps in (0.0, torch.tensor([0.0, 1.0])):
        with pytest.raises(ValueError, match="eps must be positive for reduction='relative'"):
            robustness_loss(identity, Y, eps, reduction="relative")


def test_explicit_seeds_need_a_second_argument() -> None:
    with pytest.raises(TypeError, match=r"G must be callable as G\(y, z\).* called with 2 argument"):
        sensitivity(identity, Y, 0.1, sample_z=normal_z(1))
