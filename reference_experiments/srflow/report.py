"""The page of a run in Markdown: a table for each set, what it says of the paper's ordering, and how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reference_experiments.srflow.findings import concerns, explosions, findings
from reference_experiments.srflow.summary import Summary, text

COLUMNS = {
    "input": ("Input PSNR (dB)", 1),
    "output": ("Output PSNR (dB) ↑", 1),
    "output_fresh": ("on fresh seeds", 1),
    "truth_clean": ("PSNR to source, clean (dB) ↑", 2),
    "truth_attacked": ("attacked", 2),
    "sharpness_clean": ("Sharpness, clean", 2),
    "sharpness_attacked": ("attacked", 2),
}


def page(title: str, summary: Summary, protocol: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """Markdown.

    Args:
        title: of the run.
        summary: its rows.
        protocol: of :func:`reference_experiments.srflow.study.protocol`, with ``sets``.
        record: of :class:`reference_experiments.runs.Record`.
    """
    lines = [f"### {title}", ""]
    for of_set in summary.sets:
        lines += [f"**{of_set}**, {_count(summary, of_set)}", "", *_table(summary, of_set), ""]
    lines += [f"- {finding.text}" for finding in findings(summary)]
    lines += [f"- {sentence}" for sentence in explosions(summary)]
    lines += [f"- A doubt about {sentence}" for sentence in concerns(summary)]
    lines += ["", note(summary, protocol), "", _made(record)]
    return "\n".join(lines).strip() + "\n"


def note(summary: Summary, protocol: Mapping[str, Any]) -> str:
    """How the numbers were measured."""
    attack = protocol["attack"]
    what = f"the square of {attack['crop']} pixels in the middle of each input" if attack["crop"] else "whole images"
    tiled = f", in tiles of at most {attack['tile']} pixels, each attacked alone" if attack["tile"] else ""
    start = "a uniform random start" if attack["start"] == "uniform" else "a start at zero"
    reference = "the model's own clean output" if attack["reference"] == "clean" else "the source"
    convention = protocol["conventions"][summary.convention]
    return (
        f"I-FGSM on {what}{tiled}: {attack['steps']} steps from {start}, away from {reference}; stochastic models with "
        f"{attack['n_seeds']} seeds that are the same for both outputs. Means over images, in brackets 95 % intervals "
        f"for other images of the kind. PSNR: {convention['channels']}, {convention['shave']} pixels shaved, rounding: "
        f"{convention['rounding']}. Sharpness: {protocol['sharpness']}. Of sets with more images, the first were taken."
    )


def _table(summary: Summary, of_set: str) -> list[str]:
    titles = ["Model", "alpha", *(title for title, _ in COLUMNS.values()), "exploded"]
    lines = [f"| {' | '.join(titles)} |", "|---|" + "---:|" * (len(titles) - 1)]
    for model in summary.models:
        for levels in summary.levels:
            row = summary.row(model, of_set, levels)
            cells = [text(summary.number(model, of_set, levels, name), digits) for name, (_, digits) in COLUMNS.items()]
            lines.append(f"| {model} | {levels:g}/255 | {' | '.join(cells)} | {len(row['exploded'])} |")
    return lines


def _count(summary: Summary, of_set: str) -> str:
    n = len(summary.row(summary.models[0], of_set, summary.levels[0])["images"])
    return f"{n} image{'s' if n > 1 else ''}"


def _made(record: Mapping[str, Any]) -> str:
    return (
        f"`{record['command']}`, at {record['revision']}, {record['hardware']}, torch {record['torch']}; "
        f"{record['seconds_of_all_images']:,.0f} s of attacks."
    )
