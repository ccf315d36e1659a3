"""How a training came about: one entry for each time it was started, with command, revision, hardware and duration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from reference_experiments.runs import Record, write_json

NAME = "sessions.json"


class Sessions:
    """The record of a training that may have been broken off and gone on with.

    Args:
        folder: of the training.
        first_step: steps done when this session begins; what a session that was cut off did after it, is dropped.
        command: of this session.
        device, n_processes: it runs on.
    """

    def __init__(
        self, folder: Path, first_step: int, command: str, device: torch.device | str, n_processes: int
    ) -> None:
        self.path, self.first_step = folder / NAME, first_step
        self.device, self.n_processes = device, n_processes
        self._record = Record(command)
        before = read_sessions(folder)
        self.before = [session for session in before if session["first_step"] < first_step]

    def reached(self, step: int) -> None:
        """Write down that the checkpoint of that step is there."""
        mine = self._record.finished(self.device, processes=self.n_processes, first_step=self.first_step, step=step)
        write_json(self.path, [*self.before, mine])


def read_sessions(folder: Path) -> list[dict[str, Any]]:
    """The entries of a training's folder, the earliest first."""
    path = folder / NAME
    sessions: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    return sessions
