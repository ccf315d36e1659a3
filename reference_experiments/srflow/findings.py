"""What section 6.2 concludes, SRFlow ~ EDSR >> ESRGAN, held against the rows of a run."""

from __future__ import annotations

import re
from itertools import product

from reference_experiments.findings import Finding, paired
from reference_experiments.images.numbers import Number
from reference_experiments.srflow.summary import Summary, text
from reference_experiments.study import Results

NEAR_DB = 3.0
"""Output PSNR that differs by less is roughly the same."""
FAR_DB = 3.0
"""And by more is much worse."""
NUMERAL = re.compile(r"[\d.]+(e[+-]?\d+)?")
Differences = dict[tuple[str, float], Number]
"""Of two models, by set and alpha."""


def findings(results: Results) -> list[Finding]:
    """One for each pair of models that a conclusion is about; none where a run has no such pair."""
    summary = Summary.of(results)
    flows, plain, gans = (summary.with_role(role) for role in ("flow", "distortion", "GAN"))
    found = [_near(summary, flow, other) for flow, other in product(flows, plain)]
    found += [_far(summary, sound, gan) for sound, gan in product([*flows, *plain], gans)]
    return found + [_sharper(summary, flow, other) for flow, other in product(flows, plain)]


def explosions(summary: Summary) -> list[str]:
    """A sentence for each model whose output left the floating-point numbers under some attacks."""
    sentences = []
    for model in summary.models:
        rows = [row for row in summary.rows if row["model"] == model]
        n, total = sum(len(row["exploded"]) for row in rows), sum(len(row["images"]) for row in rows)
        if n:
            first = next(row["exploded"][0]["message"] for row in rows if row["exploded"])
            sentences.append(
                f"{model} exploded under {n} of {total} attacks, which are failures and in no mean: {first}."
            )
    return sentences


def concerns(summary: Summary) -> list[str]:
    """What the library doubts about each model's numbers, with how often; of sentences that differ in numbers, one."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in summary.rows:
        for concern in row["concerns"]:
            found.setdefault((row["model"], NUMERAL.sub("", concern)), []).append(concern)
    return [f"{model}, {len(same)} times, such as: {same[0]}" for (model, _), same in found.items()]


def _near(summary: Summary, flow: str, other: str) -> Finding:
    """Stochastic of high quality, and as robust as the distortion-oriented."""
    found = _differences(summary, flow, other, "output")
    claim = f"{flow} is as robust as {other}, to {NEAR_DB:.0f} dB of output PSNR"
    return _judged(summary, claim, flow, "SRFlow is comparable to EDSR (Figure 7)", found, -NEAR_DB)


def _far(summary: Summary, sound: str, gan: str) -> Finding:
    """The GAN without a robustness loss is far less robust."""
    found = _differences(summary, sound, gan, "output")
    claim = f"{sound} is more robust than {gan}, by at least {FAR_DB:.0f} dB of output PSNR"
    return _judged(summary, claim, sound, "SRFlow and EDSR are much better than ESRGAN (Figure 7)", found, FAR_DB)


def _sharper(summary: Summary, flow: str, other: str) -> Finding:
    """Robust, and not because it is blurry."""
    found = _differences(summary, flow, other, "sharpness_clean")
    return _judged(summary, f"{flow} is sharper than {other}", flow, "none", found, 0.0, unit="")


def _judged(
    summary: Summary, claim: str, model: str, paper: str, found: Differences, margin: float, unit: str = "dB"
) -> Finding:
    """Of the least difference of any set and alpha beyond the margin; of published weights with its interval."""
    here, failed = _listed(found, unit), _failed(summary, model, found)
    if model in summary.with_role("flow"):  # trained here, once
        fresh = _differences(summary, model, model, "output", "output_fresh") if unit else {}
        effect = min((number.estimate - margin for number in found.values()), default=0.0)
        return paired(
            claim, [effect], [number.estimate for number in fresh.values()] or [0.0], paper=paper, here=here,
            placebo_of="output PSNR on other seeds" if unit else "none of sharpness", unit=unit, missing=failed,
        )  # fmt: skip
    ends = [number.estimate - margin for number in found.values()]
    ends += [number.low for number in found.values() if number.low is not None]
    return Finding(claim, paper, here, 0, min(ends, default=0.0), unit=unit, missing=failed)


def _failed(summary: Summary, model: str, found: Differences) -> str:
    """What makes a model's row decide nothing."""
    if not found:
        return "no image at which both models have a number"
    rows = [row for row in summary.rows if row["model"] == model]
    n, total = sum(len(row["exploded"]) for row in rows), sum(len(row["images"]) for row in rows)
    return f"{model} exploded under {n} of {total} attacks" if n else ""


def _differences(summary: Summary, model: str, other: str, name: str, name_of_other: str = "") -> Differences:
    found = {
        (of_set, levels): summary.difference(model, other, of_set, levels, name, name_of_other or name)
        for of_set, levels in product(summary.sets, summary.levels)
    }
    return {key: number for key, number in found.items() if number is not None}


def _listed(found: Differences, unit: str) -> str:
    """Differences by set and alpha."""
    sets = dict.fromkeys(of_set for of_set, _ in found)
    parts = []
    for of_set in sets:
        of = [
            f"{text(number, 1 if unit else 2)} at {levels:g}/255"
            for (name, levels), number in found.items()
            if name == of_set
        ]
        parts.append(f"{of_set}: {', '.join(of)}")
    kind = unit or "shares of the source's gradient energy"
    return f"differences in {kind}, {'; '.join(parts)}" if found else "none"
