"""The page of an image study: tables, what they confirm, and how everything came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from reference_experiments.images.findings import Finding
from reference_experiments.images.presets import PRESETS
from reference_experiments.images.settings import Training
from reference_experiments.images.summary import Rows
from reference_experiments.images.table import table

TOLD_APART = ("task", "size", "channels", "stochastic", "robust", "seed", "milestones")
"""Settings that are not told as differences from the published ones: they are the models, or follow from the rest."""


def page(
    tasks: Mapping[str, Rows], found: Mapping[str, list[Finding]], trend: list[Finding], real: dict[str, Any]
) -> str:
    """Markdown.

    Args:
        tasks: rows by preset.
        found: what they say of the paper's conclusions.
        trend: what they say together, of super-resolution by several factors.
        real: the row of the validation images in place of outputs.
    """
    lines: list[str] = []
    for name, rows in tasks.items():
        inpainting = PRESETS[name].training.task == "inpainting"
        lines += [f"### {name}", "", table(rows, published=inpainting, reference=real).strip(), ""]
        lines += [f"- {finding.text}" for finding in found[name]]
        lines += ["", scale(name), "", record(rows), ""]
    if trend:
        lines += ["### As the factor grows", "", *(f"- {finding.text}" for finding in trend), ""]
    return "\n".join(lines).strip() + "\n"


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
