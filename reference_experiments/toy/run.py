"""The toy study: its arms trained and evaluated, and everything that needs no training."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reference_experiments.runs import load_checkpoint
from reference_experiments.study import Place, Results
from reference_experiments.toy.data import Ellipses, disk, square, zigzag, zigzag_transport
from reference_experiments.toy.evaluation import distance, evaluate_gan, evaluate_sine, quality
from reference_experiments.toy.exact import exact, posterior_sensitivity, theorem1
from reference_experiments.toy.presets import ToyPreset
from reference_experiments.toy.training import ToyEstimator, ToyTraining, train

ZIGZAG_FREQUENCIES = (1, 2, 4, 8, 16)


def run(preset: ToyPreset, place: Place) -> tuple[Results, dict[str, dict[str, Tensor]]]:
    """Train the arms, or go on with them, and evaluate everything; the drawings are of the first training of each."""
    arms = preset.arms
    jobs = [(preset.training(name, place.seed), preset, place.runs / f"{name}.pt", place.device) for name in arms]
    with ProcessPoolExecutor(place.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        # The longest first: the stochastic robust arm makes n_seeds times the passes of the others.
        done = dict(zip(reversed(arms), pool.map(train_and_evaluate, reversed(jobs)), strict=True))
    gans = {name: {key: done[name][key] for key in ("steps", "seconds", "models")} for name in arms}
    generator = torch.Generator().manual_seed(place.seed)
    results = {"settings": asdict(preset), "gans": gans, **hand_made(preset, generator)}
    return results, {name: done[name]["drawing"] for name in arms}


def hand_made(preset: ToyPreset, generator: torch.Generator) -> Results:
    """All numbers that need no training."""
    eps, n = preset.base.eps, preset.n_points
    return {
        "hand_made": {str(alpha): evaluate_sine(alpha, eps, generator, preset.n_draws) for alpha in (1.0, 50.0)},
        "posterior_sensitivity": posterior_sensitivity(eps, generator),
        "theorem_1": theorem1(generator, n=n),
        "zigzag": [_zigzag(f, n, generator) for f in ZIGZAG_FREQUENCIES],
        "zigzag_floor": distance(square(n, generator), square(n, generator)),
        "ellipses": _ellipses(preset.n_draws, generator),
        "exact": exact(
            eps,
            generator.manual_seed(generator.initial_seed()),
            n_draws=preset.n_floors,
            n_inputs=preset.n_inputs,
            n_points=n,
        ),
        "parameters": sum(p.numel() for p in ToyEstimator(replace(preset.base, n_models=1)).parameters()),
    }


def train_and_evaluate(job: tuple[ToyTraining, ToyPreset, Path, str]) -> dict[str, Any]:
    """One arm, in a process of its own."""
    from tqdm import tqdm

    config, preset, checkpoint, device = job
    torch.set_num_threads(1)  # side by side, one core each: threads of small products wait for one another
    name = checkpoint.stem
    with tqdm(total=config.steps, desc=name, mininterval=1.0) as bar:

        def progress(step: int, stats: dict[str, float]) -> None:
            bar.update(step - bar.n)
            bar.set_postfix(stats)

        estimator = train(config, device, checkpoint, save_every=min(500, config.steps), progress=progress)
    models = []
    for index in range(config.n_models):
        one = only(estimator, config, index).to("cpu")
        generator = torch.Generator().manual_seed(1000 * config.seed + index)
        models.append(
            evaluate_gan(
                one, config.z_law, config.eps, generator, n_seeds=preset.base.n_seeds, n_draws=preset.n_draws,
                n_validation=preset.n_validation, n_inputs=preset.n_inputs,
            )
        )  # fmt: skip
    state = load_checkpoint(checkpoint, device)
    assert state is not None  # train has just saved it
    return {
        "models": models,
        "steps": config.steps,
        "seconds": state["seconds"],
        "drawing": drawing(only(estimator, config, 0).to("cpu")),
    }


def only(estimator: ToyEstimator, config: ToyTraining, index: int) -> ToyEstimator:
    """One training seed's model as an estimator of its own."""
    one = ToyEstimator(replace(config, n_models=1))
    with torch.no_grad():
        for mine, theirs in zip(one.parameters(), estimator.parameters(), strict=True):
            mine.copy_(theirs[index : index + 1])
    return one.eval()


@torch.no_grad()
def drawing(estimator: ToyEstimator) -> dict[str, Tensor]:
    """What Figure 2 shows of an estimator: its outputs all along y, and 100 samples."""
    generator = torch.Generator().manual_seed(0)
    y = torch.linspace(-1, 1, 3000)[:, None]
    return {
        "support": estimator.restore(y, generator),
        "samples": estimator.restore(disk(100, generator)[:, :1], generator),
    }


def _zigzag(f: int, n: int, generator: torch.Generator) -> dict[str, float]:
    """App. C at one frequency: the cost of its transport, which bounds W2^2, and W2^2 of two samples."""
    x = square(200 * n, generator).double()
    cost = (x - zigzag_transport(x, f)).square().sum(1).mean()
    x_hat = zigzag(square(n, generator)[:, 0], f)
    return {
        "f": f, "transport_cost": float(cost), "exact_cost": 1 / (24 * f**2),
        "w2": distance(square(n, generator), x_hat),
    }  # fmt: skip


def _ellipses(n_draws: int, generator: torch.Generator) -> dict[str, dict[str, float]]:
    """App. B.1: precision and recall of the two hand-made estimators."""
    region = Ellipses()
    return {
        "X_1": quality(lambda g: region.one_side(region.sample(1000, g)[:, 0]), region.sample, generator, n_draws),
        "X_2": quality(lambda g: region.both_sides(region.sample(1000, g)[:, 0]), region.sample, generator, n_draws),
    }
