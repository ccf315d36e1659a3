"""What the verdicts say of numbers, in parts of sentences that several of them share."""

from __future__ import annotations

from stochrobust.auditing.case import Case
from stochrobust.auditing.numbers import number, percent, quantity
from stochrobust.auditing.thresholds import STEEP


def faults(case: Case) -> str:
    """What is off though the spread is of the right size."""
    found = []
    if case.uneven:
        found.append(f"the coverage of x is off by {number(case.value('coverage_gap') or 0.0)}")
    if case.misplaced:
        along, elsewhere = (times(case.value(f"spread_{part}")) for part in ("principal", "elsewhere"))
        value, null = (number(case.value(f"conditional_frechet{part}") or 0.0) for part in ("", "_null"))
        found.append(
            f"along their own directions they spread by {along} the error, elsewhere by {elsewhere}, and the "
            f"conditional Frechet distance is {value} where outputs among each other have {null}"
        )
    return "; ".join(found)


def robustness(case: Case) -> str:
    """Robustness beside what it has to be compared with."""
    strong, random, size = map(case.value, ("robustness_strong", "robustness_random", "ai_psnr_strong"))
    compared = {"amplification": "delta", "change_over_error": "their error"}
    compared |= {"change_over_spread": "the spread of their seeds"} if case.stochastic else {}
    ratios = [f"{times(case.value(name))} {what}" for name, what in compared.items() if case.value(name) is not None]
    attack = "" if size is None else f" of AI-PSNR {decibels(size)}"
    kept = "" if strong is None else f" (robustness {decibels(strong)}; along a random direction {decibels(random)})"
    reference, share = case.value("amplification_reference"), case.value("steep_share")
    if reference is not None:
        kept += f"; a linear restorer of these pairs amplifies by {number(reference)}"
    if case.sensitive and share is not None:
        kept += f"; {percent(share)} of the inputs are over {STEEP:g} times as steep as it"
    doubt = "" if case.settled else " The intervals leave the verdict open: measure more inputs."
    return f"An attack{attack} changes the outputs by {', '.join(ratios)}{kept}.{doubt}"


def decibels(value: float | None) -> str:
    """Such as ``31.60 dB``."""
    return quantity(value, "dB")


def times(value: float | None) -> str:
    """Such as ``1.60 times``."""
    return f"{number(value or 0.0)} times"
