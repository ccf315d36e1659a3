"""Time W2 between point sets against a loop over POT, and the bracket against geomloss; prints a Markdown table.

    python benchmarks/wasserstein.py --problems 256 --points 64 --dimensions 128 --repeats 5

Three batches of problems: outputs of the same seeds, 5 % of their scale apart; those in another order; and unrelated
sets. All contenders take turns in each repeat, each number is the median of its repeats, and the results of all must
agree. POT is `ot.dist` and `ot.emd2` problem by problem. geomloss is timed where it is installed, at a blur of 1 % of
the distance between unrelated points: it is an estimate, like the middle of the bracket.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from stochrobust import gaussian_w2_squared, sliced_w2_squared, w2_bracket, w2_squared


def make_cases(n_problems: int, n: int, d: int, dtype: torch.dtype) -> dict[str, tuple[Tensor, Tensor]]:
    """Pairs of point sets, from same seeds to unrelated."""
    generator = torch.Generator().manual_seed(0)
    a, noise, other = (torch.randn(n_problems, n, d, generator=generator, dtype=dtype) for _ in range(3))
    near = a + 0.05 * noise
    order = torch.randperm(n, generator=generator)
    return {"same seeds": (a, near), "same seeds, reordered": (a, near[:, order]), "unrelated": (a, other)}


def with_pot(a: Tensor, b: Tensor) -> Tensor:
    import ot

    return torch.tensor([float(ot.emd2([], [], ot.dist(x, y))) for x, y in zip(a.numpy(), b.numpy(), strict=True)])


def with_geomloss(a: Tensor, b: Tensor) -> Tensor:
    """W2^2 is twice its loss."""
    import geomloss

    blur = 0.01 * (2 * a.shape[2]) ** 0.5
    loss = geomloss.SamplesLoss("sinkhorn", p=2, blur=blur, scaling=0.9, debias=False, backend="tensorized")
    squared: Tensor = 2 * loss(a, b)
    return squared


def medians(contenders: dict[str, Callable[[], Tensor]], repeats: int, clock: Callable[[], float]) -> dict[str, float]:
    """Median seconds of each contender; they take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, run in contenders.items():
            start = clock()
            run()
            seconds[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def middle(a: Tensor, b: Tensor) -> Tensor:
    bracket = w2_bracket(a, b)
    return (bracket.lower + bracket.upper) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=256)
    parser.add_argument("--points", type=int, default=64)
    parser.add_argument("--dimensions", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--float32", action="store_true", help="points in float32; float64 by default")
    parser.add_argument(
        "--bounds", action="store_true", help="time what bounds W2 too, and geomloss if it is installed"
    )
    parser.add_argument("--cpu-time", action="store_true", help="count processor time: for a busy machine")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    dtype = torch.float32 if options.float32 else torch.float64

    functions: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"POT, a loop": with_pot, "w2_squared": w2_squared}
    if options.bounds:
        functions |= {"gaussian_w2_squared": gaussian_w2_squared, "sliced_w2_squared": sliced_w2_squared}
        functions["w2_bracket"] = middle
        if importlib.util.find_spec("geomloss"):
            warnings.filterwarnings("ignore")  # of what geomloss imports
            functions["geomloss"] = with_geomloss
    clock = time.process_time if options.cpu_time else time.perf_counter
    sizes = f"{options.problems} problems, {options.points} points, {options.dimensions} dimensions, {dtype}"
    print(f"{sizes}, {options.threads} threads\n")
    print("| sets | run | milliseconds | POT's time over it |\n|---|---|---:|---:|")
    for case, (a, b) in make_cases(options.problems, options.points, options.dimensions, dtype).items():
        torch.testing.assert_close(w2_squared(a, b).double(), with_pot(a, b).double(), rtol=1e-4, atol=0)
        runs = {name: partial(function, a, b) for name, function in functions.items()}
        seconds = medians(runs, options.repeats, clock)
        for name, value in seconds.items():
            print(f"| {case} | {name} | {1000 * value:.1f} | {seconds['POT, a loop'] / value:.2f} |")


if __name__ == "__main__":
    main()
