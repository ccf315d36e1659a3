"""The page of a run: a table for each set, what it says of the paper's ordering, and how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reference_experiments import findings as found
from reference_experiments import markdown
from reference_experiments.srflow.findings import concerns, explosions
from reference_experiments.srflow.summary import Summary, text
from reference_experiments.study import Results, stored_findings

COLUMNS = {
    "input": ("Input PSNR (dB)", 1),
    "output": ("Output PSNR (dB) ↑", 1),
    "output_fresh": ("on fresh seeds", 1),
    "truth_clean": ("PSNR to source, clean (dB) ↑", 2),
    "truth_attacked": ("attacked", 2),
    "sharpness_clean": ("Sharpness, clean", 2),
    "sharpness_attacked": ("attacked", 2),
}


def tables(results: Results) -> str:
    """A table for each set, findings, and how they were measured."""
    summary, protocol = Summary.of(results), results["protocol"]
    parts = []
    for of_set in summary.sets:
        parts += [f"**{of_set}**, {_count(summary, of_set)}", _table(summary, of_set)]
    further = [f"- {sentence}" for sentence in explosions(summary)]
    further += [f"- A doubt about {sentence}" for sentence in concerns(summary)]
    said = [found.table(stored_findings(results)), "\n".join(further)]
    return "\n\n".join([*parts, *filter(None, said), note(summary, protocol), _made(results["record"])])


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
        f"{attack['n_seeds']} seeds that are the same for both outputs. The attack climbs the mean squared norm of the "
        "change of the output, where section 6.2 climbs the mean of the norm itself. Means over images, in brackets "
        f"95 % intervals for other images of the kind. PSNR: {convention['channels']}, {convention['shave']} pixels "
        f"shaved, rounding: {convention['rounding']}. Sharpness: {protocol['sharpness']}. Of sets with more images, "
        "the first were taken."
    )


def _table(summary: Summary, of_set: str) -> str:
    lines = []
    for model in summary.models:
        for levels in summary.levels:
            row = summary.row(model, of_set, levels)
            cells = [text(summary.number(model, of_set, levels, name), digits) for name, (_, digits) in COLUMNS.items()]
            lines.append([model, f"{levels:g}/255", *cells, len(row["exploded"])])
    return markdown.table(["Model", "alpha", *(title for title, _ in COLUMNS.values()), "exploded"], lines)


def _count(summary: Summary, of_set: str) -> str:
    n = len(summary.row(summary.models[0], of_set, summary.levels[0])["images"])
    return f"{n} image{'s' if n > 1 else ''}"


def _made(record: Mapping[str, Any]) -> str:
    return (
        f"`{record['command']}`, at {record['revision']}, {record['hardware']}, torch {record['torch']}; "
        f"{record['seconds_of_all_images']:,.0f} s of attacks."
    )
