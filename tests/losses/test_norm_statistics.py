"""Which statistics normalisation layers in train mode use in our passes: the batch's, or their running ones, frozen."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stochrobust import RobustnessLoss, robustness_loss, same_seed_change
from tests.problems import SmallNet

Y = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def gradients(model: nn.Module, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(model.parameters())))


def trained(model: nn.Module) -> Any:
    """In train mode, with running statistics that differ from those of any batch."""
    for _ in range(3):
        model(3 * torch.randn(8, 4) + 1, torch.randn(8, 4))
    return model.train()


def with_frozen_norms(model: nn.Module) -> nn.Module:
    """A copy in which somebody has put the normalisation layers in eval mode by hand."""
    model = copy.deepcopy(model)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.InstanceNorm1d):
            layer.eval()
    return model


CALLS: dict[str, Callable[..., Tensor]] = {
    "loss": lambda G, **more: robustness_loss(G, Y, 0.5, 2, generator=generator(), **more),
    "loss in chunks": lambda G, **more: robustness_loss(G, Y, 0.5, 2, generator=generator(), max_batch=5, **more),
    "module": lambda G, **more: RobustnessLoss(0.5, 2, **more)(G, Y, generator=generator()),
    "change": lambda G, **more: same_seed_change(G, Y, torch.ones_like(Y), 2, generator=generator(), **more).sum(),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


@each_call
def test_running_is_what_layers_in_eval_mode_give(call: Callable[..., Tensor]) -> None:
    model = trained(SmallNet(dropout=0.3))
    by_hand = with_frozen_norms(model)
    loss, expected = call(model, norm_statistics="running"), call(by_hand)
    torch.testing.assert_close(loss, expected)
    for ours, theirs in zip(gradients(model, loss), gradients(by_hand, expected), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert gradients(model, call(model, norm_statistics="running"))[2].abs().sum() > 0  # the norm's own weight learns
    assert not torch.isclose(loss, call(model), rtol=1e-2)


@each_call
def test_batch_is_the_default(call: Callable[..., Tensor]) -> None:
    model = trained(SmallNet())
    assert call(model) == call(model, norm_statistics="batch")


@each_call
def test_an_unknown_word_is_refused(call: Callable[..., Tensor]) -> None:
    with pytest.raises(ValueError, match="norm_statistics must be one of 'batch', 'running', got 'eval'"):
        call(SmallNet(), norm_statistics="eval")
    with pytest.raises(ValueError, match="got None"):
        RobustnessLoss(0.5, norm_statistics=None)  # type: ignore[arg-type]


@each_call
@pytest.mark.parametrize("fails", [False, True])
def test_modes_and_buffers_are_as_they_were(call: Callable[..., Tensor], fails: bool) -> None:
    model = trained(SmallNet())
    model.body[3].eval()
    before, modes = copy.deepcopy(model.state_dict()), [layer.training for layer in model.modules()]
    if fails:
        model.head.register_forward_hook(lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            call(model, norm_statistics="running")
    else:
        call(model, norm_statistics="running").backward()
    assert [layer.training for layer in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.body[1]._forward_pre_hooks


def test_samples_are_independent() -> None:
    model = trained(SmallNet())
    whole, chunked = (CALLS[name](model, norm_statistics="running") for name in ("loss", "loss in chunks"))
    torch.testing.assert_close(whole, chunked)
    assert not torch.isclose(CALLS["loss"](model), CALLS["loss in chunks"](model), rtol=1e-3)


def test_the_callers_passes_before_and_after_still_record() -> None:
    model = trained(SmallNet())
    count = model.body[1].num_batches_tracked.clone()
    before = model(Y, Y).square().mean()
    twin = copy.deepcopy(model)  # with the statistics of this moment
    expected = gradients(twin, CALLS["loss"](twin, norm_statistics="running"))
    loss = CALLS["loss"](model, norm_statistics="running")
    after = model(Y + 1, Y).square().mean()
    assert model.body[1].num_batches_tracked == count + 2
    (0 * before + loss + 0 * after).backward()  # recording in place has not spoiled our graph
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


# -- kinds of layers ---------------------------------------------------------------------------------------------------


class OneNorm(nn.Module):
    """A linear layer, three channels of four, and a normalisation."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(8, 12), norm

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        output: Tensor = self.norm(self.linear(torch.cat([y, z], 1)).reshape(-1, 3, 4))
        return output


def loss_of(model: nn.Module, **more: Any) -> Tensor:
    return robustness_loss(model, Y, 0.5, z=torch.ones(6, 4), generator=generator(), **more)


def test_instance_norm_with_running_statistics() -> None:
    model = trained(OneNorm(nn.InstanceNorm1d(3, track_running_stats=True)))
    found = loss_of(model, norm_statistics="running")
    torch.testing.assert_close(found, loss_of(with_frozen_norms(model)))
    assert not torch.isclose(found, loss_of(model), rtol=1e-2)


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.InstanceNorm1d])
def test_a_layer_that_keeps_none_uses_the_batch(norm: Any) -> None:
    model = OneNorm(norm(3, track_running_stats=False))
    assert loss_of(model, norm_statistics="running") == loss_of(model) > 0


def test_synchronised_batch_norm() -> None:
    plain = trained(SmallNet())
    synchronised = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(plain))
    found = CALLS["loss"](synchronised, norm_statistics="running")  # in train mode torch has none for a CPU
    torch.testing.assert_close(found, CALLS["loss"](plain, norm_statistics="running"))


@pytest.mark.parametrize("norm_statistics", ["batch", "running"])
def test_a_lazy_layer_gets_its_shape_and_records_nothing(norm_statistics: Any) -> None:
    model = OneNorm(nn.LazyBatchNorm1d())
    assert loss_of(model, norm_statistics=norm_statistics) > 0
    assert model.norm.num_batches_tracked == 0
    assert (model.norm.running_mean == 0).all()  # type: ignore[union-attr]


# -- recomputation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_batch", [None, 5])
def test_a_checkpointed_layer_is_refused_not_recomputed_otherwise(max_batch: int | None) -> None:
    model = trained(SmallNet(recompute=True))
    with pytest.raises(ValueError, match="does not reach a BatchNorm1d inside"):
        robustness_loss(model, Y, 0.5, 2, norm_statistics="running", max_batch=max_batch)
    with torch.no_grad():  # where nobody goes backward
        assert same_seed_change(model, Y, torch.ones_like(Y), 2, norm_statistics="running").sum() > 0
    model.body[1].eval()
    loss = CALLS["loss"](model, norm_statistics="running")
    plain = SmallNet()
    plain.load_state_dict(model.state_dict())
    expected = CALLS["loss"](plain, norm_statistics="running")
    for ours, theirs in zip(gradients(model, loss), gradients(plain, expected), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_checkpoint_around_the_callers_own_step_is_let_be() -> None:
    model = trained(SmallNet())
    loss = torch.utils.checkpoint.checkpoint(
        lambda: CALLS["loss"](model, norm_statistics="running"), use_reentrant=False
    )
    expected = CALLS["loss"](model, norm_statistics="running")
    for ours, theirs in zip(gradients(model, loss), gradients(model, expected), strict=True):
        torch.testing.assert_close(ours, theirs)
