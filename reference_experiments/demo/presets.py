"""The demo by name."""

from __future__ import annotations

from dataclasses import dataclass, field

from reference_experiments.digits.evaluation import Protocol
from reference_experiments.digits.training import DigitTraining


@dataclass(frozen=True)
class Preset:
    """How to train and measure, with how many training seeds."""

    training: DigitTraining = field(default_factory=DigitTraining)
    protocol: Protocol = field(default_factory=Protocol)
    n_training_seeds: int = 1


PRESETS = {
    "demo": Preset(),
    "seeds": Preset(n_training_seeds=3),
    "smoke": Preset(DigitTraining(steps=6, width=16, n_seeds=2), Protocol(n_draws=1, n_samples=2, n_seeds=1)),
}
