"""Small trainings of the image studies for tests: digits, networks of a few channels, no batch normalisation needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from reference_experiments.data.prepare import prepare
from reference_experiments.images.presets import TINY
from reference_experiments.images.settings import Cadence, Training
from reference_experiments.images.training import accelerated, train

CADENCE = Cadence(stats=1, checkpoint=2, snapshot=4)


def digits(folder: Path) -> Path:
    """The prepared digits."""
    return prepare("digits32", None, folder)


def tiny(**changed: Any) -> Training:
    """Settings of a training of milliseconds."""
    return Training(**{"task": "inpainting", "size": 32, "steps": 4, "milestones": (), **TINY, **changed})


def train_tiny(data: Path, folder: Path, cadence: Cadence = CADENCE, **changed: Any) -> Path:
    """Train with the settings of :func:`tiny` in ``folder``."""
    threads = torch.get_num_threads()
    train(tiny(**changed), data, folder, cadence, accelerated())
    assert torch.get_num_threads() == threads
    return folder
