"""The figure in the manner of the paper's Figure 1: inputs, samples of the four models, and where they differ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from reference_experiments import plots
from reference_experiments.arms import Arm
from reference_experiments.digits.data import SIDE, load_digits, observed
from reference_experiments.digits.evaluation import std_map
from reference_experiments.digits.training import restore
from reference_experiments.study import Results
from stochrobust import EVALUATION, Consistent, psnr_from_eps, sensitivity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

N_SHOWN = 6
N_SAMPLES = 3
STD_TOP = 0.4  # the std at which the maps are brightest
Panel = tuple[str, Tensor]
"""A column's title and its (rows, 64) images."""


@torch.no_grad()
def model_panels(G: Consistent, y: Tensor, eps: float, seed: int) -> list[Panel]:
    """Several samples at y, the first of them again under attack, and the std over 32 samples."""
    generator = torch.Generator().manual_seed(seed)
    sample_z = getattr(G, "sample_z", None)
    samples = [restore(G, y, torch.Generator().manual_seed(seed + s)) for s in range(N_SAMPLES)]
    n_seeds = 1 if sample_z is None else 8
    delta = sensitivity(G, y, eps, n_seeds, attack=EVALUATION, generator=generator).delta
    attacked = restore(G, y + delta, torch.Generator().manual_seed(seed))
    spread = std_map(G, y, 32, generator).map()
    numbered = [(f"sample {s + 1}", sample) for s, sample in enumerate(samples)]
    return [*numbered, ("1, attacked", attacked), ("std", spread)]


def figures(results: Results, models: dict[Arm, Consistent], out: Path) -> None:
    """``figure.png``: some digits that the four estimators restore."""
    eps, x = results["settings"]["eps"], load_digits().validation[:N_SHOWN]
    y = x.where(observed(), 0)
    groups = [("", [("input", y), ("truth", x)])]
    groups += [(arm.name.capitalize(), model_panels(G, y, eps, 0)) for arm, G in models.items()]
    figure = plots.new(16, 0.72 * len(x) + 1.1, facecolor="white")
    widths = [len(panels) for _, panels in groups]
    blocks = figure.subfigures(1, len(groups), squeeze=False, width_ratios=[width + 0.35 for width in widths])[0]
    for block, (title, panels) in zip(blocks, groups, strict=True):
        block.suptitle(title, fontsize=12, fontweight="bold", y=0.9)
        axes = block.subplots(len(x), len(panels), squeeze=False)
        block.subplots_adjust(left=0.02, right=0.98, bottom=0.02, top=0.79, wspace=0.06, hspace=0.06)
        for column, (name, images) in enumerate(panels):
            for row, image in enumerate(images):
                draw(axes[row, column], image, name)
            axes[0, column].set_title(name, fontsize=8)
    figure.suptitle(
        f"Completing digits from their two bottom rows; attacks of {psnr_from_eps(eps, SIDE**2):.0f} dB",
        fontsize=13,
        y=0.985,
    )
    plots.save(figure, out / "figure", kinds=("png",), dpi=100)


def draw(axes: Axes, image: Tensor, name: str) -> None:
    """One image; what is not known of an input is left blue."""
    pixels = image.reshape(SIDE, SIDE)
    if name == "std":
        axes.imshow(pixels.numpy(), cmap="inferno", vmin=0, vmax=STD_TOP)
    elif name == "input":
        colours = pixels[..., None].repeat(1, 1, 3)
        colours[~observed().reshape(SIDE, SIDE)] = torch.tensor([0.55, 0.67, 0.85])
        axes.imshow(colours.numpy())
    else:
        axes.imshow(pixels.numpy(), cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
