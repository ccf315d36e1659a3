"""Several runs of the toy study, each of some arms at one training seed, as the results of one."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reference_experiments.runs import load_checkpoint, write_json
from reference_experiments.study import RESULTS, Results, Study, read_results
from reference_experiments.toy.presets import ARMS
from reference_experiments.toy.run import drawing
from reference_experiments.toy.training import ToyEstimator, ToyTraining

PLACES = ("--runs", "--out", "--workers", "--device")
"""Flags that say where a run was made; no number depends on them."""


def merged(runs: Sequence[Results]) -> Results:
    """One set of results: every arm with all of its trainings, by training seed; what needs no training from one run.

    Args:
        runs: of one preset with one model each, in any order; arms may be missing at some seeds.

    Raises:
        ValueError: if settings differ in more than arms and seed, an arm was trained twice at one seed, or a run
            trained several models side by side.
    """
    runs = sorted(runs, key=lambda run: int(run["record"]["seed"]))
    models: dict[str, dict[int, Any]] = {name: {} for name in ARMS}
    for run in runs:
        if different := _different(runs[0]["settings"], run["settings"]):
            raise ValueError(f"runs of other settings do not merge: {different} differ")
        for name, found in run["gans"].items():
            seed = run["record"]["seed"]
            if len(found["models"]) != 1:
                raise ValueError(f"a run must have one model of each arm, got {len(found['models'])} of {name}")
            if seed in models[name]:
                raise ValueError(f"{name} was trained twice with seed {seed}")
            models[name][seed] = found
    whole = next((run for run in runs if "exact" in run), runs[0])
    return {
        **{name: value for name, value in whole.items() if name != "findings"},
        "gans": {
            name: {
                "steps": max(found["steps"] for found in of_arm.values()),
                "seconds": sum(found["seconds"] for found in of_arm.values()),
                "models": [{"seed": seed, **found["models"][0]} for seed, found in sorted(of_arm.items())],
            }
            for name, of_arm in models.items() if of_arm
        },
        "record": _record(runs),
    }  # fmt: skip


def _different(first: dict[str, Any], other: dict[str, Any], free: tuple[str, ...] = ("arms", "seed")) -> list[str]:
    """Names of the settings that both have and that differ."""
    found = []
    for name in sorted((first.keys() & other.keys()) - set(free)):
        a, b = first[name], other[name]
        if isinstance(a, dict):
            found += _different(a, b, free)
        elif a != b:
            found.append(name)
    return found


def _record(runs: Sequence[Results]) -> dict[str, Any]:
    """Of all runs: the first one's, with all commands, revisions and seeds, and the sum of the seconds."""
    records = [run["record"] for run in runs]
    several = {name: list(dict.fromkeys(str(record[name]) for record in records)) for name in ("revision", "hardware")}
    return {
        **records[0],
        **{name: ", ".join(values) for name, values in several.items()},
        "command": "; ".join(dict.fromkeys(placeless(record["command"]) for record in records)),
        "seconds": round(sum(record["seconds"] for record in records), 1),
        "seed": ", ".join(dict.fromkeys(str(record["seed"]) for record in records)),
    }


def placeless(command: str) -> str:
    """The command without the flags that say where it was run."""
    words = shlex.split(command)
    kept = [w for i, w in enumerate(words) if w not in PLACES and (i == 0 or words[i - 1] not in PLACES)]
    return shlex.join(kept)


def drawings(checkpoints: Path) -> dict[str, dict[str, Tensor]]:
    """What Figure 2 shows of the arms whose checkpoints are in a folder."""
    found = {}
    for name in ARMS:
        if (state := load_checkpoint(checkpoints / f"{name}.pt", "cpu")) is not None:
            known = {field.name for field in fields(ToyTraining)}
            config = ToyTraining(**{key: value for key, value in state["config"].items() if key in known})
            estimator = ToyEstimator(replace(config, products="float32"))
            estimator.load_state_dict(state["estimator"])
            with torch.no_grad():
                found[name] = drawing(estimator.eval())
    return found


def add_merge(parser: argparse.ArgumentParser, study: Study) -> None:
    """The command ``merge-toy``."""
    parser.add_argument("folders", nargs="+", type=Path, help="results of the runs, one folder each")
    parser.add_argument("--out", type=Path, required=True, help="folder of the merged results")
    parser.add_argument("--drawn", type=Path, help="folder of the checkpoints that Figure 2 draws")

    def run(options: argparse.Namespace) -> None:
        results = merged([read_results(folder) for folder in options.folders])
        write_json(options.out / RESULTS, results)
        study.restate(options.out)
        study.figures(results, drawings(options.drawn) if options.drawn else {}, options.out)
        print(f"Results: {options.out}")

    parser.set_defaults(run=run)
