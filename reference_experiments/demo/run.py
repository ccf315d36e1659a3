"""The demo: train the four digit GANs side by side, one thread each, and measure them as in Table 1."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from reference_experiments.arms import ARMS, Arm
from reference_experiments.demo.presets import Preset
from reference_experiments.digits.data import Digits, load_digits, observed
from reference_experiments.digits.evaluation import COMPARED, measure, realism
from reference_experiments.digits.restorers import save_weights
from reference_experiments.digits.training import build_estimator, train
from reference_experiments.references import references
from reference_experiments.spread import summarize
from reference_experiments.study import Place, Results
from stochrobust import Consistent, InpaintingProjector


class Task(NamedTuple):
    """One model to train and measure."""

    preset: Preset
    arm: Arm
    seed: int


class Trained(NamedTuple):
    """What a worker hands back, in numpy: tensors would need it to stay alive."""

    task: Task
    weights: dict[str, Any]
    row: dict[str, float]

    def estimator(self) -> Consistent:
        """The trained estimator."""
        G = build_estimator(self.task.preset.training, self.task.arm)
        G.load_state_dict({name: torch.from_numpy(value) for name, value in self.weights.items()})
        return G.eval()


def run(preset: Preset, place: Place) -> tuple[Results, dict[Arm, Consistent]]:
    """Train and measure; the models of the first training seed are left in ``models/`` and are drawn."""
    trained = train_all(preset, place)
    digits = load_digits()
    shown = {model.task.arm: model.estimator() for model in trained if model.task.seed == place.seed}
    for arm, G in shown.items():
        save_weights(place.out / "models", arm, G.state_dict(), preset.training)
    settings = asdict(preset) | {"eps": preset.training.eps, "first_training_seed": place.seed}
    return {
        "arms": {arm.name: _numbers([model.row for model in trained if model.task.arm == arm]) for arm in ARMS},
        "references": reference_rows(preset, digits, place.seed),
        "training_digits": realism(digits.validation, [digits.train[: len(digits.validation)]]),
        "compared": COMPARED,
        "settings": settings,
    }, shown


def reference_rows(preset: Preset, digits: Digits, seed: int) -> dict[str, dict[str, float]]:
    """What restorers in closed form score."""
    made = references(digits.train, InpaintingProjector(observed()))
    eps, protocol = preset.training.eps, preset.protocol
    return {title: measure(G, digits.validation, eps, protocol, seed) for title, G in made.items()}


def _numbers(rows: list[dict[str, float]]) -> dict[str, dict[str, Any]]:
    return {name: {**vars(found), "values": [row[name] for row in rows]} for name, found in summarize(rows).items()}


def train_all(preset: Preset, place: Place) -> list[Trained]:
    """All arms and training seeds, two at a time, in the order of the arms; the longest start first."""
    tasks = [Task(preset, arm, place.seed + i) for i in range(preset.n_training_seeds) for arm in ARMS]
    by_cost = sorted(tasks, key=lambda task: (task.arm.stochastic, task.arm.robust), reverse=True)
    context = multiprocessing.get_context("spawn")  # a fork of a process that has used torch's threads may hang
    with context.Pool(place.workers, initializer=_start_worker, initargs=(context.RLock(),)) as pool:
        done = list(_watched(pool.imap_unordered(_work, by_cost, chunksize=1), len(tasks)))
    return sorted(done, key=lambda model: tasks.index(model.task))


def _watched(models: Iterator[Trained], total: int) -> Iterator[Trained]:
    with tqdm(models, total=total, desc="models", position=0) as bar:
        for model in bar:
            row = model.row
            bar.write(f"{_name(model.task)}: recall {row['recall']:.2f}, Fréchet distance {row['frechet']:.2f}")
            yield model


def _name(task: Task) -> str:
    return f"{task.arm.name}, seed {task.seed}"


def _start_worker(lock: Any) -> None:
    torch.set_num_threads(1)
    tqdm.set_lock(lock)


def _work(task: Task) -> Trained:
    digits, config = load_digits(), task.preset.training
    place = multiprocessing.current_process()._identity
    name = _name(task)
    with tqdm(total=config.steps, desc=f"{name:35}", position=place[0] if place else 1, leave=False) as bar:

        def progress(step: int, losses: dict[str, float]) -> None:
            bar.update(step - bar.n)
            if losses:
                bar.set_postfix({loss: f"{value:.2f}" for loss, value in losses.items()})

        G = train(config, task.arm, digits.train, task.seed, progress)
        bar.set_description_str(f"{name + ': measuring':35}")
        row = measure(G, digits.validation, config.eps, task.preset.protocol, task.seed)
    return Trained(task, {key: value.numpy() for key, value in G.state_dict().items()}, row)
