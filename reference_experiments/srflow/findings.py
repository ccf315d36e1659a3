"""What section 6.2 concludes, SRFlow ~ EDSR >> ESRGAN, as sentences that the measured numbers confirm or not."""

from __future__ import annotations

import re
from itertools import product

from reference_experiments.images.findings import Finding, Verdict
from reference_experiments.images.numbers import Number
from reference_experiments.srflow.summary import Summary, text

NEAR_DB = 3.0
"""Output PSNR that differs by less is roughly the same."""
FAR_DB = 3.0
"""And by more is much worse."""
NUMERAL = re.compile(r"[\d.]+(e[+-]?\d+)?")


def findings(summary: Summary) -> list[Finding]:
    """One for each pair of models that a conclusion is about; none where a run has no such pair."""
    flows, plain, gans = (summary.with_role(role) for role in ("flow", "distortion", "GAN"))
    found = [_near(summary, flow, other) for flow, other in product(flows, plain)]
    found += [_far(summary, sound, gan) for sound, gan in product([*flows, *plain], gans)]
    found += [_sharper(summary, flow, other) for flow, other in product(flows, plain)]
    return found


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
    verdict = _all([number.estimate > -NEAR_DB for number in found.values()])
    if verdict == "confirmed" and any(number.low is None or number.low < -NEAR_DB for number in found.values()):
        verdict = "in direction only"
    return Finding(
        f"{flow} is as robust as {other}, to {NEAR_DB:.0f} dB of output PSNR", verdict, _listed(found, 1, "dB")
    )


def _far(summary: Summary, sound: str, gan: str) -> Finding:
    """The GAN without a robustness loss is far less robust."""
    found = _differences(summary, sound, gan, "output")
    verdict = _all([number.estimate >= FAR_DB for number in found.values()])
    if verdict == "not confirmed" and found and all(number.estimate > 0 for number in found.values()):
        verdict = "in direction only"
    if verdict == "confirmed" and any(number.low is None or number.low <= 0 for number in found.values()):
        verdict = "in direction only"
    return Finding(
        f"{sound} is more robust than {gan}, by at least {FAR_DB:.0f} dB of output PSNR", verdict,
        _listed(found, 1, "dB"),
    )  # fmt: skip


def _sharper(summary: Summary, flow: str, other: str) -> Finding:
    """Robust, and not because it is blurry."""
    found = _differences(summary, flow, other, "sharpness_clean")
    verdict = _all([number.estimate > 0 for number in found.values()])
    if verdict == "confirmed" and any(number.low is None or number.low <= 0 for number in found.values()):
        verdict = "in direction only"
    return Finding(
        f"{flow} is sharper than {other}", verdict, _listed(found, 2, "shares of the source's gradient energy")
    )


def _differences(summary: Summary, model: str, other: str, name: str) -> dict[tuple[str, float], Number]:
    found = {
        (of_set, levels): summary.difference(model, other, of_set, levels, name)
        for of_set, levels in product(summary.sets, summary.levels)
    }
    return {key: number for key, number in found.items() if number is not None}


def _all(held: list[bool]) -> Verdict:
    return "confirmed" if held and all(held) else "not confirmed"


def _listed(found: dict[tuple[str, float], Number], digits: int, unit: str) -> str:
    """Differences by set and alpha."""
    if not found:
        return "no image at which both have a number"
    sets = dict.fromkeys(of_set for of_set, _ in found)
    parts = []
    for of_set in sets:
        of = [f"{text(number, digits)} at {levels:g}/255" for (name, levels), number in found.items() if name == of_set]
        parts.append(f"{of_set}: {', '.join(of)}")
    return f"differences in {unit}, {'; '.join(parts)}"
