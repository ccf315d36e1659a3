"""The image studies from data to table and figures by one command each, at the size of a test; their presets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from reference_experiments.__main__ import main
from reference_experiments.arms import ARMS
from reference_experiments.data.prepare import prepare
from reference_experiments.images import command
from reference_experiments.images.presets import PRESETS
from reference_experiments.images.run import Places
from reference_experiments.images.settings import Training, scaled_milestones
from reference_experiments.images.tables import record, scale


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    folder = tmp_path_factory.mktemp("images")
    prepare("digits32", None, folder / "data")
    return Places(folder / "data", folder / "runs")


def study(places: Places, out: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    main([*arguments, "--data", str(places.data), "--runs", str(places.runs), "--out", str(out)])
    return json.loads((out / "results.json").read_text()), (out / "table.md").read_text()


def test_inpainting_from_data_to_table_and_figure(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["-m", "inpainting", "--preset", "smoke-inpainting"])
    results, page = study(places, tmp_path, "inpainting", "--preset", "smoke-inpainting")
    models = results["tasks"]["smoke-inpainting"]
    assert list(models) == [arm.name for arm in ARMS]
    for (row,) in models.values():
        assert row["training"][0]["step"] == 4
        assert row["training"][0]["command"].startswith("python -m reference_experiments inpainting")
        assert float(row["values"]["consistency"]["estimate"]) > 100
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "table.md", "figure1.png", "figure1.pdf"}
    assert page.count("\n| ") == 1 + 1 + 4 + 6 + 1 + 1 + 1 + 11  # both tables, with their rules
    assert "[0.388]" in page  # the paper's recall
    assert all(finding["claim"] in page for finding in results["findings"])
    assert "steps 4 (1200000)" in page

    again, _ = study(places, tmp_path, "inpainting", "--preset", "smoke-inpainting")  # nothing is done twice
    for name, of_model in again["tasks"]["smoke-inpainting"].items():
        assert of_model[0]["values"] == models[name][0]["values"]
        assert of_model[0]["training"] == models[name][0]["training"]


def test_super_resolution_by_two_factors_from_data_to_figure(places: Places, tmp_path: Path) -> None:
    chosen = ["--preset", "smoke", "--names", "smoke-sr4", "smoke-sr8", "--seed", "1"]
    results, page = study(places, tmp_path, "super-resolution", *chosen)
    assert list(results["tasks"]) == ["smoke-sr4", "smoke-sr8"]
    assert [row["model"]["description"]["seed"] for (row,) in results["tasks"]["smoke-sr4"].values()] == [1] * 4
    assert {"figure3.png", "figure3.pdf", "figure1-smoke-sr4.png"} <= {path.name for path in tmp_path.iterdir()}
    assert all(finding["claim"] in page for finding in results["findings"])
    assert "[0.388]" not in page


@pytest.mark.distributed
def test_two_processes_do_a_study_together(places: Places, tmp_path: Path) -> None:
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "reference_experiments"]
    study = ["inpainting", "--preset", "smoke-inpainting", "--data", str(places.data)]
    where = ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launch, *study, *where], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    for (row,) in results["tasks"]["smoke-inpainting"].values():
        assert row["training"][0]["processes"] == 2
    assert done.stdout.count("Results: ") == 1


def test_models_and_seeds_can_be_trained_one_by_one(places: Places) -> None:
    runs = places.runs / "single"
    arguments = ["--arms", "stochastic-robust", "--seeds", "3", "--data", str(places.data), "--runs", str(runs)]
    main(["train", "smoke-sr4", *arguments])
    assert [path.name for path in (runs / "smoke-sr4").iterdir()] == ["stochastic-robust-3"]
    assert json.loads((runs / "smoke-sr4" / "stochastic-robust-3" / "settings.json").read_text())["seed"] == 3


def test_an_unknown_factor_is_named(places: Places, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"names must be among .*, got \['smoke-sr16'\]"):
        study(places, tmp_path, "super-resolution", "--preset", "smoke", "--names", "smoke-sr4", "smoke-sr16")


def test_a_set_that_was_not_prepared_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="prepare the set first"):
        main(["train", "smoke-sr4", "--data", str(tmp_path), "--runs", str(tmp_path)])


def test_a_missing_package_is_named_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, told in (
        ("accelerate", "pip install 'stochrobust"),
        ("a_model_of_mine", "No module named 'a_model_of_mine'$"),
    ):

        def fail(options: Any, name: str = name) -> None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        monkeypatch.setattr(command, "_train", fail)
        with pytest.raises(ModuleNotFoundError, match=told):
            main(["train", "smoke-sr4"])


def test_every_published_setting_has_its_preset() -> None:
    published: dict[str, tuple[str, int, int, tuple[str, ...]]] = {}
    published["celeba"] = ("celeba64", 24, 16, ("inpainting", "sr4", "sr8", "sr16"))
    published["imagenet64"] = ("imagenet64", 32, 32, ("sr4", "sr8", "sr16"))
    for prefix, (data, s, f, tasks) in published.items():
        for task in tasks:
            preset = PRESETS[f"{prefix}-{task}"]
            assert preset.data == data
            assert preset.training == Training(task=task, s=s, f=f)  # type: ignore[arg-type]
            assert (preset.measuring.n_real, preset.measuring.extractor) == (50_000, "inception")
            assert preset.training.restoration.eps == pytest.approx(
                {"inpainting": 2.5, "sr4": 0.553, "sr8": 0.276, "sr16": 0.138}[task], rel=2e-3
            )


@pytest.mark.parametrize("name", [n for n, p in PRESETS.items() if p.training.steps < 1_200_000])
def test_a_scaled_down_preset_keeps_what_makes_the_study(name: str) -> None:
    preset, published = PRESETS[name], Training()
    assert preset.training.milestones == scaled_milestones(preset.training.steps)
    assert (preset.training.every, preset.training.gamma) == (published.every, published.gamma)
    assert preset.measuring.n_samples == 32 or name.startswith("smoke")


def test_the_four_models_differ_in_two_settings_only() -> None:
    preset = PRESETS["faces32-inpainting"]
    for arm in ARMS:
        settings = preset.settings(arm, 0)
        assert (settings.stochastic, settings.robust) == arm
        assert settings == preset.settings(ARMS[0], 0).__class__(
            **{**vars(preset.training), "stochastic": arm.stochastic, "robust": arm.robust, "seed": 0}
        )


def test_the_models_are_in_the_order_of_table_1() -> None:
    assert [arm.name for arm in ARMS] == [
        "stochastic, erratic", "stochastic, robust", "deterministic, erratic", "deterministic, robust"
    ]  # fmt: skip


def test_the_page_tells_how_each_training_came_about() -> None:
    sessions = [
        {"first_step": 0, "step": 4000, "revision": "abc", "seconds": 2100.4},
        {"first_step": 4000, "step": 6000, "revision": "def", "seconds": 1.0},
    ]
    measured = {
        "revision": "123",
        "seconds_of_all_shards": 9.6,
        "command": "run me",
        "hardware": "a chip",
        "torch": "2",
    }
    row = {"training": sessions, "record": measured, "model": {"description": {"seed": 3}}}
    assert record({ARMS[0]: [row]}) == (
        "stochastic, erratic, seed 3: steps 0 to 4,000 at abc in 2,100 s; steps 4,000 to 6,000 at def in 1 s; "
        "measured at 123 in 10 s. `run me`, a chip, torch 2."
    )


def test_the_page_tells_what_is_not_as_published() -> None:
    assert "differ from the published ones, those in brackets: none" in scale("celeba-inpainting")
    assert "s 32 (24), f 32 (16)" in scale("imagenet64-sr4")
    assert "the paper: ImageNet 64 x 64" in scale("imagenet64-sr4")


class HalfGrey(torch.nn.Module):
    """Fills in with a grey that its seed shifts."""

    def sample_z(self, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(len(y), 1, 1, 1, generator=generator)

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        known = torch.arange(y.shape[-2])[:, None] >= y.shape[-2] * 3 // 4
        return torch.where(known, y, 0.5 + 0.1 * z)


def grey(y: Tensor) -> Tensor:
    return torch.where(torch.arange(y.shape[-2])[:, None] >= y.shape[-2] * 3 // 4, y, 0.5)


def deterministic() -> Any:
    return grey


FEW = ["--extractor", "pixels", "--n-real", "16", "--n-attacked", "4", "--n-splits", "2", "--n-seeds", "2"]


@pytest.mark.parametrize("name", ["HalfGrey", "deterministic"])
def test_any_model_is_evaluated_by_its_name(places: Places, tmp_path: Path, name: str) -> None:
    data = str(places.data / "digits32")
    main(["evaluate", f"{__name__}:{name}", "--data", data, "--out", str(tmp_path), "--task", "inpainting", *FEW])
    values = json.loads((tmp_path / "row.json").read_text())["values"]
    assert values["std_unobserved"]["estimate"] == pytest.approx(0.1 if name == "HalfGrey" else 0.0, rel=0.2)
    assert values["robustness_evaluation"]["estimate"] > 32  # only the observed pixels move


def test_a_trained_model_is_evaluated_by_its_folder(places: Places, tmp_path: Path) -> None:
    runs = places.runs / "evaluated"
    main(["train", "smoke-sr4", "--arms", "deterministic-erratic", "--data", str(places.data), "--runs", str(runs)])
    folder = str(runs / "smoke-sr4" / "deterministic-erratic-0")
    main(["evaluate", folder, "--data", str(places.data / "digits32"), "--out", str(tmp_path), *FEW])
    assert json.loads((tmp_path / "row.json").read_text())["model"]["description"]["task"] == "sr4"


def test_any_model_needs_to_be_told_its_task(places: Places, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--task must be given"):
        main(["evaluate", f"{__name__}:HalfGrey", "--data", str(places.data / "digits32"), "--out", str(tmp_path)])
