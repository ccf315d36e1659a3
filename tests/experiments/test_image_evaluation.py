"""The evaluation of image models: closed forms, what numbers do and do not depend on, restarts, several processes."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import signal
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reference_experiments.data.arrays import open_set, write_set
from reference_experiments.images import measuring as measuring_module
from reference_experiments.images.checkpoints import Checkpoint, named, save
from reference_experiments.images.evaluation import evaluate, reference
from reference_experiments.images.jobs import opened
from reference_experiments.images.measuring import Measuring, coloured
from reference_experiments.images.numbers import per_image, realism
from reference_experiments.images.per_image import attacks_on, feature_rows, of_attacks, of_outputs
from reference_experiments.images.restorer import Restorer, weights_digest
from reference_experiments.images.settings import Training
from reference_experiments.images.shards import Job, wait
from reference_experiments.ruler.classifier import fashion_features
from reference_experiments.runs import Record, read_json, write_json
from stochrobust import (
    BlockAverageProjector,
    InpaintingProjector,
    ModuleFeatures,
    Protocol,
    SampleKeys,
    frechet_distance,
    precision_recall,
    psnr,
    psnr_from_eps,
)

SIDE, N_TRAIN, N_VALIDATION = 8, 60, 40
SMALL = Measuring(
    n_real=24, n_samples=4, n_attacked=6, n_seeds=2, k=2, n_splits=3, extractor="pixels", batch=8, shard=10
)  # fmt: skip
EPS = 0.3


class Affine(nn.Module):
    """``G(y, z) = a y + b z``, the spread b and the change ``a ||delta||`` of which are known."""

    def __init__(self, a: float = 0.5, b: float = 0.1) -> None:
        super().__init__()
        self.a, self.b = (nn.Parameter(torch.tensor(value)) for value in (a, b))

    def sample_z(self, y: Tensor, generator: torch.Generator | None) -> Tensor:
        return torch.randn(y.shape, generator=generator)

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        return self.a * y + self.b * z


class Slow(Affine):
    """A call takes its time, so that there is time to kill it."""

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        time.sleep(0.004)
        return super().forward(y, z)


class Bent(nn.Module):
    """A nonlinear G, with batch normalisation, whose output clamping matters."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.mixed = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Tanh(), nn.Conv2d(6, 1, 1))

    def sample_z(self, y: Tensor, generator: torch.Generator | None) -> Tensor:
        return torch.randn(y.shape, generator=generator)

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        output: Tensor = self.mixed(torch.cat([y, z], 1))
        return y + 0.3 * output


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "blocks"
    generator = np.random.default_rng(0)

    def images(n: int) -> Any:
        return (generator.integers(0, 256, (1, SIDE, SIDE), dtype=np.uint8) for _ in range(n))

    write_set(folder, "blocks", {
        "train": (N_TRAIN, images(N_TRAIN)), "validation": (N_VALIDATION, images(N_VALIDATION))
    }, {})  # fmt: skip
    return folder


def restorer_of(G: Any, *, stochastic: bool = True, projector: Any = None, eps: float = EPS) -> Restorer:
    return Restorer.of(
        G, projector or BlockAverageProjector(1), eps, stochastic=stochastic, description={"name": type(G).__name__}
    )


def measured(restorer: Restorer, data: Path, settings: Measuring, folder: Path, **options: Any) -> dict[str, Any]:
    row = evaluate(restorer, data, settings, folder, record=Record("the command"), **options)
    assert row is not None
    return row


def estimates(row: dict[str, Any]) -> dict[str, float]:
    return {name: float(value["estimate"]) for name, value in row["values"].items()}


def without_record(row: dict[str, Any] | None) -> str:
    assert row is not None
    return json.dumps({name: content for name, content in row.items() if name != "record"})


