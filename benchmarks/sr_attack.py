"""Seconds of one image's I-FGSM in the study, beside those of the bare passes that it cannot do without, interleaved.

    python benchmarks/sr_attack.py [--models carn_m realsr=FILE --side 24 --steps 50 --seeds 10 --repeats 5]

The floor is a loop of exactly those passes: one clean forward, per step one forward and one backward to the input, one
attacked forward, all with the model's seeds as the rows of one batch. The study makes more: the library's checks, and
outputs at seeds that did not choose the attack. Without ``--models``: bicubic and a small flow with random weights.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from reference_experiments.data.sr_benchmarks import Pair
from reference_experiments.networks.srflow import SRFlow
from reference_experiments.srflow.attack import Attack, measured
from reference_experiments.srflow.bicubic import as_input, enlarged
from reference_experiments.srflow.models import Subject, subject
from reference_experiments.srflow.settings import SMALL

ALPHA = 8 / 255


def floor(model: Subject, y: Tensor, attack: Attack, max_batch: int | None) -> None:
    """The bare passes."""
    n_seeds = attack.n_seeds if model.stochastic else 1
    rows = y[None].expand(n_seeds, -1, -1, -1)
    z = model.G.sample_z(rows, torch.Generator().manual_seed(0)) if model.stochastic else None
    step = max_batch or n_seeds
    chunks = [slice(first, first + step) for first in range(0, n_seeds, step)]

    def output(y: Tensor, chunk: slice) -> Tensor:
        return model.G(y[chunk]) if z is None else model.G(y[chunk], tuple(latent[chunk] for latent in z))

    with torch.no_grad():
        clean = [output(rows, chunk) for chunk in chunks]
    for _ in range(attack.steps):
        for chunk in chunks:
            leaf = rows.detach().clone().requires_grad_()
            out = output(leaf, chunk)
            torch.autograd.grad(out, leaf, grad_outputs=out.detach())
    with torch.no_grad():
        _ = [output(rows, chunk) for chunk in chunks], clean


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


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=["bicubic"])
    parser.add_argument("--side", type=int, default=24)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--max-batch", type=int)
    options = parser.parse_args()
    torch.set_num_threads(1)
    models = [*(subject(spec) for spec in options.models), small_flow()]
    attack = Attack(steps=options.steps, n_seeds=options.seeds)
    x = enlarged(torch.rand(3, options.side, options.side, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    pair = Pair(x, as_input(x))
    print("| model | study (s) | bare passes (s) | ratio |\n|---|---:|---:|---:|")
    for model in models:
        times: list[tuple[float, float]] = []
        for _ in range(options.repeats + 1):  # the first warms up
            ours = seconds(lambda model=model: measured(model, pair, ALPHA, attack, 0, options.max_batch))
            bare = seconds(lambda model=model: floor(model, pair.y, attack, options.max_batch))
            times.append((ours, bare))
        ours, bare = (statistics.median(column) for column in zip(*times[1:], strict=True))
        print(f"| {model.name} | {ours:.2f} | {bare:.2f} | {ours / bare:.3f} |")


if __name__ == "__main__":
    main()
