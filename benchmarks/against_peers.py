"""Time, peak memory and error of the set metrics against other libraries; prints a Markdown table per task.

    python benchmarks/against_peers.py                        # every task, every library that is installed
    python benchmarks/against_peers.py --tasks "W2, same seeds" --scale 0.5 --repeats 5 --device cuda

Each run is a process of its own: it makes the same seeded inputs, imports one library, runs once on a small problem to
warm up, then once on the clock. The libraries take turns; seconds are medians, of processor time with --cpu-time.
Memory is the peak beyond what was held before the run (of the device, on CUDA). The error is the largest difference
from a float64 reference, relative to the scale named in the table.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

Sets = tuple[Tensor, Tensor]
Values = list[float]
Contender = Callable[[Tensor, Tensor], Values]
REFERENCE = "reference"


class Task(NamedTuple):
    """Inputs by scale, the scale of errors, and what each library does with them."""

    inputs: Callable[[float], Sets]
    error_scale: str
    contenders: dict[str, Contender]


# -- inputs ------------------------------------------------------------------------------------------------------------


def _randn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def feature_sets(scale: float, n: int = 10_000, d: int = 2048) -> Sets:
    """Rows like pooled activations: positive, sparse, of a decaying spectrum."""
    n, d = max(20, round(n * scale)), max(8, round(d * scale))
    decay = 1 / (1 + torch.arange(d) / 30)
    mixing = torch.linalg.qr(_randn(d, d, seed=0)).Q * decay[:, None]
    return ((_randn(n, d, seed=1) @ mixing).relu() * 10, (_randn(n, d, seed=2) @ mixing + 0.01).relu() * 10)


def collapsed_sets(scale: float) -> Sets:
    """The same, with a generator that repeats ten samples."""
    real, generated = feature_sets(scale, n=2500)
    return real, generated[torch.arange(len(generated)) % 10]


def same_seed_points(scale: float) -> Sets:
    """Problems of 64 points in 128 dimensions, which moved by 5 %."""
    points = _randn(max(2, round(256 * scale)), 64, 128, seed=0)
    return points, points + 0.05 * _randn(*points.shape, seed=1)


def unrelated_points(scale: float) -> Sets:
    points, others = (_randn(max(2, round(64 * scale)), 64, 128, seed=seed) for seed in (0, 1))
    return points, others


# -- precision and recall ----------------------------------------------------------------------------------------------

K = 3


def our_precision_recall(real: Tensor, generated: Tensor) -> Values:
    from stochrobust import precision_recall

    result = precision_recall(real=real, generated=generated, k=K)
    return [result.precision, result.recall]


def piq_precision_recall(real: Tensor, generated: Tensor) -> Values:
    import piq

    return [float(value) for value in piq.PR(nearest_k=K).compute_metric(real, generated)]


def torch_fidelity_precision_recall(real: Tensor, generated: Tensor) -> Values:
    from torch_fidelity.metric_prc import prc_features_to_metric

    values = prc_features_to_metric(generated, real, prc_neighborhood=K, verbose=False)
    return [values["precision"], values["recall"]]


def prdc_precision_recall(real: Tensor, generated: Tensor) -> Values:
    values = _prdc(real, generated)
    return [values["precision"], values["recall"]]


def our_density_coverage(real: Tensor, generated: Tensor) -> Values:
    from stochrobust import density_coverage

    result = density_coverage(real=real, generated=generated, k=K)
    return [result.density, result.coverage]


def prdc_density_coverage(real: Tensor, generated: Tensor) -> Values:
    values = _prdc(real, generated)
    return [values["density"], values["coverage"]]


def _prdc(real: Tensor, generated: Tensor) -> dict[str, float]:
    import contextlib
    import io

    from prdc import compute_prdc

    with contextlib.redirect_stdout(io.StringIO()):
        return compute_prdc(real.numpy(), generated.numpy(), nearest_k=K)


def brute_force(real: Tensor, generated: Tensor) -> tuple[Values, Values]:
    """Closed balls, neighbours without oneself, squared distances in float64."""

    def radii(points: Tensor) -> Tensor:
        parts = []
        for start, rows in zip(range(0, len(points), 500), points.split(500), strict=True):
            distance = _squared_distances(rows, points)
            distance[torch.arange(len(rows)), start + torch.arange(len(rows))] = torch.inf
            parts.append(distance.kthvalue(K, dim=1).values)
        return torch.cat(parts)

    real_radii, other_radii = radii(real), radii(generated)
    balls = [(_squared_distances(rows, real) <= real_radii).sum(1) for rows in generated.split(500)]
    in_real, in_generated = [], []
    for rows, radius in zip(real.split(500), real_radii.split(500), strict=True):
        distance = _squared_distances(rows, generated)
        in_generated.append((distance <= other_radii).any(1))
        in_real.append((distance <= radius[:, None]).any(1))
    count = torch.cat(balls).double()
    precision_recall = [float((count > 0).double().mean()), float(torch.cat(in_generated).double().mean())]
    return precision_recall, [float(count.mean() / K), float(torch.cat(in_real).double().mean())]


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """In float64: by differences where the sets are small, else by a product, which is off by 1e-12 or so."""
    a, b = a.double(), b.double()
    if len(b) > 3000:
        return torch.addmm(b.square().sum(1), a, b.T, alpha=-2).add_(a.square().sum(1, keepdim=True))
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square()


# -- Frechet and kernel distance ---------------------------------------------------------------------------------------


def our_frechet(real: Tensor, generated: Tensor) -> Values:
    from stochrobust import frechet_distance

    return [frechet_distance(real=real, generated=generated)]


def piq_frechet(real: Tensor, generated: Tensor) -> Values:
    import piq

    return [float(piq.FID().compute_metric(real, generated))]


def torch_fidelity_frechet(real: Tensor, generated: Tensor) -> Values:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    sides = [fid_features_to_statistics(rows.double()) for rows in (real, generated)]
    return list(fid_statistics_to_metric(*sides, verbose=False).values())


def torchmetrics_frechet(real: Tensor, generated: Tensor) -> Values:
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=_Identity(), input_img_size=(real.shape[1],))
    metric.update(real, real=True)
    metric.update(generated, real=False)
    return [float(metric.compute())]


class _Identity(torch.nn.Module):
    """Lets a metric of images take features."""

    def forward(self, rows: Tensor) -> Tensor:
        return rows


def exact_frechet(real: Tensor, generated: Tensor) -> Values:
    """By singular values of the product of Cholesky factors: no square root of a rounded zero."""
    means = [rows.double().mean(0) for rows in (real, generated)]
    centred = [rows.double() - mean for rows, mean in zip((real, generated), means, strict=True)]
    factors = [torch.linalg.qr(rows, mode="r").R / (len(rows) - 1) ** 0.5 for rows in centred]
    nuclear = torch.linalg.svdvals(factors[0] @ factors[1].T).sum()
    traces = sum(factor.square().sum() for factor in factors)
    return [float((means[0] - means[1]).square().sum() + traces - 2 * nuclear)]


def _spectra(d: int) -> Sets:
    return torch.logspace(0, -6, d, dtype=torch.float64), torch.logspace(0.5, -7, d, dtype=torch.float64)


def moments(scale: float) -> Sets:
    """A mean above a covariance each; the covariances have known spectra and one basis, hence a known distance."""
    spectra = _spectra(max(8, round(2048 * scale)))
    basis = torch.linalg.qr(_randn(len(spectra[0]), len(spectra[0]), seed=0).double()).Q
    covariances = [(basis * values) @ basis.T for values in spectra]
    first, second = (torch.cat([torch.full((1, len(c)), 0.01 * i), (c + c.T) / 2]) for i, c in enumerate(covariances))
    return first, second


def known_frechet(first: Tensor, second: Tensor) -> Values:
    a, b = _spectra(first.shape[1])
    return [float((first[0] - second[0]).square().sum() + (a.sqrt() - b.sqrt()).square().sum())]


def our_frechet_of_moments(first: Tensor, second: Tensor) -> Values:
    from stochrobust import FrechetStatistics, frechet_distance

    sides = [FrechetStatistics.from_moments(side[0], side[1:], 10_000) for side in (first, second)]
    return [frechet_distance(real=sides[0], generated=sides[1])]


def piq_frechet_of_moments(first: Tensor, second: Tensor) -> Values:
    from piq.fid import _compute_fid

    return [float(_compute_fid(first[0], first[1:], second[0], second[1:]))]


def torch_fidelity_frechet_of_moments(first: Tensor, second: Tensor) -> Values:
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    sides = [{"mu": side[0].numpy(), "sigma": side[1:].numpy()} for side in (first, second)]
    return list(fid_statistics_to_metric(*sides, verbose=False).values())


def torchmetrics_frechet_of_moments(first: Tensor, second: Tensor) -> Values:
    from torchmetrics.image.fid import _compute_fid

    return [float(_compute_fid(first[0], first[1:], second[0], second[1:]))]


def scipy_frechet_of_moments(first: Tensor, second: Tensor) -> Values:
    """As pytorch-fid and clean-fid do it."""
    from scipy.linalg import sqrtm

    root = sqrtm((first[1:] @ second[1:]).numpy()).real.trace()
    traces = float(first[1:].trace() + second[1:].trace())
    return [float((first[0] - second[0]).square().sum()) + traces - 2 * float(root)]


def our_kernel_distance(real: Tensor, generated: Tensor) -> Values:
    from stochrobust import kernel_distance

    return [kernel_distance(real=real, generated=generated).value]


def piq_kernel_distance(real: Tensor, generated: Tensor) -> Values:
    import piq

    return [float(piq.KID().compute_metric(real, generated))]


def torch_fidelity_kernel_distance(real: Tensor, generated: Tensor) -> Values:
    from torch_fidelity.metric_kid import kernel_mmd

    return [float(kernel_mmd(real.numpy(), generated.numpy()))]


def torchmetrics_kernel_distance(real: Tensor, generated: Tensor) -> Values:
    from torchmetrics.image.kid import poly_mmd

    return [float(poly_mmd(real, generated))]


def float64_kernel_distance(real: Tensor, generated: Tensor) -> Values:
    real, generated = real.double(), generated.double()

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    n, within = len(real), 0.0
    for rows in (real, generated):
        values = kernel(rows, rows)
        within += float(values.sum() - values.trace()) / (n * (n - 1))
    return [within - 2 * float(kernel(real, generated).mean())]


# -- W2 ----------------------------------------------------------------------------------------------------------------


def our_w2(a: Tensor, b: Tensor) -> Values:
    from stochrobust import w2_squared

    return w2_squared(a.double(), b.double()).tolist()


def pot_w2(a: Tensor, b: Tensor) -> Values:
    import ot

    pairs = zip(a.double().numpy(), b.double().numpy(), strict=True)
    return [float(ot.emd2([], [], ot.dist(x, y))) for x, y in pairs]


def scipy_w2(a: Tensor, b: Tensor) -> Values:
    from scipy.optimize import linear_sum_assignment

    values = []
    for x, y in zip(a, b, strict=True):
        cost = _squared_distances(x, y)
        rows, columns = linear_sum_assignment(cost.numpy())
        values.append(float(cost[rows, columns].mean()))
    return values


def our_bracket(a: Tensor, b: Tensor) -> Values:
    from stochrobust import w2_bracket

    bracket = w2_bracket(a.double(), b.double())
    return ((bracket.lower + bracket.upper) / 2).tolist()


def geomloss_w2(a: Tensor, b: Tensor) -> Values:
    """Its cost has a factor of 1/2."""
    from geomloss import SamplesLoss

    loss = SamplesLoss("sinkhorn", p=2, blur=0.05, scaling=0.9, backend="tensorized")
    return (2 * loss(a.double(), b.double())).tolist()


# -- all of it ---------------------------------------------------------------------------------------------------------

PRECISION_RECALL: dict[str, Contender] = {
    "stochrobust": our_precision_recall,
    "prdc": prdc_precision_recall,
    "piq": piq_precision_recall,
    "torch_fidelity": torch_fidelity_precision_recall,
    REFERENCE: lambda real, generated: brute_force(real, generated)[0],
}
TASKS = {
    "precision and recall of 10,000": Task(feature_sets, "1", PRECISION_RECALL),
    "precision and recall of 2,500, 10 of them repeated": Task(collapsed_sets, "1", PRECISION_RECALL),
    "density and coverage of 10,000": Task(
        feature_sets,
        "1",
        {
            "stochrobust": our_density_coverage,
            "prdc": prdc_density_coverage,
            REFERENCE: lambda real, generated: brute_force(real, generated)[1],
        },
    ),
    "Frechet distance of 10,000 rows": Task(
        feature_sets,
        "the value",
        {
            "stochrobust": our_frechet,
            "piq": piq_frechet,
            "torch_fidelity": torch_fidelity_frechet,
            "torchmetrics": torchmetrics_frechet,
            REFERENCE: exact_frechet,
        },
    ),
    "Frechet distance of moments": Task(
        moments,
        "the value",
        {
            "stochrobust": our_frechet_of_moments,
            "piq": piq_frechet_of_moments,
            "torch_fidelity": torch_fidelity_frechet_of_moments,
            "torchmetrics": torchmetrics_frechet_of_moments,
            "scipy": scipy_frechet_of_moments,
            REFERENCE: known_frechet,
        },
    ),
    "kernel distance of 3,000 rows": Task(
        lambda scale: feature_sets(scale, n=3000),
        "the value",
        {
            "stochrobust": our_kernel_distance,
            "piq": piq_kernel_distance,
            "torch_fidelity": torch_fidelity_kernel_distance,
            "torchmetrics": torchmetrics_kernel_distance,
            REFERENCE: float64_kernel_distance,
        },
    ),
    "W2, same seeds": Task(same_seed_points, "the value", {"stochrobust": our_w2, "ot": pot_w2, REFERENCE: scipy_w2}),
    "W2, unrelated sets": Task(
        unrelated_points, "the value", {"stochrobust": our_w2, "ot": pot_w2, REFERENCE: scipy_w2}
    ),
    "W2, entropic, unrelated sets": Task(
        unrelated_points, "the value", {"stochrobust": our_bracket, "geomloss": geomloss_w2, REFERENCE: scipy_w2}
    ),
}


def run(task: Task, library: str, scale: float, device: str, clock: Callable[[], float]) -> dict[str, Any]:
    """Once on the clock, in this process."""
    contender = task.contenders[library]
    on_host = library in ("prdc", "torch_fidelity", "ot", "scipy", REFERENCE)
    where = "cpu" if on_host else device
    small, inputs = (tuple(side.to(where) for side in task.inputs(size)) for size in (min(scale, 0.02), scale))
    contender(*small)
    held = _held(where)
    start = clock()
    values = [float(value) for value in contender(*inputs)]
    seconds = clock() - start
    return {"seconds": seconds, "MiB": (_peak(where) - held) / 2**20, "values": values}


def _held(where: str) -> int:
    """Bytes in use, from which on the peak is taken."""
    if where != "cpu":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts anew
    return _status("VmRSS")


def _peak(where: str) -> int:
    return torch.cuda.max_memory_allocated() if where != "cpu" else _status("VmHWM")


def _status(name: str) -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])


def in_a_process(name: str, library: str, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--run", name, library, "--scale", str(options.scale)]
    command += ["--device", options.device, "--threads", str(options.threads)]
    command += ["--cpu-time"] if options.cpu_time else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1] if done.stderr else f"exit {done.returncode}"}
    return json.loads(done.stdout.splitlines()[-1])


def table(name: str, options: argparse.Namespace) -> str:
    task = TASKS[name]
    libraries = [lib for lib in task.contenders if lib == REFERENCE or importlib.util.find_spec(lib)]
    rounds: dict[str, list[dict[str, Any]]] = {library: [] for library in libraries}
    for number in range(options.repeats):
        for library in libraries:
            if library != REFERENCE or number == 0:
                rounds[library].append(in_a_process(name, library, options))
    reference = rounds.pop(REFERENCE)[0]["values"]
    size = max(map(abs, reference)) if task.error_scale == "the value" else 1.0
    lines = [f"### {name}", "", f"| library | seconds | of ours | MiB | error, of {task.error_scale} |"]
    lines += ["|---|---:|---:|---:|---:|"]
    ours = None
    for library, results in rounds.items():
        if failed := [result["failed"] for result in results if "failed" in result]:
            lines.append(f"| {library} | failed: {failed[0]} | | | |")
            continue
        seconds = statistics.median(result["seconds"] for result in results)
        ours = ours or seconds
        error = max(abs(a - b) for a, b in zip(results[0]["values"], reference, strict=True)) / size
        memory = max(result["MiB"] for result in results)
        lines.append(f"| {library} | {seconds:.3f} | {seconds / ours:.2f} | {memory:.0f} | {error:.1e} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), metavar="TASK")
    parser.add_argument("--scale", type=float, default=1.0, help="of the samples, the features, the problems")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cpu-time", action="store_true", help="count processor time: for a busy machine")
    parser.add_argument("--run", nargs=2, metavar=("TASK", "LIBRARY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.run:
        name, library = options.run
        clock = time.process_time if options.cpu_time else time.perf_counter
        print(json.dumps(run(TASKS[name], library, options.scale, options.device, clock)))
        return
    print(f"torch {torch.__version__}, {options.threads} thread(s), {options.device}, scale {options.scale}\n")
    for name in options.tasks:
        print(table(name, options), flush=True)


if __name__ == "__main__":
    main()
