"""The command line: a command for each study, and those that prepare data, train, measure or write pages."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from reference_experiments.settings import add_flags, changed
from reference_experiments.study import TABLE, Place, Study

RUNS = Path("runs")
EXTRA = ("accelerate", "matplotlib", "PIL", "safetensors", "sklearn", "tqdm")
"""Packages of the extra ``experiments`` that a study cannot do without."""


def add_study(commands: Any, study: Study) -> None:
    """The command that runs the study."""
    parser = commands.add_parser(study.name, help=study.about, allow_abbrev=False)
    default = next(iter(study.presets))
    parser.add_argument("--preset", choices=study.presets, default=default, metavar="PRESET",
                        help=f"one of {', '.join(study.presets)} (default: {default})")  # fmt: skip
    parser.add_argument("--out", type=Path, help=f"folder of the results (default: {RUNS}/results/STUDY-PRESET)")
    runs = study.trainings or "STUDY-PRESET"
    parser.add_argument("--runs", type=Path, help=f"folder of what can be gone on with (default: {RUNS}/{runs})")
    parser.add_argument("--data", type=Path, help="folder of images, where a study wants any")
    parser.add_argument("--device", default=Place.device)
    parser.add_argument("--workers", type=int, default=Place.workers, help="processes side by side, if there are any")
    parser.add_argument("--seed", type=int, default=Place.seed, help="of the first training")
    add_flags(parser, study.presets[default])

    def run(options: argparse.Namespace) -> None:
        name = f"{study.name}-{options.preset}"
        place = Place(
            options.out or RUNS / "results" / name, options.runs or RUNS / (study.trainings or name), options.data,
            options.device, options.workers, options.seed,
        )  # fmt: skip
        try:
            preset = changed(study.presets[options.preset], vars(options))
        except ValueError as error:  # of what was asked for: a trace would hide the message
            raise SystemExit(f"{study.name}: {error}") from error
        if study.conduct(preset, place):
            print((place.out / TABLE).read_text())
            print(f"Results: {place.out}")

    parser.set_defaults(run=run)


def run(arguments: list[str], studies: Callable[[], Sequence[Study]]) -> None:
    """Run one command.

    Raises:
        ModuleNotFoundError: naming the extra that brings what is missing.
    """
    try:
        options = _parser(studies()).parse_args(arguments)
        options.run(options)
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        wanted = f"{error}; `pip install 'stochrobust[experiments]'` brings what the studies need"
        raise ModuleNotFoundError(wanted, name=error.name) from error


def _parser(studies: Sequence[Study]) -> argparse.ArgumentParser:
    from reference_experiments import readme
    from reference_experiments.data import prepare
    from reference_experiments.images import command
    from reference_experiments.srflow.train_flow import add_training
    from reference_experiments.toy.merge import add_merge

    parser = argparse.ArgumentParser(prog="python -m reference_experiments")
    commands = parser.add_subparsers(dest="study", required=True, metavar="STUDY")
    for study in studies:
        add_study(commands, study)
    for toy in (study for study in studies if study.name == "toy"):
        add_merge(commands.add_parser("merge-toy", help="runs of the toy study at several training seeds as one"), toy)
    prepare.add_arguments(commands.add_parser("prepare", help="make a data set ready for training"))
    command.add_train(commands.add_parser("train", help="models of an image study; `accelerate launch` spreads it"))
    command.add_evaluate(commands.add_parser("evaluate", help="Table 1's row of a training's model or of any other"))
    add_training(commands.add_parser("train-flow", help="the flow that `srflow` attacks, by maximum likelihood"))
    page = commands.add_parser("readme", help="restate the stored results, and write this package's README from them")
    page.set_defaults(run=lambda options: readme.write({study.name: study for study in studies}))
    return parser
