"""Images per second that the batches of a prepared set deliver, against what training consumes.

    python benchmarks/data_loading.py [--images 130216 --batch 64 --scratch runs/data-loading --out benchmarks/results]

The set is made of random pixels, as many as CelebA's training part has. "In memory" is what later epochs meet where the
set fits into the memory that the system has to spare; "on disk" is a set of which the system has dropped every page,
read at random. The plain step, without the robustness loss, consumes most images per second: its critic and its
estimator take three batches. The consumption of another machine can be given (``--consumption IMAGES_PER_SECOND``).
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from reference_experiments.data import batches
from reference_experiments.data.arrays import Pixels, open_set, write_set
from reference_experiments.data.batches import Batches
from reference_experiments.images.settings import Training
from reference_experiments.images.training import accelerated, as_images, one_step, untrained
from reference_experiments.runs import Record, write_atomically, write_json

PLAIN = Training(stochastic=False, robust=False)
STEPS = {
    "the published networks, 64 x 64": replace(PLAIN, batch=16),
    "a small pair (s = 8, f = 4), 32 x 32": replace(PLAIN, size=32, s=8, f=4, batch=16),
}
STREAMS = 3  # batches of a step
NEEDED = 5


def random_set(folder: Path, n: int, side: int) -> Path:
    """A prepared set of n images, made once."""
    block = np.random.default_rng(0).integers(0, 256, (1024, 3, side, side), dtype=np.uint8)

    def images() -> Iterator[Pixels]:
        for i in range(n):
            yield block[i % len(block)]

    path = folder / f"random-{n}-{side}"
    if not path.exists():
        write_set(path, path.name, {"train": (n, images())}, {})
    return path


def drop(path: Path) -> None:
    """Have the system forget the file's pages, which must be on disk for it."""
    file = os.open(path, os.O_RDONLY)
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(file)


def rate(folder: Path, size: int, cold: bool, use: Callable[[Tensor], object], steps: int, first: int) -> float:
    """Images per second over so many steps."""
    if cold:
        drop(folder / "train.npy")
    stream = Batches(open_set(folder, "train").images, size, seed=0)
    if not cold:
        stream.images.max()  # reads and maps all of it
    stream.indices(first)  # an epoch's order is drawn once in thousands of steps, and has a row of its own
    begun = time.perf_counter()
    for step in range(first, first + steps):
        use(stream.batch(step))
    return steps * size / (time.perf_counter() - begun)


