"""Cost of the robustness loss against the network passes it cannot do without, in one process, interleaved.

    python benchmarks/robustness_loss.py [--batch 8 --seeds 4 --repeats 7 --threads 1 --device cpu]

The floor is a loop of exactly those passes and nothing else: one clean forward, per step one forward and one backward
to the input, one attacked forward, one backward through both. The straightforward version recomputes the clean output
at every step and calls backward() on the loss, which also makes the gradients of all parameters. The paper's
attack takes 5 gradients, the default one 2, which find more: see ``benchmarks/attack_strength.py``.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from reference_experiments.networks.unet import UNet
from stochrobust import PAPER, TRAINING, AdamAscent, SphereAscent, robustness_loss

EPS = 2.5


def floor(G: UNet, y: Tensor, n_seeds: int, steps: int) -> None:
    """The bare passes."""
    rows = y.repeat_interleave(n_seeds, 0)
    z = G.sample_z(rows)
    clean = G(rows, z)
    for _ in range(steps):
        leaf = rows.detach().requires_grad_()
        out = G(leaf, z)
        torch.autograd.grad(out, leaf, grad_outputs=out.detach())
    attacked = G(rows, z)
    torch.autograd.backward([clean, attacked], [clean.detach(), attacked.detach()])


def ours(G: UNet, y: Tensor, n_seeds: int, attack: AdamAscent | SphereAscent, max_batch: int | None = None) -> None:
    """The library's."""
    robustness_loss(G, y, EPS, n_seeds, attack=attack, max_batch=max_batch).backward()


def straightforward(G: UNet, y: Tensor, n_seeds: int) -> None:
    """What one writes first."""
    rows = y.repeat_interleave(n_seeds, 0)
    z = G.sample_z(rows)
    delta = (0.01 * torch.randn_like(y)).requires_grad_()
    optimizer = torch.optim.Adam([delta], lr=1.0, maximize=True)

    def change() -> Tensor:
        return (G(rows, z) - G(rows + delta.repeat_interleave(n_seeds, 0), z)).square().sum() / n_seeds

    for _ in range(PAPER.steps):
        optimizer.zero_grad()
        change().backward()
        optimizer.step()
        with torch.no_grad():
            norm = delta.flatten(1).norm(dim=1).clamp_min(EPS)
            delta.mul_((EPS / norm)[:, None, None, None])
    delta.requires_grad_(False)
    (change() / rows.numel()).backward()


def medians(cases: dict[str, Callable[[], None]], repeats: int, device: str) -> dict[str, tuple[float, float]]:
    """Median seconds of each case, and the median of its ratio to the first case of the same round."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for round_ in range(repeats + 1):
        for name, case in cases.items():
            start = time.perf_counter()
            case()
            if device == "cuda":
                torch.cuda.synchronize()
            if round_:  # the first round warms up
                times[name].append(time.perf_counter() - start)
    first = times[next(iter(cases))]
    return {
        name: (statistics.median(t), statistics.median(a / b for a, b in zip(t, first, strict=True)))
        for name, t in times.items()
    }


def peak_memory(case: str, options: argparse.Namespace) -> float:
    """Peak resident memory of one case in a process of its own, in MiB."""
    arguments = [f"--{name}={getattr(options, name)}" for name in ("batch", "seeds", "threads", "size", "width")]
    done = subprocess.run(
        [sys.executable, __file__, "--only", case, *arguments], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("batch", 8), ("seeds", 4), ("repeats", 7), ("threads", 1), ("size", 64), ("width", 24)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    G = UNet(options.width).to(options.device)
    y = torch.rand(options.batch, 3, options.size, options.size, device=options.device)
    chunk = max(1, options.batch * options.seeds // 4)
    cases: dict[str, Callable[[], None]] = {
        "bare passes, 5 gradients": lambda: floor(G, y, options.seeds, PAPER.steps),
        "robustness_loss, PAPER": lambda: ours(G, y, options.seeds, PAPER),
        f"robustness_loss, PAPER, max_batch={chunk}": lambda: ours(G, y, options.seeds, PAPER, chunk),
        "straightforward": lambda: straightforward(G, y, options.seeds),
        "bare passes, 2 gradients": lambda: floor(G, y, options.seeds, TRAINING.steps),
        "robustness_loss, TRAINING": lambda: ours(G, y, options.seeds, TRAINING),
        "nothing": lambda: None,
    }
    if options.only:
        cases[options.only]()
        status = Path("/proc/self/status").read_text()  # of this program alone, not of what started it
        print(int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024)
        return
    base = peak_memory("nothing", options) if options.device == "cpu" else 0.0
    del cases["nothing"]
    print(f"U-Net s={options.width}, {options.size} x {options.size}, batch {options.batch}, {options.seeds} seeds,")
    print(f"{options.device}, {options.threads} thread(s), torch {torch.__version__}, {options.repeats} rounds\n")
    print("| case | seconds (median) | times the first row's | peak memory, MiB |\n| --- | --- | --- | --- |")
    for name, (seconds, ratio) in medians(cases, options.repeats, options.device).items():
        memory = f"{peak_memory(name, options) - base:.0f}" if options.device == "cpu" else ""
        print(f"| {name} | {seconds:.2f} | {ratio:.3f} | {memory} |")


if __name__ == "__main__":
    main()
