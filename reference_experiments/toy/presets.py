"""The toy study by name: the published settings, and scaled-down ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from reference_experiments.toy.training import ToyTraining

ARMS = {
    "ErraticGAN": (False, False),
    "RobustGAN": (False, True),
    "StoGAN": (True, False),
    "RobustStoGAN": (True, True),
}
"""Name in the paper's Figure 2 -> (stochastic, robust)."""


@dataclass(frozen=True)
class ToyPreset:
    """The toy study: settings common to its four arms, lambda_R of the two robust ones, and how much is measured.

    Attributes:
        base: settings of every arm.
        weight: lambda_R of the robust arms, on change^2 / eps^2 (open: see the readings).
        n_inputs: inputs of the exhaustive search.
        n_validation: inputs of the 4-step attack.
        n_draws: draws of 1000 points for precision and recall.
        n_points: points of the exact W2 between samples.
        n_floors: draws of the posterior that the floor of Theorem 1 is the mean of.
        arms: those to train, of :data:`ARMS`.
    """

    base: ToyTraining
    weight: float = 1e-3
    n_inputs: int = 500
    n_validation: int = 10_000
    n_draws: int = 10
    n_points: int = 1000
    n_floors: int = 40
    arms: tuple[str, ...] = tuple(ARMS)

    def __post_init__(self) -> None:
        if unknown := set(self.arms) - set(ARMS):
            raise ValueError(f"arms must be among {list(ARMS)}, got {sorted(unknown)}")

    def training(self, name: str, seed: int) -> ToyTraining:
        """The settings of one of the four arms: they differ in the seeds and the weight, in nothing else."""
        stochastic, robust = ARMS[name]
        return replace(self.base, stochastic=stochastic, weight=self.weight if robust else 0.0, seed=seed)


def _toy(steps: int, n_models: int, n_seeds: int, **scaled_down: Any) -> ToyTraining:
    return ToyTraining(stochastic=False, steps=steps, n_models=n_models, n_seeds=n_seeds, **scaled_down)


PRESETS = {
    #                       steps, training seeds, n_seeds
    "quick": ToyPreset(_toy(6_000, 3, 4, lr=3e-4, width=128, batch=256), n_validation=1000, n_inputs=300),
    "paper": ToyPreset(_toy(20_000, 1, 50)),
    "smoke": ToyPreset(_toy(3, 2, 2), n_validation=20, n_inputs=10, n_draws=2, n_points=30, n_floors=2),
}
