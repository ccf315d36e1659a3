"""The loss inside the set-ups people train in; for several processes see test_distributed.py."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stochrobust import PGD, Consistent, InpaintingProjector, robustness_loss, same_seed_change, sensitivity
from tests.problems import SmallNet, naive_change

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
@pytest.mark.parametrize(("mode", "norm_statistics"), [("train", "batch"), ("train", "running"), ("eval", "batch")])
@pytest.mark.filterwarnings("ignore")  # what the compiler itself says
def test_compiled_estimator(mode: str, norm_statistics: Any) -> None:
    model = SmallNet().train(mode == "train")
    compiled = torch.compile(model, backend="aot_eager")
    statistics = copy.deepcopy(dict(model.named_buffers()))
    loss = robustness_loss(compiled, Y, 0.5, 2, generator=generator(), norm_statistics=norm_statistics)
    expected = robustness_loss(model, Y, 0.5, 2, generator=generator(), norm_statistics=norm_statistics)
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
@pytest.mark.parametrize(
    ("shape", "format"),
    [((2, 3, 4, 5), torch.channels_last), ((2, 3, 4, 5, 6), torch.channels_last_3d)],
    ids=["images", "volumes"],
)
def test_channels_last_stays(shape: tuple[int, ...], format: torch.memory_format, max_batch: int | None) -> None:
    formats = []

    def G(y: Tensor, c: Tensor) -> Tensor:
        formats.append(y.is_contiguous(memory_format=format) and c.is_contiguous(memory_format=format))
        return y * 2

    y = torch.rand(shape).to(memory_format=format)
    robustness_loss(G, y, 0.5, 2, cond=y.clone(), max_batch=max_batch)
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


# -- networks of other things than images ------------------------------------------------------------------------------


class Signals(nn.Module):
    """(B, C, T): a recording with gaps, say."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Conv1d(4, 2, 3, padding=1)

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        output: Tensor = self.net(torch.cat([y, z], 1)).tanh()
        return output


class Volumes(Signals):
    """(B, C, D, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Conv3d(4, 2, 3, padding=1)  # type: ignore[assignment]


class Tokens(nn.Module):
    """(B, T, C), through self-attention; the seed is added to each token."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        output: Tensor = self.net(y + z)
        return output


