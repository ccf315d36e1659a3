"""Errors for estimators and samplers of another signature, and estimators that write where they should not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stochrobust import (
    Consistent,
    HiddenNoise,
    InpaintingProjector,
    SampleKeys,
    jacobian_penalty,
    linearised_sensitivity,
    robustness_loss,
    same_seed_change,
    sensitivity,
    spectral_penalty,
)

pytestmark = pytest.mark.filterwarnings("ignore::stochrobust.AttackWarning")

Y = torch.rand(4, 3, generator=torch.Generator().manual_seed(9))
CALLS = [
    lambda G, **more: robustness_loss(G, Y, 0.1, 2, **more),
    lambda G, **more: sensitivity(G, Y, 0.1, 2, **more),
    lambda G, **more: same_seed_change(G, Y, torch.ones_like(Y), 2, **more),
    lambda G, **more: jacobian_penalty(G, Y, 2, **more),
]
each_call = pytest.mark.parametrize("call", CALLS, ids=["loss", "sensitivity", "change", "jacobian"])


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 3)

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        output: Tensor = self.linear(torch.cat([y, z], 1))
        return output


@each_call
@pytest.mark.parametrize(
    "G",
    [
        Net(),
        lambda y, z: y + z,
        Consistent(Net(), InpaintingProjector(torch.tensor([1, 0, 0]))),
        HiddenNoise(Net(), torch.Generator()),
        torch.compile(Net(), backend="eager"),
    ],
    ids=["module", "function", "consistent", "hidden noise", "compiled"],
)
def test_seeds_that_are_missing_are_asked_for(call: Any, G: Any) -> None:
    with pytest.raises(ValueError, match=r"G takes z, but no seeds are given: pass z=, sample_z=, or give G a method"):
        call(G)


@each_call
def test_the_condition_is_not_taken_for_the_seed(call: Any) -> None:
    with pytest.raises(ValueError, match="G takes z, but no seeds are given"):
        call(lambda y, z, c: y + z + c, cond=torch.ones(4, 3))


@each_call
def test_an_optional_z_gets_a_note(call: Any) -> None:
    with pytest.raises(TypeError) as caught:
        call(lambda y, z=None: y + z)
    assert "no seeds are given" in caught.value.__notes__[0]


@each_call
def test_other_signatures_and_errors_of_g(call: Any) -> None:
    with pytest.raises(TypeError, match=r"G must be callable as G\(y, z\).*1 argument\(s\), and its signature is \(\)"):
        call(lambda: Y)

    def own_error(y: Tensor) -> Tensor:
        raise TypeError("the caller's own")

    with pytest.raises(TypeError, match="the caller's own") as caught:
        call(own_error)
    assert not hasattr(caught.value, "__notes__")


@each_call
@pytest.mark.parametrize("generator", [None, SampleKeys(range(4))])
def test_a_sampler_of_another_signature(call: Any, generator: Any) -> None:
    with pytest.raises(TypeError, match=r"sample_z must be callable as sample_z\(y, generator\), got one .* \(y\)"):
        call(lambda y, z: y + z, sample_z=lambda y: torch.randn_like(y), generator=generator)
    with pytest.raises(TypeError, match="sample_z must be callable or None, got a torch"):
        call(lambda y, z: y + z, sample_z=torch.randn(8, 3), generator=generator)


# -- in place ----------------------------------------------------------------------------------------------------------


IN_PLACE = {
    "relu": (lambda y, z: nn.functional.relu(y - 0.5, inplace=True) + z, lambda y, z: (y - 0.5).relu() + z),
    "on y": (lambda y, z: 3 * y.clamp_(0.2, 0.8) + z, lambda y, z: 3 * y.clamp(0.2, 0.8) + z),
    "on z": (lambda y, z: y * z.mul_(0.5), lambda y, z: y * (z * 0.5)),
    "on a part": (lambda y, z: (y[:, 0].zero_(), y * z)[1], lambda y, z: torch.cat([0 * y[:, :1], y[:, 1:]], 1) * z),
    "flags": (lambda y, z: y.requires_grad_() * z, lambda y, z: y * z),
}


@pytest.mark.parametrize("max_batch", [None, 3])
@pytest.mark.parametrize(("G", "plain"), IN_PLACE.values(), ids=IN_PLACE.keys())
def test_an_estimator_that_works_in_place_changes_nothing_of_the_callers(G: Any, plain: Any, max_batch: Any) -> None:
    for n_seeds in (1, 2):
        y, z = Y.clone(), torch.randn(4 * n_seeds, 3)
        kept = z.clone()
        found = sensitivity(G, y, 0.3, n_seeds, z=z, max_batch=max_batch, generator=torch.Generator().manual_seed(0))
        expected = sensitivity(
            plain, Y, 0.3, n_seeds, z=kept, max_batch=max_batch, generator=torch.Generator().manual_seed(0)
        )
        torch.testing.assert_close(found.value, expected.value)
        loss = robustness_loss(G, y, 0.3, n_seeds, z=z, max_batch=max_batch, generator=torch.Generator().manual_seed(0))
        assert loss > 0
        assert torch.equal(y, Y)
        assert torch.equal(z, kept)
        assert not y.requires_grad


def test_a_condition_too() -> None:
    condition = {"scale": torch.ones(4, 3)}
    found = same_seed_change(lambda y, c: y * c["scale"].mul_(0.5), Y, torch.full((4, 3), 0.1), cond=condition)
    torch.testing.assert_close(found, torch.full((4,), 3 * 0.05**2))
    assert (condition["scale"] == 1).all()


class OneBuffer(torch.autograd.Function):
    """3 y, in one buffer for all calls, as a replayed graph returns it."""

    buffers: dict[Any, Tensor] = {}  # noqa: RUF012

    @staticmethod
    def forward(_: Any, y: Tensor) -> Tensor:
        return OneBuffer.buffers.setdefault(y.shape, torch.empty_like(y)).copy_(3 * y).detach()

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return 3 * gradient


three_y: Any = OneBuffer.apply


@pytest.mark.parametrize(
    "G",
    [three_y, lambda y: three_y(torch.cat([y, y], 1))[:, :3], lambda y: three_y(y).view(-1, 3)],
    ids=["itself", "a view", "reshaped"],
)
@pytest.mark.parametrize("max_batch", [None, 2])
def test_outputs_that_share_one_buffer(G: Any, max_batch: int | None) -> None:
    delta = torch.full((4, 3), 0.1)
    torch.testing.assert_close(same_seed_change(G, Y, delta, max_batch=max_batch), torch.full((4,), 0.27))
    found = sensitivity(G, Y, 0.1, max_batch=max_batch).value
    torch.testing.assert_close(found, torch.full((4,), 0.09))
    loss = robustness_loss(G, Y, 0.1, max_batch=max_batch, reduction="sum")
    torch.testing.assert_close(loss, torch.tensor(0.09))


def test_an_output_that_is_the_input() -> None:
    torch.testing.assert_close(same_seed_change(lambda y: y, Y, torch.full((4, 3), 0.1)), torch.full((4,), 0.03))


# -- kernels, checkpoints, masks ---------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("frozen", [False, True])
def test_another_kernel_without_gradients_is_not_taken_for_a_change(frozen: bool) -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    G = nn.TransformerEncoder(layer, 2).eval().requires_grad_(not frozen)
    y, padding = torch.randn(3, 6, 8), torch.zeros(3, 6, dtype=torch.bool)
    padding[0, 4:] = padding[1, 5:] = True

    def measured() -> tuple[Tensor, Tensor]:
        start = torch.Generator().manual_seed(0)
        found = sensitivity(lambda y, c: G(y, src_key_padding_mask=c), y, 0.01, cond=padding, generator=start)
        start = torch.Generator().manual_seed(0)
        loss = robustness_loss(lambda y, c: G(y, src_key_padding_mask=c), y, 0.01, cond=padding, generator=start)
        return found.in_sample, loss.detach()

    found, loss = measured()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        expected, expected_loss = measured()
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0)
    if not frozen:  # else no pass of the loss asks for a gradient of G, and all are of the other kernel
        torch.testing.assert_close(loss, expected_loss, rtol=0.05, atol=0)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_reentrant_checkpoints() -> None:
    net = nn.Linear(3, 3)

    def G(y: Tensor) -> Tensor:
        output: Tensor = torch.utils.checkpoint.checkpoint(net, y, use_reentrant=True)
        return output

    for call in (robustness_loss, lambda *a, **k: sensitivity(*a, **k).value):
        found, expected = (call(g, Y, 0.1, generator=torch.Generator().manual_seed(0)) for g in (G, net))
        torch.testing.assert_close(found, expected)
    assert net.weight.grad is None
    assert net.weight.requires_grad
    hidden = {"net": [net], "checkpoint": torch.utils.checkpoint.checkpoint}
    exec("def G(y): return checkpoint(net[0], y, use_reentrant=True)", hidden)
    with pytest.raises(ValueError, match=r"reentrant checkpoint.*use_reentrant=False"):
        robustness_loss(hidden["G"], Y, 0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize("lazy", [nn.LazyLinear(3), nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d())])
def test_lazy_layers_are_initialised_and_nothing_is_recorded(lazy: nn.Module) -> None:
    model, state = nn.Sequential(nn.BatchNorm1d(3), lazy), torch.get_rng_state()
    robustness_loss(model, Y, 0.1, generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), state)
    for name, buffer in model.named_buffers():
        assert (buffer == ("var" in name)).all()


@pytest.mark.parametrize("max_batch", [None, 1, 2, 3, 4])
@pytest.mark.parametrize("wrap", ["consistent", "closure"])
def test_a_mask_per_image_goes_with_its_image(max_batch: int | None, wrap: str) -> None:
    mask = torch.tensor([True, False]).reshape(2, 1, 1, 1).expand(2, 1, 4, 4)  # all of image 0 is known, nothing of 1
    projector = InpaintingProjector(mask)
    G: Any = Consistent(lambda y, z: 3 * y + z, projector)
    if wrap == "closure":
        G = lambda y, z: projector.project(3 * y + z, y)  # noqa: E731
    y, z, delta = torch.rand(2, 1, 4, 4), torch.rand(4, 1, 4, 4), torch.full((2, 1, 4, 4), 0.1)
    found = same_seed_change(G, y, delta, 2, z=z, max_batch=max_batch)
    torch.testing.assert_close(found, torch.tensor([16 * 0.01, 16 * 0.09]))
    assert projector.mask.shape == mask.shape
    penalty = jacobian_penalty(G, y, 2, z=z, n_projections=40)
    torch.testing.assert_close(penalty, torch.tensor((16 * 1 + 16 * 9) / 2.0), rtol=1e-4, atol=0)
    if max_batch is None:
        measured = sensitivity(G, y, 0.1, 2, z=z)
        assert not measured.concerns
        torch.testing.assert_close(measured.value, torch.tensor([0.01, 0.09]))


class Attention(nn.Module):
    def forward(self, y: Tensor) -> Tensor:
        x = y.reshape(len(y), 1, 4, 2)
        return nn.functional.scaled_dot_product_attention(x, 2 * x, x.sin()).flatten(1)


@pytest.mark.parametrize("penalty", [jacobian_penalty, spectral_penalty])
def test_penalties_go_through_attention(penalty: Any) -> None:
    net: Any = nn.Sequential(nn.Linear(8, 8), Attention())
    y = torch.randn(2, 8)
    penalty(net, y).backward()
    assert net[0].weight.grad.abs().sum() > 0
    exact = torch.stack([torch.autograd.functional.jacobian(lambda row: net(row[None])[0], row) for row in y])
    singular = torch.linalg.svdvals(exact)
    if penalty is jacobian_penalty:
        found = penalty(net, y, n_projections=400, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(found, exact.square().sum() / 2, rtol=0.1, atol=0)
    else:
        found = penalty(net, y, steps=50, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(found, singular[:, 0].square().mean(), rtol=1e-3, atol=0)
    assert linearised_sensitivity(net, y, 0.1).value.shape == (2,)
