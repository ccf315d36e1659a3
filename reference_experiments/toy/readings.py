"""What the paper leaves open in the toy study, tried: ``python -m reference_experiments toy --readings``.

Each reading changes one thing in the deterministic robust GAN, whose printed numbers (root of the sensitivity 0.77e-3,
recall 0.017) tell the readings apart; the stochastic one follows with the reading that reproduces them.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from reference_experiments.presets import ToyPreset
from reference_experiments.runs import Record, write_atomically, write_json
from reference_experiments.toy.report import header, row, spread
from reference_experiments.toy.study import train_and_evaluate
from reference_experiments.toy.training import ToyTraining

READINGS: dict[str, dict[str, Any]] = {
    "lambda = 0 (the erratic GAN; the paper: 3.62, 0.224)": {},
    "lambda = 0.1 on change^2, as printed": {"weight": 0.1, "reduction": "sum"},
    "lambda = 0.1 on change^2 / eps^2": {"weight": 0.1},
    "lambda = 0.1 on change^2 / eps, that is 1e-4 on change^2 / eps^2": {"weight": 1e-4},
    "lambda = 1e-3 on change^2 / eps^2": {"weight": 1e-3},
    "the same at every step": {"weight": 1e-3, "every": 1},
    "the same with batches of 256": {"weight": 1e-3, "batch": 256},
    "the same with half the gradient penalty": {"weight": 1e-3, "r1": 5.0},
}
"""Label -> what it changes; the paper prints 0.77e-3 and a recall of 0.017."""


def run(preset: ToyPreset, out: Path, record: Record, *, runs: Path, workers: int = 2, device: str = "cpu") -> None:
    """Train one deterministic GAN per reading and tabulate its sensitivity, precision and recall."""
    configs = [replace(preset.base, **change) for change in READINGS.values()]
    jobs = [(config, preset, runs / f"reading{i}.pt", device) for i, config in enumerate(configs)]
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        models = [done["models"] for done in pool.map(train_and_evaluate, jobs)]
    base = asdict(preset.base)
    results = {
        "base": base,
        "readings": [
            {"reading": label, "change": change, "models": found}
            for (label, change), found in zip(READINGS.items(), models, strict=True)
        ],
        "record": record.finished(device, seed=preset.base.seed),
    }
    write_json(out / "readings.json", results)
    write_atomically(out / "readings.md", table(results, preset.base))


def table(results: dict[str, Any], base: ToyTraining) -> str:
    """The readings as Markdown."""
    lines = ["### Readings of what the paper leaves open: the deterministic robust GAN", ""]
    lines += header("reading", "sqrt(R), 4-step attack, 1e-3 (paper: 0.77)", "precision (1.00)", "recall (0.017)")
    for entry in results["readings"]:
        models = entry["models"]
        attack = spread([1e3 * model["attack"] for model in models])
        lines.append(row(entry["reading"], attack, *(spread([m[f] for m in models]) for f in ("precision", "recall"))))
    record = results["record"]
    lines += [
        "",
        f"{base.n_models} training seeds, {base.steps} steps, width {base.width}, learning rate {base.lr}. Made by"
        f" `{record['command']}` at revision {record['revision']} in {record['seconds']:.0f} s"
        f" on {record['hardware']}.",
        "",
    ]
    return "\n".join(lines)
