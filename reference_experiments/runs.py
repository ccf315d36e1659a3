"""What a run leaves behind: atomic files, checkpoints that resume exactly, and a record of how it was made."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import stochrobust


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write the whole file or nothing: a reader or a crash never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, content: object) -> None:
    """Write readable JSON atomically; JSON has no infinity, which becomes the string "inf", nor what is no number."""
    write_atomically(path, json.dumps(_plain(content), indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """What :func:`write_json` wrote, infinities too."""
    return _with_infinities(json.loads(path.read_text()))


def _plain(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {name: _plain(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    return str(content) if isinstance(content, float) and not math.isfinite(content) else content


def _with_infinities(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _with_infinities(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_with_infinities(value) for value in content]
    return float(content) if content in ("inf", "-inf", "nan") else content


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Save tensors and numbers atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        torch.save(state, part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def load_checkpoint(path: Path, device: torch.device | str) -> dict[str, Any] | None:
    """The state saved at ``path``, or None where there is none yet; a file that cannot be read is named."""
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        raise ValueError(f"cannot read the checkpoint {path}: {error}; delete it to start again") from error
    return state


class Record:
    """How a result was made: command, revision, hardware, versions and duration.

    Args:
        command: the shell command that makes the result again.
    """

    def __init__(self, command: str) -> None:
        self.command = command
        self._revision = revision()  # now: results written on the way are changes of ours
        self._start = time.monotonic()

    def finished(self, device: torch.device | str, **further: Any) -> dict[str, Any]:
        """The record as JSON, with the time since it was begun."""
        return {
            "command": self.command,
            "revision": self._revision,
            "hardware": hardware(device),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "stochrobust": stochrobust.__version__,
            "seconds": round(time.monotonic() - self._start, 1),
            **further,
        }


def shell_command() -> str:
    """The command line of this process, as one would type it from the project's root."""
    return " ".join(["python", "-m", "reference_experiments", *sys.argv[1:]])


def revision() -> str:
    """The commit of the working tree, marked where files differ from it; "unknown" outside a repository."""
    if known := os.environ.get("STOCHROBUST_REVISION"):  # a machine that got the files without their history
        return known
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        return commit + ("+changes" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    root = Path(__file__).parent
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def hardware(device: torch.device | str) -> str:
    """The processor that did the work."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} thread(s) of {os.cpu_count()} cores"
