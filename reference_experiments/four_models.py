"""What section 6.1.2 concludes from Table 1 of the four models, held against numbers measured here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from reference_experiments.arms import ARMS, Arm
from reference_experiments.findings import Finding, figure, paired
from reference_experiments.spread import Spread

Four = tuple[float, float, float, float]
"""In the order of :data:`ARMS`."""
Numbers = Mapping[Arm, Sequence[Mapping[str, float]]]
"""Of each model the numbers of its trainings, those of one training seed at the same place."""
PUBLISHED: dict[str, Four] = {
    "frechet": (14.10, 19.27, 14.37, 39.09),
    "precision": (0.670, 0.634, 0.670, 0.533),
    "recall": (0.388, 0.268, 0.382, 0.022),
    "std": (0.007, 0.105, 0.0, 0.0),
    "robustness_paper": (6.884, 26.19, 3.544, 23.69),
    "ai_psnr_paper": (34.47, 32.95, 34.18, 32.98),
}
"""Table 1 (CelebA, 64 x 64, 50,000 images, Inception features)."""
BARELY = 0.02
"""Per-pixel std of pixels in [0, 1], five levels of 255, below which outputs are said to vary barely (paper: 0.007)."""
SEVERAL = 3.0
"""Times as large."""
NEAR_DB = 3.0
"""Robustness that differs by less is roughly the same (paper: 26.2 and 23.7 dB)."""
ERRATIC = "the two erratic models against each other"
ATTACKS = {"paper": "the paper's attack", "evaluation": "the strong attack"}


def conclusions(numbers: Numbers, real: Mapping[str, float], *, missing: str = "", paper: str = "") -> list[Finding]:
    """Of the four models of one task.

    Args:
        numbers: ``frechet``, ``precision``, ``recall``, ``std`` and ``robustness_*`` of each training.
        real: precision and recall of real images in place of outputs.
        missing: what makes every conclusion impossible; beside what :func:`poor` finds.
        paper: what stands for the paper's figures where they are not those of Table 1.
    """
    missing = missing or poor(numbers, real)
    few = missing or narrow(numbers, real)
    four = {name: Measured(numbers, name, paper) for name in (*PUBLISHED, "robustness_evaluation")}
    return [
        four["recall"].finding("Robustness costs the deterministic model more recall than the stochastic one",
                               lambda se, sr, de, dr: (de - dr) - (se - sr), few),
        four["frechet"].finding("Robustness costs the deterministic model more Fréchet distance than the stochastic "
                                "one", lambda se, sr, de, dr: (dr - de) - (sr - se), missing),
        four["std"].finding(f"The erratic stochastic model barely varies: its per-pixel std is below {BARELY}",
                            lambda se, sr, de, dr: BARELY - se, missing, "the deterministic models",
                            lambda se, sr, de, dr: de - dr),
        four["std"].finding(f"Robustness makes the stochastic model's per-pixel std more than {SEVERAL:.0f} times as "
                            "large", lambda se, sr, de, dr: sr - SEVERAL * se, missing),
        *(_gain(four[f"robustness_{name}"], attack, kind, missing)
          for name, attack in ATTACKS.items() for kind in (True, False)),
        four["robustness_evaluation"].finding(
            f"The two robust models end within {NEAR_DB:.0f} dB of each other under the strong attack",
            lambda se, sr, de, dr: NEAR_DB - abs(sr - dr), missing, published=four["robustness_paper"].published),
        _flattered(numbers, four, missing),
    ]  # fmt: skip


def poor(numbers: Numbers, real: Mapping[str, float]) -> str:
    """Which model's precision is below a third of real images', the worst first; empty if none is."""
    precision = {arm: fmean(row["precision"] for row in rows) for arm, rows in numbers.items()}
    worst = min(precision, key=precision.__getitem__)
    if precision[worst] >= real["precision"] / 3:
        return ""
    return f"precision {precision[worst]:.3f} of the {worst.name} model is below a third of real images' " + (
        f"{real['precision']:.3f}"
    )


def narrow(numbers: Numbers, real: Mapping[str, float]) -> str:
    """Which erratic model's recall is below half of real images'; empty if none is."""
    recall = {arm: fmean(row["recall"] for row in numbers[arm]) for arm in ARMS if not arm.robust}
    worst = min(recall, key=recall.__getitem__)
    if recall[worst] >= real["recall"] / 2:
        return ""
    return f"recall {recall[worst]:.3f} of the {worst.name} model is below half of real images' {real['recall']:.3f}"


@dataclass(frozen=True)
class Measured:
    """One number of the four models, training by training."""

    numbers: Numbers
    name: str
    paper: str = ""

    @property
    def published(self) -> Four | None:
        """The paper's."""
        return PUBLISHED.get(self.name)

    @property
    def unit(self) -> str:
        """Of the number."""
        return "dB" if "robustness" in self.name or "psnr" in self.name else ""

    @property
    def text(self) -> str:
        """Such as ``stochastic 0.39 -> 0.27, deterministic 0.38 -> 0.02``."""
        digits = {"std": 4, "recall": 3, "precision": 3, "frechet": 2}.get(self.name, 1)
        means = [Spread.of(row[self.name] for row in self.numbers[arm]).text(digits) for arm in ARMS]
        return _listed(means, self.unit)

    def each(self, effect: Callable[[float, float, float, float], float]) -> list[float]:
        """A combination of the four, training by training."""
        return [effect(*(row[self.name] for row in models)) for models in trainings(self.numbers)]

    def finding(
        self,
        claim: str,
        effect: Callable[[float, float, float, float], float],
        missing: str = "",
        placebo_of: str = ERRATIC,
        placebo: Callable[[float, float, float, float], float] = lambda se, sr, de, dr: se - de,
        published: Four | None = None,
    ) -> Finding:
        """Of the effect, positive if the claim holds, in the order of :data:`ARMS`."""
        published = published or self.published
        paper = self.paper or "none"
        if published is not None and not self.paper:
            paper = f"{figure(effect(*published))}: {_listed([f'{value:g}' for value in published], self.unit)}"
        return paired(
            claim, self.each(effect), self.each(placebo), paper=paper, here=self.text, placebo_of=placebo_of,
            unit=self.unit, missing=missing,
        )  # fmt: skip


