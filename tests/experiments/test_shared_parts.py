"""What all studies share: the GAN losses, the networks, and what a run leaves behind."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from reference_experiments import readme, runs
from reference_experiments.gan import critic_loss, estimator_loss, r1_penalty
from reference_experiments.networks.mlp import MLPs
from reference_experiments.networks.unet import UNet
from stochrobust import robustness_loss


def test_losses_are_the_non_saturating_ones() -> None:
    logits = torch.tensor([0.0, 2.0])
    assert estimator_loss(logits).item() == pytest.approx((math.log(2) + math.log(1 + math.exp(-2))) / 2)
    expected = math.log(1 + math.exp(-1)) + math.log(1 + math.exp(3))
    assert critic_loss(torch.tensor([1.0]), torch.tensor([3.0])).item() == pytest.approx(expected)


def test_r1_is_the_squared_gradient_without_a_half_and_trains_the_critic() -> None:
    weight = torch.tensor([[3.0], [4.0]], requires_grad=True)
    penalty, logits = r1_penalty(lambda x: x @ weight, torch.ones(5, 2))
    assert penalty.item() == 25.0
    assert torch.equal(logits, torch.full((5, 1), 7.0))
    penalty.backward()
    assert weight.grad is not None
    assert weight.grad.flatten().tolist() == [6.0, 8.0]


def test_copies_of_the_mlp_are_ordinary_linear_layers() -> None:
    nets = MLPs(3, (2, 5, 1))
    x = torch.randn(12, 2)
    for index in range(3):
        layers = [nn.Linear(2, 5), nn.Linear(5, 1)]
        with torch.no_grad():
            for layer, weight, bias in zip(layers, nets.weights, nets.biases, strict=True):
                layer.weight.copy_(weight[index].T)
                layer.bias.copy_(bias[index, 0])
        rows = slice(4 * index, 4 * index + 4)
        torch.testing.assert_close(layers[1](layers[0](x[rows]).relu()), nets(x)[rows])


def test_the_change_of_the_mlps_is_the_difference_of_their_outputs() -> None:
    nets = MLPs(3, (2, 32, 32, 32, 2)).double()
    x, change = torch.randn(12, 2, dtype=torch.float64), 0.5 * torch.randn(12, 2, dtype=torch.float64)
    clean = nets.layers(x)
    torch.testing.assert_close(nets.outputs(clean[-1]), nets(x))
    torch.testing.assert_close(nets.change(clean, change), nets(x + change) - nets(x))


@torch.no_grad()
def test_low_precision_rounds_outputs_and_changes_by_a_share_of_themselves() -> None:
    torch.manual_seed(0)
    exact = MLPs(1, (2, 256, 256, 256, 1)).double()
    x, change = torch.rand(500, 2), torch.tensor([1e-3, 0.0]).expand(500, 2)
    truth = (exact(x.double() + change) - exact(x.double())).flatten()
    nets = MLPs(1, (2, 256, 256, 256, 1), "bfloat16")
    nets.load_state_dict(exact.state_dict())

    def error(found: Tensor) -> float:
        return float((found.flatten() - truth).norm() / truth.norm())

    output = nets(x)
    assert output.dtype == torch.float32
    assert 1e-4 < float((output - exact(x.double())).abs().max() / output.abs().max()) < 0.02
    assert error(nets.change(nets.layers(x), change)) < 0.15
    assert error(nets(x + change) - output) > 1  # what a difference of rounded outputs makes of it


@pytest.mark.parametrize(("s", "parameters"), [(24, 1_891_971), (32, 3_358_979)])
def test_unet_has_the_counted_parameters(s: int, parameters: int) -> None:
    assert sum(p.numel() for p in UNet(s).parameters()) == parameters


def test_unet_takes_four_seeds_and_uses_each() -> None:
    net, y = UNet(4).eval(), torch.rand(2, 3, 32, 16)
    z = net.sample_z(y, torch.Generator().manual_seed(0))
    assert [tuple(part.shape) for part in z] == [(2, 1, 32, 16), (2, 1, 16, 8), (2, 1, 8, 4), (2, 1, 4, 2)]
    out = net(y, z)
    assert out.shape == y.shape
    for index in range(4):
        other: list[Tensor] = list(z)
        other[index] = other[index] + 1
        assert not torch.equal(net(y, (other[0], other[1], other[2], other[3])), out)
    deterministic = UNet(4, stochastic=False)
    assert all((part == 0).all() for part in deterministic.sample_z(y))
    robustness_loss(UNet(4), torch.rand(2, 3, 16, 16), eps=0.5, n_seeds=2).backward()


def test_a_unet_without_normalisation_has_biases_and_keeps_samples_apart() -> None:
    net, y = UNet(4, norm=False), torch.rand(2, 3, 16, 16)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in net.modules())
    assert all(layer.bias is not None for layer in net.modules() if isinstance(layer, nn.Conv2d))
    z = net.sample_z(y)
    alone = net(y[:1], (z[0][:1], z[1][:1], z[2][:1], z[3][:1]))
    torch.testing.assert_close(alone, net(y, z)[:1])


def test_files_are_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "file.json"
    runs.write_json(path, {"a": 1})
    assert json.loads(path.read_text()) == {"a": 1}

    def full_disk(*arguments: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(OSError, match="No space"):
        runs.write_json(path, {"a": 2})
    with pytest.raises(OSError, match="No space"):
        runs.save_checkpoint(path, {"a": torch.ones(1)})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in path.parent.iterdir()] == ["file.json"]


def test_checkpoints_come_back(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    assert runs.load_checkpoint(path, "cpu") is None
    runs.save_checkpoint(path, {"step": 3, "weights": {"w": torch.ones(2)}})
    state = runs.load_checkpoint(path, "cpu")
    assert state is not None
    assert state["step"] == 3
    assert torch.equal(state["weights"]["w"], torch.ones(2))


def test_readme_is_what_the_stored_results_give() -> None:
    assert (readme.HERE / "README.md").read_text() == readme.readme()
    assert "### Table 3" in readme.readme()


def test_record_says_how_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    record = runs.Record("python -m reference_experiments toy").finished("cpu", seed=7)
    assert record["command"] == "python -m reference_experiments toy"
    assert record["seed"] == 7
    assert record["seconds"] >= 0
    assert "CPU" in record["hardware"]
    monkeypatch.setenv("STOCHROBUST_REVISION", "abc")
    assert runs.revision() == "abc"
