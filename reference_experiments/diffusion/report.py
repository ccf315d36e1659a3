"""Tables in Markdown, and one sentence per question of appendices F and B.2, in words that the figures choose."""

from __future__ import annotations

import math
from typing import Any

from reference_experiments.diffusion import digits_part, disk_part

ALIKE = 1.1  # two lengths are called alike up to this ratio,
ALIKE_DB = 2.0  # and two robustnesses up to this difference
ROBUST = "GAN, stochastic, robust"
GANS = ("GAN, stochastic, erratic", ROBUST, "GAN, deterministic, erratic", "GAN, deterministic, robust")

DIGIT_COLUMNS = (
    "Fréchet distance ↓", "Precision ↑", "Recall ↑", "Per-pixel std", "RMSE (of the mean) ↓",
    "Robustness (dB) ↑",
    "Eq. 7: √R / eps ↓", "random direction / eps", "Eq. 5: Gelbrich ≤ W2 ≤ same seed, / eps", "W2 floor / eps",
    "mean of outputs moves / eps",
)  # fmt: skip
DISK_COLUMNS = (
    "Eq. 7, true: √R / eps ↓", "Eq. 5, true: W2 / eps ↓", "std of x_2 given y", "W2 to the posterior",
    "rms of the mean", "Precision", "Recall", "attack finds of Eq. 7 / Eq. 5",
)  # fmt: skip


def tables(results: dict[str, Any]) -> str:
    """The page of the study."""
    digits, disk = results["digits"], results["disk"]
    return "\n\n".join(
        [
            "### Digits completed from their bottom quarter",
            _table(DIGIT_COLUMNS, {name: _digit_cells(row, digits["eps"]) for name, row in digits["rows"].items()}),
            _digit_note(digits),
            "### The memory of a gradient through the sampler (App. F)",
            _memory(digits["memory"]),
            "### The disk: x_2 given y = x_1",
            _table(DISK_COLUMNS, {name: _disk_cells(row, disk["eps"]) for name, row in disk["rows"].items()}),
            _disk_note(disk),
            "### What the figures say",
            "\n".join(f"- {sentence}" for sentence in results["findings"]),
            _made(results["record"]),
        ]
    ) + "\n"  # fmt: skip


def _table(columns: tuple[str, ...], rows: dict[str, list[str]]) -> str:
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    return "\n".join(lines + [f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items()])


def _digit_cells(row: dict[str, float], eps: float) -> list[str]:
    bounds = " ≤ ".join(f"{_root(row[name], eps):.2f}" for name in ("w2_gelbrich", "w2", "w2_same_seed"))
    return [
        f"{row['frechet']:.2f}", f"{row['precision']:.2f}", f"{row['recall']:.2f}", f"{row['std']:.3f}",
        f"{row['rmse']:.3f} ({row['rmse_of_mean']:.3f})", f"{row['robustness']:.1f}", _with_error(row, eps),
        f"{_root(row['random'], eps):.2f}", bounds, f"{_root(row['w2_floor'], eps):.2f}",
        f"{_root(row['w2_mean_moves'], eps):.2f}",
    ]  # fmt: skip


def _with_error(row: dict[str, float], eps: float) -> str:
    """``sqrt(R) / eps`` with its standard error over inputs."""
    root = amplification(row, eps)
    return f"{root:.2f} ± {row['same_seed_se'] / (2 * root * eps**2):.2f}" if root else f"{root:.2f}"


def _disk_cells(row: dict[str, float], eps: float) -> list[str]:
    def cell(name: str, digits: int = 3, scale: float = 1.0) -> str:
        return f"{row[name] / scale:.{digits}f}" if name in row else ""

    found = f"{row['attack_same_seed']:.3f} / {row['attack_w2']:.3f}" if "attack_w2" in row else ""
    return [
        cell("same_seed", scale=eps), cell("w2", scale=eps), cell("std"), cell("to_posterior"), cell("mean"),
        cell("precision"), cell("recall"), found,
    ]  # fmt: skip


