"""After any call, also one that raised, the caller's model and random state are as they were."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stochrobust import (
    PGD,
    SampleKeys,
    diversity_sensitive_loss,
    jacobian_penalty,
    mode_seeking_loss,
    robustness_loss,
    same_seed_change,
    sensitivity,
    spectral_penalty,
    std_reward_loss,
    w2_sensitivity,
)
from tests.problems import SmallNet

# The models here normalise with the batch in train mode, and two steps on them may find little: measurements say so.
pytestmark = [
    pytest.mark.filterwarnings("ignore:G's output for one sample depends on:stochrobust.AttackWarning"),
    pytest.mark.filterwarnings("ignore:the attack found less:stochrobust.AttackWarning"),
]

Y = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))

CALLS: dict[str, Callable[..., Any]] = {
    "loss": lambda G, y=Y, **more: robustness_loss(G, y, 0.5, 2, **more),
    "loss in chunks": lambda G, y=Y, **more: robustness_loss(G, y, 0.5, 2, max_batch=5, **more),
    "sensitivity": lambda G, y=Y, **more: sensitivity(G, y, 0.5, 2, attack=PGD(2), **more),
    "change": lambda G, y=Y, **more: same_seed_change(G, y, torch.ones_like(y), 2, **more),
    "w2": lambda G, y=Y, **more: w2_sensitivity(G, y, 0.5, 2, attack=PGD(2), **more),
    "mode seeking": lambda G, y=Y, **more: mode_seeking_loss(G, y, 2, **more),
    "diversity sensitive": lambda G, y=Y, **more: diversity_sensitive_loss(G, y, 2, **more),
    "std reward": lambda G, y=Y, **more: std_reward_loss(G, y, 2, **more),
    "std reward in chunks": lambda G, y=Y, **more: std_reward_loss(G, y, 2, max_batch=5, **more),
    "jacobian": lambda G, y=Y, **more: jacobian_penalty(G, y, 2, **more),
    "spectral": lambda G, y=Y, **more: spectral_penalty(G, y, 2, **more),
}
PASSES = {"change": 2, "mode seeking": 1, "diversity sensitive": 1, "std reward": 1, "jacobian": 1, "spectral": 1}
"""Passes through the model, where a call makes fewer than three."""
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


class Mixed(nn.Module):
    """Layers in different modes, of every kind that keeps statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(8, 12), nn.BatchNorm1d(12), nn.Dropout(0.3))
        self.frozen = nn.BatchNorm1d(12).eval()
        self.instance = nn.InstanceNorm1d(3, track_running_stats=True)
        self.last = nn.Linear(12, 4)
        nn.utils.parametrizations.spectral_norm(self.first[0])
        self.second = nn.utils.spectral_norm(nn.Linear(12, 12))
        self.last.weight.requires_grad_(False)
        self.calls = 0
        self.fail_at = -1

    def sample_z(self, y: Tensor, generator: torch.Generator | None) -> Tensor:
        return torch.randn(y.shape, generator=generator)

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == self.fail_at:
            raise RuntimeError("the caller's own failure")
        hidden = self.second(self.frozen(self.first(torch.cat([y, z], 1))).tanh())
        hidden = self.instance(hidden.reshape(len(y), 3, 4)).reshape(len(y), 12)
        output: Tensor = self.last(hidden)
        return output


def settings(model: nn.Module) -> list[tuple[Any, ...]]:
    """Everything about the modules and parameters that a caller could notice."""
    return [
        (name, module.training, getattr(module, "track_running_stats", None), getattr(module, "momentum", None))
        for name, module in model.named_modules()
    ] + [(name, p.requires_grad, None if p.grad is None else p.grad.tolist()) for name, p in model.named_parameters()]


def assert_as_found(model: nn.Module, call: Callable[[], Any], *, raises: bool = False) -> None:
    before, buffers = settings(model), {name: (b, b.clone(), b._version) for name, b in model.named_buffers()}
    if raises:
        with pytest.raises(RuntimeError, match="own failure"):
            call()
    else:
        call()
    assert settings(model) == before
    for name, buffer in model.named_buffers():
        same, value, version = buffers[name]
        assert buffer is same, name
        assert buffer._version == version, name
        assert torch.equal(buffer, value), name


def with_gradients(model: Mixed) -> Mixed:
    model(torch.randn(8, 4), torch.randn(8, 4)).sum().backward()
    return model


@each_call
def test_modes_gradients_and_statistics(call: Callable[..., Any]) -> None:
    model = with_gradients(Mixed())
    assert_as_found(model, lambda: call(model))


