"""``python -m reference_experiments STUDY [--preset NAME] [--field value ...]``: from data to table and figures."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from reference_experiments import readme
from reference_experiments.data import prepare
from reference_experiments.images import command
from reference_experiments.runs import Record, shell_command
from reference_experiments.srflow import command as flow_command

RESULTS = Path(__file__).parent / "results"
RUNS = Path("runs")
EXTRA = ("accelerate", "matplotlib", "PIL", "safetensors", "sklearn", "tqdm")
"""Packages of the extra ``experiments`` that a study cannot do without."""


def main(arguments: list[str]) -> None:
    """Run one study."""
    parser = argparse.ArgumentParser(prog="python -m reference_experiments", description=__doc__)
    studies = parser.add_subparsers(dest="study", required=True, metavar="STUDY")
    _add_toy(
        studies.add_parser("toy", help="sections 4 and 5.1, appendices B.1, C, D and E.1; Figures 2, 4, 5, Tables 2, 3")
    )
    _add_demo(
        studies.add_parser("demo", help="four small GANs complete hand-written digits: Table 1 and Figure 1 in minutes")
    )
    _add_alternatives(
        studies.add_parser("alternatives", help="Eq. 7 beside other regularizers on the digits, at equal cost")
    )
    _add_quality(studies.add_parser("quality", help="the quality metrics on real images, degraded and foreign"))
    _add_diffusion(studies.add_parser("diffusion", help="diffusion restorers beside GANs: appendices B.2 and F"))
    prepare.add_arguments(studies.add_parser("prepare", help="make a data set ready for training"))
    command.add_inpainting(studies.add_parser("inpainting", help="Table 1 and Figure 1 on images"), RESULTS)
    command.add_super_resolution(studies.add_parser("super-resolution", help="Figure 3"), RESULTS)
    command.add_evaluate(studies.add_parser("evaluate", help="Table 1's row of a training's model or of any other"))
    command.add_train(studies.add_parser("train", help="models of an image study; `accelerate launch` spreads it"))
    flow_command.add(studies)
    page = studies.add_parser("readme", help="write this package's README from the stored results")
    page.set_defaults(run=lambda options: readme.write())
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        wanted = f"{error}; `pip install 'stochrobust[experiments]'` brings what the studies need"
        raise ModuleNotFoundError(wanted, name=error.name) from error


def _add_toy(parser: argparse.ArgumentParser) -> None:
    from reference_experiments.presets import ARMS, TOY
    from reference_experiments.toy.training import ToyTraining

    parser.add_argument("--preset", choices=TOY, default="quick")
    parser.add_argument("--out", type=Path, help="folder of the results (default: beside this package, by preset)")
    parser.add_argument("--runs", type=Path, help="folder of the checkpoints (default: runs/toy-PRESET)")
    parser.add_argument("--workers", type=int, default=2, help="arms trained side by side")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--arms", nargs="+", choices=ARMS, default=list(ARMS), help="those to train (default: all four)"
    )
    parser.add_argument("--readings", action="store_true", help="try what the paper leaves open instead")
    parser.add_argument("--weight", type=float, help="lambda_R of the two robust arms")
    hints = get_type_hints(ToyTraining)
    for field in fields(ToyTraining):
        if field.name in ("stochastic", "weight"):  # what tells the four arms apart
            continue
        choices = get_args(hints[field.name]) or None
        kind = str if choices else hints[field.name]
        parser.add_argument(
            f"--{field.name.replace('_', '-')}", type=kind, choices=choices, help=f"default: {field.default}"
        )

    def start(options: argparse.Namespace) -> None:
        from reference_experiments.toy import readings, study

        preset = TOY[options.preset]
        given = {field.name: getattr(options, field.name, None) for field in fields(ToyTraining)}
        weight = given.pop("weight")
        base = replace(preset.base, **{name: value for name, value in given.items() if value is not None})
        preset = replace(preset, base=base, weight=preset.weight if weight is None else weight)
        name = "toy-readings" if options.readings else f"toy-{options.preset}"
        out, runs = options.out or RESULTS / name, options.runs or RUNS / name
        where: dict[str, Any] = {"runs": runs, "workers": options.workers, "device": options.device}
        if options.readings:
            readings.run(preset, out, Record(shell_command()), **where)
        else:
            study.run(preset, out, Record(shell_command()), arms=options.arms, **where)
        print(next(out.glob("*.md")).read_text())
        print(f"Results: {out}")

    parser.set_defaults(run=start)


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--out", type=Path, default=RUNS / "demo", help="folder of the results")
    parser.add_argument("--seed", type=int, default=0)

    def run(options: argparse.Namespace) -> None:
        from reference_experiments.digits.demo import main as demo

        demo(options.preset, options.out, options.seed)

    parser.set_defaults(run=run)


def _add_diffusion(parser: argparse.ArgumentParser) -> None:
    from reference_experiments.diffusion.study import PRESETS, run

    parser.add_argument("--preset", choices=PRESETS, default="quick")
    parser.add_argument("--out", type=Path, help="folder of the results (default: beside this package; smoke: runs/)")
    parser.add_argument("--seed", type=int, default=0)

    def start(options: argparse.Namespace) -> None:
        out = options.out or (RESULTS if options.preset == "quick" else RUNS) / "diffusion"
        run(PRESETS[options.preset], out, options.seed, Record(shell_command()))
        print((out / "table.md").read_text())
        print(f"Results: {out}")

    parser.set_defaults(run=start)


def _add_alternatives(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", choices=("full", "quick", "smoke"), default="full")
    parser.add_argument("--out", type=Path, default=RESULTS / "alternatives", help="folder of the results")
    parser.add_argument("--runs", type=Path, default=RUNS / "alternatives", help="folder of the single trainings")
    parser.add_argument("--seed", type=int, default=0)

    def start(options: argparse.Namespace) -> None:
        from reference_experiments.digits.alternatives import PRESETS, run

        run(PRESETS[options.preset], options.out, options.runs, options.seed, Record(shell_command()))
        print((options.out / "table.md").read_text())

    parser.set_defaults(run=start)


def _add_quality(parser: argparse.ArgumentParser) -> None:
    from reference_experiments.data.images64 import FOLDER_VARIABLE
    from reference_experiments.quality.study import Settings

    parser.add_argument("--data", type=Path, help=f"folder of the image archives (default: ${FOLDER_VARIABLE})")
    parser.add_argument("--out", type=Path, default=RESULTS / "quality", help="folder of the results")
    for field in fields(Settings):
        kind = get_type_hints(Settings)[field.name]
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default)

    def start(options: argparse.Namespace) -> None:
        from reference_experiments.data.images64 import data_folder
        from reference_experiments.quality.study import run

        settings = Settings(**{field.name: getattr(options, field.name) for field in fields(Settings)})
        run(data_folder(options.data), options.out, settings, Record(shell_command()))
        print((options.out / "table.md").read_text())

    parser.set_defaults(run=start)


if __name__ == "__main__":
    main(sys.argv[1:])