def _digit_note(digits: dict[str, Any]) -> str:
    other, hidden = digits["training_digits"], digits["hidden_noise"]
    inside = _root(hidden["same_seed"], digits["eps"])
    same = "the same outputs bit for bit" if hidden["outputs_equal"] else "OTHER OUTPUTS"
    return (
        f"One training seed. All attacks have eps = {digits['eps']:.3f} and move observed pixels only; the restoration "
        "keeps them as attacked, so that an attack of full length alone makes √R / eps = 1. Eq. 7 and 5 are lower "
        "bounds of the maxima, over a few inputs each; ± is a standard error over inputs. Fréchet distance, precision "
        f"and recall (k = 3) are of raw pixels; training digits instead of outputs score {other['frechet']:.2f}, "
        f"{other['precision']:.2f} and {other['recall']:.2f}. The GANs are the demo's, trained against attacks that "
        "move any pixel of y; the settings of the others were chosen on this seed. The floor is W2 between independent "
        "draws at one y: so few unpaired samples cannot tell less from zero. With its noise inside (a generator of its "
        f"own, `HiddenNoise`) the diffusion sampler gives {same}, and √R / eps = {inside:.2f} with other seeds. No "
        "exact posterior sampler of digits is known, and none stands in for it."
    )


def _disk_note(disk: dict[str, Any]) -> str:
    floor, exact = disk["rows"][disk_part.SAMPLER]["to_posterior"], disk["posterior_w2"] / disk["eps"]
    return (
        f"eps = {disk['eps']:g}; x_2 only, as in Table 3. Eq. 7 and 5 are maxima over a grid of delta, at seeds common "
        "to all inputs; the last column is what the library's attack reaches of them. W2 to the posterior has a floor "
        f"of {floor:.3f}, the exact sampler's, from so few seeds. In closed form the posterior's own W2 / eps is "
        f"{exact:.3f} at these inputs, and that of its mean 0. The stored GANs are those of the toy study (its own "
        "inputs and seeds, means over its training seeds). The posterior is uniform on an interval: every point of it "
        "is a maximum, so that there is no MAP estimate to measure."
    )


def _memory(rows: list[dict[str, Any]]) -> str:
    cells: dict[str, list[str]] = {}
    for plain, checkpointed in zip(rows[::2], rows[1::2], strict=True):
        values = [plain["bytes"] / 1e6, checkpointed["bytes"] / 1e6]
        cells[f"{plain['steps']} steps"] = [
            f"{values[0]:.1f}", f"{values[1]:.1f}", f"{values[0] / values[1]:.1f}",
            f"{checkpointed['seconds'] / plain['seconds']:.2f}",
        ]  # fmt: skip
    columns = ("MB, whole graph", "MB, every step checkpointed", "ratio", "time, checkpointed / whole")
    return _table(columns, cells)


def amplification(row: dict[str, float], eps: float) -> float:
    """``sqrt(R) / eps``: how much larger than the attack the change is; 1 for the identity."""
    return _root(row["same_seed"], eps)


def _root(squared: float, eps: float) -> float:
    return math.sqrt(max(squared, 0.0)) / eps


def sentences(results: dict[str, Any]) -> list[str]:
    """The findings."""
    digits, disk = results["digits"], results["disk"]
    return [
        _cost(digits["memory"]),
        _against_gans(digits),
        _coupling(digits),
        _means(digits),
        _disk_sampler(disk),
        _disk_mean(disk),
    ]


def _cost(rows: list[dict[str, Any]]) -> str:
    plain, checkpointed = rows[-2:]
    ratio, slower = plain["bytes"] / checkpointed["bytes"], checkpointed["seconds"] / plain["seconds"]
    return (
        f"App. F: with every step checkpointed the gradient through {plain['steps']} steps holds {ratio:.1f} times "
        f"less memory ({plain['bytes'] / 1e6:.1f} -> {checkpointed['bytes'] / 1e6:.1f} MB) and takes {slower:.2f} "
        f"times as long; lack of memory is {'no' if ratio > 2 else 'still a'} reason to leave diffusion restorers "
        "unmeasured."
    )