@pytest.mark.parametrize(
    ("call", "fail_at"),
    [
        pytest.param(call, fail_at, id=f"{name}, pass {fail_at}")
        for name, call in CALLS.items()
        for fail_at in range(1, PASSES.get(name, 3) + 1)
    ],
)
def test_also_when_the_model_raises(call: Callable[..., Any], fail_at: int) -> None:
    model = with_gradients(Mixed())
    model.calls, model.fail_at = 0, fail_at
    state = torch.get_rng_state()
    assert_as_found(model, lambda: call(model, generator=torch.Generator()), raises=True)
    assert torch.equal(torch.get_rng_state(), state)


@each_call
@pytest.mark.parametrize("wrap", ["method", "partial", "closure"])
def test_however_the_model_is_handed_over(call: Callable[..., Any], wrap: str) -> None:
    model = with_gradients(Mixed())
    G: Any = {"method": model.forward, "partial": functools.partial(model), "closure": lambda y, z: model(y, z)}[wrap]
    more = {"module": model, "sample_z": model.sample_z} if wrap == "closure" else {}
    assert_as_found(model, lambda: call(G, **more))


def test_the_check_above_notices_a_disturbance() -> None:
    model = Mixed()
    with pytest.raises(AssertionError):
        assert_as_found(model, lambda: model(Y, Y))
    with pytest.raises(AssertionError):
        assert_as_found(model, lambda: model.eval())


@pytest.mark.parametrize("name", [name for name in CALLS if name not in ("sensitivity", "w2")])
def test_backward_of_a_loss_records_no_statistics_either(name: str) -> None:
    model = SmallNet(dropout=0.2)
    loss = CALLS[name](model).sum()
    before = copy.deepcopy(dict(model.named_buffers()))
    loss.backward()
    for buffer_name, buffer in model.named_buffers():
        assert torch.equal(buffer, before[buffer_name])


def test_loss_joins_a_graph_that_already_went_through_the_model() -> None:
    model, y, z = SmallNet(), torch.randn(6, 4), torch.randn(6, 4)
    adversarial = model(y, z).square().mean()
    statistics = copy.deepcopy(dict(model.named_buffers()))
    total = adversarial + 500 * robustness_loss(model, y, 0.5, 2, generator=torch.Generator().manual_seed(0))
    total.backward()
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, statistics[name])  # the caller's own pass was recorded, ours not
    together = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    model(y, z).square().mean().backward()
    loss = robustness_loss(model, y, 0.5, 2, generator=torch.Generator().manual_seed(0))
    (500 * loss).backward()
    for gradient, parameter in zip(together, model.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_train_mode_uses_the_statistics_of_the_batch() -> None:
    model, z, delta = SmallNet(), torch.randn(6, 4), torch.ones(6, 4)
    reference = copy.deepcopy(model)
    expected = (reference(Y, z) - reference(Y + delta, z)).square().sum(1)
    torch.testing.assert_close(same_seed_change(model, Y, delta, 1, z=z), expected)


# -- random state ------------------------------------------------------------------------------------------------------


@each_call
@pytest.mark.parametrize("generator", [torch.Generator(), SampleKeys(range(6))], ids=["generator", "keys"])
def test_a_generator_leaves_the_global_state_alone(call: Callable[..., Any], generator: Any) -> None:
    model = SmallNet(dropout=0.5)
    state = torch.get_rng_state()
    call(model, generator=generator)
    assert torch.equal(torch.get_rng_state(), state)


@each_call
def test_without_one_the_global_state_advances_and_decides(call: Callable[..., Any]) -> None:
    model = SmallNet(dropout=0.5)
    outcomes = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        result = call(model)
        assert not torch.equal(torch.get_rng_state(), before)
        outcomes.append(getattr(result, "value", result).detach().clone())
    assert torch.equal(outcomes[0], outcomes[1])
    assert not torch.equal(outcomes[0], outcomes[2])


# -- modes of autograd -------------------------------------------------------------------------------------------------


@each_call
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_numbers_are_the_same_without_gradients(call: Callable[..., Any], mode: Any) -> None:
    model = SmallNet().eval()
    expected = call(model, generator=torch.Generator().manual_seed(0))
    with mode():
        y = Y.clone()  # an inference tensor, under inference mode
        z = torch.randn(12, 4)
        found = call(model, y=y, generator=torch.Generator().manual_seed(0))
        call(model, y=y, z=z)
    found, expected = (getattr(result, "value", result) for result in (found, expected))
    torch.testing.assert_close(found, expected.detach())
    assert not found.requires_grad


def test_measurements_carry_no_gradient() -> None:
    found = sensitivity(SmallNet(), Y, 0.5, 2, attack=PGD(2))
    assert not any(value.requires_grad for value in vars(found).values() if isinstance(value, Tensor))