def test_a_linear_restorer_has_the_numbers_that_algebra_gives_it(data: Path, tmp_path: Path) -> None:
    settings = replace(SMALL, n_samples=32)
    found = estimates(measured(restorer_of(Affine(0.5, 0.1)), data, settings, tmp_path))
    unbiased = math.sqrt(2 / 31) * math.gamma(16) / math.gamma(15.5)  # the mean of a standard deviation of 32 normals
    assert found["std"] == pytest.approx(0.1 * unbiased, rel=0.01)
    assert found["std_unobserved"] == found["std"]
    for attack in ("paper", "evaluation"):
        assert found[f"ai_psnr_{attack}"] == pytest.approx(psnr_from_eps(EPS, SIDE**2), abs=1e-3)
        assert found[f"robustness_{attack}"] == pytest.approx(psnr_from_eps(0.5 * EPS, SIDE**2), abs=1e-3)
        assert found[f"stalled_{attack}"] == 0


def test_distortion_and_consistency_are_of_the_outputs_that_seeds_keyed_by_image_give(data: Path) -> None:
    validation = opened(data, SMALL, "cpu")["validation"]
    ids = validation.ids(slice(3, 8))
    x = validation.images(ids)
    found = of_outputs(restorer_of(Affine(1.5, 0.1)), x, ids, SMALL, SMALL.features(1, "cpu"))

    def output(i: int, s: int) -> Tensor:
        return 1.5 * x[i] + 0.1 * torch.randn(1, 1, SIDE, SIDE, generator=SampleKeys(()).generator(ids[i], s))[0]

    samples = torch.stack([torch.stack([output(i, s) for s in range(4)]) for i in range(5)])
    torch.testing.assert_close(found["consistency"], psnr(samples[:, 0], x))
    torch.testing.assert_close(found["distortion"], psnr(samples[:, 0].clamp(0, 1), x))
    torch.testing.assert_close(found["distortion_mean"], psnr(samples.clamp(0, 1).mean(1), x))
    torch.testing.assert_close(found["std"], samples.std(1).flatten(1).mean(1))
    torch.testing.assert_close(found["features"], samples[:, :1].clamp(0, 1).flatten(2))
    levels = (samples[:, 0].clamp(0, 1) * 255).round() / 255
    torch.testing.assert_close(found["consistency_8bit"], psnr(levels, x))


def test_unobserved_pixels_vary_and_observed_ones_do_not() -> None:
    training = Training(size=SIDE * 2, channels=1, s=2, f=2)
    G = training.estimator()
    x = torch.rand(3, 1, 16, 16)
    restorer = restorer_of(G.eval(), projector=G.projector)
    found = of_outputs(restorer, x, [0, 1, 2], SMALL, SMALL.features(1, "cpu"))
    torch.testing.assert_close(found["std_unobserved"], found["std"] * 4 / 3)
    assert (found["consistency"] == math.inf).all()


def test_realism_is_that_of_the_library_and_averages_the_draws(data: Path, tmp_path: Path) -> None:
    settings = replace(SMALL, n_draws=3)
    row = measured(restorer_of(Affine()), data, settings, tmp_path)
    sets = opened(data, settings, "cpu")
    real, x = ((drawn.images(drawn.ids(slice(0, 24)))).flatten(1) for drawn in sets.values())
    ids = sets["validation"].ids(slice(0, 24))
    for s in range(3):
        z = torch.stack([torch.randn(SIDE**2, generator=SampleKeys(()).generator(i, s)) for i in ids])
        generated = (0.5 * x + 0.1 * z).clamp(0, 1)
        manifold = precision_recall(real=real, generated=generated, k=2)
        assert row["values"]["fid"]["draws"][s] == pytest.approx(frechet_distance(real=real, generated=generated))
        assert row["values"]["precision"]["draws"][s] == manifold.precision
        assert row["values"]["recall"]["draws"][s] == manifold.recall
    fid = row["values"]["fid"]
    assert fid["estimate"] == pytest.approx(sum(fid["draws"]) / 3)
    assert fid["low"] + fid["high"] == pytest.approx(2 * fid["estimate"])
    assert fid["low"] < fid["estimate"]
    features = row["protocol"]["features"]
    assert (features["n_real"], features["n_generated"], features["k"]) == (24, 24, 2)


