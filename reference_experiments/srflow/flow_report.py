"""A training of the flow as it is stored: what became of its likelihood, consistency, diversity and sharpness."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reference_experiments import plots
from reference_experiments.images.stats import read_stats
from reference_experiments.runs import write_atomically, write_json
from reference_experiments.srflow.look import N_SAMPLES
from reference_experiments.srflow.training import trained_flow

PANELS = {
    "bits per pixel": ("bits_per_pixel", "validation_bits_per_pixel"),
    "LR-PSNR (dB, 8 bits)": ("lr_psnr",),
    "diversity (per-pixel std)": ("diversity",),
    "sharpness (source: 1)": ("sharpness", "sharpness_bicubic"),
}
"""Titles, and the names in ``stats.jsonl``."""
EIGHT_BITS = 8.0
"""A density of colours in [0, 1] becomes one of their levels by that many bits for each channel."""


def report(folder: Path, out: Path) -> None:
    """Leave ``training.json``, ``table.md`` and ``training`` (PNG and PDF) of a training in a folder.

    Args:
        folder: of the training.
        out: made if it is not there.

    Raises:
        FileNotFoundError: if there is no checkpoint.
    """
    G, _, steps = trained_flow(folder)
    rows = read_stats(folder)
    looks = [row for row in rows if "validation_bits_per_pixel" in row]
    sessions = json.loads((folder / "sessions.json").read_text())
    content = {
        "settings": json.loads((folder / "settings.json").read_text()),
        "steps": steps,
        "parameters": sum(p.numel() for p in G.parameters()),
        "sessions": sessions,
        "looks": looks,
    }
    write_json(out / "training.json", content)
    write_atomically(out / "table.md", page(content))
    curves(out / "training", rows)


def page(content: Mapping[str, Any]) -> str:
    """Markdown: the last look, and how it came to be."""
    last, settings = content["looks"][-1], content["settings"]
    bits = last["validation_bits_per_pixel"]
    shown = {"lr_psnr": 1, "diversity": 3, "sharpness": 2, "sharpness_bicubic": 2, "psnr": 2}
    cells = [
        f"{bits:.2f} ({bits / 3 + EIGHT_BITS:.2f} bits per channel of 8 bits)",
        *(f"{last[name]:.{digits}f}" if name in last else "-" for name, digits in shown.items()),
        f"{last['exploded']:.0f} of {N_SAMPLES}",
    ]
    titles = ["bits per pixel", "LR-PSNR (dB)", "per-pixel std", "sharpness", "of bicubic", "PSNR (dB)", "exploded"]
    made = "; then ".join(made_by(session) for session in content["sessions"])
    return "\n".join([
        f"After {content['steps']:,} steps of batch {settings['batch']} of {settings['crop']} x {settings['crop']} "
        f"pixels, {content['parameters']:,} parameters (the published network has 39,541,811); on validation images:",
        "", f"| {' | '.join(titles)} |", "|" + "---:|" * len(titles), f"| {' | '.join(cells)} |", "", made,
    ]) + "\n"  # fmt: skip


def made_by(session: Mapping[str, Any]) -> str:
    """How a stretch of the training came about."""
    return (
        f"`{session['command']}`, at {session['revision']}, {session['hardware']}, torch {session['torch']}, steps "
        f"{session['first_step']:,} to {session['step']:,}; {session['seconds']:,.0f} s"
    )


def curves(path: Path, rows: Iterable[Mapping[str, float]]) -> None:
    """What was logged, over the steps.

    Args:
        path: without ending.
        rows: of ``stats.jsonl``.
    """
    rows = list(rows)
    figure = plots.new(3 * len(PANELS), 2.6, layout="constrained")
    for axes, (title, names) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        for name in names:
            of = [(row["step"], row[name]) for row in rows if name in row]
            axes.plot(*zip(*of, strict=True), label=name.replace("_", " "), linewidth=1.2)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25)
        if len(names) > 1:
            axes.legend(fontsize=7, frameon=False)
    plots.save(figure, path, bbox_inches="tight", facecolor="white")
