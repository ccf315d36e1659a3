"""The commands of the image studies: whole studies, and one model's training or measurement."""

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
    _add_places(parser)
    parser.set_defaults(run=_train)


def add_inpainting(parser: argparse.ArgumentParser, results: Path) -> None:
    """The command ``inpainting``."""
    names = [name for name in PRESETS if name.endswith("-inpainting")]
    parser.add_argument("--preset", choices=names, default="faces32-inpainting", help=f"one of {', '.join(names)}")
    _add_places(parser)
    parser.add_argument("--out", type=Path, help="folder of the results (default: beside this package, by preset)")

    def start(options: argparse.Namespace) -> None:
        _study([options.preset], options, options.out or results / options.preset)

    parser.set_defaults(run=start)


def add_super_resolution(parser: argparse.ArgumentParser, results: Path) -> None:
    """The command ``super-resolution``."""
    sets = sorted({name.rpartition("-sr")[0] for name in PRESETS if "-sr" in name})
    parser.add_argument("--preset", choices=sets, default="faces32", help=f"one of {', '.join(sets)}")
    parser.add_argument("--factors", nargs="+", type=int, help="(default: all that the preset has)")
    _add_places(parser)
    parser.add_argument("--out", type=Path, help="folder of the results (default: beside this package, by preset)")

    def start(options: argparse.Namespace) -> None:
        every = {int(name.rpartition("-sr")[2]): name for name in PRESETS if name.startswith(f"{options.preset}-sr")}
        factors = options.factors or list(every)
        if missing := [factor for factor in factors if factor not in every]:
            raise ValueError(f"--factors of {options.preset} must be among {list(every)}, got {missing}")
        _study([every[factor] for factor in factors], options, options.out or results / f"{options.preset}-sr")

    parser.set_defaults(run=start)


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=DATA, help=f"folder of the prepared sets (default: {DATA})")
    parser.add_argument("--runs", type=Path, default=RUNS, help=f"folder of the trainings (default: {RUNS})")
    parser.add_argument("--seeds", nargs="+", type=int, help="of the trainings (default: those of the preset)")


def _train(options: argparse.Namespace) -> None:
    from reference_experiments.images.study import Places, train_models
    from reference_experiments.images.training import accelerated

    arms = [arm for arm in ARMS if options.arms is None or arm.folder in options.arms]
    seeds = options.seeds or range(PRESETS[options.preset].n_training_seeds)
    train_models(options.preset, arms, seeds, Places(options.data, options.runs), accelerated())


def _study(names: list[str], options: argparse.Namespace, out: Path) -> None:
    from reference_experiments.images.study import Places, run

    run(names, options.seeds, Places(options.data, options.runs), out)
    print((out / "table.md").read_text())
    print(f"Results: {out}")