def test_an_attack_that_finds_more_shows_less_robustness(data: Path) -> None:
    validation = opened(data, SMALL, "cpu")["validation"]
    ids = validation.ids(slice(0, 8))
    found = of_attacks(restorer_of(Bent().eval()), validation.images(ids), ids, SMALL)
    assert (found["robustness_evaluation"] < found["robustness_paper"] - 0.5).all()
    assert (found["ai_psnr_paper"] >= psnr_from_eps(EPS, SIDE**2) - 1e-3).all()


def test_where_y_has_a_hole_it_is_attacked_with_and_without_it(data: Path) -> None:
    projector = InpaintingProjector(torch.ones(1, 1, SIDE, SIDE, dtype=torch.bool).tril())
    assert list(attacks_on(BlockAverageProjector(1))) == ["paper", "evaluation"]
    assert list(attacks_on(projector)) == ["paper", "evaluation", "observed"]

    class Hole(Affine):
        def forward(self, y: Tensor, z: Tensor) -> Tensor:
            return 3 * torch.where(projector.mask, 0.5, 1.0) * y

    x = torch.rand(2, 1, SIDE, SIDE)
    found = of_attacks(restorer_of(Hole(0.0, 0.0), stochastic=False, projector=projector), x, [3, 4], SMALL)
    for name, gain in (("evaluation", 3.0), ("observed", 1.5)):
        expected = torch.full((2,), psnr_from_eps(gain * EPS, SIDE**2))
        torch.testing.assert_close(found[f"robustness_{name}"], expected, atol=0.02, rtol=0)
        torch.testing.assert_close(found[f"ai_psnr_{name}"], torch.full((2,), psnr_from_eps(EPS, SIDE**2)))
        assert not found[f"stalled_{name}"].any()


def test_robustness_is_scored_on_seeds_that_did_not_choose_the_attack(data: Path) -> None:
    calls: list[Tensor] = []

    class Watched(Affine):
        def forward(self, y: Tensor, z: Tensor) -> Tensor:
            calls.append(z)
            return super().forward(y, z)

    x, settings = torch.rand(1, 1, SIDE, SIDE), replace(SMALL, n_seeds=2)
    of_attacks(restorer_of(Watched()), x, [7], settings)
    scoring = torch.cat([torch.randn(1, 1, SIDE, SIDE, generator=SampleKeys(()).generator(7, s)) for s in (2, 3)])
    choosing = torch.cat([torch.randn(1, 1, SIDE, SIDE, generator=SampleKeys(()).generator(7, s)) for s in (0, 1)])
    assert torch.equal(calls[0], scoring)
    assert torch.equal(calls[-1], scoring)
    assert torch.equal(calls[1], choosing)


@pytest.mark.parametrize("changed", [{"batch": 3}, {"shard": 7}, {"batch": 100, "shard": 1}])
def test_numbers_do_not_depend_on_batches_and_shards(data: Path, tmp_path: Path, changed: dict[str, Any]) -> None:
    restorer = restorer_of(Bent())
    expected = estimates(measured(restorer, data, SMALL, tmp_path / "a"))
    found = estimates(measured(restorer, data, replace(SMALL, **changed), tmp_path / "b"))
    assert found == pytest.approx(expected, rel=2e-4, abs=1e-5)


def test_no_pass_has_more_rows_than_the_batch(data: Path, tmp_path: Path) -> None:
    rows: list[int] = []

    class Counted(Affine):
        def forward(self, y: Tensor, z: Tensor) -> Tensor:
            rows.append(len(y))
            return super().forward(y, z)

    measured(restorer_of(Counted()), data, replace(SMALL, batch=3, n_seeds=5), tmp_path)
    assert max(rows) == 3


