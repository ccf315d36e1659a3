"""Metrics beside their formulas and beside other libraries, as ratios of processor time in one process.

    python benchmarks/metric_ratios.py --repeats 5 --out benchmarks/results

All contenders of a task take turns in each round, after one round that is not counted, on one thread; each number is
the median of its rounds over the median of the baseline's. Libraries that are not installed are left out. Errors are
relative to a float64 reference.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.against_peers import feature_sets, float64_kernel_distance
from stochrobust import kernel_distance, per_pixel_std, psnr, w2_squared

Call = Callable[[], Any]
SEED = 0


def natural_sets(n: int, d: int) -> tuple[Tensor, Tensor]:
    """Rows of a second kind: heavy-tailed, centred, of one scale."""
    generator = torch.Generator().manual_seed(SEED + 1)
    real, generated = (torch.randn(n, d, generator=generator) for _ in range(2))
    return real * real.abs(), generated * generated.abs() + 0.05


def psnr_task(scale: float) -> tuple[str, dict[str, Call], float]:
    generator = torch.Generator().manual_seed(SEED)
    a, b = torch.rand(2, max(2, round(256 * scale)), 3, 64, 64, generator=generator)
    calls: dict[str, Call] = {
        "formula per sample": lambda: -10 * (a - b).square().flatten(1).mean(1).log10(),
        "stochrobust": lambda: psnr(a, b),
        "one mean over all": lambda: -10 * (a - b).square().mean().log10(),
    }
    if importlib.util.find_spec("piq"):
        import piq

        calls["piq"] = lambda: piq.psnr(a, b)
    return "psnr, 256 x 3 x 64 x 64", calls, float(-10 * (a - b).double().square().flatten(1).mean(1).log10().mean())


def std_task(scale: float) -> tuple[str, dict[str, Call], float]:
    generator = torch.Generator().manual_seed(SEED)
    samples = torch.rand(max(1, round(8 * scale)) * 32, 3, 64, 64, generator=generator)
    calls: dict[str, Call] = {
        "torch.std": lambda: samples.unflatten(0, (-1, 32)).std(1).flatten(1).mean(1),
        "stochrobust": lambda: per_pixel_std(samples, 32),
    }
    return "per_pixel_std, 8 x 32 x 3 x 64 x 64", calls, float(samples.double().unflatten(0, (-1, 32)).std(1).mean())


def kernel_task(name: str, sets: tuple[Tensor, Tensor]) -> tuple[str, dict[str, Call], float]:
    real, generated = sets
    calls: dict[str, Call] = {"stochrobust": lambda: kernel_distance(real=real, generated=generated).value}
    if importlib.util.find_spec("torch_fidelity"):
        from torch_fidelity.metric_kid import kernel_mmd

        calls["torch_fidelity"] = lambda: kernel_mmd(real.numpy(), generated.numpy())
    if importlib.util.find_spec("piq"):
        import piq

        calls["piq"] = lambda: piq.KID().compute_metric(real, generated)
    if importlib.util.find_spec("torchmetrics"):
        from torchmetrics.image.kid import poly_mmd

        calls["torchmetrics"] = lambda: poly_mmd(real, generated)
    return f"kernel distance, {name}", calls, float64_kernel_distance(real, generated)[0]


def plan_task(scale: float) -> tuple[str, dict[str, Call], float]:
    generator = torch.Generator().manual_seed(SEED)
    n, m = max(6, round(300 * scale)), max(4, round(200 * scale))
    a, b = (torch.randn(1, size, 8, generator=generator, dtype=torch.float64) for size in (n, m))
    import ot

    weights = torch.full((n,), 1 / n, dtype=torch.float64), torch.full((m,), 1 / m, dtype=torch.float64)
    calls: dict[str, Call] = {
        "ot.emd2": lambda: ot.emd2(*weights, torch.cdist(a[0], b[0]).square(), numItermax=10**7),
        "stochrobust": lambda: w2_squared(a, b),
    }
    return (
        "W2 of 300 and 200 points",
        calls,
        float(ot.emd2(*weights, torch.cdist(a[0], b[0]).square(), numItermax=10**7)),
    )


def measure(title: str, calls: dict[str, Call], truth: float, repeats: int) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    errors = {}
    for number in range(repeats + 1):
        for name, call in calls.items():
            start = time.process_time()
            value = call()
            if number:
                seconds[name].append(time.process_time() - start)
            errors[name] = abs(float(torch.as_tensor(value).double().mean()) / truth - 1)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    base = next(iter(medians.values()))
    rows = {n: {"seconds": s, "ratio": s / base, "error": errors[n]} for n, s in medians.items()}
    return {"task": title, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="of the problems")
    parser.add_argument("--out", type=Path, help="folder of metric_ratios.json and metric_ratios.md")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start, scale = time.perf_counter(), options.scale
    n = max(520, round(3000 * scale))
    tasks = [psnr_task(scale), std_task(scale)]
    tasks += [kernel_task("3,000 like activations", feature_sets(n / 3000, 3000))] if scale == 1 else []
    tasks += [kernel_task(f"{n:,} heavy-tailed", natural_sets(n, 2048))]
    tasks += [plan_task(scale)] if importlib.util.find_spec("ot") else []
    results = [measure(*task, options.repeats) for task in tasks]
    git = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    peers = [p for p in ("piq", "torch-fidelity", "torchmetrics", "POT") if _installed(p)]
    facts = {
        "command": f"python benchmarks/metric_ratios.py --repeats {options.repeats} --scale {options.scale:g}",
        "revision": git.stdout.strip(),
        "seed": SEED,
        "hardware": f"{platform.machine()}, 1 thread",
        "versions": {name: version(name) for name in ("torch", *peers)},
        "seconds": round(time.perf_counter() - start),
    }
    text = table(results, facts)
    print(text)
    if options.out:
        (options.out / "metric_ratios.json").write_text(json.dumps({**facts, "results": results}, indent=1) + "\n")
        (options.out / "metric_ratios.md").write_text(text)


def _installed(package: str) -> bool:
    return importlib.util.find_spec({"torch-fidelity": "torch_fidelity", "POT": "ot"}.get(package, package)) is not None


def table(results: list[dict[str, Any]], facts: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    lines = ["# Metrics beside their formulas and other libraries", "", f"`{facts['command']}`, revision", ""]
    lines[2] = f"`{facts['command']}`, at {facts['revision']}, seed {facts['seed']}, {facts['seconds']} s."
    lines += [f"{facts['hardware']}, {versions}. Processor time, in one process, in turns, medians.", ""]
    lines += ["| task | contender | of the first | seconds | relative error |", "| --- | --- | ---: | ---: | ---: |"]
    for result in results:
        for name, row in result["rows"].items():
            lines.append(
                f"| {result['task']} | {name} | {row['ratio']:.2f} | {row['seconds']:.4f} | {row['error']:.1e} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