class Recurrent(nn.Module):
    """(B, T, C), through an LSTM whose first state is the seed."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.LSTM(4, 5, batch_first=True)

    def forward(self, y: Tensor, z: tuple[Tensor, Tensor]) -> Tensor:
        output: Tensor = self.net(y, tuple(state.transpose(0, 1).contiguous() for state in z))[0]
        return output


@pytest.mark.parametrize("max_batch", [None, 4])
@pytest.mark.parametrize(
    ("model", "shape"),
    [(Signals, (3, 2, 9)), (Volumes, (3, 2, 3, 4, 5)), (Tokens, (3, 6, 4)), (Recurrent, (3, 6, 4))],
)
def test_signals_volumes_and_sequences(model: Any, shape: tuple[int, ...], max_batch: int | None) -> None:
    G, y, delta = model().double(), torch.randn(shape).double(), torch.randn(shape).double()
    z: Any = torch.randn(6, *shape[1:]).double()
    naive_G, naive_z = G, z
    if model is Recurrent:
        both = torch.randn(6, 2, 5).double()
        z, naive_z = (both[:, :1], both[:, 1:]), both
        naive_G = lambda y, both: G(y, (both[:, :1], both[:, 1:]))  # noqa: E731
    torch.testing.assert_close(
        same_seed_change(G, y, delta, 2, z=z, max_batch=max_batch), naive_change(naive_G, y, delta, naive_z, 2)
    )
    loss = robustness_loss(G, y, 0.5, 2, z=z, max_batch=max_batch, reduction="sum", generator=generator())
    of_the_whole = robustness_loss(G, y, 0.5, 2, z=z, reduction="sum", generator=generator())
    learned = gradients(G, loss)
    assert sum(gradient.abs().sum() for gradient in learned) > 0
    for ours, expected in zip(learned, gradients(G, of_the_whole), strict=True):
        torch.testing.assert_close(ours, expected)
    found = sensitivity(G, y, 0.5, 2, z=z, attack=PGD(10), max_batch=max_batch)
    assert (found.value > found.random_value).all()
    torch.testing.assert_close(found.delta.flatten(1).norm(dim=1), torch.full((3,), 0.5).double())


# -- further inputs ----------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:all . seeds of every sample give the same output:stochrobust.AttackWarning")
@pytest.mark.parametrize("max_batch", [None, 1, 4, 5])
def test_every_row_gets_the_conditions_of_its_sample(max_batch: int | None) -> None:
    n_samples, n_seeds = 3, 4
    cond = {
        "mask": torch.rand(n_samples, 1, 2, 2) > 0.5,
        "class": torch.tensor([7, 2**40, -3]),  # not to pass through a float on its way
        "text": {"embedding": torch.randn(n_samples, 5, 6), "length": (torch.tensor([5, 1, 3]), "tokens")},
        "guidance": 7.5,
        "nothing": None,
    }
    before = copy.deepcopy(cond)
    y = torch.arange(n_samples).float().reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2)  # says which sample it is
    z = torch.arange(n_samples * n_seeds)[:, None]  # says which row it is
    rows: list[int] = []

    def G(y: Tensor, z: Tensor, cond: Any) -> Tensor:
        sample = y.mean((1, 2, 3)).round().long()
        assert torch.equal(sample, z[:, 0] // n_seeds)
        rows.extend(z[:, 0].tolist())
        for found, given in [
            (cond["mask"], before["mask"]),
            (cond["class"], before["class"]),
            (cond["text"]["embedding"], before["text"]["embedding"]),  # type: ignore[index]
            (cond["text"]["length"][0], before["text"]["length"][0]),  # type: ignore[index]
        ]:
            assert found.dtype == given.dtype
            assert torch.equal(found, given[sample])
        assert (cond["text"]["length"][1], cond["guidance"], cond["nothing"]) == ("tokens", 7.5, None)
        assert cond.keys() == before.keys()
        output: Tensor = y * cond["mask"]
        return output

    robustness_loss(G, y, 0.4, n_seeds, z=z, cond=cond, max_batch=max_batch)
    n_rows = n_samples * n_seeds
    assert rows[:n_rows] == list(range(n_rows))  # the clean pass: all rows, in sample-major order, once
    assert len(rows) % n_rows == 0
    sensitivity(G, y, 0.4, n_seeds, z=z, cond=cond, max_batch=max_batch, attack=PGD(2))
    same_seed_change(G, y, torch.full(y.shape, 0.1), n_seeds, z=z, cond=cond, max_batch=max_batch)
    assert torch.equal(cond["class"], before["class"])  # type: ignore[arg-type]
    assert torch.equal(cond["text"]["embedding"], before["text"]["embedding"])  # type: ignore[index]


@pytest.mark.filterwarnings("ignore:the gradient of G with respect to y was zero:stochrobust.AttackWarning")
def test_conditions_reach_a_deterministic_estimator() -> None:
    scale = torch.tensor([[0.0], [1.0], [2.0]])
    found = sensitivity(lambda y, c: y * c, torch.zeros(3, 2), 0.5, cond=scale)
    torch.testing.assert_close(found.value, torch.tensor([0.0, 0.25, 1.0]))


# -- optimisation ------------------------------------------------------------------------------------------------------


def test_grad_scaler_skips_a_step_with_an_infinite_loss() -> None:
    model, scaler = SmallNet(), torch.amp.GradScaler("cpu", init_scale=2.0**10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    start = copy.deepcopy(model.state_dict())

    def step(y: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = robustness_loss(model, y, 0.5, 2, generator=generator())
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss

    broken = Y.clone()
    broken[2, 1] = torch.inf
    assert not step(broken).isfinite()
    assert scaler.get_scale() == 2.0**9
    assert all(torch.equal(value, start[name]) for name, value in model.state_dict().items())  # buffers too
    twin = copy.deepcopy(model)
    expected = gradients(twin, robustness_loss(twin, Y, 0.5, 2, generator=generator()))
    assert step(Y).isfinite()
    assert scaler.get_scale() == 2.0**9
    for parameter, before, gradient in zip(model.parameters(), twin.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter, before - 0.1 * gradient)


@pytest.mark.filterwarnings("ignore:G's output for one sample depends:stochrobust.AttackWarning")
def test_averaged_copy_is_measured_while_the_model_trains() -> None:
    model = SmallNet()
    average = torch.optim.swa_utils.AveragedModel(model, use_buffers=True)
    model(Y, Y).sum().backward()
    states = [
        (name, t, t.clone(), t._version) for m in (model, average) for name, t in m.state_dict(keep_vars=True).items()
    ]
    slopes = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    found = sensitivity(average, Y, 0.5, 2, attack=PGD(3), generator=generator())  # finds sample_z inside
    assert torch.equal(found.value, sensitivity(average.module, Y, 0.5, 2, attack=PGD(3), generator=generator()).value)
    for name, tensor, value, version in states:
        assert torch.equal(tensor, value), name
        assert tensor._version == version, name
    assert all(torch.equal(a, p.grad) for a, p in zip(slopes, model.parameters(), strict=True))  # type: ignore[arg-type]
    assert all(parameter.grad is None for parameter in average.parameters())


def test_averaging_between_the_loss_and_its_backward() -> None:
    model = SmallNet()
    average = torch.optim.swa_utils.AveragedModel(model, use_buffers=True)
    expected = gradients(model, robustness_loss(model, Y, 0.5, 2, generator=generator()))
    loss = robustness_loss(model, Y, 0.5, 2, generator=generator())
    average.update_parameters(model)
    for ours, theirs in zip(gradients(model, loss), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_lazy_schedule_in_a_small_training_loop() -> None:
    outcomes = []
    for weight in (0.0, 5.0):
        torch.manual_seed(0)
        model = SmallNet()
        optimizer, y = torch.optim.Adam(model.parameters(), lr=0.02), torch.randn(32, 4)
        passes: list[int] = []
        model.register_forward_hook(lambda *_, passes=passes: passes.append(1))
        for step in range(30):
            loss = (model(y, torch.randn_like(y)) - y).square().mean()
            if step % 3 == 2:
                loss = loss + weight * robustness_loss(model, y, 1.0, 2, generator=generator(step), check=False)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert model.body[1].num_batches_tracked == 30  # only the loop's own passes
        per_loss = (len(passes) - 30) / 10
        assert per_loss == int(per_loss) > 2
        outcomes.append(sensitivity(model.eval(), y, 1.0, 4, attack=PGD(5), generator=generator()).value.mean())
    assert outcomes[1] < 0.7 * outcomes[0]
