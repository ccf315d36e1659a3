"""Eq. 7 beside the regularizers one might weigh against it: the same digit GAN, at equal cost, each at several weights.

The weight of each is chosen by a rule written down beforehand, on validation digits that the table does not use.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from reference_experiments.alternatives.presets import Settings
from reference_experiments.alternatives.regularizers import Share, Term, shares, terms, weighted
from reference_experiments.arms import Arm
from reference_experiments.digits.data import load_digits
from reference_experiments.digits.evaluation import COMPARED, measure
from reference_experiments.digits.training import build_estimator, train
from reference_experiments.runs import load_checkpoint, revision, save_checkpoint, write_json
from reference_experiments.study import Place, Results
from stochrobust import EVALUATION, Consistent

NONE = "none"
RULE = (
    "the most robust under the stronger attack, on the choosing digits, among those with at most {factor:g} times the "
    "Fréchet distance there of the GAN without a regularizer; if there is none, the one of least distance"
)


class Trained(NamedTuple):
    """A trained estimator, the processor time of its training, and the revision of the code that trained it."""

    G: Consistent
    seconds: float
    revision: str


class Run(NamedTuple):
    """One training: how its weight is judged, what the table shows, and what it took."""

    name: str
    weight: float
    seed: int
    choosing: dict[str, float]
    row: dict[str, float]
    seconds: float
    revision: str


def run(settings: Settings, place: Place) -> tuple[Results, None]:
    """Train everything and choose the weights; a training or measurement that is in ``place.runs`` is not repeated."""
    torch.set_num_threads(1)  # such small networks gain nothing from more, and seconds are compared
    every_term = terms(settings.training, settings.attack)
    cost = shares(settings.training, settings.attack)
    digits = load_digits()

    def trained(name: str, weight: float, seed: int) -> Run:
        term, share = every_term.get(name), cost.get(name)
        path = checkpoint_path(settings, place.runs, name, term, weight, seed, share)
        model = train_one(settings, digits.train, term, weight, seed, share, path)
        return measure_one(settings, digits.validation, model, name, weight, seed, path)

    runs = [trained(NONE, 0.0, place.seed)]
    for name, term in every_term.items():
        runs += [trained(name, weight, place.seed) for weight in sorted(term.weights[: settings.n_weights])]
    chosen = {NONE: 0.0} | {name: choose(settings, runs, name) for name in every_term}
    further = range(place.seed + 1, place.seed + settings.n_training_seeds)
    runs += [trained(name, weight, later) for later in further for name, weight in chosen.items()]
    seconds, revisions = round(sum(one.seconds for one in runs)), sorted({one.revision for one in runs})
    return {
        "chosen_weights": chosen,
        "rule": RULE.format(factor=settings.factor),
        "runs": [one._asdict() for one in runs],
        "shares": {name: asdict(share) for name, share in cost.items()},
        "compared": COMPARED,
        "settings": asdict(settings)
        | {"attack": repr(settings.attack), "eps": settings.training.eps, "seed": place.seed},
        "record": {"training_cpu_seconds": seconds, "trained_at": revisions},
    }, None


def train_one(
    settings: Settings, digits: Tensor, term: Term | None, weight: float, seed: int, share: Share | None, path: Path
) -> Trained:
    """Train with a term, or with none; a training that ``path`` holds already is not repeated."""
    config = settings.training if share is None else share.settings(settings.training)
    arm = Arm(stochastic=True, robust=term is not None)
    saved = load_checkpoint(path, "cpu")
    if saved is None:
        regularizer = None if term is None or share is None else weighted(term, weight, share.n_seeds)
        start = time.process_time()
        G = train(config, arm, digits, seed, regularizer=regularizer)
        seconds = time.process_time() - start
        saved = {"weights": G.state_dict(), "seconds": seconds, "revision": revision()}
        save_checkpoint(path, saved)
    G = build_estimator(config, arm)
    G.load_state_dict(saved["weights"])
    return Trained(G.eval(), saved["seconds"], saved["revision"])


def checkpoint_path(
    settings: Settings, folder: Path, name: str, term: Term | None, weight: float, seed: int, share: Share | None
) -> Path:
    """Where a training is kept: named by all that decides it, but for the code."""
    key = repr((settings.training, None if term is None else term.attack, name, weight, seed, share))
    return folder / f"{name}-{weight:g}-{seed}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.pt"


def measure_one(settings: Settings, x: Tensor, model: Trained, name: str, weight: float, seed: int, path: Path) -> Run:
    """Table 1's row on both parts of the validation digits; a measurement kept beside ``path`` is not repeated."""
    key = repr((settings.protocol, settings.n_choosing, EVALUATION)).encode()
    kept = path.with_name(f"{path.stem}-{hashlib.sha256(key).hexdigest()[:12]}.json")

    def row(part: Tensor) -> dict[str, float]:
        figures = measure(model.G, part, settings.training.eps, settings.protocol, seed)
        return {key: value for key, value in figures.items() if key != "consistency"}  # which is exact

    if not kept.exists():
        write_json(kept, [row(x[: settings.n_choosing]), row(x[settings.n_choosing :])])
    choosing, shown = json.loads(kept.read_text())
    figures = f"Fréchet distance {shown['frechet']:.2f}, robustness {shown['robustness_evaluation']:.1f} dB"
    print(f"{name} x {weight:g}, seed {seed}: {figures}, {model.seconds:.0f} s", flush=True)
    return Run(name, weight, seed, choosing, shown, *model[1:])


def choose(settings: Settings, runs: list[Run], name: str) -> float:
    """The weight of a term by :data:`RULE`."""
    bound = settings.factor * next(one.choosing["frechet"] for one in runs if one.name == NONE)
    candidates = [one for one in runs if one.name == name]
    good = [one for one in candidates if one.choosing["frechet"] <= bound]
    if good:
        return max(good, key=lambda one: one.choosing["robustness_evaluation"]).weight
    return min(candidates, key=lambda one: one.choosing["frechet"]).weight
