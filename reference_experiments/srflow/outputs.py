"""What the models of a study make of an image, side by side: the eye's check on sharpness and diversity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import torch
from torch import Tensor

from reference_experiments import plots
from reference_experiments.data.sr_benchmarks import Pair
from reference_experiments.networks.flow_network import ExplodedInverse
from reference_experiments.networks.rrdb import SCALE
from reference_experiments.srflow.items import Image
from reference_experiments.srflow.models import Subject
from reference_experiments.srflow.tiles import cut_in_the_middle
from stochrobust import SampleKeys, draw_seeds, sampler_of

SIDE = 24
"""Pixels of y that are shown."""
N_SEEDS = 2
"""Outputs of a stochastic model."""
INCHES, LETTERS = 1.5, 20
"""Of a picture: its side, and a line of its title."""


def outputs_figure(
    path: Path, subjects: Sequence[Subject], images: Sequence[Image], device: torch.device | str = "cpu", seed: int = 0
) -> None:
    """A row for the first image of each set: its input, the models' outputs, two of a stochastic one, and its source.

    Args:
        path: without ending.
        subjects: the models, on the device.
        images: of the study; of each the square in the middle is shown.
        device: of the models.
        seed: of what stochastic models draw.
    """
    first = list({image.set: image for image in reversed(images)}.values())[::-1]
    rows = [pictures(subjects, image, device, seed) for image in first]
    titles = list(rows[0])
    figure = plots.new(INCHES * len(titles), (INCHES + 0.1) * len(rows) + 0.4, layout="constrained")
    panels = figure.subplots(len(rows), len(titles), squeeze=False)
    for of_row, shown, image in zip(panels, rows, first, strict=True):
        for axes, picture in zip(of_row, shown.values(), strict=True):
            axes.imshow(picture.clamp(0, 1).permute(1, 2, 0).numpy(), interpolation="nearest")
            axes.set(xticks=[], yticks=[])
        of_row[0].set_ylabel(image.set, fontsize=8)
    for axes, title in zip(panels[0], titles, strict=True):
        axes.set_title(fill(title, LETTERS), fontsize=8, va="bottom")
    plots.save(figure, path, bbox_inches="tight", facecolor="white")


@torch.no_grad()
def pictures(
    subjects: Sequence[Subject], image: Image, device: torch.device | str = "cpu", seed: int = 0
) -> dict[str, Tensor]:
    """One row of :func:`outputs_figure`, (3, h, w) each, by title."""
    x, y = cut_in_the_middle(Pair(*(part.to(device) for part in image.pair)), SIDE)
    found = {"input": y}
    for subject in subjects:
        outputs = _outputs(subject, y[None], SampleKeys([image.key], seed))
        found |= {f"{subject.name}{f', seed {i}' if len(outputs) > 1 else ''}": out for i, out in enumerate(outputs)}
    return {title: picture.cpu() for title, picture in (found | {"source": x}).items()}


def _outputs(subject: Subject, y: Tensor, keys: SampleKeys) -> list[Tensor]:
    sample_z, n_seeds = sampler_of(subject.G), N_SEEDS if subject.stochastic else 1
    if sample_z is None:
        return [_output(subject, y) for _ in range(n_seeds)]
    return [_output(subject, y, draw_seeds(sample_z, y, 1, keys, first_seed=i)) for i in range(n_seeds)]


def _output(subject: Subject, y: Tensor, *seed: Any) -> Tensor:
    try:
        return subject.G(y, *seed)[0]
    except ExplodedInverse:  # an empty picture
        return torch.full((3, SCALE * y.shape[-2], SCALE * y.shape[-1]), torch.nan)
