"""How much an audit measures."""

from __future__ import annotations

from dataclasses import dataclass

from stochrobust._arguments import check_count, check_real, describe


@dataclass(frozen=True)
class AuditSettings:
    """How much an audit measures. More of each costs time, and narrows what is reported.

    Args:
        n_seeds: outputs of each input, at least 2; 1 is taken for a deterministic estimator.
        n_attacked: the first so many inputs are attacked; what most of the time goes to.
        attack_seeds: seeds that choose an attack, and as many others that score it; 1 for a deterministic estimator.
        k: neighbours for precision, recall, density and coverage.
        radii: further sizes of the strong attack, in units of eps, for the curve; ascending.
        n_splits: splits into halves for the intervals of the quality, at least 2.
        level: how often an interval should hold the expectation, in (0, 1).
        n_examples: inputs whose pictures are kept: the first ones, and as many that moved most.
        seed: of all random numbers.

    Raises:
        TypeError, ValueError: naming the setting.

    Example:
        >>> AuditSettings(n_seeds=8, radii=()).n_attacked
        64
    """

    n_seeds: int = 16
    n_attacked: int = 64
    attack_seeds: int = 8
    k: int = 5
    radii: tuple[float, ...] = (0.25, 0.5, 2.0)
    n_splits: int = 20
    level: float = 0.95
    n_examples: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        check_count("n_seeds", self.n_seeds, minimum=2)
        check_count("n_splits", self.n_splits, minimum=2)
        check_count("n_examples", self.n_examples, minimum=0)
        for name in ("n_attacked", "attack_seeds", "k"):
            check_count(name, getattr(self, name))
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise TypeError(f"seed must be an integer, got {describe(self.seed)}")
        if not 0 < check_real("level", self.level) < 1:
            raise ValueError(f"level must be between 0 and 1, got {self.level}")
        if not isinstance(self.radii, tuple):
            raise TypeError(f"radii must be a tuple of numbers, got {describe(self.radii)}")
        for radius in self.radii:
            check_real("radii", radius, minimum=0.0, open_minimum=True)
        if list(self.radii) != sorted(set(self.radii)):
            raise ValueError(f"radii must ascend, got {self.radii}")

    @property
    def all_radii(self) -> tuple[float, ...]:
        """Those of the curve: ``radii`` and 1, ascending."""
        return tuple(sorted({*map(float, self.radii), 1.0}))
