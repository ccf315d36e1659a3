"""The command ``train-flow``, which trains the flow that the study attacks."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from reference_experiments.data.prepare import DATA

RUNS = Path("runs/srflow")


def add_training(parser: argparse.ArgumentParser) -> None:
    """The command ``train-flow``."""
    from reference_experiments.srflow.settings import FLOWS

    parser.add_argument("preset", choices=FLOWS, metavar="PRESET", help=", ".join(FLOWS))
    parser.add_argument("--sets", nargs="+", help="prepared sets (default: those of the preset)")
    for name in ("steps", "batch", "crop", "seed"):
        parser.add_argument(f"--{name}", type=int)
    for name in ("lr", "noise", "y-noise", "max-norm", "heat"):
        parser.add_argument(f"--{name}", type=float)
    parser.add_argument("--data", type=Path, default=DATA, help=f"folder of the prepared sets (default: {DATA})")
    parser.add_argument("--initial", type=Path, help="folder of a training whose weights this one begins with")
    parser.add_argument("--out", type=Path, help=f"folder of the training (default: {RUNS}/flow-PRESET)")
    parser.add_argument("--device", default="cpu")
    parser.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> None:
    from reference_experiments.runs import shell_command
    from reference_experiments.srflow.flow_report import report
    from reference_experiments.srflow.settings import FLOWS
    from reference_experiments.srflow.training import train

    preset = FLOWS[options.preset]
    given = {name: getattr(options, name) for name in vars(preset.training) if getattr(options, name, None) is not None}
    folder = options.out or RUNS / f"flow-{options.preset}"
    data = [options.data / name for name in options.sets or preset.data]
    try:
        settings = replace(preset.training, **given)
        train(settings, data, folder, preset.cadence, options.device, shell_command(), options.initial)
    except (ValueError, OSError) as error:
        raise SystemExit(f"train-flow {options.preset}: {error}") from error
    report(folder, folder)
    print((folder / "table.md").read_text())
