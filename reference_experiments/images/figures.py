"""The paper's Figure 1, outputs of the four models, and Figure 3, their numbers against super-resolution's factor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from reference_experiments import plots
from reference_experiments.arms import ARMS, Arm
from reference_experiments.images.measuring import Measuring
from reference_experiments.images.pictures import N_SHOWN, Pictures, pictures, shown
from reference_experiments.images.presets import PRESETS
from reference_experiments.images.restorer import Restorer
from reference_experiments.images.run import Drawn
from reference_experiments.images.summary import Rows, by_arm, summarize
from reference_experiments.spread import Row
from reference_experiments.study import Results
from stochrobust import psnr_from_eps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

CELL = 0.95
"""Side of a picture, in inches."""
TITLES = (*(f"output {s + 1}" for s in range(N_SHOWN)), "std", "attacked input", "output 1 there")
COLOURS = {True: "#1d4ed8", False: "#c2410c"}
PANELS = {
    "fid": "Fréchet distance ↓",
    "precision": "Precision ↑",
    "recall": "Recall ↑",
    "std": "Per-pixel std",
    "robustness_paper": "Robustness, paper's attack (dB) ↑",
    "robustness_evaluation": "Robustness, strong attack (dB) ↑",
}


def figures(results: Results, drawn: Drawn, out: Path) -> None:
    """Figure 1 of each task, and Figure 3 of several factors."""
    for name, models in drawn.models.items():
        path = out / ("figure1" if len(drawn.models) == 1 else f"figure1-{name}")
        figure1(path, models, drawn.x[name], list(range(len(drawn.x[name]))), PRESETS[name].measuring)
    if len(drawn.models) > 1:
        tasks = results["tasks"].items()
        factors = {PRESETS[name].training.restoration.scale: by_arm(task) for name, task in tasks}
        figure3(out / "figure3", factors)


def figure1(path: Path, models: Mapping[Arm, Restorer], x: Tensor, ids: list[int], measuring: Measuring) -> None:
    """For each image its source and input, and of each model some outputs, their std, and an attack.

    Args:
        path: without ending.
        models: of one task.
        x: (B, C, H, W) images in [0, 1], on the models' device.
        ids: which images of the set they are.
        measuring: settings of the samples and of the attack.
    """
    found = {arm: pictures(restorer, x, ids, measuring) for arm, restorer in models.items()}
    restorer = next(iter(models.values()))
    y = restorer.projector.D(x)
    inputs, top = shown(restorer, y, x.shape[-1]).cpu(), brightest(found)
    n_columns, n_rows = 3.25 + len(TITLES), len(models)
    figure = plots.new(CELL * n_columns, CELL * (n_rows + 0.3) * len(x))
    blocks = figure.add_gridspec(len(x), 1, left=0, right=1, bottom=0, top=1, hspace=0.08)
    for i, image in enumerate(x.cpu()):
        of_image = {arm: at(of_arm, i) for arm, of_arm in found.items()}
        _block(figure, blocks[i], image, inputs[i], of_image, top, i == 0)
    decibels = psnr_from_eps(restorer.eps, y[0].numel())
    figure.text(
        0.5, 0,
        f"\nAttacks of {decibels:.1f} dB; below the attacked outputs: their PSNR to output 1 of the same seed. "
        f"Std over {max(N_SHOWN, measuring.n_samples)} outputs, from 0 (black) to {top:.2f} (bright).",
        ha="center", va="top", fontsize=8,
    )  # fmt: skip
    plots.save(figure, path, bbox_inches="tight", facecolor="white")


def at(of_model: Pictures, i: int) -> list[Tensor | float]:
    """The pictures of one input in the order of :data:`TITLES`, and last the PSNR under attack."""
    samples = [sample[i] for sample in of_model.samples]
    return [*samples, of_model.std[i], of_model.attacked_input[i], of_model.attacked[i], float(of_model.decibels[i])]


def brightest(found: Mapping[Arm, Pictures]) -> float:
    """The std that is shown brightest: all but a few pixels have less."""
    values = torch.cat([of_model.std.flatten() for of_model in found.values()])
    return max(float(values.sort().values[int(0.998 * (len(values) - 1))]), 0.01)


def _block(
    figure: Figure,
    block: SubplotSpec,
    source: Tensor,
    given: Tensor,
    of_models: Mapping[Arm, list[Tensor | float]],
    top: float,
    first: bool,
) -> None:
    """One image: source and input to the left, a row for each model to the right."""
    sides = block.subgridspec(1, 2, width_ratios=[2, 1.15 + len(TITLES)], wspace=0.02)
    left, right = sides[0].subgridspec(2, 1, hspace=0.16), sides[1]
    for i, (title, image) in enumerate({"source": source, "input": given}.items()):
        axes = figure.add_subplot(left[i])
        _draw(axes, image)
        axes.set_title(title, fontsize=9, pad=3)
    grid = right.subgridspec(
        len(of_models), len(TITLES) + 1, width_ratios=[1.1] + [1] * len(TITLES), wspace=0.04, hspace=0.04
    )
    for row, (arm, (*images, decibels)) in enumerate(of_models.items()):
        label = figure.add_subplot(grid[row, 0])
        label.axis("off")
        label.text(0.94, 0.5, arm.name.replace(", ", ",\n"), ha="right", va="center", fontsize=9, weight="bold",
                   color=COLOURS[arm.stochastic])  # fmt: skip
        for column, (title, picture) in enumerate(zip(TITLES, images, strict=True)):
            axes = figure.add_subplot(grid[row, column + 1])
            _draw(axes, picture, top if title == "std" else None)
            if first and row == 0:
                axes.set_title(title, fontsize=8, pad=3)
        text = "unmoved" if math.isinf(float(decibels)) else f"{float(decibels):.1f} dB"
        axes.text(0.97, 0.04, text, transform=axes.transAxes, ha="right", va="bottom", fontsize=6.5, color="white",
                  bbox={"facecolor": "black", "alpha": 0.55, "pad": 1, "linewidth": 0})  # fmt: skip


def _draw(axes: Axes, image: Tensor | float, top: float | None = None) -> None:
    """A (C, H, W) image, or an (H, W) map whose brightest value is ``top``."""
    assert isinstance(image, Tensor)
    if top is not None:
        axes.imshow(image.numpy(), cmap="inferno", vmin=0, vmax=top)
    else:
        axes.imshow(image.expand(3, -1, -1).permute(1, 2, 0).numpy())
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def figure3(path: Path, factors: Mapping[int, Rows]) -> None:
    """Each number of the four models against the factor, with its spread.

    Args:
        path: without ending.
        factors: rows measured alike.
    """
    models = {
        factor: {arm: summarize(of_arm) for arm, of_arm in rows.items()} for factor, rows in sorted(factors.items())
    }
    figure = plots.new(9.6, 5.4, layout="constrained")
    panels = figure.subplots(2, 3).flat
    for axes, (name, title) in zip(panels, PANELS.items(), strict=True):
        for index, arm in enumerate(ARMS):
            _line(axes, models, arm, name, shift=0.03 * (index - 1.5))
        axes.set_title(title, fontsize=10)
        axes.set_xticks([math.log2(factor) for factor in models], [f"{factor}x" for factor in models])
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        if name in ("precision", "recall"):
            axes.set_ylim(-0.02, 1.02)
        elif name == "std":
            axes.set_ylim(bottom=-0.04 * axes.get_ylim()[1])
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=9, frameon=False)
    figure.supxlabel("factor of super-resolution", fontsize=9)
    plots.save(figure, path, bbox_inches="tight", facecolor="white")


def _line(axes: Axes, models: Mapping[int, Mapping[Arm, Row]], arm: Arm, name: str, shift: float) -> None:
    """One model: blue if stochastic, dashed and hollow if erratic; a little to the side, so that bars stay apart."""
    numbers = [of_factor[arm][name] for of_factor in models.values()]
    colour = COLOURS[arm.stochastic]
    axes.errorbar(
        [math.log2(factor) + shift for factor in models],
        [number.mean for number in numbers],
        [number.spread or 0.0 for number in numbers],
        color=colour, marker="o" if arm.stochastic else "s", markersize=5, capsize=2.5, linewidth=1.4,
        linestyle="-" if arm.robust else "--", markerfacecolor=colour if arm.robust else "white", label=arm.name,
    )  # fmt: skip
