"""From prepared images to rows: four models trained and evaluated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from reference_experiments.arms import ARMS, Arm
from reference_experiments.data.arrays import open_set
from reference_experiments.data.prepare import DATA
from reference_experiments.images.evaluation import evaluate, reference
from reference_experiments.images.presets import PRESETS, Chosen
from reference_experiments.images.restorer import Restorer
from reference_experiments.images.sessions import read_sessions
from reference_experiments.images.summary import Rows
from reference_experiments.images.training import accelerated, as_images, train
from reference_experiments.references import Function, references
from reference_experiments.runs import Record, shell_command
from reference_experiments.srflow.bicubic import resized
from reference_experiments.study import Place, Results

if TYPE_CHECKING:
    from accelerate import Accelerator

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


def reference_rows(name: str, places: Places, accelerator: Accelerator) -> dict[str, dict[str, Any]]:
    """The rows of restorers that need no training of a network; bicubic enlargement alone is not made consistent."""
    preset, device = PRESETS[name], accelerator.device
    task, data = preset.training.restoration, places.data / preset.data
    projector = task.projector().to(device)
    made: dict[str, torch.nn.Module] = {
        **references(as_images(torch.from_numpy(np.array(open_set(data, "train").images)), device), projector)
    }
    if task.scale > 1:
        made["bicubic"] = Function(lambda y: resized(y, task.size, task.size))
    rows = {}
    for title, G in made.items():
        described = {"reference": title, "preset": name}
        restorer = Restorer.of(G, projector, task.eps, stochastic=False, description=described)
        folder = places.runs / "references" / preset.data
        rows[title] = evaluate(restorer, data, preset.measuring, folder, record=Record(shell_command()),
                               cache=places.runs / "real" / preset.data, device=device)  # fmt: skip
    return {title: row for title, row in rows.items() if row is not None}


class Drawn(NamedTuple):
    """What Figure 1 is drawn from: images, and of each preset its models and settings."""

    x: dict[str, Tensor]
    models: dict[str, dict[Arm, Restorer]]


def run(chosen: Chosen, place: Place) -> tuple[Results, Drawn] | None:
    """Train and measure the presets, one for each factor of super-resolution; None but in the first process."""
    accelerator, places = accelerated(), Places(place.data or DATA, place.runs)
    seeds = range(place.seed, place.seed + chosen.n_training_seeds)
    tasks = {}
    for name in chosen.names:
        train_models(name, ARMS, seeds, places, accelerator)
        tasks[name] = measure_models(name, seeds, places, accelerator)
    results = drawn = None
    if accelerator.is_main_process:
        real = of_real(chosen.names[0], places, accelerator)
        stored = {name: {arm.name: of_arm for arm, of_arm in rows.items()} for name, rows in tasks.items()}
        beside = {name: reference_rows(name, places, accelerator) for name in tasks}
        results = {"tasks": stored, "references": beside, "validation images": real}
        drawn = Drawn(
            {name: pictured(name, places, accelerator.device) for name in tasks},
            {name: models_of(name, place.seed, places, accelerator.device) for name in tasks},
        )
    accelerator.wait_for_everyone()
    return None if results is None or drawn is None else (results, drawn)


def pictured(name: str, places: Places, device: torch.device) -> Tensor:
    """The first validation images of a preset."""
    images = open_set(places.data / PRESETS[name].data, "validation").images
    return as_images(torch.from_numpy(images[list(range(N_PICTURED))]), device)


def models_of(name: str, seed: int, places: Places, device: torch.device) -> dict[Arm, Restorer]:
    """The four models of a training seed."""
    return {arm: Restorer.from_checkpoint(places.training(name, arm, seed), device) for arm in ARMS}
