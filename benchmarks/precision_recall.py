"""Time precision_recall and its kin against their floor, three bare matrix products, and against the package prdc.

    python benchmarks/precision_recall.py --samples 10000 --features 2048 --repeats 3 --prdc

The floor is the product of the real and generated features, and half of each product of a set with itself (it is
symmetric), in float32 by blocks, without anything done to the results. All contenders take turns in each repeat, and
each number is the median of its repeats. Prints a Markdown table: precision_recall on each case, its kin on the first.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from stochrobust import density_coverage, prdc, precision_recall, realism

Case = tuple[Tensor, Tensor]


def make_cases(n: int, d: int) -> dict[str, Case]:
    """Pairs of real and generated sets, from ordinary to degenerate."""
    generator = torch.Generator().manual_seed(0)
    real, other = (torch.randn(n, d, generator=generator) for _ in range(2))
    modes = torch.randint(10, (n,), generator=generator)
    return {
        "Gaussian": (real, other),
        "sparse, like features": ((real - 1).relu(), (other - 1).relu()),
        "offset of 1e4": (real + 1e4, other + 1e4),
        "collapsed to one": (real, other[:1].expand(n, d).contiguous()),
        "10 modes, exact": (real, other[modes]),
        "10 modes, noise of 1e-5": (real, other[modes] + 1e-5 * torch.randn(n, d, generator=generator)),
        "memorised": (real, real[torch.randint(n, (n,), generator=generator)]),
        "integers, ties": (torch.round(real), torch.round(other)),
    }


def bare_products(real: Tensor, generated: Tensor) -> None:
    """Two full products by blocks: one of the sets with each other, two halves of those with themselves."""
    for other in (real, generated):
        for rows in real.split(2048):
            for columns in other.split(1024):
                rows @ columns.T


def with_package(real: Tensor, generated: Tensor, k: int) -> None:
    """The reference package, which needs three whole matrices of float64 distances or so."""
    from prdc import compute_prdc

    compute_prdc(real.numpy(), generated.numpy(), nearest_k=k)


def medians(contenders: dict[str, Callable[[], object]], repeats: int, clock: Callable[[], float]) -> dict[str, float]:
    """Median seconds of each contender; they take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, run in contenders.items():
            start = clock()
            run()
            seconds[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--k", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--cases", nargs="*", help="the first words of the cases to run; all by default")
    parser.add_argument("--cpu-time", action="store_true", help="count processor time: for a busy machine")
    parser.add_argument("--prdc", action="store_true", help="time prdc too, on the first case")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    cases = make_cases(options.samples, options.features)
    if options.cases:
        cases = {name: case for name, case in cases.items() if name.startswith(tuple(options.cases))}
    first = next(iter(cases.values()))
    contenders: dict[str, Callable[[], object]] = {"three bare products": lambda: bare_products(*first)}
    for name, (real, generated) in cases.items():
        contenders[name] = lambda real=real, generated=generated: precision_recall(  # type: ignore[misc]
            real=real, generated=generated, k=options.k
        )
    for kin in (density_coverage, prdc, realism):
        contenders[f"{kin.__name__}()"] = lambda kin=kin: kin(real=first[0], generated=first[1], k=options.k)  # type: ignore[misc]
    if options.prdc:
        contenders["the package prdc"] = lambda: with_package(*first, options.k)
    clock = time.process_time if options.cpu_time else time.perf_counter
    results = medians(contenders, options.repeats, clock)
    floor = results["three bare products"]
    print(f"N = M = {options.samples}, d = {options.features}, k = {options.k}, {torch.get_num_threads()} threads\n")
    print("| run | seconds | of the floor |\n|---|---:|---:|")
    for name, seconds in results.items():
        print(f"| {name} | {seconds:.2f} | {seconds / floor:.2f} |")


if __name__ == "__main__":
    main()
