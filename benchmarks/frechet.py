"""Time frechet_distance against other packages and measure the error of each; prints a Markdown table.

    python benchmarks/frechet.py --features 2048 --samples 10000 --repeats 3

From moments: the distance of two Gaussians whose means and covariances are given, in float64. From rows: two sets of
float32 features. All contenders take turns in each round, and each number is the median of its rounds. A package that
is not installed is left out.

The error is that of the trace term over the sum of the traces, on moments whose distance is known: both covariances
have the same axes, so that the term is ``sum (s_i - t_i)^2`` for their standard deviations.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

from stochrobust import FrechetStatistics, frechet_distance

Moments = tuple[Tensor, Tensor]
Contender = Callable[[Moments, Moments], float]
N = 50_000  # of the samples that given moments claim to come from


def normal(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def spectra(d: int) -> dict[str, Tensor]:
    """Variances along the axes."""
    place = torch.arange(d).double() / d
    return {
        "flat": 1 + place,
        "like features": 12 * torch.exp(-14 * place) + 1e-4,
        "1 / i^2": (1 + place * d) ** -2,
        "1 to 1e-12": 1e-12**place,
    }


def known_case(spectrum: Tensor) -> tuple[Moments, Moments, float, float]:
    """Two pairs of moments with the same axes, their distance, and the sum of the traces."""
    d = len(spectrum)
    axes = torch.linalg.qr(normal(d, d, seed=0)).Q
    other = spectrum * (0.5 + torch.rand(d, generator=torch.Generator().manual_seed(1)).double())
    covariances = [(axes * values) @ axes.T for values in (spectrum, other)]
    zero = torch.zeros(d).double()
    first, second = ((zero, (matrix + matrix.T) / 2) for matrix in covariances)
    return first, second, float((spectrum.sqrt() - other.sqrt()).square().sum()), float(spectrum.sum() + other.sum())


def of_torch_fidelity(first: Moments, second: Moments) -> float:
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    sides = [{"mu": mean.numpy(), "sigma": covariance.numpy()} for mean, covariance in (first, second)]
    return float(fid_statistics_to_metric(*sides, False)["frechet_inception_distance"])


def of_torchmetrics(first: Moments, second: Moments) -> float:
    from torchmetrics.image.fid import _compute_fid

    return float(_compute_fid(*first, *second))


def of_piq(first: Moments, second: Moments) -> float:
    from piq.fid import _compute_fid

    return float(_compute_fid(*first, *second))


def of_scipy(first: Moments, second: Moments) -> float:
    """As pytorch-fid and clean-fid do it."""
    from scipy.linalg import sqrtm

    a, b = first[1].numpy(), second[1].numpy()
    difference = (first[0] - second[0]).numpy()
    return float(difference @ difference + np.trace(a) + np.trace(b) - 2 * np.trace(sqrtm(a @ b).real))


PEERS: dict[str, tuple[str, Contender]] = {
    "torch-fidelity": ("torch_fidelity", of_torch_fidelity),
    "torchmetrics": ("torchmetrics", of_torchmetrics),
    "piq": ("piq", of_piq),
    "scipy sqrtm": ("scipy", of_scipy),
}


def moments_with_numpy(rows: Tensor) -> Moments:
    """As torch-fidelity, pytorch-fid and clean-fid do it; in float64."""
    array = rows.numpy()
    return torch.from_numpy(array.mean(0, dtype=np.float64)), torch.from_numpy(np.cov(array, rowvar=False))


def moments_with_torchmetrics(rows: Tensor) -> Moments:
    """The running sums of torchmetrics in float64, over batches of 1000."""
    total, products = torch.zeros(rows.shape[1]).double(), torch.zeros(rows.shape[1], rows.shape[1]).double()
    for batch in rows.split(1000):
        wide = batch.double()
        total += wide.sum(0)
        products += wide.T.mm(wide)
    mean = total / len(rows)
    return mean, (products - len(rows) * mean[:, None].mm(mean[None])) / (len(rows) - 1)


def moments_with_piq(rows: Tensor) -> Moments:
    from piq.fid import _compute_statistics

    mean, covariance = _compute_statistics(rows.double())
    return mean, covariance


GATHERING = {"torchmetrics": moments_with_torchmetrics, "piq": moments_with_piq}


def quietly(run: Callable[[], float]) -> float:
    """Without what some print."""
    with contextlib.redirect_stdout(io.StringIO()):
        return run()


def medians(
    contenders: dict[str, Callable[[], float]], repeats: int, clock: Callable[[], float]
) -> tuple[dict[str, float], dict[str, float]]:
    """Median seconds and last value of each contender; they take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    values = {}
    for _ in range(repeats):
        for name, run in contenders.items():
            start = clock()
            values[name] = quietly(run)
            seconds[name].append(clock() - start)
    return {name: statistics.median(taken) for name, taken in seconds.items()}, values


