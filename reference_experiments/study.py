"""The one shape of a study: presets, a run, tables, findings and figures; and how its parts come together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from reference_experiments.findings import Finding
from reference_experiments.runs import Record, read_json, shell_command, write_atomically, write_json

RESULTS, TABLE = "results.json", "table.md"
EARLIER = ("rows.json", "readings.json", "quality.json", "training.json")
"""Names that version 0.1.0 gave some results."""
PARTS = ("run", "tables", "findings", "figures")
"""Files of a study's folder, beside ``presets``."""
Results = dict[str, Any]
"""What was measured, as JSON: tables and findings are functions of it."""


@dataclass(frozen=True)
class Place:
    """Where and how a study runs.

    Attributes:
        out: folder of the results.
        runs: folder of trainings and measurements, which an interrupted command goes on with.
        data: folder of the prepared sets of images.
        device: that does the work.
        workers: processes side by side, where a study has any.
        seed: of the first training.
    """

    out: Path
    runs: Path
    data: Path | None = None
    device: str = "cpu"
    workers: int = 2
    seed: int = 0


@dataclass(frozen=True)
class Study:
    """A study, from settings to a page.

    Attributes:
        name: on the command line.
        about: which parts of the paper it retraces, in a line.
        presets: settings by name, the default first.
        run: trains and measures; the results, and whatever else the figures are drawn from. None in a process that
            only helps another one.
        tables: Markdown of the results.
        findings: what they say.
        figures: draws into a folder.
        trainings: name of the folder of trainings that all presets share; empty where each has its own.
    """

    name: str
    about: str
    presets: Mapping[str, Any]
    run: Callable[[Any, Place], tuple[Results, Any] | None]
    tables: Callable[[Results], str]
    findings: Callable[[Results], list[Finding]]
    figures: Callable[[Results, Any, Path], None] = lambda results, drawn, out: None
    trainings: str = ""

    @classmethod
    def of_folder(cls, name: str, about: str, folder: str = "", presets: str = "PRESETS") -> Study:
        """The study whose parts are the files of a folder of this package, each with what bears the file's name.

        A study without figures has no such file.

        Args:
            name, about: of the study.
            folder: by default of the study's name.
            presets: of the file ``presets``, what holds them.
        """
        package = f"{__package__}.{folder or name}"
        parts = [getattr(import_module(f"{package}.{part}"), part) for part in PARTS if find_spec(f"{package}.{part}")]
        return cls(name, about, getattr(import_module(f"{package}.presets"), presets), *parts)

    def conduct(self, preset: Any, place: Place) -> bool:
        """Run with a preset, and leave ``results.json``, ``table.md`` and the figures in ``place.out``.

        Returns:
            Whether this process has left them.
        """
        place.out.mkdir(parents=True, exist_ok=True)  # a folder that cannot be made is better known now than in hours
        record = Record(shell_command())
        done = self.run(preset, place)
        if done is None:
            return False
        results, drawn = done
        results["record"] = record.finished(place.device, seed=place.seed, **results.pop("record", {}))
        write_json(place.out / RESULTS, results)
        self.restate(place.out)
        self.figures(results, drawn, place.out)
        return True

    def restate(self, folder: Path) -> None:
        """Findings and tables of stored results anew: nothing is trained or measured."""
        results = read_results(folder)
        results["findings"] = [finding.as_json() for finding in self.findings(results)]
        write_json(folder / RESULTS, results)
        write_atomically(folder / TABLE, self.tables(results).strip() + "\n")


def read_results(folder: Path) -> Results:
    """The stored results of a folder, those of version 0.1.0 too.

    Raises:
        FileNotFoundError: if there are none.
    """
    for name in (RESULTS, *EARLIER):
        if (folder / name).exists():
            results: Results = read_json(folder / name)
            return results
    raise FileNotFoundError(f"{folder} holds no {RESULTS}")


def stored_findings(results: Results) -> list[Finding]:
    """Those of the results."""
    return [Finding.from_json(content) for content in results["findings"]]