def delivered(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Every way of reading, rounds interleaved."""
    announce, device = batches.announce, torch.device("cpu")
    uses = {"8-bit": lambda batch: batch, "float": lambda batch: as_images(batch, device)}
    ways = [(cold, announced, use) for cold in (False, True) for announced in (True, False) for use in uses]
    rates: dict[tuple[bool, bool, str], list[float]] = {way: [] for way in ways}
    for attempt in range(options.repeats):
        for cold, announced, use in ways:
            batches.announce = announce if announced else lambda images, rows: None
            steps = options.steps // (10 if cold else 1)
            rates[cold, announced, use].append(rate(folder, options.batch, cold, uses[use], steps, attempt * steps))
    batches.announce = announce
    return [
        {"cold": cold, "announced": announced, "to": use, "images_per_second": statistics.median(found)}
        for (cold, announced, use), found in rates.items()
    ]


def consumed(settings: Training, repeats: int, folder: Path) -> float:
    """Images per second of the plain step, its own loading included."""
    path = random_set(folder, 512, settings.size)
    trainee = untrained(settings, accelerated())
    streams = [Batches(open_set(path, "train").images, settings.batch, seed) for seed in range(STREAMS)]
    one_step(trainee, streams, 0)
    seconds = []
    for step in range(1, repeats + 1):
        begun = time.perf_counter()
        one_step(trainee, streams, step)
        seconds.append(time.perf_counter() - begun)
    return STREAMS * settings.batch / statistics.median(seconds)


def private_memory() -> float:
    """MiB of this process that are not pages of files; NaN where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon")), float("nan"))


def growth(folder: Path, size: int, steps: int) -> float:
    """MiB by which this process has grown after so many batches."""
    stream = Batches(open_set(folder, "train").images, size, seed=1)
    stream.batch(0)
    before = private_memory()
    for step in range(1, steps):
        stream.batch(step)
    return private_memory() - before


def order_seconds(n: int) -> float:
    """What drawing the order of an epoch takes."""
    begun = time.perf_counter()
    batches._order.__wrapped__(n, 0, 0)
    return time.perf_counter() - begun


def report(results: dict[str, Any]) -> str:
    """Both tables, and what they come to."""
    rates = {(r["cold"], r["announced"], r["to"]): r["images_per_second"] for r in results["delivered"]}
    lines = [
        "| the set is | rows announced | images/s, 8-bit | images/s, to float on one CPU thread |",
        "|" + " --- |" * 4,
    ]
    for cold in (False, True):
        for announced in (True, False):
            cells = (f"{rates[cold, announced, to]:,.0f}" for to in ("8-bit", "float"))
            told = "yes (as is)" if announced else "no"
            lines.append(f"| {'on disk' if cold else 'in memory'} | {told} | {' | '.join(cells)} |")
    lines += ["", "| what consumes | images/s | times delivered: in memory | on disk |", "|" + " --- |" * 4]
    warm, cold = rates[False, True, "float"], rates[True, True, "float"]
    for what, pace in results["consumed"].items():
        lines.append(f"| {what} | {pace:,.0f} | {warm / pace:,.0f} | {cold / pace:,.0f} |")
    per_step = STREAMS * results["batch"]
    fastest = [rates[cold, True, "8-bit"] / NEEDED / per_step for cold in (False, True)]
    record = results["record"]
    lines += [
        "",
        f"{results['images']:,} images of 3 x 64 x 64, batches of {results['batch']}; medians of {results['repeats']} "
        f"interleaved rounds. Delivered is {NEEDED} times consumed up to {fastest[0]:,.0f} plain steps per second at "
        f"this batch with the set in memory, and up to {fastest[1]:,.0f} from disk, where a device converts to float. "
        f"Drawing the order of an epoch takes {1e3 * results['order_seconds']:.0f} ms. Within "
        f"{results['growth_steps']:,} batches the process grew by {results['growth_mib']:.0f} MiB of its own; the set "
        f"has {results['set_mib']:,.0f}.",
        "",
        f"`{record['command']}`, revision {record['revision']}, {record['hardware']}, torch {record['torch']}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=130_216)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=600, help="batches of a round; a tenth of it from disk")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--consumption", type=float, help="images per second of another training, to compare with")
    parser.add_argument("--scratch", type=Path, default=Path("runs/data-loading"), help="folder of the random set")
    parser.add_argument("--out", type=Path, default=Path("runs/data-loading"), help="folder of the results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    record = Record(" ".join(["python", "benchmarks/data_loading.py", *sys.argv[1:]]))
    folder = random_set(options.scratch, options.images, 64)
    pace = {what: consumed(settings, options.repeats, options.scratch) for what, settings in STEPS.items()}
    if options.consumption:
        pace["as given"] = options.consumption
    results = {
        "images": options.images, "batch": options.batch, "repeats": options.repeats,
        "delivered": delivered(folder, options), "consumed": pace, "order_seconds": order_seconds(options.images),
        "growth_mib": growth(folder, options.batch, options.steps), "growth_steps": options.steps,
        "set_mib": (folder / "train.npy").stat().st_size / 2**20, "record": record.finished("cpu"),
    }  # fmt: skip
    write_json(options.out / "data_loading.json", results)
    write_atomically(options.out / "data_loading.md", report(results))
    print(report(results))


if __name__ == "__main__":
    main()