def _against_gans(digits: dict[str, Any]) -> str:
    rows, ours = digits["rows"], digits["rows"][digits_part.DIFFUSION]
    parts = []
    for name in GANS:
        difference = ours["robustness"] - rows[name]["robustness"]
        word = "as robust as" if abs(difference) < ALIKE_DB else f"{'more' if difference > 0 else 'less'} robust than"
        parts.append(f"{word} the {name.removeprefix('GAN, ')} GAN ({rows[name]['robustness']:.1f})")
    robust = rows[ROBUST]
    return (
        f"App. F: the diffusion restorer, trained without L_R, reaches {ours['robustness']:.1f} dB: "
        f"{', '.join(parts)}; its Fréchet distance is {ours['frechet']:.2f}, its recall {ours['recall']:.2f} and its "
        f"per-pixel std {ours['std']:.3f}, the robust stochastic GAN's {robust['frechet']:.2f}, {robust['recall']:.2f} "
        f"and {robust['std']:.3f}."
    )


def _coupling(digits: dict[str, Any]) -> str:
    row = digits["rows"][digits_part.DIFFUSION]
    share, lower = row["w2"] / row["w2_same_seed"], row["w2_gelbrich"] / row["w2_same_seed"]
    verdict = (
        "matching outputs by their common seeds is nearly the best there is for so few points"
        if share > 0.95
        else "matching outputs by their common seeds is far from optimal"
    )
    return (
        f"App. D on a real sampler: of the diffusion restorer's same-seed change W2² is {100 * share:.0f} %, and the "
        f"bound from means and covariances {100 * lower:.0f} %: {verdict}."
    )


def _means(digits: dict[str, Any]) -> str:
    rows, eps = digits["rows"], digits["eps"]
    law = _root(rows[digits_part.DIFFUSION]["w2"], eps)
    mean, regressor = (_root(rows[name]["w2"], eps) for name in (digits_part.MEAN, digits_part.REGRESSOR))
    errors = [rows[name]["rmse"] for name in (digits_part.MEAN, digits_part.REGRESSOR)]
    return (
        f"App. B.2 on digits: the law of the diffusion restorer moves {law:.2f} times as far as its attack (W2), and "
        f"the mean of a few of its samples {mean:.2f} times. {_verdict(mean, law, 'mean of samples')} "
        f"The regressor of the mean moves {regressor:.2f} times as far (RMSE {errors[1]:.3f}, that of the mean of "
        f"samples {errors[0]:.3f}). {_verdict(regressor, law, 'regressor')}"
    )


def _verdict(mean: float, law: float, name: str) -> str:
    if mean <= law * ALIKE:
        return f"So the {name} is no less robust than the sampler, as B.2 expects."
    return f"So the {name} is less robust than the sampler, which the posterior's own mean could not be."


def _disk_sampler(disk: dict[str, Any]) -> str:
    ours, eps = disk["rows"][disk_part.DIFFUSION], disk["eps"]
    found, exact = ours["w2"] / eps, disk["posterior_w2"] / eps
    ratio = found / exact
    word = "as far as" if 1 / ALIKE < ratio < ALIKE else f"{ratio:.2f} times as far as"
    stored = "".join(
        f", {name.removesuffix(' (stored)')} {row['w2'] / eps:.2f}"
        for name, row in disk["rows"].items()
        if name.endswith("(stored)")
    )
    return (
        f"On the disk the law of the diffusion sampler moves {word} the posterior itself ({found:.2f} against "
        f"{exact:.2f} times eps, true maxima of Eq. 5{stored}); its same-seed change is {ours['same_seed'] / eps:.2f}."
    )


def _disk_mean(disk: dict[str, Any]) -> str:
    rows, eps = disk["rows"], disk["eps"]
    exact, regressor = rows[disk_part.SAMPLER], rows[disk_part.REGRESSOR]
    return (
        f"App. B.2 on the disk: the posterior moves {exact['w2'] / eps:.2f} times eps and its mean not at all; the "
        f"regressor of the mean, {regressor['same_seed'] / eps:.2f} times. "
        f"{_verdict(regressor['same_seed'], exact['w2'], 'regressor')}"
    )


def _made(record: dict[str, Any]) -> str:
    return (
        f"Made by `{record['command']}` at revision {record['revision']} in {record['seconds']:.0f} s on "
        f"{record['hardware']}, torch {record['torch']}, seed {record['seed']}."
    )
