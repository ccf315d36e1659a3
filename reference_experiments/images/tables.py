"""The page of an image study: a table for each task with the paper's numbers in brackets, and what they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from reference_experiments import findings as found
from reference_experiments import markdown
from reference_experiments.arms import ARMS
from reference_experiments.four_models import PUBLISHED
from reference_experiments.images.presets import PRESETS
from reference_experiments.images.settings import Training
from reference_experiments.images.summary import Rows, by_arm, spread_of, summarize
from reference_experiments.study import Results, stored_findings

COLUMNS = {
    "fid": ("Fréchet distance ↓", 1),
    "precision": ("Precision ↑", 3),
    "recall": ("Recall ↑", 3),
    "std": ("Per-pixel std", 3),
    "std_unobserved": ("of unobserved pixels", 3),
    "robustness_paper": ("Robustness, paper's attack (dB) ↑", 2),
    "ai_psnr_paper": ("its AI-PSNR (dB)", 2),
    "robustness_evaluation": ("Robustness, strong attack (dB) ↑", 2),
    "ai_psnr_evaluation": ("its AI-PSNR (dB)", 2),
    "robustness_observed": ("the same on observed pixels alone (dB) ↑", 2),
    "consistency": ("Consistency (dB) ↑", 0),
    "consistency_8bit": ("as 8 bits (dB) ↑", 1),
    "distortion": ("PSNR of one output (dB) ↑", 2),
    "distortion_mean": ("of the mean output (dB) ↑", 2),
}
DIGITS = {"fid": 2, "std": 3, "precision": 3, "recall": 3}
"""Of the paper's numbers."""
TOLD_APART = ("task", "size", "channels", "stochastic", "robust", "seed", "milestones")
"""Settings that are not told as differences from the published ones: they are the models, or follow from the rest."""


ITALICS = (
    "In italics: restorers in closed form, which are made consistent but for bicubic enlargement, and real images; the "
    "copy of the nearest training image jumps from one to another, which no attack by gradients sees."
)


def tables(results: Results) -> str:
    """Markdown."""
    parts = []
    for name, task in results["tasks"].items():
        rows = by_arm(task)
        beside = {"Validation images instead of outputs": results["validation images"]}
        published = PRESETS[name].training.task == "inpainting"
        references = {**results.get("references", {}).get(name, {}), **beside}
        parts += [f"### {name}", table(rows, references, published=published), scale(name), record(rows)]
    return "\n\n".join([*parts, "### What the numbers say", found.table(stored_findings(results))])


def table(rows: Rows, references: Mapping[str, dict[str, Any]], *, published: bool) -> str:
    """The table and a line on what its numbers are.

    Args:
        rows: of the four models.
        references: rows to hold them against, by title.
        published: whether to put the paper's Table 1, which is of inpainting, beside.
    """
    columns = {name: how for name, how in COLUMNS.items() if name in rows[ARMS[0]][0]["values"]}
    lines = [
        [arm.name.capitalize(), *_cells(rows, index, columns, published=published)] for index, arm in enumerate(ARMS)
    ]
    for title, row in references.items():
        values = {name: f"{number['estimate']:.{columns[name][1]}f}" for name, number in row["values"].items()
                  if name in columns}  # fmt: skip
        lines.append([f"*{title}*", *(values.get(name, "").replace("inf", "exact") for name in columns)])
    head = ["", *(title for title, _ in columns.values())]
    return f"{markdown.table(head, lines)}\n\n{note(rows, published=published)}"


def _cells(rows: Rows, index: int, columns: Mapping[str, tuple[str, int]], *, published: bool) -> list[str]:
    row, cells = summarize(rows[ARMS[index]]), []
    for name, (_, digits) in columns.items():
        paper = PUBLISHED.get("frechet" if name == "fid" else name) if published else None
        beside = "" if paper is None else f" [{paper[index]:.{DIGITS.get(name, 2)}f}]"
        cells.append(f"{row[name].text(digits)}{beside}")
    return cells


def note(rows: Rows, *, published: bool) -> str:
    """How the numbers were measured."""
    protocol = next(iter(rows.values()))[0]["protocol"]
    features = protocol["features"]
    weights = f", SHA-256 {features['weights'][:12]}" if features["weights"] else ""
    brackets = " In brackets: the paper's Table 1 (CelebA, 50,000 images, Inception features)." if published else ""
    return (
        f"{spread_of(rows)}. {features['n_real']} training images of {protocol['set']} against one "
        f"output at each of {features['n_generated']} validation images; features: {features['extractor']}{weights}; "
        f"k = {features['k']}; std over {protocol['n_samples']} samples; attacks of {protocol['eps_in_db']:.2f} dB "
        f"(eps = {protocol['eps']:.3g}) on {protocol['n_attacked']} images with {protocol['n_seeds']} seeds, scored on "
        f"as many fresh ones. {protocol['conventions']}{brackets} {ITALICS}"
    )


def scale(name: str) -> str:
    """What of the published settings is not as published, and on which images."""
    preset, published = PRESETS[name], Training()
    theirs = "ImageNet 64 x 64" if name.startswith("imagenet") else "CelebA 64 x 64"
    mine = preset.training
    changed = [
        f"{field.name} {getattr(mine, field.name)} ({getattr(published, field.name)})"
        for field in fields(Training)
        if field.name not in TOLD_APART and getattr(mine, field.name) != getattr(published, field.name)
    ]
    size = f"{mine.size} x {mine.size}, {mine.channels} channel{'s' if mine.channels > 1 else ''}"
    return (
        f"Scale: {preset.data} at {size} (the paper: {theirs}); settings of the training that differ from the "
        f"published ones, those in brackets: {', '.join(changed) or 'none'}."
    )


def record(rows: Rows) -> str:
    """Commands, revisions, hardware and times of trainings and measurements."""
    parts = []
    for arm, of_arm in rows.items():
        for row in of_arm:
            sessions, measured = row["training"], row["record"]
            parts.append(
                f"{arm.name}, seed {row['model']['description']['seed']}: "
                + "; ".join(_session(session) for session in sessions)
                + f"; measured at {measured['revision']} in {measured['seconds_of_all_shards']:.0f} s"
            )
    some = next(iter(rows.values()))[0]["record"]
    return f"{'. '.join(parts)}. `{some['command']}`, {some['hardware']}, torch {some['torch']}."


def _session(session: dict[str, Any]) -> str:
    """Such as ``steps 0 to 4,000 at 5b970ce in 2,100 s``."""
    steps = f"steps {session['first_step']:,} to {session['step']:,}"
    return f"{steps} at {session['revision']} in {session['seconds']:,.0f} s"
