"""What share of the largest change known the attacks find, on the suite of networks of ``benchmarks/attacks``.

    python benchmarks/attack_strength.py --data FOLDER [--cache runs/attacks --out runs/attack-strength --samples 4]

For every network and radius, all attacks climb on the same inputs and seeds. "The best known" is, for each input, the
largest value that any of them reached, the long ones of 500 gradients in all included; where y is a number, the largest
value there is. Networks that need a data
folder which is not there are left out and named. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.attacks.networks import Problem, left_out, problems
from reference_experiments.runs import Record, write_atomically, write_json
from stochrobust import (
    EVALUATION,
    PAPER,
    PGD,
    TRAINING,
    AttackWarning,
    DenseSearch,
    SampleKeys,
    SphereAscent,
    sensitivity,
)

ATTACKS = {
    "paper's Adam, 5": PAPER,
    "PGD, 5": PGD(5, keep="last"),
    "sphere, 1": SphereAscent(1, keep="last"),
    "sphere, 2 (TRAINING)": TRAINING,
    "sphere, 3": SphereAscent(3, keep="last"),
    "sphere, 5": SphereAscent(5, keep="last"),
    "PGD, 30": PGD(30),
    "sphere, 30": SphereAscent(30),
    "sphere, 2 x 30 (EVALUATION)": EVALUATION,
}
"""The columns of the table; the numbers are gradients. Those of 30 keep the best iterate, the others the last."""
LONG = (SphereAscent(200, restarts=2), PGD(100, step=0.3))
ROOM = 0.6  # where the paper's attack finds less than this share, it leaves room


def shares(problem: Problem, eps: float, n_samples: int, repeats: int) -> dict[str, float]:
    """Each attack's value over the best known, the mean over inputs and starts."""
    y = problem.y[:n_samples]
    keys = SampleKeys(range(len(y)))
    z = sensitivity(problem.G, y, eps, problem.n_seeds, attack=SphereAscent(1), generator=keys).z

    def values(attack: Any, start: int) -> Tensor:
        starts = SampleKeys(range(len(y)), run_seed=start)
        return sensitivity(problem.G, y, eps, problem.n_seeds, z=z, attack=attack, generator=starts).in_sample

    found = {name: torch.stack([values(attack, r) for r in range(repeats)]) for name, attack in ATTACKS.items()}
    exhaustive = [DenseSearch(401)] if y[0].numel() == 1 else []
    best = torch.stack([values(attack, repeats) for attack in [*LONG, *exhaustive]]).amax(0)
    for reached in found.values():
        best = torch.maximum(best, reached.amax(0))
    return {name: float((reached / best).mean()) for name, reached in found.items()}


def geometric(values: list[float]) -> float:
    """The geometric mean."""
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def row(*cells: object) -> str:
    """One line of a Markdown table."""
    return "| " + " | ".join(map(str, cells)) + " |"


def table(rows: list[dict[str, Any]]) -> str:
    """All shares, and below them what they come to beside the paper's attack."""
    lines = [row("network", "eps", *ATTACKS), "|" + " --- |" * (len(ATTACKS) + 2)]
    lines += [row(r["problem"], r["eps"], *(f"{r['shares'][name]:.2f}" for name in ATTACKS)) for r in rows]
    paper = next(iter(ATTACKS))
    room = [r for r in rows if r["shares"][paper] < ROOM]

    def summary(title: str, pick: Callable[[str], float]) -> None:
        lines.append(row(f"**{title}**", "", *(f"{pick(name):.2f}" for name in ATTACKS)))

    summary("geometric mean", lambda name: geometric([r["shares"][name] for r in rows]))
    ratio = [{name: r["shares"][name] / r["shares"][paper] for name in ATTACKS} for r in rows]
    where_room = [{name: r["shares"][name] / r["shares"][paper] for name in ATTACKS} for r in room]
    summary("times the paper's, least of any row", lambda name: min(r[name] for r in ratio))
    summary(
        f"times the paper's, geometric mean of the {len(room)} rows where that finds under {ROOM}",
        lambda name: geometric([r[name] for r in where_room]),
    )
    return "\n".join(lines)


def report(results: dict[str, Any]) -> str:
    """The table with its networks and its origin."""
    record = results["record"]
    what = "\n".join(f"- {name}: {line}" for name, line in results["networks"].items())
    return (
        f"{table(results['rows'])}\n\nShares of the largest change known, mean over {results['samples']} inputs and "
        f"{results['repeats']} start(s); the number behind an attack's name counts gradients.\n\n{what}\n\n"
        + "".join(f"{line}\n" for line in results["left_out"])
        + f"`{record['command']}`, revision {record['revision']}, {record['hardware']}, torch {record['torch']}, "
        f"{results['seconds']:.0f} s of attacks.\n"
    )


def main() -> None:
    """Measure what is not measured yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with faces64, natural64, carn_m and sr_benchmarks")
    parser.add_argument("--cache", type=Path, default=Path("runs/attacks"), help="folder of the trained networks")
    parser.add_argument("--out", type=Path, default=Path("runs/attack-strength"), help="folder of the results")
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="names of networks (default: all)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", AttackWarning)  # of weak attacks and coupled samples, which are the subject here
    record = Record(" ".join(["python", "benchmarks/attack_strength.py", *sys.argv[1:]]))
    path = options.out / "attack_strength.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    suite = problems(options.data, options.cache, progress=print)
    suite = [problem for problem in suite if not options.only or problem.name in options.only]
    for problem in suite:
        for eps in problem.eps:
            if any((r["problem"], r["eps"]) == (problem.name, eps) for r in rows):
                continue
            begun = time.monotonic()
            found = shares(problem, eps, options.samples, options.repeats)
            rows.append({
                "problem": problem.name, "eps": eps, "shares": found, "seconds": round(time.monotonic() - begun, 1)
            })  # fmt: skip
            results = {
                "rows": rows, "networks": {p.name: p.what for p in suite}, "left_out": left_out(options.data),
                "samples": options.samples, "repeats": options.repeats,
                "seconds": sum(r["seconds"] for r in rows), "record": record.finished("cpu"),
            }  # fmt: skip
            write_json(path, results)
            write_atomically(options.out / "attack_strength.md", report(results))
            print(problem.name, eps, {name: round(share, 2) for name, share in found.items()}, flush=True)
    print(report(json.loads(path.read_text())))


if __name__ == "__main__":
    main()
