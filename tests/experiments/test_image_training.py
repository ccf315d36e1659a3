"""Training of the image studies: the schedule, the losses, what each setting does, and what a run leaves behind."""

from __future__ import annotations

import errno
import gc
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from safetensors.torch import load_file

from reference_experiments.data.arrays import open_set
from reference_experiments.data.batches import Batches
from reference_experiments.images import checkpoints
from reference_experiments.images.averaging import Average
from reference_experiments.images.claims import claim
from reference_experiments.images.sessions import Sessions, read_sessions
from reference_experiments.images.settings import ATTACKS, PUBLISHED_MILESTONES, Cadence, Training, scaled_milestones
from reference_experiments.images.snapshots import picture
from reference_experiments.images.stats import Stats, read_stats
from reference_experiments.images.steps import Randomness, critic_step, estimator_step, frozen, regularizer
from reference_experiments.images.training import accelerated, as_images, one_step, train, trained, untrained
from reference_experiments.networks.resnet_critic import ResNetCritic
from stochrobust import PAPER, SampleKeys, robustness_loss
from tests.experiments.image_runs import CADENCE, digits, tiny, train_tiny


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits(tmp_path_factory.mktemp("data"))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    path = checkpoints.latest(folder / "checkpoints")
    assert path is not None
    return load_file(path.with_suffix(".safetensors"))


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_published_settings_are_the_defaults() -> None:
    published = Training()
    assert (published.steps, published.lr, published.gamma, published.r1) == (1_200_000, 1e-4, 0.6, 1.0)
    assert (published.weight, published.every, published.n_seeds, published.s, published.f) == (500.0, 3, 10, 24, 16)
    assert ATTACKS[published.attack] is PAPER
    assert (published.critic_gain, published.critic_init, published.norm, published.ema) == (0.1, "torch", True, 0.0)
    rates = [published.learning_rate(step) for step in (0, 399_999, 400_000, 500_000, 600_000, 700_000, 750_000)]
    assert rates == pytest.approx([1e-4, 1e-4, 6e-5, 3.6e-5, 2.16e-5, 1.296e-5, 7.776e-6])


def test_fewer_steps_have_their_milestones_at_the_same_shares() -> None:
    assert scaled_milestones(1_200_000) == PUBLISHED_MILESTONES
    assert scaled_milestones(12) == (4, 5, 6, 7, 7)


def test_robustness_is_asked_for_at_every_third_step_of_a_robust_model(data: Path, tmp_path: Path) -> None:
    for robust, due in ((True, [3, 6]), (False, [])):
        folder = train_tiny(data, tmp_path / str(robust), robust=robust, steps=6)
        lines = [line for line in read_stats(folder) if "gan" in line]
        assert [line["step"] for line in lines if "robustness" in line] == due


@pytest.mark.parametrize(
    "changed",
    [
        {"task": "sr4"}, {"stochastic": False}, {"robust": False}, {"batch": 8}, {"lr": 1e-3},
        {"milestones": (1,)}, {"milestones": (1,), "gamma": 0.1}, {"r1": 3.0}, {"weight": 50.0}, {"every": 2},
        {"n_seeds": 3}, {"attack": "training"}, {"s": 3}, {"f": 3}, {"critic_gain": 0.5}, {"critic_init": "torch"},
        {"norm": False}, {"seed": 1},
    ],
    ids=str,
)  # fmt: skip
def test_every_setting_changes_the_weights(data: Path, tmp_path: Path, changed: dict[str, Any]) -> None:
    base = {"milestones": (1,)} if "gamma" in changed else {}
    states = [
        weights(train_tiny(data, tmp_path / name, **settings))
        for name, settings in (("base", base), ("changed", changed))
    ]
    assert not same(*states)


def test_channels_last_is_a_layout_and_no_other_network() -> None:
    trainees = [untrained(tiny(s=8, channels_last=last), accelerated()) for last in (False, True)]
    nets = [net for trainee in trainees for net in (trainee.plain_G, trainee.plain_C)]
    wide = [[p for p in net.parameters() if p.ndim == 4 and min(p.shape[1:3]) > 1] for net in nets]
    layouts = [{p.is_contiguous(memory_format=torch.channels_last) for p in of} for of in wide]
    assert layouts == [{False}, {False}, {True}, {True}]
    y = torch.rand(2, 1, 32, 32)
    z = trainees[0].plain_G.sample_z(y, None)
    torch.testing.assert_close(trainees[0].plain_G(y, z), trainees[1].plain_G(y, z))
    torch.testing.assert_close(trainees[0].plain_C(y), trainees[1].plain_C(y))


