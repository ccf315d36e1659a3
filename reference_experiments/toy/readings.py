"""What the paper leaves open in the toy study, tried: ``python -m reference_experiments toy-readings``.

Each reading changes one thing in the deterministic robust GAN, whose printed numbers (root of the sensitivity 0.77e-3,
recall 0.017) tell the readings apart; the stochastic one follows with the reading that reproduces them.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from typing import Any

from reference_experiments import markdown
from reference_experiments.study import Place, Results, Study
from reference_experiments.toy.presets import PRESETS, ToyPreset
from reference_experiments.toy.run import train_and_evaluate
from reference_experiments.toy.tables import spread

READINGS: dict[str, dict[str, Any]] = {
    "lambda = 0 (the erratic GAN; the paper: 3.62, 0.224)": {},
    "lambda = 0.1 on change^2, as printed": {"weight": 0.1, "reduction": "sum"},
    "lambda = 0.1 on change^2 / eps^2": {"weight": 0.1},
    "lambda = 0.1 on change^2 / eps, that is 1e-4 on change^2 / eps^2": {"weight": 1e-4},
    "lambda = 1e-3 on change^2 / eps^2": {"weight": 1e-3},
    "the same at every step": {"weight": 1e-3, "every": 1},
    "the same with batches of 256": {"weight": 1e-3, "batch": 256},
    "the same with half the gradient penalty": {"weight": 1e-3, "r1": 5.0},
}
"""Label -> what it changes; the paper prints 0.77e-3 and a recall of 0.017."""


def run(preset: ToyPreset, place: Place) -> tuple[Results, None]:
    """Train one deterministic GAN per reading, and measure its sensitivity, precision and recall."""
    base = replace(preset.base, seed=place.seed)
    configs = [replace(base, **change) for change in READINGS.values()]
    jobs = [(config, preset, place.runs / f"reading{i}.pt", place.device) for i, config in enumerate(configs)]
    with ProcessPoolExecutor(place.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        models = [done["models"] for done in pool.map(train_and_evaluate, jobs)]
    readings = [
        {"reading": label, "change": change, "models": found}
        for (label, change), found in zip(READINGS.items(), models, strict=True)
    ]
    return {"base": asdict(base), "readings": readings}, None


def tables(results: Results) -> str:
    """The readings as Markdown."""
    rows = [
        [entry["reading"], spread(1e3 * model["attack"] for model in entry["models"]),
         *(spread(model[name] for model in entry["models"]) for name in ("precision", "recall"))]
        for entry in results["readings"]
    ]  # fmt: skip
    head = ("reading", "sqrt(R), 4-step attack, 1e-3 (paper: 0.77)", "precision (1.00)", "recall (0.017)")
    base, record = results["base"], results["record"]
    return (
        "### Readings of what the paper leaves open: the deterministic robust GAN\n\n"
        f"{markdown.table(head, rows)}\n\n"
        f"{base['n_models']} training seeds, {base['steps']} steps, width {base['width']}, learning rate {base['lr']}. "
        f"Made by `{record['command']}` at revision {record['revision']} in {record['seconds']:.0f} s on "
        f"{record['hardware']}."
    )


STUDY = Study("toy-readings", "what App. E.1 leaves open, tried", PRESETS, run, tables, lambda results: [])
