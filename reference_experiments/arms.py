"""The four models that the paper's GAN studies compare: with and without seeds, with and without robustness."""

from __future__ import annotations

from typing import NamedTuple


class Arm(NamedTuple):
    """One of the four models: they differ in these two settings and in nothing else."""

    stochastic: bool
    robust: bool

    @property
    def name(self) -> str:
        """Such as ``stochastic, robust``."""
        return f"{'stochastic' if self.stochastic else 'deterministic'}, {'robust' if self.robust else 'erratic'}"

    @property
    def folder(self) -> str:
        """Such as ``stochastic-robust``: of its checkpoints, and what the command line calls it."""
        return self.name.replace(", ", "-")


ARMS = tuple(Arm(stochastic, robust) for stochastic in (True, False) for robust in (False, True))
"""In the order of Table 1."""
