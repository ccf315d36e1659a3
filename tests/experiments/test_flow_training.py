"""SRFlow's training: its loss, its settings, its stops and its resumptions."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from reference_experiments.data.sr_benchmarks import Pair
from reference_experiments.images import checkpoints
from reference_experiments.images.sessions import read_sessions
from reference_experiments.images.settings import Cadence
from reference_experiments.images.stats import read_stats
from reference_experiments.networks.flow_layers import ActNorm
from reference_experiments.networks.flow_network import ExplodedInverse
from reference_experiments.networks.srflow import SRFlow, SRFlowConfig
from reference_experiments.srflow import training
from reference_experiments.srflow.bicubic import as_input, degradation, enlarged
from reference_experiments.srflow.look import N_SAMPLES, look
from reference_experiments.srflow.settings import FLOWS, TINY, FlowTraining
from reference_experiments.srflow.sharpness import sharpness
from reference_experiments.srflow.training import one_step, train, trainable, trained_flow, untrained
from stochrobust import consistency_psnr
from tests.experiments.image_runs import digits

SETTINGS = FlowTraining(TINY, steps=6, batch=4, crop=16)
CADENCE = Cadence(1, 2, 3)


def pair(n: int = 2, side: int = 16) -> Pair:
    x = torch.rand(n, 3, side, side)
    return Pair(x, as_input(x))


def weights(folder: Path) -> bytes:
    path = checkpoints.latest(folder / "checkpoints")
    assert path is not None
    return path.with_suffix(".safetensors").read_bytes()


# -- settings ----------------------------------------------------------------------------------------------------------


def test_the_defaults_are_the_published_ones() -> None:
    settings = FlowTraining()
    assert settings.network == SRFlowConfig()
    rates = [settings.learning_rate(step) for step in (0, 99_999, 100_000, 150_000, 180_000, 190_000, 199_999)]
    assert rates == [2.5e-4, 2.5e-4, 1.25e-4, 6.25e-5, 3.125e-5, 1.5625e-5, 1.5625e-5]
    assert (settings.batch, settings.crop, settings.noise, settings.heat) == (12, 160, 0.0, 0.9)


@pytest.mark.parametrize("name", FLOWS)
def test_settings_survive_json(name: str) -> None:
    settings = FLOWS[name].training
    assert FlowTraining.from_json(json.loads(json.dumps(asdict(settings)))) == settings
    assert settings.batch % len(FLOWS[name].data) == 0


def test_impossible_settings_are_named() -> None:
    with pytest.raises(ValueError, match="crop must be 0 or a multiple of 8, got 20"):
        FlowTraining(crop=20)
    assert FlowTraining(SRFlowConfig(levels=2), crop=20).crop == 20
    with pytest.raises(ValueError, match=r"noise must be at least 0, got -1"):
        FlowTraining(noise=-1)
    with pytest.raises(ValueError, match=r"max_norm must be at least 0, got nan"):
        FlowTraining(max_norm=math.nan)


# -- a step ------------------------------------------------------------------------------------------------------------


def test_the_loss_is_the_likelihood_in_bits_per_pixel_and_the_first_step_fits_the_norms() -> None:
    given = pair()
    G, adam = untrained(SETTINGS, "cpu")
    other, _ = untrained(SETTINGS, "cpu")
    log_likelihood = other.encode(given.x, given.y).log_likelihood  # in train mode: fits the norms too
    losses = one_step(G, adam, given, SETTINGS, 0)
    assert losses["bits_per_pixel"].item() == pytest.approx(-log_likelihood.mean().item() / (math.log(2) * 256))
    assert all(layer.settled for layer in G.modules() if isinstance(layer, ActNorm))
    first = next(layer for layer in other.modules() if isinstance(layer, ActNorm))
    squeezed = torch.nn.functional.pixel_unshuffle(given.x, 2)
    torch.testing.assert_close(first(squeezed).mean((0, 2, 3)), torch.zeros(12), atol=1e-5, rtol=0)
    torch.testing.assert_close(first(squeezed).std((0, 2, 3)), torch.ones(12), atol=0.02, rtol=0)


def test_all_that_is_trained_moves_and_nothing_else() -> None:
    G, adam = untrained(SETTINGS, "cpu")
    for step in range(2):  # the last layers start at zero: what is before them has no gradient at first
        before = {name: value.clone() for name, value in G.state_dict().items()}
        one_step(G, adam, pair(), SETTINGS, step)
    still = {name for name, value in G.state_dict().items() if torch.equal(value, before[name])}
    trained = {id(parameter) for parameter in trainable(G)}
    assert still == {name for name, parameter in G.named_parameters() if id(parameter) not in trained}
    assert {name.split(".")[1] for name in still} == {"upconv2", "HRconv", "conv_last", "f"}


def encoded(monkeypatch: pytest.MonkeyPatch, given: Pair, name: str, width: float) -> list[Pair]:
    """What the flow gets of a pair: without the noise of that name, with it, again, and at a later step."""
    seen: list[Pair] = []
    encode = SRFlow.encode

    def watched(self: SRFlow, x: Tensor, y: Tensor) -> Any:
        seen.append(Pair(x, y))
        return encode(self, x, y)

    monkeypatch.setattr(SRFlow, "encode", watched)
    for noise, step in ((0.0, 0), (width, 0), (width, 0), (width, 1)):
        settings = replace(SETTINGS, **{name: noise})  # type: ignore[arg-type]
        one_step(*untrained(settings, "cpu"), given, settings, step)
    return seen


def test_noise_is_uniform_of_its_width_and_belongs_to_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    given = pair(4)
    plain, noisy, again, later = (seen.x for seen in encoded(monkeypatch, given, "noise", 0.5))
    assert torch.equal(plain, given.x)
    assert torch.equal(noisy, again)
    assert not torch.equal(noisy, later)
    added = noisy - given.x
    assert -0.25 <= added.min() < -0.24
    assert 0.24 < added.max() <= 0.25
    assert abs(added.mean()) < 0.02


def test_three_sets_are_looked_at_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def watched(G: SRFlow, given: Pair, seed: int) -> Any:
        seen.append(len(given.y))
        return look(G, given, seed)

    monkeypatch.setattr(training, "look", watched)
    train(replace(SETTINGS, batch=3, steps=1), [digits(tmp_path)] * 3, tmp_path / "a", CADENCE)
    assert seen == [6]


def test_noise_of_y_is_gaussian_of_a_width_of_each_image(monkeypatch: pytest.MonkeyPatch) -> None:
    given = pair(64)
    plain, noisy, again, later = (seen.y for seen in encoded(monkeypatch, given, "y_noise", 0.1))
    assert torch.equal(plain, given.y)
    assert torch.equal(noisy, again)
    assert not torch.equal(noisy, later)
    widths = (noisy - given.y).flatten(1).std(1)
    assert widths.min() < 0.01
    assert 0.09 < widths.max() < 0.125
    assert abs(widths.mean() - 0.05) < 0.01


def test_a_training_begins_with_the_weights_of_another(tmp_path: Path) -> None:
    data, cadence = [digits(tmp_path)], Cadence(1, 1, 1)
    train(SETTINGS, data, tmp_path / "first", cadence)
    still = replace(SETTINGS, lr=0.0, steps=1)
    train(still, data, tmp_path / "second", cadence, initial=tmp_path / "first")
    first, second = (trained_flow(tmp_path / name)[0].state_dict() for name in ("first", "second"))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    with pytest.raises(ValueError, match="holds another training: initial="):
        train(still, data, tmp_path / "second", cadence)
    other = replace(SETTINGS, network=replace(TINY, steps=2))
    with pytest.raises(ValueError, match="initial must be a training of SRFlowConfig"):
        train(other, data, tmp_path / "third", cadence, initial=tmp_path / "first")
    assert not (tmp_path / "third").exists()


def test_the_gradient_is_scaled_down_to_its_limit_and_its_whole_norm_is_reported() -> None:
    given, norms, found = pair(), [], []
    for max_norm in (0.0, 1e-3):
        settings = replace(SETTINGS, max_norm=max_norm)
        G, adam = untrained(settings, "cpu")
        found.append(one_step(G, adam, given, settings, 0)["gradient"].item())
        norms.append(torch.cat([p.grad.flatten() for p in trainable(G) if p.grad is not None]).norm().item())
    assert found[0] == pytest.approx(found[1])
    assert norms == pytest.approx([found[0], 1e-3], rel=1e-3)


def test_parameters_are_contiguous_as_their_saved_moments_are() -> None:
    assert all(parameter.is_contiguous() for parameter in untrained(SETTINGS, "cpu")[0].parameters())


def test_bits_per_pixel_fall() -> None:
    settings, given = replace(SETTINGS, lr=2e-3), pair(4)
    G, adam = untrained(settings, "cpu")
    losses = [one_step(G, adam, given, settings, step)["bits_per_pixel"].item() for step in range(30)]
    assert losses[-1] < losses[0] - 1


# -- a look ------------------------------------------------------------------------------------------------------------


def test_a_look_measures_outputs_and_leaves_the_mode() -> None:
    given = pair()
    G, adam = untrained(SETTINGS, "cpu")
    one_step(G, adam, given, SETTINGS, 0)
    numbers, picture = look(G, given, seed=3)
    assert G.training
    assert look(G, given, seed=3)[0] == numbers
    assert look(G, given, seed=4)[0] != numbers
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        G.eval()
        outputs = torch.stack([G(given.y, G.sample_z(given.y, generator)) for _ in range(N_SAMPLES)])
        bits = -G.encode(given.x, given.y).log_likelihood.mean().item() / (math.log(2) * 256)
    assert numbers["validation_bits_per_pixel"] == pytest.approx(bits)
    assert numbers["diversity"] == pytest.approx(outputs.std(0).mean().item())
    assert numbers["sharpness_bicubic"] == pytest.approx(sharpness(enlarged(given.y), given.x).mean().item())
    assert numbers["sharpness"] == pytest.approx(
        torch.stack([sharpness(x_hat, given.x) for x_hat in outputs]).mean().item()
    )
    of_each = [consistency_psnr(x_hat, given.y, degradation(16, 16)).rounded for x_hat in outputs]
    assert numbers["lr_psnr"] == pytest.approx(torch.stack(of_each).mean().item())
    error = (outputs.clamp(0, 1) - given.x).square().mean((2, 3, 4))
    assert numbers["psnr"] == pytest.approx((-10 * error.log10()).mean().item())
    assert numbers["exploded"] == 0
    assert picture.shape == (3, 4 * 16, 2 * 16)


def test_an_exploding_inverse_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def explode(self: SRFlow, y: Tensor, z: Any) -> Tensor:
        calls.append(len(y))
        if len(calls) != 2:
            raise ExplodedInverse("here")
        return enlarged(y)

    monkeypatch.setattr(SRFlow, "forward", explode)
    numbers, picture = look(untrained(SETTINGS, "cpu")[0], pair())
    assert numbers["exploded"] == N_SAMPLES - 1
    assert set(numbers) == {"exploded", "validation_bits_per_pixel"}
    assert picture.shape == (3, 3 * 16, 2 * 16)


# -- a training --------------------------------------------------------------------------------------------------------


def test_a_training_that_was_broken_off_goes_on_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, (whole, broken) = [digits(tmp_path)], (tmp_path / name for name in ("whole", "broken"))
    settings = replace(SETTINGS, noise=0.1, max_norm=5.0)
    train(settings, data, whole, CADENCE)

    def cut_off(G: Any, adam: Any, given: Any, settings: Any, step: int) -> Any:
        if step == 5:
            raise KeyboardInterrupt
        return one_step(G, adam, given, settings, step)

    with monkeypatch.context() as patched:
        patched.setattr(training, "one_step", cut_off)
        with pytest.raises(KeyboardInterrupt):
            train(settings, data, broken, CADENCE)
    assert weights(broken) != weights(whole)
    train(settings, data, broken, CADENCE)
    assert weights(broken) == weights(whole)
    lines = [
        [{k: v for k, v in line.items() if k != "images_per_second"} for line in read_stats(folder)]
        for folder in (whole, broken)
    ]
    assert lines[0] == lines[1]
    assert [line["step"] for line in lines[0]] == [1, 2, 3, 3, 4, 5, 6, 6]
    assert (whole / "snapshots" / "00000003.png").exists()
    steps = [session["step"] for session in json.loads((broken / "sessions.json").read_text())]
    assert steps == [4, 6]
    G, read, done = trained_flow(whole)
    assert (read, done, G.training, G.heat) == (settings, 6, False, 0.9)
    again = trained_flow(broken)[0].state_dict()
    assert all(torch.equal(value, again[name]) for name, value in G.state_dict().items())


CHANGED: dict[str, Any] = {
    "network": replace(TINY, steps=2), "steps": 4, "batch": 2, "crop": 8, "flip": False, "lr": 1e-3,
    "milestones": (0.1,), "noise": 0.1, "y_noise": 0.1, "max_norm": 0.1, "seed": 1,
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGED)
def test_every_setting_matters(name: str, tmp_path: Path) -> None:
    data, cadence = [digits(tmp_path)], Cadence(2, 4, 4)
    for folder, settings in (("a", SETTINGS), ("b", replace(SETTINGS, **{name: CHANGED[name]}))):
        train(replace(settings, steps=4 if name != "steps" else settings.steps), data, tmp_path / folder, cadence)
    assert weights(tmp_path / "a") != weights(tmp_path / "b")
    with pytest.raises(ValueError, match=f"holds another training: .*{name}="):
        train(replace(SETTINGS, **{name: CHANGED[name]}), data, tmp_path / "a", cadence)


def test_all_settings_are_tried_above_save_the_heat_of_validation(tmp_path: Path) -> None:
    assert {field.name for field in fields(FlowTraining)} == {*CHANGED, "heat"}
    for heat in (0.0, 0.5):
        train(replace(SETTINGS, steps=1, heat=heat), [digits(tmp_path)], tmp_path / str(heat), CADENCE)
    spread = [read_stats(tmp_path / str(heat))[-1]["diversity"] for heat in (0.0, 0.5)]
    assert spread[0] == 0
    assert spread[1] > 0


def test_another_set_is_another_training(tmp_path: Path) -> None:
    data = digits(tmp_path)
    train(replace(SETTINGS, steps=1), [data], tmp_path / "a", CADENCE)
    with pytest.raises(ValueError, match="holds another training: images="):
        train(replace(SETTINGS, steps=1), [data, data], tmp_path / "a", CADENCE)


def test_nan_stops_the_training_and_names_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(G: SRFlow, adam: Any, given: Pair, settings: Any, step: int) -> Any:
        if step == 3:  # a finite loss with a gradient that is not
            G.RRDB.conv_first.bias.register_hook(lambda gradient: gradient * math.nan)  # type: ignore[union-attr]
        return one_step(G, adam, given, settings, step)

    monkeypatch.setattr(training, "one_step", spoilt)
    with pytest.raises(FloatingPointError, match=r"up to step 4 are not finite: {'gradient': nan}; .*00000002\.json"):
        train(SETTINGS, [digits(tmp_path)], tmp_path / "a", CADENCE)
    assert trained_flow(tmp_path / "a")[2] == 2


def test_a_weight_that_is_not_finite_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoilt(G: SRFlow, adam: Any, given: Pair, settings: Any, step: int) -> Any:
        losses = one_step(G, adam, given, settings, step)
        if step == 3:  # after the last loss that would have shown it
            with torch.no_grad():
                G.RRDB.conv_first.bias[0] = math.inf  # type: ignore[index]
        return losses

    monkeypatch.setattr(training, "one_step", spoilt)
    with pytest.raises(FloatingPointError, match=r"after step 4, 1 tensors are not finite.*00000002\.json"):
        train(SETTINGS, [digits(tmp_path)], tmp_path / "a", CADENCE)
    assert trained_flow(tmp_path / "a")[2] == 2


def test_a_step_is_in_the_sessions_before_its_checkpoint_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[int] = []

    def watched(folder: Path, reached: checkpoints.Checkpoint) -> None:
        recorded.append(read_sessions(tmp_path / "a")[-1]["step"])

    monkeypatch.setattr(checkpoints, "save", watched)
    train(replace(SETTINGS, steps=2), [digits(tmp_path)], tmp_path / "a", Cadence(1, 1, 2))
    assert recorded == [1, 2]
    (session,) = read_sessions(tmp_path / "a")
    assert (session["processes"], session["mixed_precision"]) == (1, "no")


def test_no_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="checkpoints holds no checkpoint: train first"):
        trained_flow(tmp_path)
