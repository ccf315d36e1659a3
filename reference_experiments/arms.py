"""The four models that a study of the paper compares, in the order of its Table 1."""

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


ARMS = tuple(Arm(stochastic, robust) for stochastic in (True, False) for robust in (False, True))
