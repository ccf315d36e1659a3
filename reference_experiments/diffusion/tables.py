"""The tables of the diffusion study."""

from __future__ import annotations

import math
from typing import Any

from reference_experiments import findings as found
from reference_experiments import markdown
from reference_experiments.diffusion import disk_part
from reference_experiments.study import Results, stored_findings

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


def tables(results: Results) -> str:
    """The page of the study."""
    digits, disk = results["digits"], results["disk"]
    digit_rows = [[name, *_digit_cells(row, digits["eps"])] for name, row in digits["rows"].items()]
    disk_rows = [[name, *_disk_cells(row, disk["eps"])] for name, row in disk["rows"].items()]
    return "\n\n".join([
        "### Digits completed from their bottom quarter", markdown.table(("", *DIGIT_COLUMNS), digit_rows),
        _digit_note(digits),
        "### The memory of a gradient through the sampler (App. F)", _memory(digits["memory"]),
        "### The disk: x_2 given y = x_1", markdown.table(("", *DISK_COLUMNS), disk_rows), _disk_note(disk),
        "### What the figures say", found.table(stored_findings(results)), _made(results["record"]),
    ])  # fmt: skip


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
    lines = []
    for plain, checkpointed in zip(rows[::2], rows[1::2], strict=True):
        megabytes = [plain["bytes"] / 1e6, checkpointed["bytes"] / 1e6]
        slower, ratio = times_as_long(plain, checkpointed), f"{megabytes[0] / megabytes[1]:.1f}"
        times = f"{slower:.2f}" if math.isfinite(slower) else "too short to tell"
        lines.append([
            f"{plain['steps']} steps", *(f"{size:.1f}" for size in megabytes), ratio, times,
        ])  # fmt: skip
    head = ("", "MB, whole graph", "MB, every step checkpointed", "ratio", "time, checkpointed / whole")
    return markdown.table(head, lines)


def times_as_long(plain: dict[str, Any], checkpointed: dict[str, Any]) -> float:
    """Checkpointed against the whole graph; not a number where the clock of the processor did not advance."""
    return float(checkpointed["seconds"] / plain["seconds"]) if plain["seconds"] else math.nan


def amplification(row: dict[str, float], eps: float) -> float:
    """``sqrt(R) / eps``: how much larger than the attack the change is; 1 for the identity."""
    return _root(row["same_seed"], eps)


def _root(squared: float, eps: float) -> float:
    return math.sqrt(max(squared, 0.0)) / eps


def _made(record: dict[str, Any]) -> str:
    return (
        f"Made by `{record['command']}` at revision {record['revision']} in {record['seconds']:.0f} s on "
        f"{record['hardware']}, torch {record['torch']}, seed {record['seed']}."
    )
