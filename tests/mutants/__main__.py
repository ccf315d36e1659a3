"""A seeded sample of mutants of every group, judged by its tests: python -m tests.mutants [--only GROUP] [--sample N].

Each mutant lives in a process of its own, forked from one that has torch and pytest loaded, and meets the tests of its
module and then those of its group. One that outlives them is printed: it wants a test, or a sentence that says why it
is the same program.
"""

from __future__ import annotations

import argparse
import importlib.abc
import importlib.machinery
import importlib.util
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest
import torch  # noqa: F401

from tests.mutants.changes import Mutant, mutants

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "stochrobust"
SECONDS = 240
"""What outlasts this has been noticed: a loop that no longer ends."""


class Overlay(importlib.abc.MetaPathFinder):
    """Finds the mutant in place of its module."""

    def __init__(self, mutant: Mutant) -> None:
        self.name = ".".join(mutant.path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        self.mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module's own place, with another loader."""
        if fullname != self.name:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        assert spec is not None
        assert spec.origin is not None
        spec.loader = Loader(fullname, spec.origin, self.mutant.source)
        return spec


class Loader(importlib.machinery.SourceFileLoader):
    """Runs the mutant's source."""

    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self.source = source

    def get_code(self, fullname: str) -> CodeType | None:
        """Of the mutant, and never from a cache."""
        return compile(self.source, self.path, "exec")


def tests_of(path: Path) -> list[list[str]]:
    """The arguments of pytest: the module's own tests, then those of its group."""
    place = path.relative_to(PACKAGE)
    group = place.parts[0] if len(place.parts) > 1 else ""
    own = ROOT / "tests" / group / f"test_{place.stem.lstrip('_')}.py"
    rest = [str(ROOT / "tests" / group)] if group else [str(ROOT / "tests" / "test_files.py")]
    common = [str(ROOT / "tests" / "bad_calls"), str(ROOT / "tests" / "test_bad_input.py")]
    return ([[str(own)]] if own.exists() else []) + [[*rest, *common]]


def outcome(mutant: Mutant, *, own: bool = False) -> str:
    """Killed, or survived; with ``own``, of the tests of its module alone, where it has such."""
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        os._exit(_meet(mutant, tests_of(mutant.path)[: 1 if own else None]))
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "survived" if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0 else "killed"
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "killed"


def _meet(mutant: Mutant, tests: list[list[str]]) -> int:
    """In the child: the exit code of the first of its tests that fail; 0 if none does."""
    sys.meta_path.insert(0, Overlay(mutant))
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    usual = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow and not browser and not distributed", "--no-header"]
    for files in tests:
        if code := pytest.main([*usual, *files]):
            return int(code)
    return 0


def groups() -> dict[str, list[Path]]:
    """The modules of every folder of the package, and those beside the folders."""
    found: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).parts
        found.setdefault(parts[0] if len(parts) > 1 else "checks and files", []).append(path)
    return found


def main(arguments: list[str]) -> int:
    """Print the survivors and the shares; 1 if a group kills less than 97 %."""
    options = argparse.ArgumentParser()
    options.add_argument("--only", default="")
    options.add_argument("--sample", type=int, default=25)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--own", action="store_true", help="by the tests of each module alone: quicker, and stricter")
    options.add_argument("--seconds", type=float, default=float("inf"))
    chosen: Any = options.parse_args(arguments)
    start, low = time.monotonic(), False
    for group, paths in groups().items():
        if chosen.only not in group and not any(chosen.only in str(path) for path in paths):
            continue
        every = [
            mutant for path in paths if chosen.only in group or chosen.only in str(path) for mutant in mutants(path)
        ]
        counts: Counter[str] = Counter()
        if (
            every
            and outcome(Mutant(every[0].path, 0, "nothing", every[0].path.read_text()), own=chosen.own) == "killed"
        ):
            print(f"{group}: its tests fail without any change", flush=True)
            return 1
        for mutant in random.Random(chosen.seed).sample(every, min(chosen.sample, len(every))):
            if time.monotonic() - start > chosen.seconds:
                break
            found = outcome(mutant, own=chosen.own)
            counts[found] += 1
            if found == "survived":
                print(f"survived: {mutant}", flush=True)
        share = counts["killed"] / max(1, counts.total())
        print(
            f"{group}: {counts['killed']} of {counts.total()} killed ({share:.1%}), drawn from {len(every)}", flush=True
        )
        low = low or (counts.total() > 0 and share < 0.97)
    return int(low)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
