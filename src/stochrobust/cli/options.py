"""The arguments of ``stochrobust``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

from stochrobust.auditing.settings import AuditSettings
from stochrobust.cli.attacks import KINDS, pixel_range
from stochrobust.cli.tasks import TASKS

PROGRAM = "stochrobust"
USAGE = 2
"""Exit code of the caller's mistake."""


class _Parser(argparse.ArgumentParser):
    """One that says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message} (--help lists the options)\n")


def parser() -> argparse.ArgumentParser:
    """Of all commands."""
    from stochrobust import __version__

    top = _Parser(prog=PROGRAM, description="Metrics for robust stochastic image restoration.")
    top.add_argument("--version", action="version", version=f"stochrobust {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    tasks = "; ".join(f"{task.example}: {task.about}" for task in TASKS.values())
    audit = commands.add_parser(
        "audit", help="measure a restorer, and say what the numbers mean", epilog=f"Tasks: {tasks}."
    )
    audit.add_argument("model", metavar="MODULE:FACTORY", help="returns G(y, z) with G.sample_z, or G(y)")
    _add_images(audit)
    _add_settings(audit)
    _add_results(audit)
    compare = commands.add_parser("compare", help="two audits of one protocol, paired input by input: b - a")
    compare.add_argument("a", type=Path, metavar="A.json", help="written by audit --json")
    compare.add_argument("b", type=Path, metavar="B.json")
    demo = commands.add_parser("demo", help="train four small GANs on digits and measure them: minutes on two cores")
    demo.add_argument("--out", type=Path, default=Path("demo"), help="folder of the results (default: %(default)s)")
    demo.add_argument("--seed", type=int, default=0, help="of the training (default: %(default)s)")
    return top


def _add_images(audit: argparse.ArgumentParser) -> None:
    images = audit.add_argument_group("images")
    images.add_argument(
        "--data", required=True, help="the x: a folder or zip of pictures, a .npy, .npz or .pt file, or MODULE:FACTORY"
    )
    images.add_argument("--task", help="what makes y of x, such as inpainting:top=0.75; see below")
    images.add_argument("--inputs", help="the y, by the names of the x, in place of those the task makes")
    images.add_argument("--real", help="images that outputs should look like (default: the x)")
    images.add_argument("--images", type=_count, metavar="N", help="the first N of the data (default: all)")
    images.add_argument("--size", type=_count, help="resize pictures to squares of this side, cut to shape")
    images.add_argument("--grey", action="store_true", help="read pictures as one channel")
    images.add_argument(
        "--skip-bad", action="store_true", help="leave out pictures that cannot be read; the report names them"
    )
    images.add_argument(
        "--pixel-range", type=pixel_range, default=(0.0, 1.0), metavar="LOW,HIGH",
        help="what the model takes and gives, as --pixel-range=-1,1; pictures and arrays are brought to it",
    )  # fmt: skip
    images.add_argument("--batch", type=_count, default=32, help="images read at a time (default: 32)")


def _add_settings(audit: argparse.ArgumentParser) -> None:
    usual = AuditSettings()
    measures = audit.add_argument_group("what is measured")
    radius = measures.add_mutually_exclusive_group(required=True)
    radius.add_argument("--eps", type=float, help="size of the attack, L2 over all elements of a y")
    radius.add_argument("--eps-psnr", type=float, metavar="DB", help="the same as the PSNR of y and y + delta")
    measures.add_argument(
        "--noise", type=float, metavar="SIGMA", help="standard deviation of the noise in the --inputs"
    )
    measures.add_argument(
        "--attack", metavar="NAME:SETTING=VALUE,...",
        help=f"the strong attack: {', '.join(KINDS)}, as pgd:steps=100 (default: the library's)",
    )  # fmt: skip
    measures.add_argument(
        "--attack-on", choices=["all", "observed"], default="all",
        help="which elements of y it may change: all of them, as in the paper (default), or those the task observes",
    )  # fmt: skip
    measures.add_argument(
        "--features", default="pixels", help="for the quality: pixels (default), efficientnet or inception=FILE"
    )
    measures.add_argument("--seeds", type=int, default=usual.n_seeds, help="outputs of each y (default: %(default)s)")
    measures.add_argument(
        "--attacked", type=int, default=usual.n_attacked, help="inputs that are attacked (default: %(default)s)"
    )
    measures.add_argument("--seed", type=int, default=usual.seed, help="of all random numbers (default: %(default)s)")
    measures.add_argument("--max-batch", type=_count, metavar="ROWS", help="most rows in one pass of the model")
    measures.add_argument("--device", help="default: cuda where there is one, else cpu")
    measures.add_argument("--cache", type=Path, metavar="FOLDER", help="an audit broken off goes on from there")


def _add_results(audit: argparse.ArgumentParser) -> None:
    results = audit.add_argument_group("results")
    results.add_argument("--title", help="of the report (default: the model)")
    results.add_argument("--out", type=Path, metavar="FILE.html", help="the report with its pictures")
    results.add_argument("--json", type=Path, metavar="FILE.json", help="for compare, and for programs")
    results.add_argument("--markdown", type=Path, metavar="FILE.md", help="what is printed, and the protocol")
    results.add_argument("--fail-on", choices=["bad"], help="exit with 1 if a verdict is bad")


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number
