"""The tables of Eq. 7 beside its alternatives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from reference_experiments import findings as found
from reference_experiments import markdown
from reference_experiments.demo.tables import COLUMNS
from reference_experiments.spread import Spread
from reference_experiments.study import Results, stored_findings

SHOWN = ("frechet", "precision", "recall", "std", "robustness_paper", "robustness_evaluation")
TITLES = {
    "none": "None",
    "paper": "Eq. 7, paper's attack",
    "robustness": "Eq. 7",
    "spectral": "Spectral penalty",
    "jacobian": "Jacobian penalty",
    "mode_seeking": "Mode seeking (MSGAN)",
    "diversity_sensitive": "Diversity sensitive (DSGAN)",
    "std_reward": "L1 and std reward (rcGAN)",
}
HEAD = (
    "", "Weight", "Seeds, every", "Forward passes per step", "Training (CPU s)", *(COLUMNS[name][0] for name in SHOWN),
)  # fmt: skip
Runs = Sequence[dict[str, Any]]
"""Trainings of one term at one weight."""


def tables(results: Results) -> str:
    """The page."""
    chosen, settings, record = results["chosen_weights"], results["settings"], results["record"]
    best = [_line(results, of_weight(results["runs"], name, weight)) for name, weight in chosen.items()]
    sweep = [_line(results, [run], chosen) for run in results["runs"] if run["seed"] == settings["seed"]]
    return "\n\n".join([
        markdown.table(HEAD, best),
        _note(results),
        found.table(stored_findings(results)),
        "All weights, first training seed, the chosen ones bold:",
        markdown.table(HEAD, sweep),
        f"`{record['command']}`, revision {record['revision']}, {record['hardware']}. Trainings are kept: all of them "
        f"took {record['training_cpu_seconds']} s of processor time, at revision(s) "
        f"{', '.join(record['trained_at'])}; this run {record['seconds']} s.",
    ])  # fmt: skip


def of_weight(runs: Iterable[dict[str, Any]], name: str, weight: float) -> Runs:
    """The trainings of a term at a weight, in order of their seeds."""
    return [run for run in runs if (run["name"], run["weight"]) == (name, weight)]


def _line(results: Results, runs: Runs, chosen: dict[str, float] | None = None) -> list[str]:
    """A term at a weight; with ``chosen`` the chosen weights stand out."""
    name, weight = runs[0]["name"], runs[0]["weight"]
    share = results["shares"].get(name)
    bold = "**" if chosen and share and chosen[name] == weight else ""
    how = [f"{bold}{weight:g}{bold}", f"{share['n_seeds']}, {share['every']}", f"{share['forward_passes']:.1f}"] if (
        share
    ) else ["", "", "0"]  # fmt: skip
    numbers = [Spread.of(run["row"][key] for run in runs).text(COLUMNS[key][1]) for key in SHOWN]
    return [TITLES[name], *how, Spread.of(run["seconds"] for run in runs).text(0), *numbers]


def _note(results: Results) -> str:
    settings = results["settings"]
    return (
        f"The stochastic GAN of the digits demo, {settings['training']['steps']} steps; Eq. 7 is trained by "
        f"{settings['attack']}. Mean ± std of {settings['n_training_seeds']} training seed(s). Cost: arithmetic of the "
        "term and its backward pass per training step, in forward passes of the batch, the GAN's own not counted; "
        f"seeds and interval are set to make it equal. The weight of each, of {settings['n_weights']} tried: "
        f"{results['rule']}. {settings['n_choosing']} validation digits choose; the others, with the same networks, "
        "make the table. L1 alone among these terms sees the true digits of its inputs. Compared: "
        f"{results['compared']}."
    )
