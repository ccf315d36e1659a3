"""The commands of the image studies: ``train`` one model, also under ``accelerate launch``."""

from __future__ import annotations

import argparse
from pathlib import Path

from reference_experiments.data.prepare import DATA
from reference_experiments.images.presets import ARMS, PRESETS

RUNS = Path("runs/images")


def add_train(parser: argparse.ArgumentParser) -> None:
    """The command ``train``."""
    parser.add_argument("preset", choices=PRESETS, metavar="PRESET", help=", ".join(PRESETS))
    parser.add_argument("--arms", nargs="+", choices=[arm.folder for arm in ARMS], help="of the four models; all")
    parser.add_argument("--seeds", nargs="+", type=int, help="of the trainings (default: those of the preset)")
    add_places(parser)
    parser.set_defaults(run=_train)


def add_places(parser: argparse.ArgumentParser) -> None:
    """Where the images are, and where the checkpoints go."""
    parser.add_argument("--data", type=Path, default=DATA, help=f"folder of the prepared sets (default: {DATA})")
    parser.add_argument("--runs", type=Path, default=RUNS, help=f"folder of the trainings (default: {RUNS})")


def _train(options: argparse.Namespace) -> None:
    from reference_experiments.images.study import train_models

    arms = [arm for arm in ARMS if options.arms is None or arm.folder in options.arms]
    train_models(options.preset, arms, options.seeds, options.data, options.runs)
