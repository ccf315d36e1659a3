"""How a training came about: one entry for each time it was started, with command, revision, hardware and duration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from reference_experiments.runs import Record, write_json

NAME = "sessions.json"


class Sessions:
    """The record of a training that may have been broken off and gone on with.

    Args:
        folder: of the training.
        first_step: steps done when this session begins; what a session that was cut off did after it, is dropped.
        command: of this session.
        accelerator: what it runs on.
    """

    def __init__(self, folder: Path, first_step: int, command: str, accelerator: Accelerator) -> None:
        self.path, self.first_step, self.accelerator = folder / NAME, first_step, accelerator
        self._record = Record(command)
        before = [session for session in read_sessions(folder) if session["first_step"] < first_step]
        self.before = [{**session, "step": min(session["step"], first_step)} for session in before]

    def reached(self, step: int) -> None:
        """Write down that this session did the steps up to that one, just before their checkpoint is written."""
        mine = self._record.finished(
            self.accelerator.device, processes=self.accelerator.num_processes,
            mixed_precision=self.accelerator.mixed_precision, first_step=self.first_step, step=step,
        )  # fmt: skip
        write_json(self.path, [*self.before, mine])


def read_sessions(folder: Path) -> list[dict[str, Any]]:
    """The entries of a training's folder, the earliest first."""
    path = folder / NAME
    sessions: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    return sessions
