"""How often intervals of nominal 95 % hold the expectation, by simulation; prints a Markdown table.

python benchmarks/interval_coverage.py --samples 500 --repeats 200
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from stochrobust import DensityCoverage, frechet_distance, interval_by_halves, interval_of_mean, prdc

NAMES = ("precision", "recall", "density", "coverage", "Frechet")
K = 5


def statistics(*, real: Tensor, generated: Tensor) -> tuple[float, ...]:
    found = prdc(real=real, generated=generated, k=K)
    return (
        found.precision,
        found.recall,
        found.density,
        found.coverage,
        frechet_distance(real=real, generated=generated),
    )


def laws(n: int, generator: torch.Generator) -> dict[str, Callable[[], tuple[Tensor, Tensor]]]:
    """Pairs of laws to draw from."""

    def normal(d: int) -> Tensor:
        return torch.randn(n, d, generator=generator)

    def modes() -> Tensor:
        return 2.0 * torch.randint(2, (n, 1), generator=generator) - 1

    return {
        "equal, d = 8": lambda: (normal(8), normal(8)),
        "shifted, d = 16": lambda: (normal(16), normal(16) + 0.25),
        "too narrow, d = 8": lambda: (normal(8), 0.7 * normal(8)),
        "two modes, d = 4": lambda: (normal(4), 0.3 * normal(4) + modes()),
    }


def bootstrap(real: Tensor, generated: Tensor, draws: int, generator: torch.Generator) -> np.ndarray:
    """Percentile intervals of draws with replacement, ``(2, 5)``."""

    def drawn(rows: Tensor) -> Tensor:
        return rows[torch.randint(len(rows), (len(rows),), generator=generator)]

    values = [statistics(real=drawn(real), generated=drawn(generated)) for _ in range(draws)]
    return np.quantile(np.array(values), [0.025, 0.975], axis=0)


def jackknife(real: Tensor, generated: Tensor, generator: torch.Generator, groups: int = 20) -> np.ndarray:
    """Standard errors from leaving out one group of both sets at a time, ``(5,)``."""
    places = [torch.randperm(len(rows), generator=generator) % groups for rows in (real, generated)]
    values = [statistics(real=real[places[0] != g], generated=generated[places[1] != g]) for g in range(groups)]
    return np.sqrt((groups - 1) * np.var(np.array(values), axis=0))


def of_means(real: Tensor, generated: Tensor) -> np.ndarray:
    """Intervals that take memberships for independent, ``(2, 5)``, none for the last."""
    found: DensityCoverage = prdc(real=real, generated=generated, k=K)
    values = (found.generated_in_real, found.real_in_generated, found.n_balls / K, found.covered)
    ends = [(i.low, i.high) for i in map(interval_of_mean, values)]
    return np.array([*ends, (np.nan, np.nan)]).T


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument(
        "--others", type=int, default=0, help="repeats for the bootstrap and the jackknife, which are slow"
    )
    parser.add_argument("--laws", nargs="*")
    o = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    print("| laws | method | " + " | ".join(NAMES) + " |\n|---|---|" + "---:|" * 5)
    for name, draw in laws(o.samples, generator).items():
        if o.laws and not name.startswith(tuple(o.laws)):
            continue
        values = np.array([statistics(real=r, generated=g) for r, g in (draw() for _ in range(400))])
        truth, spread = values.mean(0), values.std(0)
        rows: dict[str, list[np.ndarray]] = {}
        for repeat in range(o.repeats):
            real, generated = draw()
            halves = interval_by_halves(statistics, real=real, generated=generated, generator=generator)
            ends = {"halves": np.array([(i.low, i.high) for i in halves]).T, "memberships": of_means(real, generated)}
            rows.setdefault("halves: error / true", []).append([i.standard_error for i in halves] / spread)
            if repeat < o.others:
                ends["bootstrap"] = bootstrap(real, generated, 60, generator)
                error = jackknife(real, generated, generator)
                middle = [i.estimate for i in halves]
                ends["jackknife"] = np.array([middle - 2.093 * error, middle + 2.093 * error])
                rows.setdefault("jackknife: error / true", []).append(error / spread)
            for method, (low, high) in ends.items():
                rows.setdefault(method, []).append((low <= truth) & (truth <= high))
        rows["true value"], rows["true error"] = [truth], [spread]
        for method, cells in rows.items():
            print(
                f"| {name} | {method} | "
                + " | ".join(f"{v:.2f}" if method != "true error" else f"{v:.4f}" for v in np.mean(cells, axis=0))
                + " |",
                flush=True,
            )


if __name__ == "__main__":
    main()