def _gain(robustness: Measured, attack: str, stochastic: bool, missing: str) -> Finding:
    kind = "stochastic" if stochastic else "deterministic"
    return robustness.finding(
        f"The robustness loss makes the {kind} model more robust under {attack}",
        (lambda se, sr, de, dr: sr - se) if stochastic else (lambda se, sr, de, dr: dr - de), missing,
    )  # fmt: skip


def _flattered(numbers: Numbers, four: Mapping[str, Measured], missing: str) -> Finding:
    gaps = [[row["robustness_paper"] - row["robustness_evaluation"] for row in models] for models in trainings(numbers)]
    sizes = [[row["ai_psnr_paper"] - row["ai_psnr_evaluation"] for row in models] for models in trainings(numbers)]
    return paired(
        "The paper's attack makes each of the four models look more robust than the strong one does",
        [min(of_training) for of_training in gaps], [max(map(abs, of_training)) for of_training in sizes],
        paper="none", here=f"paper's {four['robustness_paper'].text}; strong {four['robustness_evaluation'].text}",
        placebo_of="AI-PSNR of the two attacks", unit="dB", missing=missing,
    )  # fmt: skip


def trainings(numbers: Numbers) -> list[tuple[Mapping[str, float], ...]]:
    """The rows of the four models, training seed by training seed."""
    return list(zip(*(numbers[arm] for arm in ARMS), strict=True))


def _listed(four: Sequence[str], unit: str) -> str:
    se, sr, de, dr = four
    return f"stochastic {se} -> {sr}, deterministic {de} -> {dr}{f' {unit}' if unit else ''}"
