"""A training stops where a number is no longer finite, and says from where one can go on."""

from __future__ import annotations

import math
from pathlib import Path

from reference_experiments.images import checkpoints
from reference_experiments.images.checkpoints import Checkpoint


def finite_losses(numbers: dict[str, float], step: int, folder: Path) -> dict[str, float]:
    """The numbers themselves; an error if one is not finite."""
    if bad := {name: value for name, value in numbers.items() if not math.isfinite(value)}:
        raise FloatingPointError(f"losses up to step {step} are not finite: {bad}; {_last_good(folder)}")
    return numbers


def finite_state(reached: Checkpoint, folder: Path) -> Checkpoint:
    """The checkpoint itself; an error if a number in it is not finite, which no loss has shown yet."""
    if bad := [name for name, tensor in reached.tensors.items() if not bool(tensor.isfinite().all())]:
        raise FloatingPointError(
            f"after step {reached.step}, {len(bad)} tensors are not finite, the first {bad[0]}; {_last_good(folder)}"
        )
    return reached


def _last_good(folder: Path) -> str:
    good = checkpoints.latest(folder / "checkpoints")
    return "there is no checkpoint yet" if good is None else f"the last good checkpoint is {good}"
