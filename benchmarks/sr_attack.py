"""Processor seconds of one image's I-FGSM in the study, beside those of the bare passes that it cannot do without.

    python benchmarks/sr_attack.py [--models carn_m realsr --repeats 3 --out benchmarks/results]

The bare passes are a loop of these and nothing else, with the model's seeds as the rows of one batch: one clean forward
pass; per step one forward and one backward pass to the input; one attacked forward pass; of a stochastic model a clean
and an attacked one at seeds that did not choose the attack, since its table has a column of them. Everything else that
the study does counts as its own cost: the library's checks and doubts, PSNRs and sharpness. Both call a flow as the
study does, which encodes the one y of all seeds once; with ``--every-row``, what its bare passes cost without that is
beside them. Without ``--models``: a small flow with random weights alone, which is always measured.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from reference_experiments.data.sr_benchmarks import Pair
from reference_experiments.networks.srflow import SRFlow
from reference_experiments.runs import Record, write_atomically, write_json
from reference_experiments.srflow.attack import Attack, measured
from reference_experiments.srflow.bicubic import as_input, enlarged
from reference_experiments.srflow.models import Subject, subject
from reference_experiments.srflow.settings import SMALL
from stochrobust import sampler_of

ALPHA = 8 / 255


def bare(G: Callable[..., Tensor], y: Tensor, attack: Attack, max_batch: int | None) -> None:
    """The bare passes."""
    sample_z = sampler_of(G)
    n_seeds = 1 if sample_z is None else attack.n_seeds
    rows = y[None].expand(n_seeds, -1, -1, -1).contiguous()
    z = None if sample_z is None else sample_z(rows, torch.Generator().manual_seed(0))
    step = max_batch or n_seeds
    chunks = [slice(first, first + step) for first in range(0, n_seeds, step)]

    def output(y: Tensor, chunk: slice) -> Tensor:
        return G(y[chunk]) if z is None else G(y[chunk], tuple(latent[chunk] for latent in z))

    with torch.no_grad():
        for chunk in chunks:
            output(rows, chunk)
    for _ in range(attack.steps):
        for chunk in chunks:
            leaf = rows.clone().requires_grad_()
            out = output(leaf, chunk)
            torch.autograd.grad(out, leaf, grad_outputs=out.detach())
    with torch.no_grad():
        for _ in range(1 if z is None else 3):
            for chunk in chunks:
                output(rows, chunk)


def seconds(call: Callable[[], object]) -> float:
    """Of the processor of this process, which others on the machine do not lengthen."""
    start = time.process_time()
    call()
    return time.process_time() - start


def small_flow(seed: int = 0) -> Subject:
    """With random weights, its couplings weak so that the inverse is sound."""
    torch.manual_seed(seed)
    G = SRFlow(SMALL, heat=0.5).eval()
    with torch.no_grad():
        for name, parameter in G.named_parameters():
            if name.endswith(".4.weight"):
                parameter.normal_(0.0, 0.01)
    return Subject(G, "small flow", "flow", True, "")


def compared(
    model: Subject, pair: Pair, attack: Attack, repeats: int, max_batch: int | None, every_row: bool
) -> dict[str, Any]:
    """Medians of interleaved rounds, after a short one that warms up."""

    def runs(attack: Attack) -> dict[str, Callable[[], object]]:
        calls: dict[str, Callable[[], object]] = {
            "study": lambda: measured(model, pair, ALPHA, attack, 0, max_batch),
            "bare": lambda: bare(model.of_one_input, pair.y, attack, max_batch),
        }
        if every_row and model.of_one_input is not model.G:
            calls["encoding_every_row"] = lambda: bare(model.G, pair.y, attack, max_batch)
        return calls

    for call in runs(replace(attack, steps=1)).values():
        call()
    times: dict[str, list[float]] = {name: [] for name in runs(attack)}
    for _ in range(repeats):
        for name, call in runs(attack).items():
            times[name].append(seconds(call))
    medians = {name: statistics.median(found) for name, found in times.items()}
    return {"model": model.name, **medians, "ratio": medians["study"] / medians["bare"], "times": times}


def report(results: dict[str, Any]) -> str:
    """The table."""
    lines = ["| model | bare passes, s | study, s | ratio | bare passes, y encoded for every seed, s |"]
    lines += ["| --- | ---: | ---: | ---: | ---: |"]
    for row in results["compared"]:
        apart = f"{row['encoding_every_row']:.2f}" if "encoding_every_row" in row else ""
        lines.append(f"| {row['model']} | {row['bare']:.2f} | {row['study']:.2f} | {row['ratio']:.3f} | {apart} |")
    record, attack = results["record"], results["attack"]
    lines += [
        "",
        f"Processor seconds of one thread, medians of {results['repeats']} interleaved rounds: one input of "
        f"{results['side']} x {results['side']} pixels, {attack['steps']} steps, {attack['n_seeds']} seeds where the "
        "model is stochastic. The study's seconds are all that it does for an image and alpha.",
        "",
        f"`{record['command']}`, revision {record['revision']}, {record['hardware']}, torch {record['torch']}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=[], help="as the command `srflow` names them")
    parser.add_argument("--side", type=int, default=24)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--max-batch", type=int)
    parser.add_argument(
        "--every-row", action="store_true", help="the bare passes of a flow that encodes every row, too"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/sr-attack"), help="folder of the results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    record = Record(" ".join(["python", "benchmarks/sr_attack.py", *sys.argv[1:]]))
    models = [*(subject(spec) for spec in options.models), small_flow()]
    attack = Attack(steps=options.steps, n_seeds=options.seeds)
    x = enlarged(torch.rand(3, options.side, options.side, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    pair = Pair(x, as_input(x))
    rows = [compared(model, pair, attack, options.repeats, options.max_batch, options.every_row) for model in models]
    results = {"compared": rows, "attack": asdict(attack), "side": options.side, "repeats": options.repeats}
    results["record"] = record.finished("cpu")
    write_json(options.out / "sr_attack.json", results)
    write_atomically(options.out / "sr_attack.md", report(results))
    print(report(results))


if __name__ == "__main__":
    main()