def test_the_seed_decides_the_seeds_of_the_same_images_too() -> None:
    x = torch.rand(2, 1, SIDE, SIDE)
    measures: list[Callable[[Measuring], Tensor]] = [
        lambda settings: of_outputs(restorer_of(Affine()), x, [0, 1], settings, settings.features(1, "cpu"))["std"],
        lambda settings: of_attacks(restorer_of(Bent().eval()), x, [0, 1], settings)["robustness_paper"],
    ]
    for numbers in measures:
        assert not torch.equal(numbers(SMALL), numbers(replace(SMALL, seed=1)))


@pytest.mark.parametrize(
    ("changed", "moved"),
    [
        ({"n_real": 30}, "fid"),
        ({"n_samples": 6}, "std"),
        ({"n_draws": 2}, "fid"),
        ({"n_attacked": 8}, "robustness_paper"),
        ({"n_seeds": 3}, "robustness_evaluation"),
        ({"k": 4}, "recall"),
        ({"seed": 1}, "std"),
    ],
)
def test_every_setting_matters(data: Path, tmp_path: Path, changed: dict[str, Any], moved: str) -> None:
    restorer = restorer_of(Bent())
    before, after = (measured(restorer, data, settings, tmp_path) for settings in (SMALL, replace(SMALL, **changed)))
    assert estimates(before)[moved] != estimates(after)[moved]
    assert before["protocol"] != after["protocol"]


def test_the_number_of_splits_decides_the_interval_alone(data: Path, tmp_path: Path) -> None:
    before, after = (
        measured(restorer_of(Affine()), data, replace(SMALL, n_splits=n), tmp_path)["values"]["fid"] for n in (3, 4)
    )
    assert before["estimate"] == after["estimate"]
    assert before["standard_error"] != after["standard_error"]


def test_each_extractor_is_the_one_that_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Any] = []

    def extractor(*args: Any, **options: Any) -> ModuleFeatures:
        asked.append((args, options))
        return ModuleFeatures(lambda images: images.mean((2, 3)), name="mean", weights="")

    monkeypatch.setattr(measuring_module, "InceptionFeatures", extractor)
    monkeypatch.setattr(measuring_module, "EfficientNetLite0Features", extractor)
    replace(SMALL, extractor="efficientnet-lite0").features(3, "cpu")
    replace(SMALL, extractor="inception").features(3, "cpu")
    weights = tmp_path / "weights.pth"
    named_file = replace(SMALL, extractor="inception", weights=str(weights))
    found = named_file.features(3, "cpu")
    assert asked == [((), {}), (("paper",), {"weights": None}), (("paper",), {"weights": weights})]
    ruler = replace(SMALL, extractor="fashion-classifier").features(1, "cpu")
    assert ruler.protocol == fashion_features().protocol
    assert coloured(torch.rand(2, 1, 32, 32), "fashion-classifier").shape == (2, 1, 32, 32)
    grey = torch.rand(5, 1, 4, 4)
    assert coloured(grey, "pixels").shape == (5, 1, 4, 4)
    torch.testing.assert_close(feature_rows(grey, named_file, found), grey.mean((1, 2, 3))[:, None].expand(-1, 3))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n_real": 5}, "n_real must be from 6"),
        ({"n_samples": 1}, "n_samples must be from 2"),
        ({"n_draws": 5}, "n_draws must be from 1 to 4"),
        ({"n_attacked": 25}, "n_attacked must be from 2 to 24"),
        ({"n_seeds": 0}, "n_seeds must be from 1"),
        ({"batch": 0}, "batch must be from 1"),
        ({"extractor": "resnet"}, "extractor must be one of"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changed)


def test_more_images_than_there_are_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="n_real must be at most the 40 images of validation, got 41"):
        measured(restorer_of(Affine()), data, replace(SMALL, n_real=41), tmp_path)


