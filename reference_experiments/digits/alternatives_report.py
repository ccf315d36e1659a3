"""The tables of Eq. 7 beside its alternatives, and a paragraph that the figures write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from reference_experiments.digits.evaluation import COMPARED
from reference_experiments.digits.findings import ALIKE_DB, COLLAPSED, COLUMNS, Row
from stochrobust import PAPER

if TYPE_CHECKING:
    from reference_experiments.digits.alternatives import Settings
    from reference_experiments.digits.regularizers import Share

SHOWN = ("frechet", "precision", "recall", "std", "robustness_paper", "robustness_evaluation")
EQ7 = ("robustness", "paper")
"""Eq. 7 by the study's attack, or by the paper's where the two are one."""


class Entry(NamedTuple):
    """A line: a regularizer at a weight, its share of the cost, and its figures over the training seeds."""

    name: str
    title: str
    weight: float
    share: Share | None
    row: Row


def table(entries: list[Entry], chosen: dict[str, float] | None = None) -> str:
    """Markdown; with ``chosen`` the chosen weights stand out."""
    heads = [
        "",
        "Weight",
        "Seeds, every",
        "Forward passes per step",
        "Training (CPU s)",
        *(COLUMNS[n][0] for n in SHOWN),
    ]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    for one in entries:
        bold = "**" if chosen and one.share is not None and chosen.get(one.name) == one.weight else ""
        share = one.share
        cells = [
            one.title,
            "" if share is None else f"{bold}{one.weight:g}{bold}",
            "" if share is None else f"{share.n_seeds}, {share.every}",
            "0" if share is None else f"{share.forward_passes:.1f}",
            one.row["seconds"].text(0),
            *(one.row[name].text(COLUMNS[name][1]) for name in SHOWN),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def report(
    settings: Settings,
    entries: list[Entry],
    sweep: list[Entry],
    chosen: dict[str, float],
    rule: str,
    text: str,
    record: dict[str, Any],
) -> str:
    """The whole page."""
    n = settings.n_training_seeds
    attack = "" if settings.attack == PAPER else f"; Eq. 7 is trained by {settings.attack!r}"
    note = (
        f"The stochastic GAN of the digits demo, {settings.training.steps} steps{attack}. Mean ± std of {n} training "
        f"seed(s). Cost: arithmetic of the term and its backward pass per training step, in forward passes of the "
        f"batch, the GAN's own not counted; seeds and interval are set to make it equal. The weight of each, of "
        f"{settings.n_weights} tried: {rule}. {settings.n_choosing} validation digits choose; the others, with the "
        f"same networks, make the table. L1 alone among these terms sees the true digits of its inputs. Compared: "
        f"{COMPARED}."
    )
    made = (
        f"`{record['command']}`, revision {record['revision']}, {record['hardware']}. Trainings are kept: all of them "
        f"took {record['training_cpu_seconds']} s of processor time, at revision(s) {', '.join(record['trained_at'])}; "
        f"this run {record['seconds']} s."
    )
    return (
        f"{table(entries)}\n{note}\n\n{text}\n\nAll weights, first training seed, the chosen ones bold:\n\n"
        f"{table(sweep, chosen)}\n{made}\n"
    )


def paragraph(entries: list[Entry], n_training_seeds: int) -> str:
    """What the table says, whichever way it falls."""
    none, *terms = entries
    eq7 = next(one for name in EQ7 for one in terms if one.name == name)
    return " ".join(
        [
            _robust(none, eq7, [one for one in terms if one.name not in EQ7]),
            _quality(none, terms),
            _variety(none, terms),
            f"One small network, one data set, {n_training_seeds} training seed(s), few weights each: no more than a "
            "first look.",
        ]
    )


def _figure(entry: Entry, name: str) -> str:
    return entry.row[name].text(COLUMNS[name][1])


def _robust(none: Entry, eq7: Entry, others: list[Entry]) -> str:
    """Who is robust under the stronger attack."""
    key = "robustness_evaluation"
    best = max(others, key=lambda one: one.row[key].mean)
    difference = eq7.row[key].mean - best.row[key].mean
    verdict = (
        "more robust than"
        if difference > ALIKE_DB
        else "less robust than"
        if difference < -ALIKE_DB
        else "about as robust as"
    )
    useless = [one.title for one in others if one.row[key].mean - none.row[key].mean <= ALIKE_DB]
    sentence = (
        f"Under the stronger attack Eq. 7 brings {_figure(none, key)} dB to {_figure(eq7, key)} dB and is {verdict} "
        f"the best of the others, {best.title} ({_figure(best, key)} dB)."
    )
    if useless:
        sentence += f" Within {ALIKE_DB:g} dB of no regularizer at all: {', '.join(useless)}."
    return sentence


def _quality(none: Entry, entries: list[Entry]) -> str:
    """What each costs in distance and recall."""
    parts = [f"{one.title} {_figure(one, 'frechet')} and {_figure(one, 'recall')}" for one in entries]
    return (
        f"Fréchet distance and recall, {_figure(none, 'frechet')} and {_figure(none, 'recall')} without a regularizer: "
        f"{'; '.join(parts)}."
    )


def _variety(none: Entry, entries: list[Entry]) -> str:
    """Whose seeds do anything."""
    alive = [f"{one.title} {_figure(one, 'std')}" for one in entries if one.row["std"].mean >= COLLAPSED]
    dead = [f"{one.title} {_figure(one, 'std')}" for one in entries if one.row["std"].mean < COLLAPSED]
    state = "ignores its seeds" if none.row["std"].mean < COLLAPSED else "listens to its seeds"
    sentence = f"Without a regularizer the GAN {state} (per-pixel std {_figure(none, 'std')})."
    if alive:
        sentence += f" It listens with {', '.join(alive)}."
    if dead:
        sentence += f" It ignores them with {', '.join(dead)}."
    return sentence