def test_channels_last_resumes_to_the_same_bits(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    whole = train_tiny(data, tmp_path / "whole", steps=4, channels_last=True)
    with monkeypatch.context() as patch:
        patch.setattr("reference_experiments.images.training.one_step", stopped_at(2))
        with pytest.raises(KeyboardInterrupt):
            train_tiny(data, tmp_path / "resumed", steps=4, channels_last=True)
    resumed = train_tiny(data, tmp_path / "resumed", steps=4, channels_last=True)
    assert same(weights(resumed), weights(whole))


def stopped_at(step: int) -> Any:
    def step_or_stop(trainee: Any, streams: Any, at: int) -> Any:
        if at == step:
            raise KeyboardInterrupt
        return one_step(trainee, streams, at)

    return step_or_stop


def test_a_step_is_the_one_written_by_hand(data: Path) -> None:
    """Adam on both losses, the critic's first, with the seeds and starts of the step."""
    settings = tiny(norm=False, every=1)
    trainee, by_hand = (untrained(settings, accelerated()) for _ in range(2))
    images = Batches(torch.rand(20, 1, 32, 32).mul(255).byte().numpy(), 4, 0)
    real, y = (as_images(images.batch(step), torch.device("cpu")) for step in (0, 1))
    y = trainee.plain_G.projector.D(y)
    randomness = Randomness(settings.seed, 5)
    for adam in (trainee.optimizer_G, trainee.optimizer_C):  # which a first step does not depend on
        assert adam.param_groups[0]["betas"] == (0.5, 0.99)
    losses = critic_step(trainee, real, y, randomness) | estimator_step(trainee, y, randomness)

    G, C = by_hand.plain_G, by_hand.plain_C
    adam_G, adam_C = (torch.optim.Adam(net.parameters(), settings.lr, betas=(0.5, 0.99)) for net in (G, C))
    generated = G(y, randomness.seeds(G.sample_z, y, 1, 0)).detach()
    real = real.requires_grad_()
    logits = C(real)
    (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    penalty = gradient.square().sum((1, 2, 3)).mean()
    critic = -torch.nn.functional.logsigmoid(logits).mean() - torch.nn.functional.logsigmoid(-C(generated)).mean()
    (critic + settings.r1 * penalty).backward()
    adam_C.step()
    gan = -torch.nn.functional.logsigmoid(C(G(y, randomness.seeds(G.sample_z, y, 1, 1)))).mean()
    z = randomness.seeds(G.sample_z, y, settings.n_seeds, 2)
    eps, attack = settings.restoration.eps, ATTACKS[settings.attack]
    robustness = robustness_loss(
        G, y, eps, settings.n_seeds, z=z, attack=attack, generator=SampleKeys(range(20, 24), settings.seed)
    )
    (gan + settings.weight * robustness).backward()
    adam_G.step()

    expected = {"critic": critic, "r1": penalty, "gan": gan, "robustness": robustness}
    assert losses.keys() == expected.keys()
    for name, loss in losses.items():
        torch.testing.assert_close(loss, expected[name].detach())
    for ours, theirs in ((trainee.plain_G, G), (trainee.plain_C, C)):
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


def test_both_networks_learn_at_the_rate_of_the_step(data: Path) -> None:
    trainee = untrained(tiny(milestones=(2,), gamma=0.1), accelerated())
    images = Batches(torch.rand(8, 1, 32, 32).mul(255).byte().numpy(), 4, 0)
    for step, rate in ((1, 5e-4), (2, 5e-5)):
        one_step(trainee, [images] * 3, step)
        rates = [adam.param_groups[0]["lr"] for adam in (trainee.optimizer_G, trainee.optimizer_C)]
        assert rates == pytest.approx([rate, rate])


def test_real_images_and_both_inputs_come_in_orders_of_their_own(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []

    def stop(trainee: Any, streams: Any, step: int) -> Any:
        seeds.extend(stream.seed for stream in streams)
        raise InterruptedError

    monkeypatch.setattr("reference_experiments.images.training.one_step", stop)
    for seed in (0, 1):
        with pytest.raises(InterruptedError):
            train_tiny(data, tmp_path / str(seed), seed=seed)
    assert len(set(seeds)) == 6


def test_a_deterministic_model_is_attacked_with_one_seed() -> None:
    for stochastic, rows in ((True, 6), (False, 2)):
        seen: set[int] = set()
        trainee = untrained(tiny(stochastic=stochastic, n_seeds=3), accelerated())
        trainee.plain_G.register_forward_pre_hook(lambda module, inputs, seen=seen: seen.add(len(inputs[0])))
        regularizer(trainee, torch.rand(2, 1, 32, 32), Randomness(0, 2))
        assert seen == {rows}


def test_pixels_become_numbers_from_0_to_1() -> None:
    images = as_images(torch.tensor([0, 51, 255], dtype=torch.uint8), torch.device("cpu"))
    torch.testing.assert_close(images, torch.tensor([0.0, 0.2, 1.0]))


def test_what_is_written_and_when_changes_no_weight(data: Path, tmp_path: Path) -> None:
    """A snapshot leaves the model in train mode and its running statistics alone; the last step writes everything."""
    seldom, often = (
        train_tiny(data, tmp_path / str(every), Cadence(every, every, every), steps=3, milestones=(3,))
        for every in (10, 1)
    )
    assert same(weights(seldom), weights(often))
    lines = read_stats(seldom)
    assert [line["step"] for line in lines] == [3, 3]
    assert lines[0]["lr"] == tiny().lr
    assert lines[0]["gan"] == pytest.approx(sum(x["gan"] for x in read_stats(often) if "gan" in x) / 3)
    assert [path.name for path in (seldom / "snapshots").iterdir()] == ["00000003.png"]


def test_seeds_belong_to_step_purpose_and_row_and_not_to_a_process() -> None:
    def draw(y: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
        return (torch.randn(len(y), 2, generator=generator),)

    y = torch.zeros(4, 3)
    (whole,) = Randomness(0, 7).seeds(draw, y, 2, 1)
    halves = [Randomness(0, 7, rank, 2).seeds(draw, y[:2], 2, 1)[0] for rank in range(2)]
    assert torch.equal(torch.cat(halves), whole)
    for other in (Randomness(1, 7), Randomness(0, 8)):
        assert not torch.equal(other.seeds(draw, y, 2, 1)[0], whole)
    assert not torch.equal(Randomness(0, 7).seeds(draw, y, 2, 2)[0], whole)
    assert list(Randomness(0, 7).starts(4).sample_ids) == [28, 29, 30, 31]
    assert list(Randomness(0, 7, 1, 2).starts(2).sample_ids) == [30, 31]


def test_the_critic_is_not_trained_by_the_estimators_step(data: Path) -> None:
    trainee = untrained(tiny(), accelerated())
    before = {name: value.clone() for name, value in trainee.plain_C.state_dict().items()}
    y = torch.rand(4, 1, 32, 32)
    estimator_step(trainee, y, Randomness(0, 2))
    assert same(before, trainee.plain_C.state_dict())
    assert all(p.grad is None and p.requires_grad for p in trainee.plain_C.parameters())


def test_frozen_thaws_after_an_error() -> None:
    layer = torch.nn.Linear(2, 2)
    asked = []

    def fail() -> None:
        with frozen(layer):
            asked.append(layer.weight.requires_grad)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert asked == [False]
    assert layer.weight.requires_grad


def test_the_four_models_start_from_the_same_weights() -> None:
    states = [
        untrained(tiny(stochastic=s, robust=r), accelerated()).plain_G.state_dict() for s in (0, 1) for r in (0, 1)
    ]
    assert all(same(states[0], state) for state in states[1:])


def test_the_average_follows_by_its_decay_and_is_what_is_evaluated(data: Path, tmp_path: Path) -> None:
    G = untrained(tiny(), accelerated()).plain_G
    average = Average(G, 0.75)
    before = [p.clone() for p in G.parameters()]
    with torch.no_grad():
        for value in (*G.parameters(), *G.buffers()):
            value.copy_(value + 1)
    average.update(G)
    for mine, current in zip(average.module.buffers(), G.buffers(), strict=True):
        assert torch.equal(mine, current)
    for mine, old in zip(average.module.parameters(), before, strict=True):
        torch.testing.assert_close(mine, old + 0.25)
    plain, averaged = (train_tiny(data, tmp_path / str(ema), ema=ema) for ema in (0.0, 0.9))
    tensors = weights(averaged)
    assert same(checkpoints.part("G", tensors), checkpoints.part("G", weights(plain)))
    first = {name: p.detach() for name, p in untrained(tiny(), accelerated()).plain_G.named_parameters()}
    after = weights(train_tiny(data, tmp_path / "once", ema=0.75, steps=1))
    for name, value in first.items():
        torch.testing.assert_close(after[f"average.{name}"], 0.75 * value + 0.25 * after[f"G.{name}"])
    G, _, _ = trained(averaged)
    assert same(G.state_dict(), checkpoints.part("average", tensors))
    assert not same(G.state_dict(), checkpoints.part("G", tensors))
    with pytest.raises(ValueError, match="ema"):
        Average(G, 1.0)


def test_a_run_leaves_its_numbers_pictures_and_events(data: Path, tmp_path: Path) -> None:
    folder = train_tiny(data, tmp_path)
    lines = read_stats(folder)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 4]
    assert {"critic", "r1", "gan", "lr", "images_per_second"} <= lines[0].keys()
    assert {"std", "robustness_db"} <= lines[-1].keys()
    assert lines[0]["lr"] == tiny().lr
    assert (folder / "snapshots" / "00000004.png").stat().st_size > 0
    assert list((folder / "tensorboard").iterdir())
    G, settings, step = trained(folder)
    assert (settings, step, G.training) == (tiny(), 4, False)


def test_stats_are_means_over_the_steps_that_had_the_loss(tmp_path: Path) -> None:
    with Stats(tmp_path, 0, 3, writing=False) as stats:
        stats.add({"a": torch.tensor(1.0)})
        stats.add({"a": torch.tensor(3.0), "b": torch.tensor(5.0)})
        assert stats.means() == {"a": 2.0, "b": 5.0}
        assert stats.means() == {}
    assert list(tmp_path.iterdir()) == []


def test_speed_is_images_per_second_since_the_last_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 2.0, 7.0])
    monkeypatch.setattr("reference_experiments.images.stats.time", SimpleNamespace(perf_counter=lambda: next(times)))
    with Stats(tmp_path, 10, 40, writing=True) as stats:
        for step in (20, 40):
            stats.write(step, 4, {"gan": 1.0})
    assert [line["images_per_second"] for line in read_stats(tmp_path)] == [20.0, 16.0]


def test_stats_of_steps_that_are_done_again_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "stats.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    with Stats(tmp_path, 2, 3, writing=True):
        pass
    assert [line["step"] for line in read_stats(tmp_path)] == [1, 2]


def test_tensorboard_has_what_was_written_before_a_kill_and_each_step_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    flushed: list[SummaryWriter] = []
    flush = SummaryWriter.flush

    def counted(self: SummaryWriter) -> None:
        flushed.append(self)
        flush(self)

    monkeypatch.setattr(SummaryWriter, "flush", counted)
    killed = Stats(tmp_path, 0, 4, writing=True)
    for step in (1, 2, 3):
        killed.show(step, {"std": step}, torch.zeros(3, 2, 2))
        assert len(flushed) == step
    with Stats(tmp_path, 2, 4, writing=True) as stats:
        for step in (3, 4):
            stats.show(step, {"std": step}, torch.zeros(3, 2, 2))
        events = EventAccumulator(str(tmp_path / "tensorboard"), {"images": 0}).Reload()
        assert [(event.step, event.value) for event in events.Scalars("std")] == [(step, step) for step in (1, 2, 3, 4)]
        assert [event.step for event in events.Images("restorations")] == [1, 2, 3, 4]
    killed.__exit__(None, None, None)


def test_infinity_in_the_stats_is_still_json(tmp_path: Path) -> None:
    with Stats(tmp_path, 0, 1, writing=True) as stats:
        stats.write(1, 4, {"robustness_db": math.inf})
    assert read_stats(tmp_path)[0]["robustness_db"] == "inf"


def test_pictures_have_a_row_per_kind_and_a_column_per_input() -> None:
    rows = [torch.full((3, 1, 2, 2), value) for value in (-1.0, 0.5)]
    assert picture(rows).shape == (3, 4, 6)
    assert picture(rows).unique().tolist() == [0.0, 0.5]


def test_a_loss_that_is_not_finite_stops_with_the_last_good_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reference_experiments.images import training

    def failing(trainee: Any, streams: Any, step: int, plain: Any = training.one_step) -> Any:
        losses = plain(trainee, streams, step)
        return {**losses, "gan": losses["gan"] * math.nan} if step == 3 else losses

    monkeypatch.setattr(training, "one_step", failing)
    with pytest.raises(FloatingPointError, match=r"step 4 .*'gan': nan.*00000002\.json"):
        train_tiny(data, tmp_path)
    path = checkpoints.latest(tmp_path / "checkpoints")
    assert path is not None
    assert all(bool(value.isfinite().all()) for value in weights(tmp_path).values())


def test_weights_that_are_not_finite_are_not_saved(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from reference_experiments.images import training

    def breaking(trainee: Any, streams: Any, step: int, plain: Any = training.one_step) -> Any:
        losses = plain(trainee, streams, step)  # those of the weights before the step: still finite
        if step == 3:
            with torch.no_grad():
                trainee.plain_C.head.bias.fill_(math.inf)
        return losses

    monkeypatch.setattr(training, "one_step", breaking)
    with pytest.raises(FloatingPointError, match=r"after step 4, 1 tensors .*C\.head\.bias; .*00000002\.json"):
        train_tiny(data, tmp_path)
    assert sorted(path.stem for path in (tmp_path / "checkpoints").iterdir()) == ["00000002"] * 2


def test_a_finished_training_is_left_as_it_is(data: Path, tmp_path: Path) -> None:
    def files() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in train_tiny(data, tmp_path, steps=1).rglob("*")}

    assert files() == files()


def test_processes_that_do_not_share_the_folder_are_told(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accelerate.Accelerator.gather", lambda self, step: torch.cat([step, step + 2]))
    with pytest.raises(ValueError, match=r"different steps in .*, \[0, 2\]: it must be a folder that all hosts share"):
        train_tiny(data, tmp_path)


def test_one_process_marks_the_folder_once(tmp_path: Path) -> None:
    path, training = tmp_path / "settings.json", {"milestones": (1, 2), "images": "digest"}
    claim(tmp_path, training, writing=False)
    assert not path.exists()
    claim(tmp_path, training)
    before = path.stat()
    assert json.loads(path.read_text()) == {"milestones": [1, 2], "images": "digest"}
    claim(tmp_path, training)
    assert path.stat() == before


def test_the_main_process_marks_the_folder_as_of_these_images(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = train_tiny(data, tmp_path / "main", steps=1) / "settings.json"
    assert json.loads(path.read_text())["images"] == open_set(data, "train").sha256
    monkeypatch.setattr("accelerate.Accelerator.is_main_process", False)
    train_tiny(data, tmp_path / "other", steps=1)
    assert not (tmp_path / "other" / "settings.json").exists()


def test_images_of_another_shape_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"images must be \(1, 64, 64\) .* got \(1, 32, 32\) of .*digits32"):
        train_tiny(data, tmp_path, size=64)


def test_networks_of_a_training_that_ended_are_let_go(data: Path, tmp_path: Path) -> None:
    def critics() -> int:
        gc.collect()
        return sum(type(thing) is ResNetCritic for thing in gc.get_objects())

    before, accelerator = critics(), accelerated()
    train(tiny(steps=1), data, tmp_path, CADENCE, accelerator)
    assert critics() == before


def test_pixels_for_a_gpu_are_pinned() -> None:
    pixels, device = MagicMock(), torch.device("cuda")
    as_images(pixels, device)
    pixels.pin_memory().to.assert_called_once_with(device, non_blocking=True)


def test_a_folder_of_another_training_is_refused(data: Path, tmp_path: Path) -> None:
    train_tiny(data, tmp_path, steps=1)
    with pytest.raises(ValueError, match=r"another training: weight=500\.0 there and 50\.0 here"):
        train_tiny(data, tmp_path, weight=50.0, steps=1)


@pytest.mark.parametrize("precision", ["fp16", "fp8"])
def test_mixed_precision_of_other_kinds_is_refused(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    monkeypatch.setattr("accelerate.Accelerator.mixed_precision", precision)
    with pytest.raises(ValueError, match=f"'bf16' or 'no', got '{precision}'"):
        accelerated()


def test_cadences_must_be_multiples() -> None:
    with pytest.raises(ValueError, match="checkpoint must be a multiple of stats=100, got 150"):
        Cadence(100, 150, 500)
    with pytest.raises(ValueError, match="snapshot"):
        Cadence(100, 100, 150)


def test_only_the_last_two_checkpoints_are_kept(data: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    for left in ("00000001.safetensors", ".00000003.safetensors.123.part"):  # by processes that were killed
        (tmp_path / "checkpoints" / left).touch()
    train_tiny(data, tmp_path, steps=7)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == [f"{step:08d}.{kind}" for step in (6, 7) for kind in ("json", "safetensors")]


@pytest.mark.parametrize("damage", ["truncated", "missing", "json"])
def test_a_damaged_checkpoint_is_named_with_the_way_back(data: Path, tmp_path: Path, damage: str) -> None:
    folder = train_tiny(data, tmp_path, steps=4)
    path = checkpoints.latest(folder / "checkpoints")
    assert path is not None
    whole = path.with_suffix(".safetensors")
    if damage == "json":
        path.write_text(path.read_text()[:20])
    elif damage == "missing":
        whole.unlink()
    else:
        whole.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"checkpoint .*00000004.*delete .*00000004\.json to go on from step 2"):
        trained(folder)
    path.unlink()
    assert trained(folder)[2] == 2
    assert same(weights(train_tiny(data, folder)), weights(train_tiny(data, tmp_path / "again")))


def test_a_full_disk_leaves_the_checkpoint_before(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        if "00000004.safetensors" in self.name:
            plain(self, content[:1000])
            raise OSError(errno.ENOSPC, "No space left on device")
        return plain(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"cannot write the checkpoint of step 4: .*No space left"):
        train_tiny(data, tmp_path)
    monkeypatch.undo()
    left = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert left == ["00000002.json", "00000002.safetensors"]
    assert same(weights(train_tiny(data, tmp_path)), weights(train_tiny(data, tmp_path / "again")))
    assert [(s["first_step"], s["step"]) for s in read_sessions(tmp_path)] == [(0, 2), (2, 4)]


def test_there_is_nothing_to_evaluate_before_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        trained(tmp_path)


def test_a_checkpoint_names_its_settings(data: Path, tmp_path: Path) -> None:
    path = checkpoints.latest(train_tiny(data, tmp_path, steps=1) / "checkpoints")
    assert path is not None
    assert json.loads(path.read_text())["settings"]["weight"] == 500.0


def test_the_sessions_of_a_training_tell_how_it_came_about(tmp_path: Path) -> None:
    first = Sessions(tmp_path, 0, "command one", device="cpu", mixed_precision="bf16")
    first.reached(2)
    first.reached(4)
    second = Sessions(tmp_path, 4, "command two", device="cpu", processes=2)
    second.reached(6)
    sessions = read_sessions(tmp_path)
    assert [(s["command"], s["processes"], s["first_step"], s["step"]) for s in sessions] == [
        ("command one", 1, 0, 4), ("command two", 2, 4, 6)
    ]  # fmt: skip
    assert {"revision", "hardware", "seconds", "torch"} <= sessions[0].keys()
    assert [s["mixed_precision"] for s in sessions] == ["bf16", "no"]
    Sessions(tmp_path, 4, "again, from the same checkpoint", device="cpu").reached(8)
    assert [s["step"] for s in read_sessions(tmp_path)] == [4, 8]
    Sessions(tmp_path, 6, "from a checkpoint before the last", device="cpu").reached(8)
    assert [(s["first_step"], s["step"]) for s in read_sessions(tmp_path)] == [(0, 4), (4, 6), (6, 8)]


def test_the_sessions_tell_the_precision_that_the_launcher_set(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accelerate.Accelerator.mixed_precision", "bf16")
    train_tiny(data, tmp_path, steps=1)
    assert [session["mixed_precision"] for session in read_sessions(tmp_path)] == ["bf16"]


def test_a_step_is_in_the_sessions_before_its_checkpoint_is_there(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = []
    monkeypatch.setattr(checkpoints, "save", lambda *_: recorded.append(read_sessions(tmp_path)[-1]["step"]))
    train_tiny(data, tmp_path)
    assert recorded == [2, 4]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [*((name, 0) for name in ("steps", "batch", "every", "n_seeds", "s", "f")), ("attack", "x"), ("task", "x")],
)
def test_settings_name_what_cannot_be(name: str, wrong: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} must be"):
        tiny(**{name: wrong})


def test_gradient_accumulation_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "2")
    with pytest.raises(ValueError, match="gradient accumulation must be 1, got 2"):
        accelerated()
