"""Commands beside the image studies: the training of some models, and the measurement of any."""

from __future__ import annotations

import argparse
import importlib
import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, get_args, get_type_hints

import torch

from reference_experiments.arms import ARMS
from reference_experiments.data.arrays import open_set
from reference_experiments.data.prepare import DATA
from reference_experiments.images.measuring import Measuring
from reference_experiments.images.presets import PRESETS
from reference_experiments.images.tasks import Task, TaskName
from reference_experiments.runs import Record, shell_command, write_json
from stochrobust import sampler_of

if TYPE_CHECKING:
    from reference_experiments.images.restorer import Restorer

RUNS = Path("runs/images")


def add_train(parser: argparse.ArgumentParser) -> None:
    """The command ``train``."""
    parser.add_argument("preset", choices=PRESETS, metavar="PRESET", help=", ".join(PRESETS))
    parser.add_argument("--arms", nargs="+", choices=[arm.folder for arm in ARMS], help="of the four models; all")
    _add_places(parser)
    parser.set_defaults(run=_train)


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=DATA, help=f"folder of the prepared sets (default: {DATA})")
    parser.add_argument("--runs", type=Path, default=RUNS, help=f"folder of the trainings (default: {RUNS})")
    parser.add_argument("--seeds", nargs="+", type=int, help="of the trainings (default: those of the preset)")


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """The command ``evaluate``."""
    parser.add_argument(
        "model", help="folder of a training, or module:factory, called without arguments, for any model"
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the prepared set")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of row.json, and of what a restart goes on from"
    )
    parser.add_argument("--task", choices=get_args(TaskName), help="of a model that is no training of this package")
    for field in fields(Measuring):
        kind = get_type_hints(Measuring)[field.name]
        choices = get_args(kind) or None
        parser.add_argument(
            f"--{field.name.replace('_', '-')}", type=str if choices else kind, choices=choices, default=field.default
        )
    parser.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> None:
    from reference_experiments.images.evaluation import evaluate
    from reference_experiments.images.training import accelerated

    accelerator = accelerated()
    measuring = Measuring(**{field.name: getattr(options, field.name) for field in fields(Measuring)})
    row = evaluate(
        _restorer(options, accelerator.device), options.data, measuring, options.out, record=Record(shell_command()),
        device=accelerator.device, rank=accelerator.process_index, world=accelerator.num_processes,
    )  # fmt: skip
    if row is not None:
        write_json(options.out / "row.json", row)
        print(json.dumps(row["values"], indent=1))
        print(f"Results: {options.out / 'row.json'}")


def _restorer(options: argparse.Namespace, device: torch.device) -> Restorer:
    """The model that was named."""
    from reference_experiments.images.restorer import Restorer

    module, _, factory = options.model.partition(":")
    if not factory:
        return Restorer.from_checkpoint(Path(options.model), device)
    if options.task is None:
        raise ValueError(f"--task must be given for {options.model}: what it restores, one of {get_args(TaskName)}")
    _, channels, size, _ = open_set(options.data, "validation").images.shape
    task = Task(options.task, size, channels)
    G = getattr(importlib.import_module(module), factory)()
    if isinstance(G, torch.nn.Module):
        G.to(device)
    return Restorer.of(
        G, task.projector().to(device), task.eps, stochastic=sampler_of(G) is not None,
        description={"model": options.model, "task": options.task},
    )  # fmt: skip


def _train(options: argparse.Namespace) -> None:
    from reference_experiments.images.run import Places, train_models
    from reference_experiments.images.training import accelerated

    arms = [arm for arm in ARMS if options.arms is None or arm.folder in options.arms]
    seeds = options.seeds or range(PRESETS[options.preset].n_training_seeds)
    train_models(options.preset, arms, seeds, Places(options.data, options.runs), accelerated())
