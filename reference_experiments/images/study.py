"""From prepared images to table and figures: four models trained, evaluated and compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from reference_experiments.arms import ARMS, Arm
from reference_experiments.data.arrays import open_set
from reference_experiments.images.evaluation import evaluate, reference
from reference_experiments.images.figures import figure1, figure3
from reference_experiments.images.findings import findings
from reference_experiments.images.presets import PRESETS
from reference_experiments.images.report import page
from reference_experiments.images.restorer import Restorer
from reference_experiments.images.sessions import read_sessions
from reference_experiments.images.summary import Rows
from reference_experiments.images.training import accelerated, as_images, train
from reference_experiments.images.trends import trends
from reference_experiments.runs import Record, shell_command, write_atomically, write_json

N_PICTURED = 4
"""Validation images in Figure 1."""


@dataclass(frozen=True)
class Places:
    """Folders.

    Attributes:
        data: of the prepared sets.
        runs: of trainings and measurements, which can be gone on with.
    """

    data: Path
    runs: Path

    def training(self, preset: str, arm: Arm, seed: int) -> Path:
        """Of one training."""
        return self.runs / preset / f"{arm.folder}-{seed}"


def train_models(
    name: str, arms: Iterable[Arm], seeds: Sequence[int], places: Places, accelerator: Accelerator
) -> None:
    """Train models of a preset one after another, or go on with them."""
    preset = PRESETS[name]
    for seed in seeds:
        for arm in arms:
            folder, data = places.training(name, arm, seed), places.data / preset.data
            train(preset.settings(arm, seed), data, folder, preset.cadence, accelerator, shell_command())


def measure_models(name: str, seeds: Sequence[int], places: Places, accelerator: Accelerator) -> Rows:
    """The rows of the four models; only the first process has them, the others get an empty one."""
    preset = PRESETS[name]
    rows: dict[Arm, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
    for arm in ARMS:
        for seed in seeds:
            folder = places.training(name, arm, seed)
            row = evaluate(
                Restorer.from_checkpoint(folder, accelerator.device), places.data / preset.data, preset.measuring,
                folder / "evaluation", record=Record(shell_command()), cache=places.runs / "real" / preset.data,
                device=accelerator.device, rank=accelerator.process_index, world=accelerator.num_processes,
            )  # fmt: skip
            rows[arm] += [] if row is None else [row | {"training": read_sessions(folder)}]
    return rows


def of_real(name: str, places: Places, accelerator: Accelerator) -> dict[str, Any]:
    """The row of the validation images in place of outputs."""
    preset = PRESETS[name]
    cache, record = places.runs / "real" / preset.data, Record(shell_command())
    data = places.data / preset.data
    return reference(data, preset.measuring, cache, record=record, device=accelerator.device)


def run(names: Sequence[str], seeds: Sequence[int] | None, places: Places, out: Path) -> bool:
    """Train and measure the presets, one for each factor of super-resolution, and write ``out``.

    Args:
        names: presets of one set of images.
        seeds: of the trainings; None for as many as each preset says.
        places: where images are and trainings go.
        out: gets ``rows.json``, ``table.md`` and the figures.

    Returns:
        Whether this is the process that wrote it.
    """
    accelerator = accelerated()
    tasks = {}
    for name in names:
        chosen = range(PRESETS[name].n_training_seeds) if seeds is None else seeds
        train_models(name, ARMS, chosen, places, accelerator)
        tasks[name] = measure_models(name, chosen, places, accelerator)
    if accelerator.is_main_process:
        real = of_real(names[0], places, accelerator)
        write(tasks, real, places, out, accelerator)
    accelerator.wait_for_everyone()
    return bool(accelerator.is_main_process)


def write(tasks: dict[str, Rows], real: dict[str, Any], places: Places, out: Path, accelerator: Accelerator) -> None:
    """Results of measured presets: numbers, page and figures."""
    found = {name: findings(rows) for name, rows in tasks.items()}
    factors = {PRESETS[name].training.restoration.scale: rows for name, rows in tasks.items()}
    trend = trends(factors) if len(factors) > 1 else []
    write_json(
        out / "rows.json",
        {
            "tasks": {name: {arm.name: of_arm for arm, of_arm in rows.items()} for name, rows in tasks.items()},
            "validation images": real,
            "findings": {name: [f._asdict() for f in of_task] for name, of_task in found.items()},
            "trends": [f._asdict() for f in trend],
        },
    )
    write_atomically(out / "table.md", page(tasks, found, trend, real))
    for name, rows in tasks.items():
        seed = rows[ARMS[0]][0]["model"]["description"]["seed"]
        draw_models(name, seed, places, out / ("figure1" if len(tasks) == 1 else f"figure1-{name}"), accelerator)
    if len(factors) > 1:
        figure3(out / "figure3", factors)


def draw_models(name: str, seed: int, places: Places, path: Path, accelerator: Accelerator) -> None:
    """Figure 1, of the training of each model with that seed."""
    preset, device = PRESETS[name], accelerator.device
    ids = list(range(N_PICTURED))
    images = open_set(places.data / preset.data, "validation").images
    x = as_images(torch.from_numpy(images[ids]), device)
    models = {arm: Restorer.from_checkpoint(places.training(name, arm, seed), device) for arm in ARMS}
    figure1(path, models, x, ids, preset.measuring)
