"""The study of alternatives by name."""

from __future__ import annotations

from dataclasses import dataclass, field

from reference_experiments.digits.evaluation import Protocol
from reference_experiments.digits.training import DigitTraining
from stochrobust import TRAINING, AdamAscent, SphereAscent


@dataclass(frozen=True)
class Settings:
    """The study.

    Attributes:
        training: of the demo, but for ``steps``; its ``n_seeds`` and ``every`` are for Eq. 7 by the paper's attack.
        attack: by which Eq. 7 is trained; where it is not the paper's, Eq. 7 by the paper's is trained too, and its
            cost is everyone's.
        protocol: how the table is measured.
        n_choosing: validation digits that choose the weights; the others make the table.
        factor: see :data:`reference_experiments.alternatives.run.RULE`.
        n_weights: tried of each term.
        n_training_seeds: for the chosen weights; every other weight has one.
    """

    training: DigitTraining = field(default_factory=lambda: DigitTraining(steps=4000))
    attack: AdamAscent | SphereAscent = TRAINING
    protocol: Protocol = field(default_factory=Protocol)
    n_choosing: int = 200
    factor: float = 2.0
    n_weights: int = 3
    n_training_seeds: int = 2


PRESETS = {
    "full": Settings(),
    "quick": Settings(n_training_seeds=1),
    "smoke": Settings(
        DigitTraining(steps=6, width=16),
        protocol=Protocol(n_draws=1, n_samples=2, n_seeds=1),
        n_weights=1,
        n_training_seeds=1,
    ),
}
