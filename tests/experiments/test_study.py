"""The one shape of a study: its parts, its command line, its JSON, its tables."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from reference_experiments import command_line, markdown, runs
from reference_experiments.__main__ import main, studies
from reference_experiments.findings import Finding
from reference_experiments.settings import changed
from reference_experiments.spread import Spread, summarize
from reference_experiments.study import Place, Study, read_results


@dataclass(frozen=True)
class Inner:
    steps: int = 3
    kind: Literal["a", "b"] = "a"
    seed: int = 0


@dataclass(frozen=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    steps: int = 5
    names: tuple[str, ...] = ("x",)
    limit: float | None = None
    quick: bool = False
    other: object = None


def study(seen: list[Any], *, done: bool = True) -> Study:
    def run(preset: Outer, place: Place) -> tuple[dict[str, Any], str] | None:
        seen.append((preset, place))
        return ({"value": math.inf, "record": {"extra": 1}}, "models") if done else None

    def figures(results: dict[str, Any], drawn: str, out: Path) -> None:
        (out / "figure.png").write_text(f"{drawn} {results['record']['extra']}")

    def tables(results: dict[str, Any]) -> str:
        return f"value {results['value']}, {len(results['findings'])} finding\n\n"

    found = [Finding("c", "p", "h", 0, 1.0)]
    return Study("it", "about", {"quick": Outer(), "long": Outer(steps=9)}, run, tables, lambda results: found, figures)


def test_a_study_leaves_results_table_and_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Any] = []
    where = ["--out", str(tmp_path / "out"), "--runs", str(tmp_path / "runs"), "--seed", "4", "--device", "cpu"]
    command_line.run(["it", "--steps", "7", "--kind", "b", *where], lambda: [study(seen)])
    ((preset, place),) = seen
    assert preset == Outer(Inner(kind="b"), steps=7)
    assert place == Place(tmp_path / "out", tmp_path / "runs", seed=4)
    results = read_results(place.out)
    assert results["value"] == math.inf
    assert results["record"] | {"seed": 4, "extra": 1} == results["record"]
    assert json.loads((place.out / "results.json").read_text())["findings"][0]["word"] == "exact"
    assert (place.out / "table.md").read_text() == "value inf, 1 finding\n"
    assert (place.out / "figure.png").read_text() == "models 1"
    assert "value inf, 1 finding" in capsys.readouterr().out


def test_a_process_that_only_helps_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command_line.run(["it", "--out", str(tmp_path)], lambda: [study([], done=False)])
    assert not list(tmp_path.iterdir())
    assert not capsys.readouterr().out


def test_a_preset_and_wrong_settings_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Any] = []
    command_line.run(
        ["it", "--preset", "long", "--out", str(tmp_path), "--quick", "--limit", "2"], lambda: [study(seen)]
    )
    assert seen[0][0] == Outer(steps=9, quick=True, limit=2.0)
    assert seen[0][1].runs == Path("runs/it-long")
    with pytest.raises(SystemExit):
        command_line.run(["it", "--preset", "short"], lambda: [study(seen)])
    assert "invalid choice: 'short'" in capsys.readouterr().err
    with pytest.raises(SystemExit, match=r"toy: arms must be among .*, got \['NoGAN'\]"):
        main(["toy", "--arms", "NoGAN"])


def test_results_of_an_earlier_version_are_read_and_restated(tmp_path: Path) -> None:
    runs.write_json(tmp_path / "rows.json", {"value": -math.inf})
    assert read_results(tmp_path) == {"value": -math.inf}
    study([]).restate(tmp_path)
    assert (tmp_path / "table.md").read_text() == "value -inf, 1 finding\n"
    with pytest.raises(FileNotFoundError, match=r"holds no results\.json"):
        read_results(tmp_path / "none")


def test_fields_are_changed_where_they_are() -> None:
    assert changed(Outer(), {"kind": "b", "names": ["y", "z"], "limit": None, "nothing": 1}) == Outer(
        Inner(kind="b"), names=("y", "z")
    )
    assert changed(Outer(), {"steps": 1, "seed": 3}) == Outer(steps=1)  # the outer one; the command sets seeds


def test_every_study_has_a_name_presets_and_words_for_itself() -> None:
    named = [one.name for one in studies()]
    assert len(set(named)) == len(named) == 10
    for one in studies():
        assert one.about
        assert one.presets


def test_json_has_infinities_as_words(tmp_path: Path) -> None:
    content = {"a": [math.inf, -math.inf, 1.5], "b": {"c": (1, "inf")}}
    runs.write_json(tmp_path / "it.json", content)
    assert json.loads((tmp_path / "it.json").read_text()) == {"a": ["inf", "-inf", 1.5], "b": {"c": [1, "inf"]}}
    assert runs.read_json(tmp_path / "it.json") == {"a": [math.inf, -math.inf, 1.5], "b": {"c": [1, math.inf]}}


def test_a_spread_is_of_several_finite_values() -> None:
    assert Spread.of([1.0, 3.0]) == Spread(2.0, math.sqrt(2))
    assert Spread.of([1.0, 3.0]).text(1) == "2.0 ± 1.4"
    assert Spread.of([1.0]).text(1) == "1.0"
    assert Spread.of([1.0], alone=0.25).text(2) == "1.00 ± 0.25"
    assert Spread.of([math.inf, 1.0]).text(1) == "exact"
    assert summarize([{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 2.0}])["b"] == Spread(2.0, 0.0)


def test_tables_are_markdown() -> None:
    assert markdown.table(("", "b"), [("x", 1)]) == "|  | b |\n| --- |---:|\n| x | 1 |"
    assert markdown.table(("a", "b"), [], align="rl").splitlines()[1] == "|---:| --- |"
