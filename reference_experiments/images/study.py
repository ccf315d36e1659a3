"""From prepared images to table and figures: four models trained, evaluated and compared."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from reference_experiments.images.presets import PRESETS, Arm
from reference_experiments.images.training import accelerated, train
from reference_experiments.runs import shell_command


def folder_of(runs: Path, preset: str, arm: Arm, seed: int) -> Path:
    """Where one training is kept."""
    return runs / preset / f"{arm.folder}-{seed}"


def train_models(name: str, arms: Iterable[Arm], seeds: Iterable[int] | None, data: Path, runs: Path) -> None:
    """Train models of a preset one after another, or go on with them."""
    preset, accelerator = PRESETS[name], accelerated()
    for seed in seeds or range(preset.n_training_seeds):
        for arm in arms:
            folder = folder_of(runs, name, arm, seed)
            train(preset.settings(arm, seed), data / preset.data, folder, preset.cadence, accelerator, shell_command())
