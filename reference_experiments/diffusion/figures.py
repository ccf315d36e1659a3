"""The figure: digits restored and attacked, recall against sensitivity, and the disk's samplers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from reference_experiments import plots
from reference_experiments.demo.figures import draw
from reference_experiments.diffusion import disk_part
from reference_experiments.diffusion.digits_part import BALL, DIFFUSION, MEAN, REGRESSOR, DigitPart
from reference_experiments.diffusion.models import restored
from reference_experiments.diffusion.run import Models
from reference_experiments.diffusion.tables import GANS, ROBUST, amplification
from reference_experiments.digits.data import load_digits, observed
from reference_experiments.study import Results
from reference_experiments.toy.data import disk
from stochrobust import sensitivity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

N_SHOWN = 5
SHORT = {name: name.removeprefix("GAN, ") for name in GANS} | {
    DIFFUSION: "diffusion",
    MEAN: "mean of samples",
    REGRESSOR: "regressor",
}


def figures(results: Results, models: Models, out: Path) -> None:
    """``figure.png``."""
    figure = plots.new(15, 7.4, facecolor="white")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.05, 1])[:, 0]
    _digits(above, models.digits, models.part, models.seed)
    left, *right = below.subplots(1, 4, width_ratios=[1.6, 1, 1, 1])
    _recall(left, results["digits"])
    _disk(right, models.disk, results["disk"], models.seed)
    plots.save(figure, out / "figure", kinds=("png",), dpi=95, bbox_inches="tight")


@torch.no_grad()
def panels(G: nn.Module, y: Tensor, part: DigitPart, seed: int) -> list[tuple[str, Tensor]]:
    """Samples at y, the first of them again under attack, and the std; for a deterministic one the restoration."""
    stochastic = getattr(G, "sample_z", None) is not None
    generator = torch.Generator().manual_seed(seed)
    delta = sensitivity(
        G, y, part.gans.eps, part.n_seeds if stochastic else 1, ball=BALL, attack=part.attack, generator=generator
    ).delta
    samples = [restored(G, y, torch.Generator().manual_seed(seed + s)) for s in range(2 if stochastic else 1)]
    attacked = restored(G, y + delta, torch.Generator().manual_seed(seed))
    if not stochastic:
        return [("restored", samples[0]), ("attacked", attacked)]
    spread = torch.stack([restored(G, y, generator) for _ in range(part.n_samples)]).std(0)
    return [("sample 1", samples[0]), ("sample 2", samples[1]), ("1, attacked", attacked), ("std", spread)]


def _digits(figure: SubFigure | Figure, models: dict[str, nn.Module], part: DigitPart, seed: int) -> None:
    x = load_digits().validation[:N_SHOWN]
    y = x.where(observed(), 0)
    groups = [("", [("input", y), ("truth", x)])]
    shown = (DIFFUSION, MEAN, REGRESSOR, ROBUST, GANS[0], GANS[3])
    groups += [(SHORT[name], panels(models[name], y, part, seed)) for name in shown]
    widths = [len(columns) + 0.3 for _, columns in groups]
    blocks = figure.subfigures(1, len(groups), squeeze=False, width_ratios=widths)[0]
    for block, (title, columns) in zip(blocks, groups, strict=True):
        block.suptitle(title, fontsize=11, fontweight="bold", y=0.98)
        axes = block.subplots(N_SHOWN, len(columns), squeeze=False)
        block.subplots_adjust(left=0.03, right=0.97, bottom=0.02, top=0.86, wspace=0.06, hspace=0.06)
        for column, (name, images) in enumerate(columns):
            axes[0, column].set_title(name, fontsize=8)
            for row, image in enumerate(images):
                draw(axes[row, column], image, name)


def _recall(axes: Axes, digits: dict[str, Any]) -> None:
    """Where every model lies between robustness and recall."""
    for name, row in digits["rows"].items():
        marker, colour = (
            ("o", "#c2410c") if name == DIFFUSION else ("s", "#475569") if name in GANS else ("^", "#0f766e")
        )
        at = amplification(row, digits["eps"]), row["recall"]
        axes.plot(*at, marker, color=colour, markersize=8)
        axes.annotate(SHORT[name], at, textcoords="offset points", xytext=(0, 8), fontsize=8, ha="center")
    axes.set(xscale="log", xlabel="√R / eps (Eq. 7), lower is more robust", ylabel="recall")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.set_title("Digits: robustness and recall", fontsize=10)
    axes.margins(x=0.25, y=0.15)


@torch.no_grad()
def _disk(all_axes: list[Axes], models: dict[str, nn.Module], results: dict[str, Any], seed: int) -> None:
    """Samples of the two samplers and of the regressor over the disk."""
    y = disk(2500, torch.Generator().manual_seed(seed))[:, :1].double()
    circle = torch.linspace(0, 2 * torch.pi, 200)
    for axes, name in zip(all_axes, (disk_part.SAMPLER, disk_part.DIFFUSION, disk_part.REGRESSOR), strict=True):
        G, generator = models[name], torch.Generator().manual_seed(seed)
        axes.plot(circle.cos().numpy(), circle.sin().numpy(), color="#94a3b8", linewidth=0.8)
        axes.plot(y[:, 0].numpy(), restored(G, y, generator)[:, 0].numpy(), ".", color="#c2410c", markersize=1.5)
        moved = results["rows"][name]["w2"] / results["eps"]
        axes.set_title(f"{name}\nlaw moves {moved:.2f} eps", fontsize=9)
        axes.set(aspect="equal", xticks=[], yticks=[], xlabel="y", ylabel="x_2")
