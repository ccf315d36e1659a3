"""The diffusion study by name."""

from __future__ import annotations

from dataclasses import dataclass

from reference_experiments.diffusion.digits_part import DigitPart
from reference_experiments.diffusion.disk_part import DiskPart
from reference_experiments.diffusion.training import FitConfig
from reference_experiments.digits.training import DigitTraining
from stochrobust import PGD


@dataclass(frozen=True)
class Preset:
    """Both parts."""

    digits: DigitPart
    disk: DiskPart


_TINY, _SHORT = FitConfig(4, batch=8, width=8, every=2), PGD(3)
PRESETS = {
    "quick": Preset(
        DigitPart(FitConfig(8000), FitConfig(3000, every=250), DigitTraining()),
        DiskPart(FitConfig(6000, batch=256, lr=4e-3, width=64), FitConfig(2000, batch=256, width=64)),
    ),
    "smoke": Preset(
        DigitPart(
            _TINY, _TINY, DigitTraining(steps=3, width=8, n_seeds=1), sampler_steps=3, n_draws=1, n_samples=2,
            n_inputs=3, n_seeds=2, w2_inputs=2, w2_seeds=3, memory_steps=(2, 20), attack=_SHORT,
        ),
        DiskPart(
            _TINY, _TINY, n_train=50, sampler_steps=3, n_inputs=5, n_seeds=4, attacked_inputs=2, attacked_seeds=2,
            n_draws=2, attack=_SHORT,
        ),
    ),
}  # fmt: skip
