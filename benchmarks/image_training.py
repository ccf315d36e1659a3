"""A step of the image studies against the passes it cannot do without, and what every preset costs.

    python benchmarks/image_training.py [--repeats 5] [--out benchmarks/results]

Processor seconds of one thread. The minimal loop is written by hand over the same networks: images in memory, seeds
from torch's global generator, no checkpoints, no statistics, nothing distributed. A preset's step is measured at a
batch that fits this machine and multiplied up; its hours follow from the published schedule of two plain steps and a
robust one.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

sys.path.insert(0, str(Path(__file__).parents[1]))

from reference_experiments.data.batches import Batches
from reference_experiments.images.presets import PRESETS
from reference_experiments.images.settings import ATTACKS, Training
from reference_experiments.images.training import accelerated, one_step, untrained
from reference_experiments.runs import Record, write_atomically, write_json
from stochrobust import robustness_loss

COMPARED = {
    "published networks, 64 x 64, batch 4": Training(batch=4, n_seeds=2, attack="training"),
    "faces32-inpainting": PRESETS["faces32-inpainting"].training,
}
MEASURED_PIXELS = 4 * 64 * 64
"""Of a batch that this machine has memory for."""
PLAIN, ROBUST = 0, 2  # steps of the schedule: 0 and 1 plain, 2 robust


def ours(settings: Training, step: int) -> Callable[[], object]:
    """The step of the studies."""
    trainee = untrained(settings, accelerated())
    images = torch.rand(256, settings.channels, settings.size, settings.size).mul(255).byte().numpy()
    streams = [Batches(images, settings.batch, seed) for seed in range(3)]
    return lambda: one_step(trainee, streams, step)


def minimal(settings: Training, step: int) -> Callable[[], object]:
    """The same passes, by hand."""
    torch.manual_seed(0)
    G, C = settings.estimator(), settings.critic()
    adams = [torch.optim.Adam(net.parameters(), settings.lr, betas=(0.5, 0.99), fused=True) for net in (G, C)]
    images = torch.rand(256, settings.channels, settings.size, settings.size)
    D, eps, attack = G.projector.D, settings.restoration.eps, ATTACKS[settings.attack]
    n_seeds = settings.n_seeds if settings.stochastic else 1

    def some() -> Tensor:
        return images[torch.randint(len(images), (settings.batch,))]

    def run() -> None:
        real, y = some().requires_grad_(), D(some())
        with torch.no_grad():
            generated = G(y, G.sample_z(y))
        logits = C(real)
        (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
        loss = softplus(-logits).mean() + softplus(C(generated)).mean()
        loss = loss + settings.r1 * gradient.square().sum((1, 2, 3)).mean()
        adams[1].zero_grad()
        loss.backward()
        adams[1].step()
        y = D(some())
        C.requires_grad_(False)
        loss = softplus(-C(G(y, G.sample_z(y)))).mean()
        if step == ROBUST:
            loss = loss + settings.weight * robustness_loss(G, y, eps, n_seeds, attack=attack)
        adams[0].zero_grad()
        loss.backward()
        adams[0].step()
        C.requires_grad_(True)

    return run


def seconds_of(run: Callable[[], object]) -> float:
    """Processor seconds of one call."""
    begun = time.process_time()
    run()
    return time.process_time() - begun


def compared(repeats: int) -> list[dict[str, Any]]:
    """Medians of interleaved rounds."""
    rows = []
    for what, settings in COMPARED.items():
        for kind, step in (("plain", PLAIN), ("robust", ROBUST)):
            runs = {"ours": ours(settings, step), "minimal": minimal(settings, step)}
            times: dict[str, list[float]] = {name: [] for name in runs}
            for attempt in range(repeats + 1):
                for name, run in runs.items():
                    seconds = seconds_of(run)
                    if attempt:  # the first is warmer
                        times[name].append(seconds)
            medians = {name: statistics.median(found) for name, found in times.items()}
            rows.append({"what": what, "step": kind, **medians, "ratio": medians["ours"] / medians["minimal"]})
    return rows


def cost(name: str) -> dict[str, float]:
    """Processor seconds of a preset's steps at its batch, and the peak memory of this process in MiB."""
    import resource

    full = PRESETS[name].training
    settings = replace(full, batch=min(full.batch, MEASURED_PIXELS // full.size**2))
    times = {"batch": float(full.batch), "measured_batch": float(settings.batch)}
    for kind, stochastic, step in (
        ("plain", True, PLAIN), ("robust_stochastic", True, ROBUST), ("robust_deterministic", False, ROBUST)
    ):  # fmt: skip
        run = ours(replace(settings, stochastic=stochastic), step)
        run()
        times[kind] = min(seconds_of(run) for _ in range(2)) * full.batch / settings.batch
    times["mebibytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return times


def costs() -> dict[str, dict[str, float | str]]:
    """:func:`cost` of every preset, once for those with the same networks, and what its four models take."""
    measured: dict[Training, tuple[str, dict[str, float]]] = {}
    rows: dict[str, dict[str, float | str]] = {}
    for name, preset in PRESETS.items():
        if name.startswith("smoke"):
            continue
        networks = replace(preset.training, task="inpainting", steps=0, milestones=())
        if networks not in measured:
            measured[networks] = name, in_a_process(name)
        where, times = measured[networks]
        robust = times["robust_stochastic"] + times["robust_deterministic"]
        per_step = 2 * times["plain"] + (4 * times["plain"] + robust) / 3  # two erratic models, two robust ones
        rows[name] = {**times, "hours": preset.training.steps * per_step / 3600, "measured_on": where}
    return rows


def in_a_process(name: str) -> dict[str, float]:
    """:func:`cost` in a process of its own, so that the peak is its own."""
    import json

    command = [sys.executable, __file__, "--cost", name]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def report(results: dict[str, Any]) -> str:
    """Both tables."""
    lines = ["| | step | minimal loop, s | ours, s | ratio |", "|" + " --- |" * 5]
    lines += [
        f"| {row['what']} | {row['step']} | {row['minimal']:.3f} | {row['ours']:.3f} | {row['ratio']:.3f} |"
        for row in results["compared"]
    ]
    head = ("plain step, s", "robust step, stochastic, s", "deterministic, s", "four models, hours", "peak memory, MiB")
    lines += ["", "| preset | " + " | ".join(head) + " |", "|" + " --- |" * 6]
    for name, row in results["presets"].items():
        cells = (row["plain"], row["robust_stochastic"], row["robust_deterministic"])
        derived = "" if row["batch"] == row["measured_batch"] and row["measured_on"] == name else " (derived)"
        times = " | ".join(f"{seconds:.2f}" for seconds in cells)
        lines.append(f"| `{name}` | {times} | {row['hours']:,.1f}{derived} | {row['mebibytes']:,.0f} |")
    record = results["record"]
    lines += [
        "",
        f"Processor seconds of one thread; medians of {results['repeats']} interleaved rounds above, the better of two "
        f"below. Presets of the same networks were measured once, with batches of at most {MEASURED_PIXELS:,} pixels, "
        "to which the memory belongs, and multiplied up to their own: (derived). Hours are of training alone.",
        "",
        f"`{record['command']}`, revision {record['revision']}, {record['hardware']}, torch {record['torch']}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write both tables."""
    import json

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cost", help="print what one preset costs, as JSON")
    parser.add_argument("--out", type=Path, default=Path("runs/image-training"), help="folder of the results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.cost:
        print(json.dumps(cost(options.cost)))
        return
    record = Record(" ".join(["python", "benchmarks/image_training.py", *sys.argv[1:]]))
    results = {"compared": compared(options.repeats), "presets": costs(), "repeats": options.repeats}
    results["record"] = record.finished("cpu")
    write_json(options.out / "image_training.json", results)
    write_atomically(options.out / "image_training.md", report(results))
    print(report(results))


if __name__ == "__main__":
    main()
