"""From models and images to table and figures: one run of the study, by any number of processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from reference_experiments.runs import Record, write_atomically, write_json
from reference_experiments.srflow.figures import figure7, sharpness_figure
from reference_experiments.srflow.models import Subject
from reference_experiments.srflow.outputs import outputs_figure
from reference_experiments.srflow.presets import DRAWN, Run, drawn_images
from reference_experiments.srflow.report import page
from reference_experiments.srflow.study import Image, benchmark, planned, protocol, rows, work
from reference_experiments.srflow.summary import Summary


def images_of(run: Run, data: Path | None) -> list[Image]:
    """The images of its sets; :data:`DRAWN` needs no data.

    Raises:
        ValueError: where benchmarks are wanted, and no folder is given.
        FileNotFoundError: where a benchmark is not in it.
    """
    images: list[Image] = []
    for name in run.sets:
        if name == DRAWN:
            images += drawn_images()[: run.at_most]
        elif data is None:
            raise ValueError(f"data must be the folder that sr_benchmarks/{name} is in, got none")
        else:
            images += benchmark(data, [name], run.at_most)
    return images


def conduct(
    title: str,
    run: Run,
    subjects: Sequence[Subject],
    images: Sequence[Image],
    folder: Path,
    *,
    record: Record,
    parts: Path,
    convention: str = "rgb",
    device: torch.device | str = "cpu",
    max_batch: int | None = None,
    rank: int = 0,
    world: int = 1,
) -> bool:
    """Make this process's share of a run, and its page if nothing is missing then.

    Numbers do not depend, but for rounding, on ``max_batch`` or the number of processes, nor on whether the work was
    broken off in between.

    Args:
        title: of the page.
        run: settings.
        subjects: the models, on the device.
        images: of :func:`images_of`.
        folder: gets ``rows.json``, ``table.md``, ``figure7``, ``sharpness`` and ``outputs`` (PNG and PDF).
        record: begun when the work was.
        parts: gets a file for each model, image and alpha.
        convention: of the PSNRs in table and figures, see :data:`reference_experiments.srflow.attack.CONVENTIONS`.
        device, max_batch, rank, world: as in :func:`reference_experiments.srflow.study.work`.

    Returns:
        Whether the page was written.
    """
    items = planned(subjects, images, run.levels, run.attack, parts)
    if not work(items, device, max_batch=max_batch, rank=rank, world=world):
        return False
    found = rows(items)
    how = protocol(run.attack)
    seconds = round(sum(row["seconds"] for row in found), 1)
    made = record.finished(device, seconds_of_all_images=seconds)
    write_json(folder / "rows.json", {"rows": found, "protocol": how, "record": made})
    summary = Summary(found, convention)
    write_atomically(folder / "table.md", page(title, summary, how, made))
    figure7(folder / "figure7", summary)
    sharpness_figure(folder / "sharpness", summary)
    outputs_figure(folder / "outputs", subjects, images, device, run.attack.seed)
    return True


def changed(run: Run, **given: object) -> Run:
    """The run with the settings that are not None in the place of its own, those of the attack too."""
    wanted = {name: value for name, value in given.items() if value is not None}
    of_attack = {name: wanted.pop(name) for name in list(wanted) if name in vars(run.attack)}
    attack = replace(run.attack, **of_attack)  # type: ignore[arg-type]
    return replace(run, attack=attack, **wanted)  # type: ignore[arg-type]
