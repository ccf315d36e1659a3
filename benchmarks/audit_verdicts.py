"""What an audit says of restorers whose truth is known: the confusion table of its verdicts.

python benchmarks/audit_verdicts.py --quick --out benchmarks/results      (about 5 minutes of one core)
python benchmarks/audit_verdicts.py --out benchmarks/results              (about an hour)

The thresholds of :mod:`stochrobust.auditing.thresholds` were chosen on one half of the problems; the table is of the
other half (``--half chosen`` shows the first).
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.known_restorers.problems import Problem, problems
from benchmarks.known_restorers.restorers import Known, restorers, seeds
from stochrobust import AuditSettings, audit, eps_from_psnr

CHOSEN = (
    "inpainting, power 2, noise 0.0", "inpainting, power 3, noise 0.05", "x2, power 2, noise 0.0",
    "x2, power 3, noise 0.05", "x3, power 3, noise 0.0", "x4, power 3, noise 0.05", "blur, power 3, noise 0.05",
    "denoising, power 2, noise 0.05", "inpainting, two modes", "x4, two modes, noise 0.05",
)  # fmt: skip
QUICK = (
    "inpainting, power 3, noise 0.0", "x4, power 2, noise 0.05", "x3, power 2, noise 0.0", "x3, power 2, noise 0.05",
    "x2, power 3, noise 0.0", "x4, two modes", "inpainting, two modes, noise 0.05",
)  # fmt: skip
AI_PSNR = 40.0
SETTINGS = AuditSettings(n_attacked=64, radii=(), n_splits=4, n_examples=0)
NAMED = {
    "posterior": set[str](),
    "mean": {"blurred"},
    "blurred": {"blurred", "unnatural", "erratic", "inconsistent"},
    "collapsed": {"input ignored", "blurred", "unnatural"},
    "miscalibrated": {"underdispersed", "overdispersed", "miscalibrated"},
    "useless": {"unnatural", "miscalibrated", "input ignored", "underdispersed", "overdispersed"},
    "erratic": {"erratic", "conditional mode collapse", "weak attack"},
}
"""For each truth, the verdicts one of which names it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="seven problems at 500 inputs, one at 60 and 200")
    parser.add_argument("--half", choices=("judged", "chosen"), default="judged")
    parser.add_argument("--problems", nargs="*", help="some of that half, by the start of their names")
    parser.add_argument("--inputs", type=int, nargs="*", help="numbers of inputs")
    parser.add_argument(
        "--cache", type=Path, help="a file of rows, read at the start and added to: a broken run goes on"
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.out:  # a folder that cannot be made is better known now than after the work
        options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rows: list[dict[str, Any]] = []
    for problem, n, seed in plan(options):
        rows += [recalled(options.cache, problem, known, n, seed) for known in restorers(problem)]
        print(f"{problem.name}, {n} inputs", flush=True)
    text = report(rows, options)
    print(text)
    if options.out:
        stem = options.out / ("audit_verdicts" + ("_chosen" if options.half == "chosen" else ""))
        stem.with_suffix(".json").write_text(json.dumps({"about": about(options), "rows": rows}, indent=1) + "\n")
        stem.with_suffix(".md").write_text(text)


def plan(options: argparse.Namespace) -> list[tuple[Problem, int, int]]:
    """Problem, number of inputs, seed of the data."""
    of_half = {name: p for name, p in problems().items() if (name in CHOSEN) == (options.half == "chosen")}
    if options.problems:
        of_half = {name: p for name, p in of_half.items() if name.startswith(tuple(options.problems))}
    if options.inputs:
        return [(p, n, 3) for n in options.inputs for p in of_half.values()]
    if options.quick:
        first = of_half[QUICK[0]]
        return [*((of_half[name], 500, 3) for name in QUICK), (first, 60, 3), (first, 200, 3)]
    return [(p, n, seed) for n, seed in ((500, 3), (60, 4), (200, 5), (1000, 6), (500, 7)) for p in of_half.values()]


def recalled(cache: Path | None, problem: Problem, known: Known, n: int, seed: int) -> dict[str, Any]:
    """One audit, from the file if it is there."""
    key = {"problem": problem.name, "restorer": known.name, "n": n, "seed": seed}
    lines = cache.read_text().splitlines() if cache is not None and cache.exists() else []
    for row in map(json.loads, lines):
        if all(row[name] == value for name, value in key.items()):
            return dict(row)
    row = judged(problem, known, n, seed)
    if cache is not None:
        with cache.open("a") as file:
            file.write(json.dumps(row) + "\n")
    return row


def judged(problem: Problem, known: Known, n: int, seed: int) -> dict[str, Any]:
    """One audit: the verdicts, and the numbers that they rest on."""
    start, (y, x) = time.process_time(), problem.draw(n, seed)
    torch.manual_seed(seed)
    G = drawing(known.G) if known.takes_z else known.G
    found = audit(
        G, (y, x), eps=eps_from_psnr(AI_PSNR, y[0].numel()), projector=problem.projector,
        noise=problem.noise or None, settings=SETTINGS,
    )  # fmt: skip
    kept = ("amplification", "change_over_error", "spread_error", "precision_shortfall", "recall")
    numbers = {
        name: round(value.estimate, 4)
        for name, value in found.numbers.items()
        if name in kept or name.startswith(("amplification_", "steep", "spread_", "coverage_", "conditional_"))
    }
    verdicts = {verdict.name: verdict.level for verdict in found.verdicts}
    return {
        "problem": problem.name, "restorer": known.name, "truth": known.truth, "n": n, "seed": seed,
        "verdicts": verdicts, "numbers": numbers, "seconds": round(time.process_time() - start, 2),
    }  # fmt: skip


def drawing(G: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
    """The restorer with its seeds drawn inside: cheaper than keyed ones, of the same law."""
    return lambda y: G(y, seeds(y, None))


def named(row: dict[str, Any]) -> bool:
    """Whether the verdicts say what is true: of a posterior sampler, that none of them is bad."""
    if row["truth"] == "posterior":
        return "bad" not in row["verdicts"].values()
    return bool(NAMED[row["truth"]] & row["verdicts"].keys())


HEAD = """
Runs in which the verdicts name what is true (of a posterior sampler: in which none is bad), of all; then the verdicts
at 500 inputs, with how often each came up.
"""
SUMMARY = {
    "exact samplers not called bad": {"posterior"},
    "useless and erratic ones named": {"useless", "erratic"},
    "collapsed, miscalibrated and blurred ones named": {"collapsed", "miscalibrated", "blurred"},
}


def report(rows: list[dict[str, Any]], options: argparse.Namespace) -> str:
    """The table in Markdown: a line for each kind of restorer, a column for each number of inputs."""
    sizes = sorted({row["n"] for row in rows})
    lines = ["# Verdicts of an audit on restorers whose truth is known", ""]
    lines += [f"{key}: {value}  " for key, value in about(options).items()]
    lines += [f"processor time: {sum(row['seconds'] for row in rows):.0f} s for {len(rows)} audits", HEAD]
    lines += [f"| restorer | truth | {' | '.join(f'N = {n}' for n in sizes)} | verdicts |"]
    lines += [f"|---|---|{'---:|' * len(sizes)}---|"]
    for name, truth in dict.fromkeys((row["restorer"], row["truth"]) for row in rows):
        own = [row for row in rows if row["restorer"] == name]
        lines.append(line(f"{name} | {truth}", own, sizes, verdicts_of(own, 500 if 500 in sizes else sizes[-1])))
    for words, truths in SUMMARY.items():
        lines.append(line(f"**{words}** | ", [row for row in rows if row["truth"] in truths], sizes, ""))
    missed = [row for row in rows if not named(row) and row["truth"] != "mean"]
    lines += ["", "## What was missed", ""]
    lines += [f"- {r['restorer']}, {r['problem']}, N = {r['n']}: {', '.join(r['verdicts']) or '-'}" for r in missed]
    return "\n".join(lines) + "\n"


def line(start: str, rows: list[dict[str, Any]], sizes: list[int], end: str) -> str:
    """Of the table."""
    cells = [share([row for row in rows if row["n"] == n]) for n in sizes]
    return f"| {start} | {' | '.join(cells)} | {end} |"


def verdicts_of(rows: list[dict[str, Any]], n: int) -> str:
    """Those at so many inputs, and how often each came up."""
    counts = Counter(verdict for row in rows if row["n"] == n for verdict in row["verdicts"])
    return ", ".join(f"{verdict} {count}" for verdict, count in counts.most_common())


def share(rows: list[dict[str, Any]]) -> str:
    """Such as 9 of 10."""
    return f"{sum(map(named, rows))} of {len(rows)}" if rows else ""


def about(options: argparse.Namespace) -> dict[str, str]:
    """What the numbers depend on."""
    command = "python benchmarks/audit_verdicts.py" + (" --quick" if options.quick else "") + f" --half {options.half}"
    command += f" --problems {' '.join(map(repr, options.problems))}" if options.problems else ""
    command += f" --inputs {' '.join(map(str, options.inputs))}" if options.inputs else ""
    revision = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "command": command, "revision": revision.stdout.strip(), "attack": f"AI-PSNR {AI_PSNR} dB",
        "hardware": f"{platform.machine()}, one thread, torch {torch.__version__} CPU",
        "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip


if __name__ == "__main__":
    main()
