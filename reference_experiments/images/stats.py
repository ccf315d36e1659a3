"""What a training says of itself: ``stats.jsonl``, TensorBoard, pictures and a progress bar."""

from __future__ import annotations

import io
import json
import math
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from reference_experiments.runs import write_atomically

SHOWN = ("critic", "gan", "bits_per_pixel")
"""Beside the progress bar."""


class Stats:
    """Collects losses, and writes their means; a context that closes its files.

    Args:
        folder: gets ``stats.jsonl``, ``tensorboard/`` and ``snapshots/``.
        step: where the training goes on: lines and events of later steps, of a run that was cut off, are dropped.
        steps: of the whole training.
        writing: whether this process writes, or only collects.
    """

    def __init__(self, folder: Path, step: int, steps: int, writing: bool) -> None:
        self.folder, self.writing = folder, writing
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._last = (step, time.perf_counter())
        if writing:
            self._forget_after(step)
            self._tensorboard = _tensorboard(folder / "tensorboard", step)
            self._bar = _bar(folder.name, step, steps)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.writing:
            self._bar.close()
            if self._tensorboard is not None:
                self._tensorboard.close()

    def add(self, losses: dict[str, Tensor]) -> None:
        """Losses of one step; a loss need not be there at every step. Nothing waits for the device."""
        for name, loss in losses.items():
            self._sums[name] = self._sums[name] + loss if name in self._sums else loss
            self._counts[name] = self._counts.get(name, 0) + 1
        if self.writing:
            self._bar.update()

    def means(self) -> dict[str, Tensor]:
        """The mean of each loss since the last call."""
        means = {name: total.float() / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return means

    def write(self, step: int, batch: int, numbers: dict[str, float]) -> None:
        """Numbers of a step, with the images per second since the last time."""
        if not self.writing:
            return
        now = time.perf_counter()
        speed = (step - self._last[0]) * batch / (now - self._last[1])
        self._last = (step, now)
        self._line({"step": step, **numbers, "images_per_second": round(speed, 2)})
        self._bar.set_postfix({name: f"{numbers[name]:.3g}" for name in SHOWN if name in numbers})

    def show(self, step: int, numbers: dict[str, float], picture: Tensor) -> None:
        """Numbers and a (3, H, W) picture in [0, 1]."""
        if not self.writing:
            return
        from PIL import Image

        pixels = (picture * 255).round().to(torch.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy()).save(file, "PNG")
        write_atomically(self.folder / "snapshots" / f"{step:08d}.png", file.getvalue())
        if self._tensorboard is not None:
            self._tensorboard.add_image("restorations", pixels, step)
        self._line({"step": step, **numbers})

    def _line(self, numbers: dict[str, float]) -> None:
        finite = {name: value if math.isfinite(value) else str(value) for name, value in numbers.items()}
        with (self.folder / "stats.jsonl").open("a") as file:
            file.write(json.dumps(finite) + "\n")
        if self._tensorboard is not None:
            for name, value in numbers.items():
                if name != "step":
                    self._tensorboard.add_scalar(name, value, int(numbers["step"]))
            self._tensorboard.flush()  # where TensorFlow buffers, a kill loses steps that are not done again

    def _forget_after(self, step: int) -> None:
        path = self.folder / "stats.jsonl"
        if path.exists():
            lines = [line for line in path.read_text().splitlines(keepends=True) if _step_of(line) <= step]
            write_atomically(path, "".join(lines))


def read_stats(folder: Path) -> list[dict[str, Any]]:
    """The lines of ``stats.jsonl``."""
    return [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]


def _step_of(line: str) -> float:
    """Of a line; a half-written last one belongs to no step that is kept."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError):
        return math.inf


def _tensorboard(folder: Path, step: int) -> Any:
    """A writer, or None where TensorBoard is not installed: ``stats.jsonl`` has all of it too."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)


def _bar(name: str, step: int, steps: int) -> Any:
    from tqdm import tqdm

    return tqdm(total=steps, initial=step, desc=name, unit="step", mininterval=1.0, smoothing=0.05, disable=None)
