"""The diffusion study: both parts trained and measured, on one core."""

from __future__ import annotations

from dataclasses import asdict
from typing import NamedTuple

import torch
from torch import nn

from reference_experiments.diffusion import digits_part, disk_part
from reference_experiments.diffusion.digits_part import DigitPart
from reference_experiments.diffusion.presets import Preset
from reference_experiments.study import Place, Results


class Models(NamedTuple):
    """What the figure is drawn from."""

    digits: dict[str, nn.Module]
    disk: dict[str, nn.Module]
    part: DigitPart
    seed: int


def run(preset: Preset, place: Place) -> tuple[Results, Models]:
    """Train and measure the models of both parts."""
    torch.set_num_threads(1)  # such small networks gain nothing from more
    digits, digit_models = digits_part.run(preset.digits, place.seed)
    disk, disk_models = disk_part.run(preset.disk, place.seed)
    models = Models(digit_models, disk_models, preset.digits, place.seed)
    return {"digits": digits, "disk": disk, "settings": asdict(preset)}, models
