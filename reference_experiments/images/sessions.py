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
        device: it runs on, each process on one like it.
        processes: it runs in.
        mixed_precision: of its networks, ``no`` or ``bf16``.
    """

    def __init__(
        self, folder: Path, first_step: int, command: str,
        *, device: torch.device | str, processes: int = 1, mixed_precision: str = "no",
    ) -> None:  # fmt: skip
        self.path, self.first_step, self.device = folder / NAME, first_step, device
        self.processes, self.mixed_precision = processes, mixed_precision
        self._record = Record(command)
        before = [session for session in read_sessions(folder) if session["first_step"] < first_step]
        self.before = [{**session, "step": min(session["step"], first_step)} for session in before]

    def reached(self, step: int) -> None:
        """Write down that this session did the steps up to that one, just before their checkpoint is written."""
        mine = self._record.finished(
            self.device, processes=self.processes, mixed_precision=self.mixed_precision,
            first_step=self.first_step, step=step,
        )  # fmt: skip
        write_json(self.path, [*self.before, mine])


def read_sessions(folder: Path) -> list[dict[str, Any]]:
    """The entries of a training's folder, the earliest first."""
    path = folder / NAME
    sessions: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    return sessions