def show(title: str, rows: dict[str, float], ours: str, extra: dict[str, str] | None = None) -> None:
    print(f"\n{title}\n\n| run | seconds | of ours |{' error / traces |' if extra else ''}")
    print("|---|---:|---:|" + ("---:|" if extra else ""))
    for name, seconds in rows.items():
        print(f"| {name} | {seconds:.2f} | {seconds / rows[ours]:.2f} |" + (f" {extra[name]} |" if extra else ""))


def from_moments(
    title: str, spectrum: Tensor, peers: dict[str, Contender], repeats: int, clock: Callable[[], float]
) -> None:
    first, second, expected, total = known_case(spectrum)
    real, generated = (FrechetStatistics.from_moments(*side, N) for side in (first, second))
    runs: dict[str, Callable[[], float]] = {"ours": lambda: frechet_distance(real=real, generated=generated)}
    for name, peer in peers.items():
        runs[name] = lambda peer=peer: peer(first, second)  # type: ignore[misc]
    seconds, values = medians(runs, repeats, clock)
    errors = {name: f"{abs(value - expected) / total:.0e}" for name, value in values.items()}
    show(f"From moments, d = {len(spectrum)}, spectrum {title}", seconds, "ours", errors)


def from_rows(n: int, d: int, peers: dict[str, Contender], repeats: int, clock: Callable[[], float]) -> None:
    mixing = torch.linspace(1, 0.03, d)
    real = (normal(n, d, seed=2, dtype=torch.float32) * mixing).abs_()
    generated = (normal(n, d, seed=3, dtype=torch.float32) * mixing).abs_().mul_(1.05)
    runs: dict[str, Callable[[], float]] = {"ours": lambda: frechet_distance(real=real, generated=generated)}
    for name, peer in peers.items():
        gather = GATHERING.get(name, moments_with_numpy)
        runs[name] = lambda peer=peer, gather=gather: peer(gather(real), gather(generated))  # type: ignore[misc]
    show(f"From rows, two sets of {n} x {d} float32", medians(runs, repeats, clock)[0], "ours")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--spectra", nargs="*", help="the first words of the spectra to run; all by default")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), help="the packages to run, if installed")
    parser.add_argument(
        "--rows", action=argparse.BooleanOptionalAction, default=True, help="time the whole from rows too"
    )
    parser.add_argument("--cpu-time", action="store_true", help="count processor time: for a busy machine")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.cpu_time else time.perf_counter
    peers = {name: PEERS[name][1] for name in options.peers if find_spec(PEERS[name][0])}
    print(f"{torch.get_num_threads()} threads, medians of {options.repeats}")
    for title, spectrum in spectra(options.features).items():
        if options.spectra is None or title.startswith(tuple(options.spectra)):
            from_moments(title, spectrum, peers, options.repeats, clock)
    if options.rows:
        from_rows(options.samples, options.features, peers, options.repeats, clock)


if __name__ == "__main__":
    main()
