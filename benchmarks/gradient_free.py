"""What attacks without gradients find, beside EVALUATION by gradients: the suite of networks, and linear maps.

    python benchmarks/gradient_free.py --data FOLDER [--cache runs/attacks --out runs/gradient-free --samples 1]

All attacks search on the same inputs and seeds, 200 passes each without gradients. On linear maps the largest value
there is takes the place of EVALUATION's. Their weights are drawn here, and no setting of a search was chosen on them.
A run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.attack_strength import geometric, row
from benchmarks.attacks.networks import left_out, problems
from reference_experiments.runs import Record, write_atomically, write_json
from stochrobust import EVALUATION, AttackWarning, RandomSearch, SampleKeys, SubspaceSearch, sensitivity

PASSES = 200
SEARCHES = {"RandomSearch": RandomSearch(PASSES), "SubspaceSearch": SubspaceSearch(PASSES)}


class Task(NamedTuple):
    """What is attacked; ``largest`` is the largest value there is, where it is known."""

    name: str
    G: Callable[..., Tensor]
    y: Tensor
    eps: float
    n_seeds: int
    largest: float | None


def linear_maps() -> Iterator[Task]:
    """A convolution, a dense map and a down-up map, with the squares of their largest singular values."""
    stream = torch.Generator().manual_seed(0)
    kernel = torch.randn(8, 3, 5, 5, generator=stream)
    dense = torch.randn(300, 300, generator=stream)

    def convolution(y: Tensor) -> Tensor:
        return F.conv2d(y, kernel, padding=2)

    def densely(y: Tensor) -> Tensor:
        return y.flatten(1) @ dense.T

    def down_up(y: Tensor) -> Tensor:
        return F.interpolate(F.avg_pool2d(y, 4), scale_factor=4, mode="bilinear")

    for name, G, shape in (
        ("convolution", convolution, (3, 16, 16)), ("dense", densely, (3, 10, 10)), ("down-up", down_up, (1, 32, 32)),
    ):  # fmt: skip
        size = torch.Size(shape).numel()
        matrix = G(torch.eye(size).reshape(size, *shape)).flatten(1)
        yield Task(name, G, torch.zeros(2, *shape), 1.0, 1, float(torch.linalg.matrix_norm(matrix, 2)) ** 2)


def shares(task: Task, n_samples: int) -> dict[str, float]:
    """What each search finds of the value that is known: the mean over inputs of the shares."""
    y, keys = task.y[:n_samples], SampleKeys(range(n_samples), run_seed=1)

    def of(attack: Any) -> Any:
        return sensitivity(task.G, y, task.eps, task.n_seeds, attack=attack, generator=keys)

    known = torch.full((len(y),), task.largest) if task.largest else of(EVALUATION).in_sample
    return {name: float((of(attack).in_sample / known).mean()) for name, attack in SEARCHES.items()}


def report(results: dict[str, Any]) -> str:
    """The table, what it comes to, and its origin."""
    rows, record = results["rows"], results["record"]
    lines = [row("problem", "eps", *SEARCHES), "|" + " --- |" * (len(SEARCHES) + 2)]
    lines += [row(r["problem"], r["eps"], *(f"{r['shares'][name]:.3f}" for name in SEARCHES)) for r in rows]
    networks = [r for r in rows if not r["linear"]]
    for title, some in (("networks", networks), ("linear maps", [r for r in rows if r["linear"]])):
        means = (f"{geometric([r['shares'][name] for r in some]):.3f}" for name in SEARCHES)
        lines.append(row(f"**geometric mean, {title}**", "", *means))
    ratios = {(r["problem"], r["eps"]): r["shares"]["SubspaceSearch"] / r["shares"]["RandomSearch"] for r in networks}
    below = [f"{name} at {eps} ({ratio:.2f})" for (name, eps), ratio in ratios.items() if ratio < 0.95]
    times = geometric(list(ratios.values()))
    return (
        "\n".join(lines)
        + f"\n\nShares of EVALUATION's value (of the largest there is, for linear maps) after {PASSES} passes, mean "
        f"over {results['samples']} input(s). On networks SubspaceSearch finds {times:.2f} times what RandomSearch "
        f"does, geometric mean; more than 5 % less: {', '.join(below) if below else 'on none'}.\n\n"
        + "".join(f"{line}\n" for line in results["left_out"])
        + f"`{record['command']}`, revision {record['revision']}, {record['hardware']}, torch {record['torch']}.\n"
    )


def main() -> None:
    """Measure what is not measured yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with faces64, natural64, carn_m and sr_benchmarks")
    parser.add_argument("--cache", type=Path, default=Path("runs/attacks"), help="folder of the trained networks")
    parser.add_argument("--out", type=Path, default=Path("runs/gradient-free"), help="folder of the results")
    parser.add_argument("--samples", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", AttackWarning)  # of weak attacks, which are the subject here
    record = Record(" ".join(["python", "benchmarks/gradient_free.py", *sys.argv[1:]]))
    path = options.out / "gradient_free.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    suite = problems(options.data, options.cache, progress=print)
    tasks = [*linear_maps(), *(Task(p.name, p.G, p.y, eps, p.n_seeds, None) for p in suite for eps in p.eps)]
    for task in tasks:
        if any((r["problem"], r["eps"]) == (task.name, task.eps) for r in rows):
            continue
        found = shares(task, options.samples)
        rows.append({"problem": task.name, "eps": task.eps, "linear": task.largest is not None, "shares": found})
        results = {
            "rows": rows, "samples": options.samples, "left_out": left_out(options.data),
            "record": record.finished("cpu"),
        }  # fmt: skip
        write_json(path, results)
        write_atomically(options.out / "gradient_free.md", report(results))
        print(task.name, task.eps, {name: round(share, 3) for name, share in found.items()}, flush=True)
    print(report(json.loads(path.read_text())))


if __name__ == "__main__":
    main()
