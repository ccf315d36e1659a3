"""What the study of alternatives says; the paper has no such study."""

from __future__ import annotations

from itertools import combinations
from statistics import fmean

from reference_experiments.alternatives.tables import TITLES, of_weight
from reference_experiments.findings import Finding, paired
from reference_experiments.spread import Spread
from reference_experiments.study import Results

EQ7 = ("robustness", "paper")
"""Eq. 7 by the study's attack, or by the paper's where the two are one."""
DIGITS = {"robustness_evaluation": (1, "dB"), "recall": (2, ""), "std": (3, "")}


def findings(results: Results) -> list[Finding]:
    """Eq. 7 against the strongest of the others in robustness, recall and per-pixel std, and against none."""
    eq7 = next(name for name in EQ7 if name in results["chosen_weights"])
    others = [name for name in results["chosen_weights"] if name not in ("none", *EQ7)]
    rival = max(others, key=lambda name: fmean(_values(results, name, "robustness_evaluation")))
    strongest = f"{TITLES[rival]}, the most robust of the other regularizers"
    return [
        _compared(results, "robustness_evaluation", eq7, "none", "Eq. 7 is more robust than no regularizer"),
        _compared(results, "robustness_evaluation", eq7, rival, f"Eq. 7 is more robust than {strongest}"),
        _compared(results, "recall", eq7, rival, f"Eq. 7 has a higher recall than {strongest}"),
        _compared(results, "std", eq7, rival, f"Eq. 7 has a higher per-pixel std than {strongest}"),
    ]


def _values(results: Results, name: str, number: str) -> list[float]:
    return [run["row"][number] for run in of_weight(results["runs"], name, results["chosen_weights"][name])]


def _compared(results: Results, number: str, name: str, other: str, claim: str) -> Finding:
    values = {term: _values(results, term, number) for term in (name, other)}
    none = _values(results, "none", number)
    digits, unit = DIGITS[number]
    return paired(
        f"{claim} (digits, at equal cost)", [a - b for a, b in zip(*values.values(), strict=True)],
        [a - b for a, b in combinations(none, 2)] or [0.0], paper="none",
        here=", ".join(f"{TITLES[term]} {Spread.of(of).text(digits)}" for term, of in values.items()),
        placebo_of="no regularizer at two training seeds", unit=unit,
    )  # fmt: skip
