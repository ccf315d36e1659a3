"""The loss inside the set-ups people train in: autocast, compiled, checkpointed, channels-last, distributed."""

from __future__ import annotations

import copy
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from stochrobust import Consistent, InpaintingProjector, robustness_loss, sensitivity
from tests.problems import SmallNet
from tests.processes import in_two_processes

Y = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gradients(model: nn.Module, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(model.parameters())))


@pytest.mark.parametrize("max_batch", [None, 5])
def test_autocast(max_batch: int | None) -> None:
    model = SmallNet()
    outputs = []
    model.register_forward_hook(lambda *call: outputs.append(call[2].dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = robustness_loss(model, Y, 0.5, 2, generator=generator(), max_batch=max_batch)
        found = sensitivity(model.eval(), Y, 0.5, 2)
    assert set(outputs) == {torch.bfloat16}
    assert loss.dtype == found.value.dtype == found.delta.dtype == torch.float32
    exact = robustness_loss(model.train(), Y, 0.5, 2, generator=generator(), max_batch=max_batch)
    torch.testing.assert_close(loss, exact, rtol=0.1, atol=0)
    # A pass without gradients before must not leave weights in autocast's cache that carry none.
    half, full = (torch.cat([g.flatten() for g in gradients(model, value)]) for value in (loss, exact))
    assert torch.linalg.vector_norm(half - full) <= 0.1 * torch.linalg.vector_norm(full)


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("max_batch", [None, 5])
def test_checkpointed_estimator(max_batch: int | None, norm: bool) -> None:
    plain = SmallNet(norm=norm)
    recomputing = SmallNet(norm=norm, recompute=True)
    recomputing.load_state_dict(plain.state_dict())
    statistics = copy.deepcopy(dict(recomputing.named_buffers()))
    losses = [
        robustness_loss(model, Y, 0.5, 2, generator=generator(), max_batch=max_batch) for model in (plain, recomputing)
    ]
    for name, buffer in recomputing.named_buffers():  # the ascent's own recomputations record nothing either
        assert torch.equal(buffer, statistics[name])
    torch.testing.assert_close(losses[0], losses[1])
    for a, b in zip(gradients(plain, losses[0]), gradients(recomputing, losses[1]), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.filterwarnings("ignore")  # what the compiler itself says
def test_compiled_estimator(mode: str) -> None:
    model = SmallNet().train(mode == "train")
    compiled = torch.compile(model, backend="aot_eager")
    statistics = copy.deepcopy(dict(model.named_buffers()))
    loss = robustness_loss(compiled, Y, 0.5, 2, generator=generator())
    expected = robustness_loss(model, Y, 0.5, 2, generator=generator())
    torch.testing.assert_close(loss, expected)
    for a, b in zip(gradients(model, loss), gradients(model, expected), strict=True):
        torch.testing.assert_close(a, b)
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, statistics[name])
    compiled(Y, Y)  # and the caller's own calls still record
    assert torch.equal(
        dict(model.named_buffers())["body.1.num_batches_tracked"],
        statistics["body.1.num_batches_tracked"] + (mode == "train"),
    )


@pytest.mark.parametrize("max_batch", [None, 2])
def test_channels_last_stays(max_batch: int | None) -> None:
    formats = []

    def G(y: Tensor) -> Tensor:
        formats.append(y.is_contiguous(memory_format=torch.channels_last))
        return y * 2

    y = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    robustness_loss(G, y, 0.5, 2, max_batch=max_batch)
    assert all(formats)


@pytest.mark.parametrize("shape", [(3,), (3, 5), (3, 2, 7), (3, 2, 3, 4), (2, 1, 3, 2, 2)])
def test_inputs_of_any_rank(shape: tuple[int, ...]) -> None:
    loss = robustness_loss(lambda y: 2 * y, torch.rand(shape), 0.3, 1, reduction="sum")
    assert 0 < loss <= 0.36 * (1 + 1e-6)


def test_consistent_estimator_trains_its_module() -> None:
    mask = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    mask[..., 3:, :] = True
    net = nn.Conv2d(1, 1, 3, padding=1)
    G = Consistent(net, InpaintingProjector(mask))
    y = torch.rand(2, 1, 4, 4) * mask
    loss = robustness_loss(G, y, 0.5, 1)
    loss.backward()
    assert net.weight.grad is not None
    assert net.weight.grad.abs().sum() > 0
    assert torch.equal(G(y)[..., 3:, :], y[..., 3:, :])
