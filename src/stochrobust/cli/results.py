"""What a command writes: each file whole or not at all; one that cannot be written keeps no other back."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from stochrobust._files import write_whole

if TYPE_CHECKING:
    from stochrobust.auditing.report import AuditReport

EXTRA = {
    "PIL": ("pillow", "report"), "jinja2": ("jinja2", "report"), "matplotlib": ("matplotlib", "demo"),
    "safetensors": ("safetensors", "demo"), "sklearn": ("scikit-learn", "demo"), "tqdm": ("tqdm", "demo"),
}  # fmt: skip
"""What the commands import beyond the library: the name of its package, and the extra that brings it."""
SUFFIXES = {"out": (".html", ".htm"), "json": (".json",), "markdown": (".md", ".markdown", ".txt")}
"""What the name of each option's file may end in, if it ends in anything."""


def missing(module: str) -> str:
    """How to get a module that an extra brings."""
    package, extra = EXTRA[module]
    return f"{package} is not installed: pip install 'stochrobust[{extra}]' brings it"


def wanted(options: argparse.Namespace) -> dict[str, Path]:
    """The files that are asked for, by the options that name them."""
    return {name: getattr(options, name) for name in SUFFIXES if getattr(options, name) is not None}


def check_results(options: argparse.Namespace) -> None:
    """What would fail after the work fails before it.

    Raises:
        ValueError: naming the option: another kind of file by its suffix, a folder, one file for two reports.
    """
    if options.out is not None and importlib.util.find_spec("jinja2") is None:
        raise ValueError(f"--out: {missing('jinja2')}")
    for name, path in wanted(options).items():
        if path.suffix and path.suffix.lower() not in SUFFIXES[name]:
            raise ValueError(f"--{name} writes {' or '.join(SUFFIXES[name])}, got {path}")
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise ValueError(f"cannot write {path}: it is a folder, or its folder does not exist")
    places = [path.resolve() for path in wanted(options).values()]
    if len(set(places)) < len(places):
        raise ValueError(f"{', '.join(f'--{name}' for name in wanted(options))} must be files of their own")


def write_results(options: argparse.Namespace, report: AuditReport) -> None:
    """Print the tables and write the files, in the order of what is lost with them.

    Raises:
        OSError: some could not be written, all of which it names; the others are.
    """
    from stochrobust.auditing.tables import to_markdown

    contents: dict[str, Callable[[], str]] = {
        "json": report.to_json, "markdown": report.to_markdown, "out": report.to_html
    }  # fmt: skip
    failed = []
    for name, content in contents.items():
        if (path := wanted(options).get(name)) is not None:
            try:
                write_whole(path, [content().encode()])
                sys.stderr.write(f"{path} written\n")
            except OSError as error:
                failed.append(str(error))
    sys.stdout.write(to_markdown(report, protocol=False))
    sys.stdout.flush()
    if failed:
        raise OSError(f"not written: {'; '.join(failed)}")
