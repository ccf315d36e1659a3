"""What the diffusion study says of appendices B.2, D and F, with one training of each model."""

from __future__ import annotations

from typing import Any

from reference_experiments.diffusion import digits_part, disk_part
from reference_experiments.diffusion.tables import GANS, ROBUST, times_as_long
from reference_experiments.findings import Finding, paired
from reference_experiments.study import Results

LESS_MEMORY = 2.0
"""Times as little."""
NEARLY, ALIKE = 0.95, 0.1
"""A share that is nearly all, and a share by which two lengths may differ and be alike."""


def findings(results: Results) -> list[Finding]:
    """All of them."""
    digits, disk = results["digits"], results["disk"]
    return [
        _cost(digits["memory"]),
        *(_against(digits["rows"], gan) for gan in (GANS[0], ROBUST)),
        _coupling(digits["rows"]),
        _mean_on_digits(digits, digits_part.MEAN, "the mean of its samples"),
        _mean_on_digits(digits, digits_part.REGRESSOR, "a regressor of the mean"),
        _sampler_on_disk(disk),
        _mean_on_disk(disk),
        _regressor_on_disk(disk),
    ]


def _cost(rows: list[dict[str, Any]]) -> Finding:
    plain, checkpointed = rows[-2:]
    ratio, longer = plain["bytes"] / checkpointed["bytes"], times_as_long(plain, checkpointed)
    return Finding(
        f"App. F: with every step checkpointed a gradient through {plain['steps']} steps of a sampler holds less than "
        "half of the memory", "not tried for its cost",
        f"{plain['bytes'] / 1e6:.1f} -> {checkpointed['bytes'] / 1e6:.1f} MB at {longer:.2f} times the time",
        0, ratio - LESS_MEMORY,
    )  # fmt: skip


def _against(rows: dict[str, Any], gan: str) -> Finding:
    """Robustness of the diffusion restorer, which is trained without the robustness loss."""
    ours, theirs = rows[digits_part.DIFFUSION], rows[gan]
    erratic = rows[GANS[0]]["robustness"] - rows[GANS[2]]["robustness"]
    return paired(
        f"App. F: a diffusion restorer, trained without the robustness loss, is more robust than the "
        f"{gan.removeprefix('GAN, ')} GAN", [ours["robustness"] - theirs["robustness"]], [erratic],
        paper="not tried for its cost", here=f"{ours['robustness']:.1f} and {theirs['robustness']:.1f} dB; recall "
        f"{ours['recall']:.2f} and {theirs['recall']:.2f}, per-pixel std {ours['std']:.3f} and {theirs['std']:.3f}",
        placebo_of="the two erratic GANs against each other", unit="dB",
    )  # fmt: skip


def _coupling(rows: dict[str, Any]) -> Finding:
    """Whether the seeds that two outputs share match them as well as anything can."""
    shares = {name: rows[name]["w2"] / rows[name]["w2_same_seed"] for name in (digits_part.DIFFUSION, *GANS[:2])}
    lower = rows[digits_part.DIFFUSION]["w2_gelbrich"] / rows[digits_part.DIFFUSION]["w2_same_seed"]
    ours, *gans = shares.values()
    return paired(
        f"App. D, on digits: of the diffusion restorer's same-seed change W2^2 is at least {100 * NEARLY:.0f} %",
        [ours - NEARLY], [gans[0] - gans[1]], paper="an inequality",
        here=f"{100 * ours:.0f} %, of so few points; {100 * lower:.0f} % by means and covariances",
        placebo_of="the two stochastic GANs against each other",
    )  # fmt: skip


def _sampler_on_disk(disk: dict[str, Any]) -> Finding:
    found, exact = disk["rows"][disk_part.DIFFUSION]["w2"] / disk["eps"], disk["posterior_w2"] / disk["eps"]
    floor = disk["rows"][disk_part.SAMPLER]["w2"] / disk["eps"] - exact
    return paired(
        f"On the disk the law of the diffusion sampler moves as far as the posterior, to {100 * ALIKE:.0f} %",
        [ALIKE * exact - abs(found - exact)], [floor], paper="none", here=f"{found:.2f} and {exact:.2f} times eps (W2)",
        placebo_of="the exact sampler's draws against its closed form", unit="eps",
    )  # fmt: skip


def _mean_on_digits(digits: dict[str, Any], name: str, words: str) -> Finding:
    rows, eps = digits["rows"], digits["eps"]
    law, mean, floor = (
        (row[key] ** 0.5) / eps
        for row, key in ((rows[digits_part.DIFFUSION], "w2"), (rows[name], "w2"), (rows[GANS[0]], "w2_floor"))
    )
    return paired(
        f"App. B.2, on digits: {words} moves no further than the law of a diffusion restorer", [law - mean], [floor],
        paper="holds of the posterior", here=f"{mean:.2f} and {law:.2f} times the attack (W2)",
        placebo_of="floor of W2 of the erratic stochastic GAN", unit="eps",
    )  # fmt: skip


def _mean_on_disk(disk: dict[str, Any]) -> Finding:
    rows, eps = disk["rows"], disk["eps"]
    law, mean = (rows[name]["w2"] / eps for name in (disk_part.SAMPLER, disk_part.MEAN))
    return Finding(
        "App. B.2, on the disk: the posterior's mean moves no further than the posterior", "holds",
        f"{mean:.2f} and {law:.2f} times the attack (W2)", 0, law - mean, unit="eps",
    )  # fmt: skip


def _regressor_on_disk(disk: dict[str, Any]) -> Finding:
    rows, eps = disk["rows"], disk["eps"]
    law, regressor, sampler = (
        rows[name]["w2"] / eps for name in (disk_part.SAMPLER, disk_part.REGRESSOR, disk_part.DIFFUSION)
    )
    return paired(
        "App. B.2, on the disk: a regressor of the mean moves no further than the posterior", [law - regressor],
        [sampler - disk["posterior_w2"] / eps], paper="holds of the posterior's own mean",
        here=f"{regressor:.2f} and {law:.2f} times the attack", placebo_of="the diffusion sampler and the posterior",
        unit="eps",
    )  # fmt: skip
