"""The ruler of the studies on Fashion-MNIST, and the gate that it has to pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from reference_experiments.__main__ import main
from reference_experiments.data import fashion
from reference_experiments.images.evaluation import evaluate
from reference_experiments.images.presets import FEW
from reference_experiments.images.presets import PRESETS as IMAGES
from reference_experiments.images.restorer import Restorer
from reference_experiments.ruler.classifier import (
    SHA256,
    WEIGHTS,
    Classifier,
    accuracy,
    fashion_features,
    load_classifier,
    save_classifier,
    train_classifier,
)
from reference_experiments.ruler.findings import findings
from reference_experiments.ruler.gate import (
    JUDGED,
    MEASURES,
    Labelled,
    Row,
    drawn_sets,
    fall_under_noise,
    falls,
    faults,
    measured,
    noisy,
    without,
)
from reference_experiments.ruler.presets import PRESETS, ClassifierTraining, Gate
from reference_experiments.runs import Record
from stochrobust import ModuleFeatures
from tests.experiments.image_runs import digits, train_tiny

PIXELS = ModuleFeatures(lambda images: images.flatten(1), name="raw pixels", channels=1, weights="")
SMALL = Gate(n=20, dropped=(0, 1, 2, 9), n_distinct=3, n_draws=2)
BRIEF = ClassifierTraining(epochs=1, batch=8)
needs_debian = pytest.mark.skipif(
    not fashion.DEBIAN.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed"
)


def grey(n_of_each: int = 30) -> Labelled:
    """Images of one grey each, which is that of their class with a little noise."""
    labels = torch.arange(10).repeat_interleave(n_of_each)
    generator = torch.Generator().manual_seed(0)
    level = 20 * labels[:, None, None, None] + torch.randint(8, (len(labels), 1, 1, 1), generator=generator)
    return Labelled(level.expand(-1, 1, 32, 32).to(torch.uint8), labels)


def classes(images: Tensor) -> set[int]:
    return set((255 * images.mean((1, 2, 3)) / 20).floor().int().tolist())


def test_classes_are_dropped_one_after_another_and_noise_is_that_of_the_settings() -> None:
    real, sets = drawn_sets(grey(), grey(), SMALL, 0)
    assert real.shape == (20, 1, 32, 32)
    assert all(images.shape == real.shape and images.min() >= 0 and images.max() <= 1 for images in sets.values())
    left = [classes(sets[without(n)]) for n in SMALL.dropped]
    assert [len(of) <= 10 - n for of, n in zip(left, SMALL.dropped, strict=True)] == [True] * 4
    assert len(left[-1]) == 1
    for sigma in SMALL.noise:
        added = (sets[noisy(sigma)] - sets[without(0)])[sets[without(0)] > 0.3]
        assert added.std().item() == pytest.approx(sigma, rel=0.05)
    assert len(sets["3 images repeated"].unique(dim=0)) <= 3
    lines = Labelled(255 * torch.eye(32).byte().expand(300, 1, -1, -1), grey().labels)
    assert drawn_sets(lines, lines, SMALL, 0)[1]["means of 3 x 3 pixels"][0, 0, 16, 16].item() == pytest.approx(1 / 3)


@pytest.mark.parametrize("change", [{"n": 21}, {"noise": (0.2,)}, {"n_distinct": 2}, {"k": 4}, {"n_draws": 3}])
def test_every_setting_of_the_gate_counts(change: dict[str, Any]) -> None:
    def all_rows(settings: Gate) -> list[float]:
        rows = measured(grey(), grey(), PIXELS, settings)
        return [value for row in rows.values() for values in row.values() for value in values]

    assert all_rows(replace(SMALL, **change)) != all_rows(SMALL)


def test_draws_differ_and_a_seed_repeats_them() -> None:
    first, again, other = (measured(grey(), grey(), PIXELS, SMALL, seed) for seed in (0, 0, 1))
    assert first == again != other
    row = first[without(1)]
    assert all(len(row[measure]) == 2 for measure in MEASURES)
    assert any(values[0] != values[1] for values in row.values())


def test_a_gate_that_cannot_be_set_up_is_refused() -> None:
    with pytest.raises(ValueError, match="n must be at most 30 with 9 classes dropped, got 40"):
        drawn_sets(grey(), grey(), replace(SMALL, n=40), 0)
    for dropped in ((1, 2), (0, 2, 1), (0, 10)):
        with pytest.raises(ValueError, match="dropped must go up from 0 to at most 9"):
            replace(SMALL, dropped=dropped)


def rows_of(dropped: list[float], noise: float) -> dict[str, Row]:
    values = dict(zip(map(without, range(len(dropped))), dropped, strict=True)) | {noisy(0.03): noise}
    return {name: {measure: [value - 0.01, value + 0.01] for measure in MEASURES} for name, value in values.items()}


def test_a_ruler_passes_by_every_class_and_by_little_noise_and_by_nothing_less() -> None:
    dropped, sigma = (0, 1, 2), 0.03
    passing = rows_of([0.8, 0.75, 0.6], 0.76)
    assert falls(passing, "recall", dropped) == pytest.approx([0.05, 0.15])
    assert fall_under_noise(passing, "coverage", sigma) == pytest.approx(0.04)
    assert faults(passing, dropped, sigma) == []
    assert faults(rows_of([0.8, 0.75, 0.76], 0.795), dropped, sigma) == [
        f"{measure} does not fall with every class that is dropped" for measure in JUDGED
    ]
    blind = rows_of([0.8, 0.75, 0.6], 0.74)
    assert faults(blind, dropped, sigma) == [
        f"{measure} loses 0.060 under noise of 0.03, where a class takes 0.100" for measure in JUDGED
    ]
    for rows, word in ((passing, "exact: holds"), (blind, "exact: fails")):
        settings = {"dropped": list(dropped), "noise": [sigma, 0.1]}
        found = findings({"settings": settings, "rows": {"features": rows, "pixels": passing}})
        assert [finding.verdict for finding in found] == [word, "exact: holds"]
        assert found[1].effect == pytest.approx(0.01)
        assert ("takes" in found[0].here) == (rows is blind)


def test_the_classifier_learns_and_repeats_itself() -> None:
    train = grey(40)
    settings = ClassifierTraining(epochs=3, batch=16, noisy=0.0, dropout=0.0)
    losses: list[float] = []
    model = train_classifier(train.images, train.labels, settings, progress=lambda epoch, loss: losses.append(loss))
    assert len(losses) == 3
    assert losses[-1] < 0.95 * losses[0]
    assert accuracy(model, train.images, train.labels) > 0.15
    assert sum(p.numel() for p in model.parameters()) == 155_786
    assert not model.training


@pytest.mark.parametrize(
    "change", [{"epochs": 2}, {"batch": 9}, {"lr": 1e-3}, {"noisy": 0.3}, {"dropout": 0.5}, {"seed": 1}, {}]
)
def test_every_setting_of_the_classifier_counts(change: dict[str, Any]) -> None:
    train = grey(4)
    seed = change.pop("seed", 0)
    first = train_classifier(train.images, train.labels, BRIEF)
    second = train_classifier(train.images, train.labels, replace(BRIEF, **change), seed)
    same = all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert same == (not change and not seed)


def test_weights_are_the_stored_ones_or_refused(tmp_path: Path) -> None:
    path, model = tmp_path / "classifier.safetensors", Classifier()
    sha256 = save_classifier(model, BRIEF, path)
    loaded = load_classifier(path, sha256)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), loaded.parameters(), strict=True))
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(ValueError, match=rf"classifier\.safetensors must have SHA-256 {sha256}, got"):
        load_classifier(path, sha256)
    with pytest.raises(FileNotFoundError):
        load_classifier(tmp_path / "none")


def test_the_ruler_is_the_layer_before_the_last_of_the_stored_classifier() -> None:
    assert WEIGHTS.stat().st_size < 2**20
    images = torch.rand(3, 1, 32, 32)
    extractor, model = fashion_features(), load_classifier()
    found = extractor(images)
    assert found.shape == (3, 128)
    torch.testing.assert_close(model.head[1](found), model(images))
    assert extractor.protocol == fashion_features(load_classifier(WEIGHTS, SHA256)).protocol
    assert PIXELS(images).shape == (3, 1024)


@needs_debian
def test_the_stored_classifier_names_what_it_never_saw() -> None:
    images, _ = fashion.images(fashion.DEBIAN, "validation")
    labels = fashion.labels(fashion.DEBIAN, "validation")
    some = slice(0, 2000)
    assert accuracy(load_classifier(), torch.tensor(images[some]), torch.tensor(labels[some])) > 0.85


@needs_debian
@pytest.mark.slow
def test_smoke_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["ruler", "--preset", "smoke", "--out", str(tmp_path / "out"), "--runs", str(tmp_path / "runs")])
    table = (tmp_path / "out" / "table.md").read_text()
    assert table in capsys.readouterr().out
    assert SHA256 in table
    assert "| 9 classes dropped |" in table
    assert "raw pixels" in table


def test_the_preset_judges_noise_of_three_hundredths_on_all_classes() -> None:
    assert PRESETS["fashion32"].noise[0] == 0.03
    assert PRESETS["fashion32"].dropped == tuple(range(10))


def test_the_study_of_clothing_is_measured_by_the_ruler_and_by_enough_trainings() -> None:
    study = IMAGES["fashion32-inpainting"]
    training = study.training
    assert training.steps * training.batch == 1_000_000
    assert (training.s, training.f, training.channels, training.channels_last) == (12, 8, 1, True)
    assert study.n_training_seeds == 3
    assert (study.measuring.extractor, study.measuring.n_real) == ("fashion-classifier", PRESETS["fashion32"].n)


def test_a_trained_model_is_measured_by_the_ruler(tmp_path: Path) -> None:
    data = digits(tmp_path / "data")
    folder = train_tiny(data, tmp_path / "model", channels_last=True)
    row = evaluate(
        Restorer.from_checkpoint(folder), data, replace(FEW, extractor="fashion-classifier"), tmp_path / "row",
        record=Record("the command"),
    )  # fmt: skip
    assert row is not None
    assert row["protocol"]["features"]["extractor"] == fashion_features().protocol.extractor
    assert {"recall", "robustness_evaluation", "robustness_observed"} <= row["values"].keys()
