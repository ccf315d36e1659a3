"""Seconds that ``import stochrobust`` takes beyond ``import torch``, and what it imports.

    python benchmarks/import_time.py [--repeats 11 --out benchmarks/results]

Each repeat is a fresh interpreter that has imported torch. The processor's time is the figure: on a busy machine the
clock counts others' work too. "First" compiles the package's bytecode, as the first import after an installation does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from reference_experiments.runs import write_atomically, write_json

SRC = Path(__file__).parents[1] / "src"
ALLOWED = 0.3  # seconds
MEASURED = """
import json, sys, time
import torch
before = set(sys.modules)
cpu, clock = time.process_time(), time.perf_counter()
import stochrobust
cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
new = sorted(set(sys.modules) - before)
beside = [name for name in new if name.split(".")[0] != "stochrobust"]
print(json.dumps({"cpu": cpu, "clock": clock, "modules": len(new) - len(beside), "beside": beside}))
"""


def one_import(folder: Path) -> dict[str, Any]:
    """An import, from a folder, in a fresh interpreter that has imported torch."""
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run([sys.executable, "-c", MEASURED], env=environment, capture_output=True, text=True, check=True)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def measure(repeats: int) -> dict[str, Any]:
    """The first import of a copy without bytecode, and the medians of the later ones."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(SRC, folder, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        first, *later = (one_import(Path(folder)) for _ in range(repeats + 1))
    return {
        "first": first["cpu"],
        "later": statistics.median(each["cpu"] for each in later),
        "slowest": max(each["cpu"] for each in later),
        "clock": statistics.median(each["clock"] for each in later),
        "modules": first["modules"],
        "beside": first["beside"],
        "repeats": repeats,
        "allowed": ALLOWED,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def table(found: dict[str, Any]) -> str:
    return "\n".join(
        [
            "# What importing costs",
            "",
            f"`python benchmarks/import_time.py`: {found['repeats']} fresh interpreters that have imported torch.",
            f"{platform.machine()}, {os.cpu_count()} cores, Python {found['python']}, torch {found['torch']}.",
            "",
            "| import stochrobust, beyond import torch | seconds of the processor |",
            "| --- | --- |",
            f"| first, bytecode compiled | {found['first']:.3f} |",
            f"| later, median | {found['later']:.3f} |",
            f"| later, slowest | {found['slowest']:.3f} |",
            f"| allowed | {found['allowed']:.3f} |",
            "",
            f"{found['modules']} modules of its own, and beside them: {', '.join(found['beside']) or 'none'}.",
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found = measure(options.repeats)
    print(table(found))
    if options.out is not None:
        write_json(options.out / "import_time.json", found)
        write_atomically(options.out / "import_time.md", table(found))


if __name__ == "__main__":
    main()
