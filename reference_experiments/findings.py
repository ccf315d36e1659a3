"""What a study concludes: a claim, the paper's figure, what was measured of it here, and the word that a rule gives."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from reference_experiments import markdown

Word = Literal["confirmed", "refuted", "not decided", "in direction", "against direction", "cannot tell", "exact"]
LEAST_TRAININGS = 3
DEVIATIONS = 2.0
COLUMNS = ("Claim", "Paper", "Here", "Trainings", "Effect", "Placebo", "Word")


def word(effect: float, deviation: float, placebo: float, trainings: int, *, ruler: bool = True) -> Word:
    """The word for an effect that the claim says is positive.

    Under no effect at all three trainings say "confirmed" in 1 % of cases.

    Args:
        effect: the mean over the trainings, each arm's paired with the others' of its training seed.
        deviation: the standard deviation of the effect over the trainings.
        placebo: the largest size, over the trainings, of a difference that should be about zero.
        trainings: of each arm; 0 of a closed form, or where nothing was trained.
        ruler: whether what measures the effect passes its gate.

    Returns:
        "cannot tell" without a ruler; "exact" without trainings; of one or two trainings the direction; of more
        "confirmed" where the effect exceeds both two deviations and the placebo, "refuted" where it does so with its
        sign turned, and else "not decided".
    """
    if not ruler:
        return "cannot tell"
    if trainings == 0:
        return "exact"
    if trainings < LEAST_TRAININGS:
        return "in direction" if effect > 0 else "against direction"
    clear = max(DEVIATIONS * deviation, placebo)
    if effect > clear:
        return "confirmed"
    return "refuted" if -effect > clear else "not decided"


@dataclass(frozen=True)
class Finding:
    """A claim and its evidence; :func:`word` judges it.

    Attributes:
        claim: a sentence without its full stop.
        paper: the paper's figures, "none" where the claim is not the paper's.
        here: the figures measured here.
        trainings, effect, deviation, placebo: see :func:`word`; the latter two are 0 of an exact finding.
        unit: of effect and placebo.
        placebo_of: which difference the placebo is.
        missing: what the ruler fails for; empty if it passes.
    """

    claim: str
    paper: str
    here: str
    trainings: int
    effect: float
    deviation: float = 0.0
    placebo: float = 0.0
    unit: str = ""
    placebo_of: str = ""
    missing: str = ""

    @property
    def word(self) -> Word:
        """By the rule."""
        return word(self.effect, self.deviation, self.placebo, self.trainings, ruler=not self.missing)

    @property
    def verdict(self) -> str:
        """The word, with what is missing for another one, and of an exact finding whether the claim holds."""
        if self.missing:
            return f"{self.word}: {self.missing}"
        return f"exact: {'holds' if self.effect > 0 else 'fails'}" if self.word == "exact" else self.word

    @property
    def cells(self) -> tuple[str, ...]:
        """A row under :data:`COLUMNS`."""
        spread = f" ± {figure(self.deviation)}" if self.trainings > 1 else ""
        unit = f" {self.unit}" if self.unit else ""
        placebo = f"{figure(self.placebo)}{unit} ({self.placebo_of})" if self.trainings else ""
        effect = f"{figure(self.effect)}{spread}{unit}"
        return self.claim, self.paper, self.here, str(self.trainings or "none"), effect, placebo, self.verdict

    def as_json(self) -> dict[str, Any]:
        """All of it, with its word."""
        return asdict(self) | {"word": self.word}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Finding:
        """What :meth:`as_json` gave."""
        return cls(**{field.name: content[field.name] for field in fields(cls)})


def paired(
    claim: str, effects: Sequence[float], placebo: Sequence[float], *, paper: str, here: str, placebo_of: str,
    unit: str = "", missing: str = "",
) -> Finding:  # fmt: skip
    """The finding of trainings, each with its own effect and its own difference that should be about zero."""
    deviation = statistics.stdev(effects) if len(effects) > 1 else 0.0
    return Finding(
        claim, paper, here, len(effects), statistics.fmean(effects), deviation, max(map(abs, placebo)), unit,
        placebo_of, missing,
    )  # fmt: skip


def table(findings: Sequence[Finding]) -> str:
    """Markdown, a row for each."""
    return markdown.table(COLUMNS, [finding.cells for finding in findings], align="l" * len(COLUMNS))


def figure(value: float) -> str:
    """Three significant digits, without an exponent where that is short; infinite decibels are exact."""
    if math.isinf(value):
        return "exact"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
