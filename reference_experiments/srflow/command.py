"""The commands ``srflow``, the study on any models, and ``train-flow``, which trains the flow that it attacks."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from reference_experiments.data.images64 import FOLDER_VARIABLE
from reference_experiments.data.prepare import DATA

RUNS = Path("runs/srflow")
CHOICES = {"start": ("uniform", "zero"), "reference": ("clean", "truth"), "convention": ("rgb", "y", "srflow")}


def add(studies: Any) -> None:
    """Both commands."""
    _add_study(studies.add_parser("srflow", help="section 6.2, Figure 7: super-resolvers under I-FGSM, anybody's too"))
    _add_training(studies.add_parser("train-flow", help="the flow that `srflow` attacks, by maximum likelihood"))


def _add_study(parser: argparse.ArgumentParser) -> None:
    from reference_experiments.srflow.presets import PRESETS

    parser.add_argument("--preset", choices=PRESETS, help="(default: one run with the published settings)")
    parser.add_argument(
        "--models", nargs="+", help="bicubic, carn_m, realsr, flow[=FOLDER], flow_noisy[=FOLDER], edsr=FILE, "
        "rrdbnet=FILE, esrgan=FILE, srflow=FILE or module:factory",
    )  # fmt: skip
    parser.add_argument(
        "--flow",
        type=Path,
        default=RUNS / "flow-cpu",
        help="folder of the training of `flow`, and with -noisy at its end of `flow_noisy`",
    )
    parser.add_argument("--sets", nargs="+", help="of Set5, Set14, BSD100")
    parser.add_argument("--alphas", nargs="+", type=float, dest="levels", help="in levels of 255")
    parser.add_argument("--images", type=int, dest="at_most", help="of each set, the first ones")
    parser.add_argument("--steps", type=int, help="of I-FGSM")
    parser.add_argument("--seeds", type=int, dest="n_seeds", help="of a stochastic model")
    parser.add_argument("--start", choices=CHOICES["start"])
    parser.add_argument("--reference", choices=CHOICES["reference"])
    parser.add_argument("--crop", type=int, help="attack the square of so many pixels in the middle of each input")
    parser.add_argument("--tile", type=int, help="attack tiles of at most so many pixels one by one")
    parser.add_argument("--seed", type=int, help="of what is drawn")
    parser.add_argument("--convention", choices=CHOICES["convention"], default="rgb", help="of PSNR in table, figures")
    parser.add_argument("--data", type=Path, help=f"folder with sr_benchmarks/ (default: ${FOLDER_VARIABLE})")
    parser.add_argument("--out", type=Path, help=f"folder of the results (default: {RUNS}/results/NAME)")
    parser.add_argument("--parts", type=Path, default=RUNS / "parts", help="folder of what is measured of each image")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--max-batch", type=int, help="the most rows that a model gets at once (default: all seeds)")
    parser.add_argument("--checkpointing", action="store_true", help="less memory for one more forward pass")
    parser.add_argument("--rank", type=int, default=int(os.environ.get("RANK", 0)), help="of this process")
    parser.add_argument("--world", type=int, default=int(os.environ.get("WORLD_SIZE", 1)), help="number of processes")
    parser.set_defaults(run=_study)


def _study(options: argparse.Namespace) -> None:
    from reference_experiments.runs import Record, shell_command
    from reference_experiments.srflow.models import subjects
    from reference_experiments.srflow.presets import OURS, PRESETS, Run
    from reference_experiments.srflow.run import changed, conduct, images_of

    given = ("models", "sets", "levels", "at_most", "steps", "n_seeds", "start", "reference", "crop", "tile", "seed")
    runs = {"custom": Run(OURS)} if options.preset is None else PRESETS[options.preset]
    named = os.environ.get(FOLDER_VARIABLE)
    data = options.data or (Path(named) if named else None)
    flows = {"flow": options.flow, "flow_noisy": options.flow.with_name(f"{options.flow.name}-noisy")}
    for name, run in runs.items():
        record = Record(shell_command())
        try:
            run = changed(run, **{key: _frozen(getattr(options, key)) for key in given})
            specs = [f"{spec}={flows[spec]}" if spec in flows else spec for spec in run.models]
            models = subjects(specs, options.device, checkpointing=options.checkpointing)
            images = images_of(run, data)
        except (ValueError, OSError) as error:  # of what was asked for: a trace would hide the message
            raise SystemExit(f"srflow, {name}: {error}") from error
        folder = (options.out or RUNS / "results") / name
        complete = conduct(
            name, run, models, images, folder, record=record, parts=options.parts, convention=options.convention,
            device=options.device, max_batch=options.max_batch, rank=options.rank, world=options.world,
        )  # fmt: skip
        print((folder / "table.md").read_text() if complete else f"{name}: other processes have not finished yet")


def _frozen(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _add_training(parser: argparse.ArgumentParser) -> None:
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