def test_images_are_drawn_once_each_and_a_larger_draw_begins_like_a_smaller(data: Path) -> None:
    drawn = opened(data, SMALL, "cpu")["validation"]
    ids = drawn.ids(slice(0, N_VALIDATION))
    assert sorted(ids) == list(range(N_VALIDATION))
    assert drawn.ids(slice(5, 9)) == ids[5:9]
    assert opened(data, replace(SMALL, seed=1), "cpu")["validation"].ids(slice(0, 9)) != ids[:9]
    pixels = torch.from_numpy(np.array(open_set(data, "validation").images[ids[2]]))
    assert torch.equal(drawn.images([ids[2]])[0], pixels / 255)


def test_memory_does_not_grow_with_the_number_of_samples() -> None:
    alive: list[weakref.ref[Tensor]] = []
    peaks: list[int] = []

    class Watched(Affine):
        def forward(self, y: Tensor, z: Tensor) -> Tensor:
            peaks.append(sum(reference() is not None for reference in alive))
            output = super().forward(y, z)
            alive.append(weakref.ref(output))
            return output

    for n_samples in (4, 24):
        settings = replace(SMALL, n_samples=n_samples)
        of_outputs(restorer_of(Watched()), torch.rand(3, 1, SIDE, SIDE), [0, 1, 2], settings, settings.features(1, ""))
        assert max(peaks) <= 1


def test_two_processes_give_what_one_does(data: Path, tmp_path: Path) -> None:
    restorer, record = restorer_of(Bent()), Record("")
    whole = measured(restorer, data, SMALL, tmp_path / "one")
    assert evaluate(restorer, data, SMALL, tmp_path / "two", record=record, rank=1, world=2) is None
    halves = list((tmp_path / "two").rglob("*.safetensors"))
    assert len(halves) == 3
    times = {path: path.stat().st_mtime_ns for path in halves}
    shared = evaluate(restorer, data, SMALL, tmp_path / "two", record=record, rank=0, world=2)
    assert without_record(shared) == without_record(whole)
    assert {path: path.stat().st_mtime_ns for path in halves} == times


def test_the_first_process_waits_for_the_others_and_not_for_ever(tmp_path: Path) -> None:
    job = Job(tmp_path, 5, 2, lambda shard: {"numbers": torch.arange(5)[shard]})
    for shard in job.shards[:2]:
        job.finish(shard)
    with pytest.raises(TimeoutError, match=r"1 are missing, .*00000004-00000005"):
        wait([job], patience=0.05, pause=0.01)
    job.finish(job.shards[2])
    wait([job], patience=0.0)
    assert job.merged()["numbers"].tolist() == [0, 1, 2, 3, 4]
    assert len(job.merged()["seconds"]) == 3


