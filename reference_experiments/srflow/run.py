"""From models and images to rows: one run of the study, by any number of processes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from reference_experiments.data.images64 import FOLDER_VARIABLE
from reference_experiments.srflow.items import Image, benchmark, planned, protocol, rows, work
from reference_experiments.srflow.models import Subject, subjects
from reference_experiments.srflow.presets import DRAWN, Run, drawn_images
from reference_experiments.study import Place, Results


class Drawn(NamedTuple):
    """What the pictures of outputs are made from."""

    subjects: Sequence[Subject]
    images: Sequence[Image]
    device: torch.device | str
    seed: int


def run(run: Run, place: Place) -> tuple[Results, Drawn] | None:
    """This process's share of the measurements; None if others have not finished theirs yet.

    ``RANK`` and ``WORLD_SIZE`` in the environment say which of how many processes this is. Numbers do not depend, but
    for rounding, on ``max_batch`` or the number of processes, nor on whether the work was broken off in between.
    """
    flow = Path(run.flow) if run.flow else place.runs / "flow-cpu"
    flows = {"flow": flow, "flow_noisy": flow.with_name(f"{flow.name}-noisy")}
    specs = [f"{spec}={flows[spec]}" if spec in flows else spec for spec in run.models]
    models = subjects(specs, place.device, checkpointing=run.checkpointing)
    named = os.environ.get(FOLDER_VARIABLE)
    images = images_of(run, place.data or (Path(named) if named else None))
    attack = replace(run.attack, seed=place.seed)
    items = planned(models, images, run.levels, attack, place.runs / "parts")
    rank, world = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1)))
    if not work(items, place.device, max_batch=run.max_batch, rank=rank, world=world):
        return None
    found = rows(items)
    seconds = round(sum(row["seconds"] for row in found), 1)
    results = {
        "rows": found, "protocol": protocol(attack), "convention": run.convention,
        "record": {"seconds_of_all_images": seconds},
    }  # fmt: skip
    return results, Drawn(models, images, place.device, place.seed)


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
