"""The commands ``audit``, ``compare`` and ``demo`` of ``stochrobust``, or ``python -m stochrobust``."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Sequence, Sized
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from stochrobust.cli.options import PROGRAM, USAGE, parser
from stochrobust.cli.results import EXTRA, check_results, missing, write_results
from stochrobust.cli.stopping import Stopped, stoppable

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor

    from stochrobust.attacks.balls import L2
    from stochrobust.auditing.report import AuditReport
    from stochrobust.cli.images import Reading
    from stochrobust.consistency import Projector
    from stochrobust.metrics.extractors import FeatureExtractor

BAD = 1
"""Exit code of a bad verdict where ``--fail-on bad`` asks for that."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: of the command line, without the program's name; None: those of this process.

    Returns:
        The exit code: 0, or 1 where ``--fail-on`` says so; 130 or 143 after Ctrl-C or SIGTERM, and one line on stderr.

    Raises:
        SystemExit: of code 2 after one line on stderr, if the arguments, or what they name, cannot be used; of code 0
            after ``--help``.
    """
    options = parser().parse_args(arguments)
    try:
        with stoppable():
            return {"audit": _audit, "compare": _compare, "demo": _demo}[options.command](options)
    except Stopped as stopped:
        sys.stderr.write(_line(options, stopped.sentence(options)))
        return stopped.code
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        _fail(options, missing(error.name))
    except (ValueError, OSError) as error:  # of what was given, not of this program: no traceback
        _fail(options, str(error))


def _fail(options: argparse.Namespace, message: str) -> NoReturn:
    sys.stderr.write(_line(options, message))
    raise SystemExit(USAGE)


def _line(options: argparse.Namespace, message: str) -> str:
    return f"{PROGRAM} {options.command}: {' '.join(message.split())}\n"


def _audit(options: argparse.Namespace) -> int:
    from stochrobust.auditing.run import audit
    from stochrobust.auditing.settings import AuditSettings
    from stochrobust.cli.skipped import without

    check_results(options)
    settings = AuditSettings(n_seeds=options.seeds, n_attacked=options.attacked, seed=options.seed)
    left_out: dict[str, str] | None = {} if options.skip_bad else None
    case = _case(options, left_out)
    report = audit(
        title=options.title or options.model, settings=settings, cache=options.cache, max_batch=options.max_batch,
        progress=importlib.util.find_spec("tqdm") is not None, **case,
    )  # fmt: skip
    report = without(report, left_out or {})
    write_results(options, report)
    bad = [verdict.name for verdict in report.verdicts if verdict.level == "bad"]
    return BAD if options.fail_on == "bad" and bad else 0


def _case(options: argparse.Namespace, left_out: dict[str, str] | None) -> dict[str, Any]:
    """What is audited, as arguments of ``audit``; ``left_out`` gets the pictures that are."""
    import torch

    from stochrobust.cli.attacks import parse_attack
    from stochrobust.cli.factory import check_runs, made_model
    from stochrobust.cli.images import Reading, in_range, moved, open_images
    from stochrobust.robustness.decibels import eps_from_psnr

    device = _device(options.device)
    extractor = _extractor(options.features, device)
    G = made_model(options.model, device)
    reading = Reading(options.batch, options.images, options.size, options.grey, left_out)
    y, data, projector = _data(options, reading, device)
    with torch.no_grad():
        check_runs(options.model, G, y[:1])
    low, high = options.pixel_range
    eps = options.eps
    if eps is None:
        eps = eps_from_psnr(options.eps_psnr, y[0].numel(), data_range=high - low)
    real = None
    if options.real is not None:
        images = open_images(options.real, replace(reading, n=None), device, role="real")
        real = moved(in_range(images, images, options.pixel_range), device)
    return {
        "G": G, "data": data, "eps": eps, "projector": projector, "real": real, "extractor": extractor,
        "noise": options.noise, "pixel_range": options.pixel_range,
        "attack": None if options.attack is None else parse_attack(options.attack),
        "ball": _ball(options.attack_on, y, projector),
    }  # fmt: skip


def _ball(where: str, y: Tensor, projector: Projector | None) -> L2:
    """All of y, or the elements that the projector observes."""
    import torch

    from stochrobust.attacks.balls import L2

    if where == "all":
        return L2()
    if projector is None:
        raise ValueError("--attack-on observed needs --task: what of y is observed")
    seen = projector.residual(torch.zeros_like(projector.pinv(y)), torch.ones_like(y)) != 0
    return L2(mask=seen[0])


def _data(
    options: argparse.Namespace, reading: Reading, device: torch.device
) -> tuple[Tensor, Iterable[Any], Projector | None]:
    """The first y, all batches, and the projector of the task."""
    from torch import nn

    from stochrobust.cli.folder import Pictures
    from stochrobust.cli.images import Counted, in_range, moved, open_images, paired, peeked
    from stochrobust.cli.tasks import parse_task

    task = None if options.task is None else parse_task(options.task)
    batches = sources = open_images(options.data, reading, device)
    if options.inputs is not None:  # pictures are found by their names, whatever there is besides
        of_inputs = replace(reading, size=None, n=None if isinstance(sources, Pictures) else reading.n)
        batches = paired(open_images(options.inputs, of_inputs, device, role="inputs"), sources)
    first, batches = peeked(moved(in_range(batches, sources, options.pixel_range), device))
    y, x = (
        (first.get("y"), first["x"])
        if isinstance(first, dict)
        else first
        if isinstance(first, tuple)
        else (None, first)
    )
    projector = None if task is None else task(*x.shape[-2:])
    if isinstance(projector, nn.Module):
        projector.to(device)
    if y is None:
        if projector is None:
            raise ValueError("--task or --inputs must be given: what the model restores")
        y = projector.D(x)
    return y, Counted(batches, len(sources)) if isinstance(sources, Sized) else batches, projector


def _device(name: str | None) -> torch.device:
    import torch

    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # what torch raises for a device that is not there
        raise ValueError(f"--device {name} cannot be used: {str(error).splitlines()[0]}") from error


def _extractor(name: str, device: torch.device) -> FeatureExtractor | None:
    """The features for the quality; None: pixels."""
    from stochrobust import EfficientNetLite0Features, InceptionFeatures

    kind, _, file = name.partition("=")
    if name == "pixels":
        return None
    if name == "efficientnet":
        try:
            return EfficientNetLite0Features().to(device)
        except ImportError as error:
            raise ValueError(f"--features efficientnet: {error}") from error
    if kind == "inception":
        return InceptionFeatures("paper", weights=file or None).to(device)
    raise ValueError(f"--features must be pixels, efficientnet or inception=FILE, got {name!r}")


def _compare(options: argparse.Namespace) -> int:
    from stochrobust.auditing.comparison import compare
    from stochrobust.auditing.report import AuditReport

    a, b = (_report(AuditReport, path) for path in (options.a, options.b))
    sys.stdout.write(compare(a, b).to_markdown())
    return 0


def _report(kind: type[AuditReport], path: Path) -> AuditReport:
    try:
        return kind.from_json(path.read_text(encoding="utf-8"))
    except ValueError as error:  # which knows only the text, or the bytes
        raise ValueError(f"{path}: {error}") from error


def _demo(options: argparse.Namespace) -> int:
    """The digits' demo comes with the package, and is a client of it like any other."""
    experiments = importlib.import_module("reference_experiments.__main__")
    experiments.main(["demo", "--out", str(options.out), "--seed", str(options.seed)])
    return 0
