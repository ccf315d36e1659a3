"""The demo: train the four digit GANs side by side, measure them as in Table 1, and say what came out."""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from reference_experiments.arms import ARMS, Arm
from reference_experiments.digits.data import load_digits
from reference_experiments.digits.evaluation import COMPARED, Protocol, measure, realism
from reference_experiments.digits.figures import render
from reference_experiments.digits.findings import Row, sentences, summarize, table
from reference_experiments.digits.restorers import save_weights
from reference_experiments.digits.training import DigitTraining, build_estimator, train
from reference_experiments.runs import Record, shell_command, write_atomically, write_json
from stochrobust import Consistent

N_WORKERS = 2  # processes of one thread each: such small networks gain nothing from more threads
N_SHOWN = 6


@dataclass(frozen=True)
class Preset:
    """A demo: how to train and measure, with how many training seeds."""

    training: DigitTraining = field(default_factory=DigitTraining)
    protocol: Protocol = field(default_factory=Protocol)
    n_training_seeds: int = 1


PRESETS = {
    "demo": Preset(),
    "seeds": Preset(n_training_seeds=3),
    "smoke": Preset(DigitTraining(steps=6, width=16, n_seeds=2), Protocol(n_draws=1, n_samples=2, n_seeds=1)),
}


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


def main(preset: str, out: Path, seed: int) -> None:
    """Run a preset and leave results.json, table.md, figure.png and the models of the first training seed in a folder.

    Args:
        preset: a name in ``PRESETS``.
        out: the folder, made if it is not there.
        seed: the first training seed.

    Raises:
        ValueError: if there is no such preset.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {preset!r}")
    out.mkdir(parents=True, exist_ok=True)  # a folder that cannot be made is better known now than in minutes
    record = Record(shell_command())
    chosen = PRESETS[preset]
    trained = train_all(chosen, seed)
    rows = {arm: summarize([model.row for model in trained if model.task.arm == arm]) for arm in ARMS}
    digits = load_digits()
    real = realism(digits.validation, [digits.train[: len(digits.validation)]])
    shown = {model.task.arm: model.estimator() for model in trained if model.task.seed == seed}
    figure = render(shown, digits.validation[:N_SHOWN], chosen.training.eps)
    found = sentences(rows)
    for arm, G in shown.items():
        save_weights(out / "models", arm, G.state_dict(), chosen.training)
    write_atomically(out / "figure.png", figure)
    write_atomically(out / "table.md", report(chosen, rows, real, found))
    write_json(
        out / "results.json", results(chosen, seed, trained, rows, real, found) | {"record": record.finished("cpu")}
    )
    print(f"\n{report(chosen, rows, real, found)}\nTable, sentences, figure, models and record: {out}")


def train_all(preset: Preset, seed: int) -> list[Trained]:
    """All arms and training seeds, two at a time, in the order of the arms; the longest start first."""
    tasks = [Task(preset, arm, seed + i) for i in range(preset.n_training_seeds) for arm in ARMS]
    by_cost = sorted(tasks, key=lambda task: (task.arm.stochastic, task.arm.robust), reverse=True)
    context = multiprocessing.get_context("spawn")  # a fork of a process that has used torch's threads may hang
    with context.Pool(N_WORKERS, initializer=_start_worker, initargs=(context.RLock(),)) as pool:
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


def report(preset: Preset, rows: dict[Arm, Row], real: dict[str, float], found: list[str]) -> str:
    """The table and the sentences in Markdown."""
    seeds = (
        "one training seed"
        if preset.n_training_seeds == 1
        else f"mean ± std of {preset.n_training_seeds} training seeds"
    )
    note = f"{seeds.capitalize()}. Compared: {COMPARED}."
    return f"{table(rows, real)}\n{note}\n\n" + "".join(f"- {sentence}\n" for sentence in found)


def results(
    preset: Preset,
    seed: int,
    trained: list[Trained],
    rows: dict[Arm, Row],
    real: dict[str, float],
    found: list[str],
) -> dict[str, Any]:
    """Everything measured, for machines."""
    arms = {
        arm.name: {
            name: {
                "mean": _json(statistic.mean),
                "spread": statistic.spread,
                "values": [_json(model.row[name]) for model in trained if model.task.arm == arm],
            }
            for name, statistic in row.items()
        }
        for arm, row in rows.items()
    }
    settings = asdict(preset) | {"eps": preset.training.eps, "first_training_seed": seed}
    return {"findings": found, "arms": arms, "training_digits": real, "compared": COMPARED, "settings": settings}


def _json(value: float) -> float | str:
    """JSON has no infinity."""
    return value if math.isfinite(value) else str(value)
