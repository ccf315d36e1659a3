"""What the measured figures say: Table 1 in Markdown, and one plain sentence per finding, whichever way it falls."""

from __future__ import annotations

import math
import statistics
from typing import NamedTuple

from reference_experiments.arms import ARMS, Arm

COLLAPSED = 0.01  # per-pixel std of pixels in [0, 1] below which samples look the same
ALIKE_DB = 2.0  # robustness that differs by less is called equal
ATTACKS = ("paper", "evaluation")
COLUMNS = {
    "frechet": ("Fréchet distance ↓", 2),
    "precision": ("Precision ↑", 2),
    "recall": ("Recall ↑", 2),
    "std": ("Per-pixel std", 3),
    "robustness_paper": ("Robustness, paper's attack (dB) ↑", 1),
    "robustness_evaluation": ("Robustness, stronger attack (dB) ↑", 1),
    "ai_psnr_paper": ("AI-PSNR (dB)", 1),
    "ai_psnr_evaluation": ("AI-PSNR, stronger (dB)", 1),
    "consistency": ("Consistency (dB)", 1),
}


class Statistic(NamedTuple):
    """A figure over the training seeds: its mean, and its standard deviation where there are several."""

    mean: float
    spread: float | None = None

    def text(self, digits: int) -> str:
        """Such as ``0.14 ± 0.02``."""
        if math.isinf(self.mean):
            return "exact"
        mean = f"{self.mean:.{digits}f}"
        return mean if self.spread is None else f"{mean} ± {self.spread:.{digits}f}"


Row = dict[str, Statistic]


def summarize(rows: list[dict[str, float]]) -> Row:
    """One row per training seed -> their mean and spread, name by name."""

    def statistic(values: list[float]) -> Statistic:
        spread = statistics.stdev(values) if len(values) > 1 and all(map(math.isfinite, values)) else None
        return Statistic(statistics.fmean(values), spread)

    return {name: statistic([row[name] for row in rows]) for name in rows[0]}


def table(rows: dict[Arm, Row], real: dict[str, float]) -> str:
    """Table 1 of the paper for the digits, in Markdown; the last row is what other real digits score."""
    lines = ["| | " + " | ".join(title for title, _ in COLUMNS.values()) + " |", "|---|" + "---:|" * len(COLUMNS)]
    for arm, row in rows.items():
        lines.append(_line(arm.name.capitalize(), [row[name].text(digits) for name, (_, digits) in COLUMNS.items()]))
    cells = [f"{real[name]:.{digits}f}" if name in real else "" for name, (_, digits) in COLUMNS.items()]
    return "\n".join([*lines, _line("*Training digits instead of outputs*", cells)]) + "\n"


def _line(name: str, cells: list[str]) -> str:
    return f"| {name} | " + " | ".join(cells) + " |"


def sentences(rows: dict[Arm, Row]) -> list[str]:
    """The findings, in words that the figures choose."""
    stochastic_erratic, stochastic, deterministic_erratic, deterministic = (rows[arm] for arm in ARMS)
    return [
        _price("deterministic", deterministic_erratic, deterministic),
        _price("stochastic", stochastic_erratic, stochastic),
        _gained(rows),
        _compared(stochastic, deterministic),
        _flattered(rows),
        _variety(stochastic_erratic["std"], stochastic["std"]),
    ]


def _price(kind: str, before: Row, after: Row) -> str:
    """What robustness does to recall and distance."""
    recall, distance = (f"({before[name].text(2)} -> {after[name].text(2)})" for name in ("recall", "frechet"))
    return (
        f"Robustifying the {kind} GAN {_recall_change(before['recall'].mean, after['recall'].mean)} {recall} and "
        f"{_distance_change(before['frechet'].mean, after['frechet'].mean)} {distance}."
    )


def _recall_change(before: float, after: float) -> str:
    if after > 1.02 * before:
        return "raises its recall"
    if after >= 0.98 * before:
        return "leaves its recall as it was"
    return f"takes {100 * (1 - after / before):.0f} % of its recall"


def _distance_change(before: float, after: float) -> str:
    ratio = after / before
    if ratio >= 1.5:
        return f"multiplies its Fréchet distance by {ratio:.1f}"
    if ratio > 1.02:
        return f"raises its Fréchet distance by {100 * (ratio - 1):.0f} %"
    if ratio >= 0.98:
        return "leaves its Fréchet distance as it was"
    return f"lowers its Fréchet distance by {100 * (1 - ratio):.0f} %"


def _gained(rows: dict[Arm, Row]) -> str:
    """How much robustness the regularizer buys, under the stronger attack."""
    name = "robustness_evaluation"
    parts = []
    for kind, stochastic in (("stochastic", True), ("deterministic", False)):
        before, after = (rows[Arm(stochastic, robust)][name] for robust in (False, True))
        change = after.mean - before.mean
        figures = f"({before.text(1)} -> {after.text(1)} dB)"
        parts.append(f"{'gains' if change >= 0 else 'loses'} the {kind} GAN {abs(change):.1f} dB {figures}")
    return f"Under the stronger attack the regularizer {parts[0]} and {parts[1]}."


def _compared(stochastic: Row, deterministic: Row) -> str:
    """Which robust GAN is the more robust."""
    ours, theirs = stochastic["robustness_evaluation"], deterministic["robustness_evaluation"]
    difference = ours.mean - theirs.mean
    verdict = "more" if difference > ALIKE_DB else "less" if difference < -ALIKE_DB else "as"
    than = "as" if verdict == "as" else "than"
    figures = f"{ours.text(1)} against {theirs.text(1)} dB"
    return f"The robust stochastic GAN is {verdict} robust {than} the robust deterministic one ({figures})."


def _flattered(rows: dict[Arm, Row]) -> str:
    """What the paper's attack leaves unfound, and whether the models' order depends on the attack."""
    paper, strong = ({arm: row[f"robustness_{name}"].mean for arm, row in rows.items()} for name in ATTACKS)
    gaps = [paper[arm] - strong[arm] for arm in ARMS]
    orders = [sorted((arm for arm in ARMS if arm.robust), key=found.__getitem__) for found in (paper, strong)]
    kept = "the same" if orders[0] == orders[1] else "another"
    return (
        f"The paper's attack shows every model as more robust than the stronger one does, by {min(gaps):.1f} to "
        f"{max(gaps):.1f} dB; of the two robust GANs {kept} is ahead under either."
        if min(gaps) > 0
        else f"The stronger attack finds between {min(gaps):.1f} and {max(gaps):.1f} dB more than the paper's."
    )


def _variety(erratic: Statistic, robust: Statistic) -> str:
    """Whether the seeds do anything."""
    state = "has collapsed" if erratic.mean < COLLAPSED else "has not collapsed"
    figures = f"{robust.text(3)} against {erratic.text(3)}"
    ratio = f"{robust.mean / erratic.mean:.1f} times as high" if erratic.mean > 0 else "another"
    return f"The erratic stochastic GAN {state}; the robust one's per-pixel std is {ratio} ({figures})."