def test_without_the_others_shards_there_is_no_row(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reference_experiments.images.shards.PATIENCE", 0.0)
    with pytest.raises(TimeoutError, match="did a process die"):
        evaluate(restorer_of(Affine()), data, SMALL, tmp_path, record=Record(""), rank=0, world=2)


def test_patience_is_counted_from_the_last_shard_that_was_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(tmp_path, 4, 1, lambda shard: {"numbers": torch.arange(4)[shard]})
    waiting, now = list(job.shards), 0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += 1
        if now % 3 == 0:  # the others finish one in three seconds, all in twelve
            monkeypatch.undo()
            job.finish(waiting.pop())
            patch()

    def patch() -> None:
        monkeypatch.setattr("reference_experiments.images.shards.time.sleep", sleep)
        monkeypatch.setattr("reference_experiments.images.shards.time.monotonic", lambda: float(now))

    patch()
    wait([job], patience=4.0)
    assert not job.missing


def _evaluate_slowly(data: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    evaluate(restorer_of(Slow()), data, SMALL, folder, record=Record(""))


def test_killed_and_started_again_it_gives_the_same_row(data: Path, tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_evaluate_slowly, args=(data, tmp_path / "killed"))
    process.start()
    deadline = time.monotonic() + 60
    while not (done := list((tmp_path / "killed").rglob("*.safetensors"))):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    times = {path: path.stat().st_mtime_ns for path in done}
    again = measured(restorer_of(Slow()), data, SMALL, tmp_path / "killed")
    assert {path: path.stat().st_mtime_ns for path in done} == times
    assert without_record(again) == without_record(measured(restorer_of(Slow()), data, SMALL, tmp_path / "whole"))


def test_saved_shards_are_used_for_the_same_numbers_only(data: Path, tmp_path: Path) -> None:
    def folders() -> set[str]:
        return {path.name for path in (tmp_path / "parts").iterdir()}

    measured(restorer_of(Affine()), data, SMALL, tmp_path)
    first = folders()
    measured(restorer_of(Affine()), data, replace(SMALL, k=3, n_splits=4), tmp_path)
    measured(restorer_of(Affine()), data, replace(SMALL, n_real=30, n_attacked=20), tmp_path)
    assert folders() == first

    def kinds_of_new(restorer: Restorer, settings: Measuring = SMALL) -> list[str]:
        before = folders()
        measured(restorer, data, settings, tmp_path)
        return sorted(name.split("-")[0] for name in folders() - before)

    assert kinds_of_new(restorer_of(Affine(b=0.2))) == ["attacks", "outputs"]  # other weights
    assert kinds_of_new(restorer_of(Affine(), eps=0.2)) == ["attacks", "outputs"]
    assert kinds_of_new(restorer_of(Affine(), projector=InpaintingProjector(torch.ones(SIDE, 1)))) == []  # the same D
    half = InpaintingProjector(torch.arange(SIDE)[:, None] >= 4)
    assert kinds_of_new(restorer_of(Affine(), projector=half)) == ["attacks", "outputs"]
    assert kinds_of_new(restorer_of(Affine()), replace(SMALL, n_samples=5)) == ["outputs"]
    assert kinds_of_new(restorer_of(Affine()), replace(SMALL, n_draws=2)) == ["outputs"]
    assert kinds_of_new(restorer_of(Affine()), replace(SMALL, n_seeds=3)) == ["attacks"]
    assert kinds_of_new(restorer_of(Affine()), replace(SMALL, seed=3)) == ["attacks", "outputs", "real"]


def test_features_of_real_images_are_shared_by_models(data: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    measured(restorer_of(Affine()), data, SMALL, tmp_path / "a", cache=cache)
    times = {path: path.stat().st_mtime_ns for path in cache.rglob("*.safetensors")}
    assert len(times) == 3
    measured(restorer_of(Bent()), data, SMALL, tmp_path / "b", cache=cache)
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.safetensors")} == times
    assert not list((tmp_path / "b" / "parts").glob("real-*"))


def test_a_damaged_shard_is_named(data: Path, tmp_path: Path) -> None:
    measured(restorer_of(Affine()), data, SMALL, tmp_path)
    path = min((tmp_path / "parts").rglob("outputs-*/*.safetensors"))
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match=f"cannot read {path}.*delete it"):
        measured(restorer_of(Affine()), data, SMALL, tmp_path)


def test_a_deterministic_restorer_needs_no_seeds_and_little_work(data: Path, tmp_path: Path) -> None:
    calls: list[int] = []

    def G(y: Tensor) -> Tensor:
        calls.append(len(y))
        return 0.5 * y

    found = measured(restorer_of(G, stochastic=False), data, SMALL, tmp_path)
    assert found["values"]["std"]["estimate"] == 0
    assert estimates(found)["robustness_evaluation"] == pytest.approx(psnr_from_eps(0.5 * EPS, SIDE**2), abs=1e-3)
    assert list(found["values"]["fid"]["draws"]) == [found["values"]["fid"]["estimate"]]
    few = len(calls)
    other = replace(SMALL, n_samples=20, n_draws=5, n_seeds=9)
    measured(restorer_of(G, stochastic=False), data, other, tmp_path / "anew")
    assert len(calls) == 2 * few
    measured(restorer_of(G, stochastic=False), data, other, tmp_path)  # nothing that it would not know already
    assert len(calls) == 2 * few


def test_a_restorer_that_varies_is_not_deterministic(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stochastic must be True for a restorer whose outputs vary"):
        measured(restorer_of(Affine(), stochastic=False), data, SMALL, tmp_path)


def test_it_is_in_evaluation_mode_for_as_long_as_it_is_measured(data: Path, tmp_path: Path) -> None:
    G = Bent()
    G.mixed[2].eval()
    modes = [layer.training for layer in G.modules()]
    state = weights_digest(G)
    found = measured(restorer_of(G), data, SMALL, tmp_path / "a")
    assert [layer.training for layer in G.modules()] == modes
    assert weights_digest(G) == state
    assert without_record(found) == without_record(measured(restorer_of(G.eval()), data, SMALL, tmp_path / "b"))


@pytest.mark.parametrize("stochastic", [True, False])
def test_a_checkpoint_is_evaluated_as_the_model_it_holds(tmp_path: Path, stochastic: bool) -> None:
    training = Training(size=16, channels=1, s=2, f=2, stochastic=stochastic, steps=3)
    G = training.estimator()
    settings = {**vars(training), "milestones": list(training.milestones)}
    save(tmp_path / "checkpoints", Checkpoint(3, named("G", G.state_dict()), {"settings": settings}))
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (12, 1, 16, 16), dtype=np.uint8)
    write_set(tmp_path / "data", "noise", {"train": (12, iter(images)), "validation": (12, iter(images[::-1]))}, {})
    restorer = Restorer.from_checkpoint(tmp_path)
    assert restorer.stochastic is stochastic
    assert restorer.identity == weights_digest(G)
    assert (restorer.description["steps_done"], restorer.description["s"]) == (3, 2)
    assert restorer.eps == training.restoration.eps
    row = measured(restorer, tmp_path / "data", replace(SMALL, n_real=12), tmp_path)
    assert row["values"]["consistency"]["estimate"] == math.inf
    assert (row["values"]["std"]["estimate"] > 0) is stochastic
    write_json(tmp_path / "row.json", row)
    assert read_json(tmp_path / "row.json") == json.loads(json.dumps(row))


def test_the_validation_images_themselves_have_a_row(data: Path, tmp_path: Path) -> None:
    row = reference(data, SMALL, tmp_path, record=Record(""))
    sets = opened(data, SMALL, "cpu")
    real, others = (drawn.images(drawn.ids(slice(0, 24))).flatten(1) for drawn in sets.values())
    assert row["values"]["fid"]["estimate"] == pytest.approx(frechet_distance(real=real, generated=others))
    assert set(row["values"]) == {"fid", "precision", "recall"}


def test_decibels_that_are_infinite_are_counted_and_not_averaged() -> None:
    found = per_image(torch.tensor([30.0, 32.0, torch.inf]))
    assert (found.estimate, found.n_infinite, found.least) == (31.0, 1, 30.0)
    assert found.low is not None
    exact = per_image(torch.full((3,), torch.inf))
    assert (exact.estimate, exact.n_infinite, exact.least, exact.low) == (math.inf, 3, math.inf, None)


def test_the_seed_of_the_splits_matters() -> None:
    real, generated = torch.rand(30, 4), torch.rand(30, 4)
    first, second = (
        realism(real, [generated], features=Protocol(), k=2, n_splits=3, seed=seed)[0]["fid"] for seed in (0, 1)
    )
    assert first.estimate == second.estimate
    assert first.standard_error != second.standard_error
