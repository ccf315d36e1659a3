"""The super-resolution study: what is kept, resumed, shared between processes, gathered, drawn and said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from reference_experiments import plots
from reference_experiments.__main__ import main
from reference_experiments.data.sr_benchmarks import Pair
from reference_experiments.images.numbers import Number
from reference_experiments.networks.flow_network import ExplodedInverse
from reference_experiments.runs import Record
from reference_experiments.srflow import flow_report
from reference_experiments.srflow.attack import Attack, measured
from reference_experiments.srflow.bicubic import as_input, enlarged
from reference_experiments.srflow.figures import figure7, sharpness_figure
from reference_experiments.srflow.findings import concerns, explosions, findings
from reference_experiments.srflow.items import PSNRS, Image, benchmark, planned, protocol, rows, work
from reference_experiments.srflow.models import Role, Subject, subjects
from reference_experiments.srflow.outputs import outputs_figure, pictures
from reference_experiments.srflow.presets import LEVELS, OFFICIAL, PRESETS, SETS, Run, drawn_images
from reference_experiments.srflow.run import images_of
from reference_experiments.srflow.summary import Summary, text
from reference_experiments.srflow.tables import tables
from tests.experiments import sr_models

ATTACK = Attack(steps=2, n_seeds=2)
HERE = "tests.experiments.sr_models"


def bicubic(identity: str = "weights", calls: list[Any] | None = None) -> Subject:
    def G(y: torch.Tensor) -> torch.Tensor:
        if calls is not None:
            calls.append(y.shape)
        return enlarged(y)

    return Subject(G, "bicubic", "linear", False, identity)


def kept(folder: Path) -> dict[str, Any]:
    """All files below the folder, without the times."""
    contents = {str(path.relative_to(folder)): json.loads(path.read_text()) for path in folder.rglob("*.json")}
    return {name: {k: v for k, v in content.items() if k != "seconds"} for name, content in contents.items()}


# -- measuring once ----------------------------------------------------------------------------------------------------


def test_a_study_that_was_broken_off_is_the_same_as_one_that_was_not(tmp_path: Path) -> None:
    images = drawn_images()
    calls: list[Any] = []
    whole = planned([bicubic()], images, [1, 8], ATTACK, tmp_path / "whole")
    assert work(whole)
    parts = planned([bicubic(calls=calls)], images, [1, 8], ATTACK, tmp_path / "parts")
    assert not work(parts, rank=1, world=2)
    half = len(calls)
    assert half > 0
    assert len(kept(tmp_path / "parts")) == 3
    assert work(parts)
    assert kept(tmp_path / "parts") == kept(tmp_path / "whole")
    done = len(calls)
    assert done == 2 * half
    assert work(parts)
    assert len(calls) == done
    without_times = [[{**row, "seconds": 0} for row in rows(items)] for items in (whole, parts)]
    assert without_times[0] == without_times[1]


def test_processes_share_the_work(tmp_path: Path) -> None:
    images = drawn_images()
    items = planned([bicubic()], images, [1, 8], ATTACK, tmp_path)
    complete = [work(items, rank=rank, world=3) for rank in (2, 0, 1)]
    assert complete == [False, False, True]
    for rank in (-1, 3):
        with pytest.raises(ValueError, match=f"rank must be at least 0 and below world=3, got {rank}"):
            work(items, rank=rank, world=3)


def test_other_settings_weights_or_images_are_measured_anew(tmp_path: Path) -> None:
    images = drawn_images(1)

    def places(attack: Attack = ATTACK, identity: str = "weights", image: Image = images[0], level: float = 1) -> Path:
        (item,) = planned([bicubic(identity)], [image], [level], attack, tmp_path)
        return item.path

    brighter = replace(images[0], pair=Pair(images[0].pair.x, images[0].pair.y + 0.001))
    another_source = replace(images[0], pair=Pair(images[0].pair.x + 0.001, images[0].pair.y))
    changes: list[dict[str, Any]] = [{"seed": 1}, {"steps": 3}, {"n_seeds": 3}, {"crop": 8}, {"tile": 8}]
    others = [replace(ATTACK, **change) for change in changes]
    found = [places(), *map(places, others), places(OFFICIAL), places(identity="others"), places(image=brighter)]
    found += [
        places(image=another_source),
        places(level=2),
        places(image=replace(images[0], number=1)),
        places(image=replace(images[0], set="other")),
    ]
    assert len(set(found)) == len(found)
    assert places() == found[0]


def test_images_have_seeds_of_their_own() -> None:
    pair = drawn_images(1)[0].pair
    assert len({Image(name, number, pair).key for name in "ab" for number in range(3)}) == 6


def test_an_item_is_measured_at_its_alpha_with_its_images_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def watched(*arguments: Any) -> Any:
        given.append(arguments)
        return measured(*arguments)

    monkeypatch.setattr("reference_experiments.srflow.items.measured", watched)
    images = drawn_images(2)[1:]
    items = planned([bicubic()], images, [8], ATTACK, tmp_path)
    work(items, max_batch=3)
    ((it, pair, alpha, attack, number, max_batch),) = given
    assert (it, alpha, attack, number, max_batch) == (items[0].subject, 8 / 255, ATTACK, images[0].key, 3)
    assert torch.equal(pair.x, images[0].pair.x)
    assert torch.equal(pair.y, images[0].pair.y)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    items = planned([bicubic()], drawn_images(1), [1], ATTACK, tmp_path)
    work(items)
    for damaged in ("{", "[]", '{"numbers": {"a": "?"}}'):
        items[0].path.write_text(damaged)
        with pytest.raises(ValueError, match=r"cannot read .*-1\.json: .*; delete it, and it is measured again"):
            rows(items)


def test_an_explosion_and_an_unchanged_output_are_counted_and_in_no_mean(tmp_path: Path) -> None:
    images = drawn_images(3)
    chosen = images[1].pair.y.shape[-1]

    def G(y: torch.Tensor) -> torch.Tensor:
        if y.shape[-1] == chosen:
            raise ExplodedInverse("in layers.3")
        return enlarged(y if y.shape[-1] > chosen else torch.zeros_like(y))

    items = planned([Subject(G, "it", "flow", False, "")], images, [8], ATTACK, tmp_path)
    work(items)
    (row,) = rows(items)
    assert row["exploded"] == [{"image": 1, "message": "in layers.3"}]
    values = row["values"]["rgb:output"]
    assert values[:2] == ["inf", None]
    summary = Summary(json.loads(json.dumps(rows(items))))
    number = summary.number("it", "drawn", 8, "output")
    assert number is not None
    assert (number.estimate, number.n_infinite, number.low) == (values[2], 1, None)
    assert explosions(summary) == ["it exploded under 1 of 3 attacks, which are failures and in no mean: in layers.3."]
    assert len(concerns(summary)) == 1
    assert "it, 1 times, such as: G's output is exactly the same at y and at y + delta" in concerns(summary)[0]


# -- benchmarks --------------------------------------------------------------------------------------------------------


def save_benchmark(folder: Path, name: str = "Set14") -> None:
    """A colour image of odd sides in y and a grey one, as the benchmarks are stored."""
    image = pytest.importorskip("PIL.Image")
    for i, (height, width) in enumerate(((5, 7), (6, 6))):
        x = enlarged(torch.rand(3, height, width, generator=torch.Generator().manual_seed(i))).clamp(0, 1)
        for kind, of_kind in (("HR", x), ("LRx4", as_input(x))):
            path = folder / "sr_benchmarks" / name / kind / f"img_{i:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            stored = image.fromarray((255 * of_kind).round().byte().permute(1, 2, 0).numpy())
            (stored if i == 0 else stored.convert("L")).save(path)


def test_the_images_of_a_benchmark(tmp_path: Path) -> None:
    save_benchmark(tmp_path)
    images = benchmark(tmp_path, ["Set14"])
    assert [(image.set, image.number, tuple(image.pair.y.shape)) for image in images] == [
        ("Set14", 0, (3, 5, 7)), ("Set14", 1, (3, 6, 6)),
    ]  # fmt: skip
    assert torch.equal(images[1].pair.y[0], images[1].pair.y[2])
    assert len(benchmark(tmp_path, ["Set14"], 1)) == 1
    assert len(images_of(Run((), ("drawn",), at_most=2), None)) == 2
    assert len(images_of(Run((), ("drawn", "Set14")), tmp_path)) == 5
    with pytest.raises(ValueError, match="data must be the folder that sr_benchmarks/Set14 is in, got none"):
        images_of(Run((), ("Set14",)), None)


def test_the_drawn_images_are_odd_and_one_is_grey() -> None:
    images = drawn_images()
    assert all(image.pair.y.shape[1] % 2 for image in images)
    assert torch.equal(images[-1].pair.x[0], images[-1].pair.x[1])
    assert not torch.equal(images[0].pair.x[0], images[0].pair.x[1])
    assert torch.equal(drawn_images()[1].pair.x, images[1].pair.x)


# -- presets and the command -------------------------------------------------------------------------------------------


def test_the_published_preset_is_the_papers() -> None:
    run = PRESETS["published"]
    assert (run.sets, run.levels, run.at_most) == (SETS, LEVELS, None) == (SETS, (1, 2, 4, 8, 16, 32), None)
    assert run.attack == Attack(steps=50, n_seeds=10, start="uniform", reference="clean", crop=0, tile=0)
    assert PRESETS["published-code"].attack == replace(run.attack, start="zero", reference="truth")
    assert PRESETS["full"].attack == run.attack


def test_the_smoke_preset_runs_by_its_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["srflow", "--preset", "smoke", "--out", str(tmp_path / "out"), "--runs", str(tmp_path / "runs")])
    folder = tmp_path / "out"
    assert {path.name for path in folder.iterdir()} == {
        "results.json", "table.md", "figure7.png", "figure7.pdf", "sharpness.png", "sharpness.pdf", "outputs.png",
        "outputs.pdf",
    }  # fmt: skip
    assert (folder / "table.md").read_text() in capsys.readouterr().out
    content = json.loads((folder / "results.json").read_text())
    assert len(content["rows"]) == 3
    assert content["protocol"]["attack"]["method"].startswith("PGD(steps=3")


def test_anybodys_model_by_one_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_benchmark(tmp_path, "Set5")
    out = tmp_path / "out"
    arguments = [
        "srflow", "--models", "bicubic", f"{HERE}:Grainy", f"{HERE}:hidden_noise", "--sets", "Set5", "--levels", "1",
        "8", "--crop", "5", "--steps", "2", "--n-seeds", "3", "--data", str(tmp_path), "--out", str(out),
        "--runs", str(tmp_path / "runs"), "--convention", "y", "--max-batch", "2",
    ]  # fmt: skip
    sr_models.ROWS.clear()
    with monkeypatch.context() as process:
        process.setenv("RANK", "1")
        process.setenv("WORLD_SIZE", "2")
        main(arguments)
    assert max(sr_models.ROWS) == 2
    assert not capsys.readouterr().out
    assert not list(out.iterdir())
    main(arguments)
    content = json.loads((out / "results.json").read_text())
    found = [(row["model"], row["levels"], row["stochastic"]) for row in content["rows"]]
    assert found == [
        (name, level, name != "bicubic")
        for name in ("bicubic", f"{HERE}:Grainy", f"{HERE}:hidden_noise")
        for level in (1, 8)
    ]
    attack = content["protocol"]["attack"]
    assert (attack["crop"], attack["steps"], attack["n_seeds"]) == (5, 2, 3)
    assert "PSNR: y, 4 pixels shaved, rounding: round" in (out / "table.md").read_text()


def test_a_wrong_command_ends_with_its_reason(tmp_path: Path) -> None:
    where = ["--out", str(tmp_path / "out")]
    with pytest.raises(ValueError, match="model must be one of bicubic"):
        main(["srflow", "--models", "nonsense", *where])
    with pytest.raises(FileNotFoundError, match=r"holds no checkpoint"):
        main(["srflow", "--models", "flow", "--flow", str(tmp_path), *where])
    with pytest.raises(SystemExit, match='srflow: start must be "uniform" for the reference "clean"'):
        main(["srflow", "--start", "zero"])
    with pytest.raises(SystemExit, match=r"train-flow smoke: .*set.json does not exist"):
        main(["train-flow", "smoke", "--data", str(tmp_path), "--out", str(tmp_path / "flow")])


def test_the_flow_is_trained_and_attacked_by_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attacked: list[Any] = []

    def watched(*given: Any, **more: Any) -> list[Subject]:
        attacked[:] = subjects(*given, **more)
        return attacked

    monkeypatch.setattr("reference_experiments.srflow.run.subjects", watched)
    main(["prepare", "digits32", "--out", str(tmp_path)])
    flow = tmp_path / "flow"
    main(["train-flow", "smoke", "--steps", "1", "--heat", "0.5", "--data", str(tmp_path), "--out", str(flow)])
    assert json.loads((flow / "settings.json").read_text())["heat"] == 0.5
    assert {"training.json", "table.md", "training.png"} <= {path.name for path in flow.iterdir()}
    arguments = ["--sets", "drawn", "--at-most", "1", "--levels", "8", "--steps", "1", "--n-seeds", "2", "--seed", "3"]
    where = ["--out", str(tmp_path / "out"), "--runs", str(tmp_path / "runs"), "--checkpointing"]
    main(["srflow", "--models", "flow", "--flow", str(flow), *arguments, *where])
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [row["role"] for row in content["rows"]] == ["flow"]
    flow.rename(flow.with_name("flow-noisy"))
    main(["srflow", "--models", "flow_noisy", "--flow", str(flow), *arguments, *where])
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [row["model"] for row in content["rows"]] == ["flow trained on noisy inputs"]
    assert content["protocol"]["attack"]["seed"] == 3
    assert attacked[0].G.RRDB.checkpointing


# -- summaries, findings, figures --------------------------------------------------------------------------------------


def made_up(outputs: dict[tuple[str, Role], list[Any]], sharpness: dict[str, list[float]] | None = None) -> Summary:
    """Rows of one set, at two alphas that do the same."""
    found = []
    for (model, role), values in outputs.items():
        for levels in (1.0, 8.0):
            sharp = (sharpness or {}).get(model, [0.5] * len(values))
            numbers = {f"rgb:{name}": values for name in PSNRS}
            found.append(
                {"model": model, "role": role, "set": "S", "levels": levels, "images": list(range(len(values))),
                 "exploded": [{"image": i, "message": "bang"} for i, value in enumerate(values) if value is None],
                 "concerns": [], "seconds": 1.0,
                 "values": {**numbers, "sharpness_clean": sharp, "sharpness_attacked": sharp}}
            )  # fmt: skip
    return Summary(found)


PAPERS: dict[tuple[str, Role], list[Any]] = {
    ("SRFlow", "flow"): [30.0, 31.0, 32.0], ("EDSR", "distortion"): [31.0, 32.0, 33.2],
    ("ESRGAN", "GAN"): [20.0, 21.0, 22.5],
}  # fmt: skip


def said(summary: Summary) -> dict[str, str]:
    return {finding.claim: finding.verdict for finding in findings({"rows": summary.rows})}


def test_the_papers_ordering_is_recognised() -> None:
    summary = made_up(PAPERS, {"SRFlow": [0.9, 1.0, 1.1], "EDSR": [0.5, 0.6, 0.7], "ESRGAN": [1.0, 1.0, 1.0]})
    assert said(summary) == {
        "SRFlow is as robust as EDSR, to 3 dB of output PSNR": "in direction",  # one training of the flow
        "SRFlow is more robust than ESRGAN, by at least 3 dB of output PSNR": "in direction",
        "EDSR is more robust than ESRGAN, by at least 3 dB of output PSNR": "exact: holds",
        "SRFlow is sharper than EDSR": "in direction",
    }
    first = findings({"rows": summary.rows})[0]
    assert first.effect == pytest.approx(1.933, abs=1e-3)
    assert "S: -1.1 [-1.4, -0.8] at 1/255, -1.1 [-1.4, -0.8] at 8/255" in first.here


def test_another_ordering_is_against_its_direction() -> None:
    other = {**PAPERS, ("SRFlow", "flow"): [20.0, 22.0, 23.5]}
    assert list(said(made_up(other)).values()) == [
        "against direction", "against direction", "exact: holds", "against direction",
    ]  # fmt: skip
    worse = {**PAPERS, ("ESRGAN", "GAN"): [33.0, 33.0, 34.0]}
    assert list(said(made_up(worse)).values())[1:3] == ["against direction", "exact: fails"]


def test_of_published_weights_the_margin_and_the_interval_decide() -> None:
    wide = {**PAPERS, ("ESRGAN", "GAN"): [20.0, 21.0, 33.0]}  # 7.4 dB below EDSR, by an interval down to -10
    assert list(said(made_up(wide)).values())[2] == "exact: fails"
    near = {**PAPERS, ("ESRGAN", "GAN"): [28.5, 29.5, 30.7]}  # 2.5 dB below, for certain
    assert list(said(made_up(near)).values())[2] == "exact: fails"


def test_a_flow_that_explodes_decides_nothing() -> None:
    blown = {**PAPERS, ("SRFlow", "flow"): [30.0, None, 32.0]}
    assert said(made_up(blown))["SRFlow is as robust as EDSR, to 3 dB of output PSNR"] == (
        "cannot tell: SRFlow exploded under 2 of 6 attacks"
    )


def test_doubts_that_differ_in_numbers_are_one() -> None:
    summary = made_up({("a", "flow"): [30.0]})
    for row, number in zip(summary.rows, ("0.1", "2.5e-05"), strict=True):
        row["concerns"] += [f"the attack found {number}"] * 2
    assert concerns(summary) == ["a, 4 times, such as: the attack found 0.1"]


def test_an_ordering_needs_its_models_and_images() -> None:
    assert not said(made_up({("a", "flow"): [30.0, 31.0]}))
    assert not said(made_up({("a", "other"): [30.0], ("b", "linear"): [30.0]}))
    none = made_up({("a", "flow"): [None, 31.0], ("b", "distortion"): [30.0, "inf"]})
    assert said(none)["a is as robust as b, to 3 dB of output PSNR"].startswith("cannot tell: no image at which both")


def test_differences_are_of_the_same_images() -> None:
    summary = made_up({("a", "flow"): [30.0, None, 32.0], ("b", "distortion"): [29.0, 10.0, 30.0]})
    difference = summary.difference("a", "b", "S", 1.0, "output")
    assert difference is not None
    assert difference.estimate == 1.5
    unchanged = made_up({("a", "flow"): [30.0, "inf", 32.0], ("b", "distortion"): [29.0, 10.0, 30.0]})
    for pair, expected in ((("a", "b"), 1.5), (("b", "a"), -1.5)):
        difference = unchanged.difference(*pair, "S", 1.0, "output")
        assert difference is not None
        assert (difference.estimate, difference.n_infinite) == (expected, 0)


def test_numbers_as_text() -> None:
    summary = made_up({("a", "flow"): [30.0, 32.0, 31.0, 33.0], ("b", "other"): ["inf", None, "inf", "inf"]})
    assert text(summary.number("a", "S", 1.0, "output"), 2) == "31.50 [29.45, 33.55]"
    assert text(Number(12345.0, -9e20, 9999.9), 1) == "1e+04 [-9e+20, 9999.9]"
    assert text(summary.number("b", "S", 1.0, "output"), 2) == "unchanged"
    assert text(None, 2) == "-"
    assert text(made_up({("a", "flow"): [30.0]}).number("a", "S", 1.0, "output"), 1) == "30.0"


def page(summary: Summary, attack: Attack) -> str:
    record = {**Record("python -m it").finished("cpu"), "seconds_of_all_images": 8.0}
    results = {"rows": summary.rows, "protocol": protocol(attack), "record": record}
    return tables(results | {"findings": [finding.as_json() for finding in findings(results)]})


def test_the_page_says_what_was_done() -> None:
    summary = made_up({**PAPERS, ("blown", "other"): [None, None, None]})
    written = page(summary, Attack(crop=24, tile=12, start="zero", reference="truth", steps=7, n_seeds=3))
    for part in (
        "**S**, 3 images", "| SRFlow | 1/255 | 31.0 [28.5, 33.5] |", "| blown | 8/255 | - |", "| 3 |",
        "the square of 24 pixels in the middle of each input, in tiles of at most 12 pixels",
        "7 steps from a start at zero", "climbs the mean squared norm of the",
        "away from the source", "with 3 seeds", "PSNR: rgb, 0 pixels shaved, rounding: none", "`python -m it`",
        "SRFlow is as robust as EDSR", "blown exploded under 6 of 6 attacks",
    ):  # fmt: skip
        assert part in written
    exploded = {line.split(" | ")[0]: line for line in written.splitlines() if " | 8/255 | " in line}
    assert exploded["| SRFlow"].endswith("| 0 |")
    assert exploded["| blown"].endswith("| 3 |")
    assert "on whole images: 50 steps from a uniform random start, away from the model's own clean output" in page(
        summary, Attack()
    )


def lines_of(figure_call: Any, monkeypatch: pytest.MonkeyPatch, summary: Summary, path: Path) -> list[Any]:
    """The panels of the figure that the call saves."""
    drawn: list[Any] = []

    save = plots.save

    def kept_too(figure: Any, to: Path, **how: Any) -> None:
        drawn.append(figure)
        save(figure, to, **how)

    monkeypatch.setattr(plots, "save", kept_too)
    figure_call(path, summary)
    assert path.with_suffix(".png").stat().st_size > 1000
    assert path.with_suffix(".pdf").stat().st_size > 1000
    axes: list[Any] = drawn[0].axes
    return axes


def test_figure_7_has_two_panels_a_set_with_all_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = made_up({**PAPERS, ("blown", "other"): [None, 1.0, "inf"]})
    panels = lines_of(figure7, monkeypatch, summary, tmp_path / "figure")
    assert len(panels) == 2
    for axes, label in zip(panels, ("Input PSNR (dB)", "Output PSNR (dB)"), strict=True):
        assert axes.get_ylabel() == label
        curves = {line.get_label(): line for line in axes.get_legend_handles_labels()[0]}
        assert len(curves) == 4
        points = [tuple(container[0].get_xydata().flatten()) for container in axes.containers]
        assert points[0] == (1.0, 31.0, 8.0, 31.0)
        assert points[3] == (1.0, 1.0, 8.0, 1.0)
        crosses = [tuple(line.get_xdata()) for line in axes.lines if line.get_marker() == "x" and len(line.get_xdata())]
        assert crosses == ([(1.0, 8.0)] if label == "Output PSNR (dB)" else [])
        (ends,) = axes.containers[0][2]
        assert [segment[:, 1].tolist() for segment in ends.get_segments()] == [
            pytest.approx([28.516, 33.484], abs=1e-3)
        ] * 2


def test_outputs_further_away_than_any_image_are_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for draw in (figure7, sharpness_figure):
        for value, cut in ((29.0, False), (-300.0, True)):
            summary = made_up({("a", "other"): [30.0, value]}, {"a": [0.5, 0.6]})
            axes = lines_of(draw, monkeypatch, summary, tmp_path / "figure")[-1]
            assert (axes.get_ylim() == (-10, 60)) is cut, value


def test_the_second_figure_sets_output_psnr_against_sharpness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = made_up({**PAPERS, ("same", "other"): ["inf", "inf", "inf"]}, {"SRFlow": [0.9, 1.0, 1.1]})
    (axes,) = lines_of(sharpness_figure, monkeypatch, summary, tmp_path / "figure")
    points = [tuple(container[0].get_xydata().flatten()) for container in axes.containers]
    assert points[:3] == [(1.0, 31.0), (1.0, 31.0), (0.5, pytest.approx(32.0667, abs=1e-3))]
    assert list(axes.lines[0].get_xdata()) == [1, 1]  # the source's own sharpness
    assert len(points) == 6  # what did not change has no point
    assert [label.get_text() for label in axes.texts] == ["1", "8"] * 3


class Jumping:
    """Outputs that belong to the seed; the second seed of an image explodes."""

    def __init__(self) -> None:
        self.calls = 0

    def sample_z(self, y: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        return torch.rand(y.shape[0], 1, 1, 1, generator=generator)

    def __call__(self, y: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls == 2:
            raise ExplodedInverse("gone")
        return enlarged(y) * 0 + z


def test_the_pictures_are_the_middles_of_inputs_outputs_and_source() -> None:
    image = drawn_images(1, side=30)[0]
    subjects = [bicubic(), Subject(Jumping(), "jumping", "flow", True, "w")]
    shown = pictures(subjects, image)
    assert list(shown) == ["input", "bicubic", "jumping, seed 0", "jumping, seed 1", "source"]
    torch.testing.assert_close(shown["input"], image.pair.y[:, 3:27, 3:27])
    torch.testing.assert_close(shown["source"], image.pair.x[:, 12:108, 12:108])
    torch.testing.assert_close(shown["bicubic"], enlarged(shown["input"][None])[0])
    assert shown["jumping, seed 0"].unique().numel() == 1
    assert shown["jumping, seed 1"].isnan().all()
    drawn = [pictures([Subject(Jumping(), "j", "flow", True, "w")], image, seed=s)["j, seed 0"] for s in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_the_pictures_have_a_row_for_the_first_image_of_each_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [Image(of_set, i, image.pair) for of_set in ("A", "B") for i, image in enumerate(drawn_images(2))]
    kept: list[Any] = []
    monkeypatch.setattr(plots, "save", lambda figure, path, **how: kept.append(figure))
    outputs_figure(tmp_path / "outputs", [bicubic()], images)
    panels = kept[0].axes
    assert [axes.get_ylabel() for axes in panels] == ["A", "", "", "B", "", ""]
    assert [axes.get_title() for axes in panels] == ["input", "bicubic", "source", "", "", ""]
    first = images[0].pair.y.permute(1, 2, 0).numpy()
    assert (panels[0].images[0].get_array() == first).all()
    assert (panels[3].images[0].get_array() == first).all()


def test_the_stored_training_says_what_became_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [
        {"step": step, "validation_bits_per_pixel": bits, "exploded": 1.0, "lr_psnr": 40.0 + step, "diversity": 0.02,
         "sharpness": 0.7, "sharpness_bicubic": 0.1, "psnr": 22.5}
        for step, bits in ((2, -9.0), (4, -12.0))
    ]  # fmt: skip
    losses = [{"step": step, "bits_per_pixel": -float(step)} for step in (1, 2, 3, 4)]
    session = {"command": "python -m it", "revision": "abc", "hardware": "a machine", "torch": "2", "first_step": 0,
               "step": 4, "seconds": 1234.5}  # fmt: skip
    content = {"steps": 4, "settings": {"batch": 2, "crop": 16}, "parameters": 1234, "sessions": [session] * 2,
               "looks": looks}  # fmt: skip
    text = flow_report.page(content)
    assert "| -12.00 (4.00 bits per channel of 8 bits) | 44.0 | 0.020 | 0.70 | 0.10 | 22.50 | 1 of 8 |" in text
    looks.append({"step": 5, "validation_bits_per_pixel": -3.0, "exploded": 8.0})
    assert "(7.00 bits per channel of 8 bits) | - | - | - | - | - | 8 of 8 |" in flow_report.page(content)
    assert text.count("`python -m it`, at abc, a machine, torch 2, steps 0 to 4; 1,234 s") == 2
    kept: list[Any] = []
    monkeypatch.setattr(plots, "save", lambda figure, path, **how: kept.append(figure))
    flow_report.curves(tmp_path / "training", [*losses, *looks[:2]])
    lines = [[tuple(map(tuple, line.get_xydata())) for line in axes.lines] for axes in kept[0].axes]
    assert lines[0] == [((1, -1), (2, -2), (3, -3), (4, -4)), ((2, -9), (4, -12))]
    assert lines[1] == [((2, 42), (4, 44))]
    assert len(lines[3]) == 2
