"""The toy study's figures, in the manner of the paper's Figures 2, 4 and 5, and one of Appendix D's inequality."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from reference_experiments import plots
from reference_experiments.study import Results
from reference_experiments.toy.data import Ellipses, disk, sine_estimator, square, zigzag, zigzag_transport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DATA, OUTPUT = "#b9c4cf", "#c2410c"


def figures(results: Results, drawings: dict[str, dict[str, Tensor]], out: Path) -> None:
    """All of them; ``drawings`` has what Figure 2 shows of each arm."""
    figure2(out / "figure2", drawings, results)
    figure4(out / "figure4", Ellipses(), results["ellipses"])
    figure5(out / "figure5", results)
    appendix_d(out / "appendix_d", results)


def _points(axes: Axes, points: Tensor, **style: Any) -> None:
    axes.plot(points[:, 0].numpy(), points[:, 1].numpy(), **style)


def _column(figure: Figure, n_columns: int, index: int, title: str, support: Tensor, samples: Tensor,
            background: Tensor, *, line: bool) -> None:  # fmt: skip
    """Above the support of an estimator's outputs over that of the data, below 100 samples."""
    for row_index, points in enumerate((support, samples)):
        axes = figure.add_subplot(2, n_columns, row_index * n_columns + index + 1)
        _points(axes, background, linestyle="", marker=".", markersize=1.5, color=DATA, zorder=0)
        curve = line and row_index == 0
        style = (
            {"linewidth": 0.8}
            if curve
            else {"linestyle": "", "marker": ".", "markersize": 1.2 if row_index == 0 else 3}
        )
        _points(axes, points, color=OUTPUT, **style)
        axes.set_aspect("equal")
        axes.set_xticks([])
        axes.set_yticks([])
        if row_index == 0:
            axes.set_title(title, fontsize=8)
        if index == 0:
            axes.set_ylabel(("support", "100 samples")[row_index], fontsize=8)


def figure2(path: Path, drawings: dict[str, dict[str, Tensor]], results: dict[str, Any]) -> None:
    """The disk: hand-made estimators and GANs, with precision and recall (mean over training seeds)."""
    generator = torch.Generator().manual_seed(0)
    background, y = disk(8000, generator), torch.linspace(-1, 1, 4000)
    columns: list[tuple[str, Tensor, Tensor, bool, float, float]] = []
    for alpha, name in ((1.0, "X_Robust"), (50.0, "X_Erratic")):
        found = results["hand_made"][str(alpha)]
        samples = sine_estimator(disk(100, generator)[:, 0], alpha)
        columns.append((name, sine_estimator(y, alpha), samples, True, found["precision"], found["recall"]))
    for name, drawing in drawings.items():
        models = results["gans"][name]["models"]
        precision, recall = (statistics.fmean(model[m] for model in models) for m in ("precision", "recall"))
        columns.append((name, drawing["support"], drawing["samples"], "Sto" not in name, precision, recall))
    figure = plots.new(2.0 * len(columns), 4.4)
    for index, (name, support, samples, line, precision, recall) in enumerate(columns):
        title = f"{name}\nP {precision:.2f}  R {recall:.2f}"
        _column(figure, len(columns), index, title, support, samples, background, line=line)
    figure.suptitle("Estimating x from y = x_1 on the disk (grey: the data; x_1 to the right, x_2 upwards)", fontsize=9)
    plots.save(figure, path, kinds=("png",), dpi=110, bbox_inches="tight")


def figure4(path: Path, region: Ellipses, found: dict[str, dict[str, float]]) -> None:
    """Two ellipses: one estimator avoids the hole, the other crosses it."""
    generator = torch.Generator().manual_seed(0)
    background, y = region.sample(12000, generator), torch.linspace(-region.a, region.a, 4000)
    figure = plots.new(4.4, 5.6)
    for index, (name, estimate) in enumerate((("X_1", region.one_side), ("X_2", region.both_sides))):
        samples = estimate(region.sample(100, generator)[:, 0])
        title = f"{name}\nP {found[name]['precision']:.2f}  R {found[name]['recall']:.2f}"
        _column(figure, 2, index, title, estimate(y), samples, background, line=True)
    plots.save(figure, path, kinds=("png",), dpi=110, bbox_inches="tight")


def figure5(path: Path, results: dict[str, Any], f: int = 3) -> None:
    """The zigzag with its horizontal transport, and its distance to the square against f."""
    figure = plots.new(8.5, 3.8)
    left, right = figure.subplots(1, 2)
    generator = torch.Generator().manual_seed(0)
    x = square(60, generator)
    moved = zigzag_transport(x, f)
    _points(left, zigzag(torch.linspace(0, 1, 2001)[:-1], f), color=OUTPUT, linewidth=1.2)
    left.quiver(
        *x.T.numpy(), *(moved - x).T.numpy(), angles="xy", scale_units="xy", scale=1, width=0.004, color="#52606d"
    )
    left.set(title=f"the zigzag for f = {f}, and the transport K_f", xlabel="x_1 = y", ylabel="x_2", aspect="equal")
    frequencies = [entry["f"] for entry in results["zigzag"]]
    right.loglog(
        frequencies, [entry["exact_cost"] for entry in results["zigzag"]], color="#52606d", label="1 / (24 f²)"
    )
    right.loglog(
        frequencies, [entry["transport_cost"] for entry in results["zigzag"]], "x", color=OUTPUT, label="cost of T_0"
    )
    right.loglog(
        frequencies,
        [entry["w2"] for entry in results["zigzag"]],
        "o",
        mfc="none",
        color="#1d4ed8",
        label="W2², two samples",
    )
    right.axhline(results["zigzag_floor"], linestyle=":", color="#1d4ed8", label="W2², two samples of the square")
    right.set(title="distance to the data falls with f", xlabel="f")
    right.legend(fontsize=7)
    plots.save(figure, path, kinds=("png",), dpi=110, bbox_inches="tight")


def appendix_d(path: Path, results: dict[str, Any]) -> None:
    """Both sides of Appendix D's inequality, and the attack's estimate of the larger one."""
    figure = plots.new(6.5, 3.4)
    axes = figure.subplots()
    arms = list(results["gans"])
    for offset, (field, label, colour) in enumerate((
        ("w2", "Eq. 5, true maximum (W2)", "#1d4ed8"),
        ("same_seed", "Eq. 7, true maximum", OUTPUT),
        ("attack_on_few", "Eq. 7, 4-step attack", "#f4a582"),
    )):  # fmt: skip
        for index, name in enumerate(arms):
            values = [1e3 * model[field] for model in results["gans"][name]["models"]]
            at = [index + 0.22 * (offset - 1)] * len(values)
            axes.plot(at, values, "o", color=colour, markersize=5, label=label if index == 0 else None)
    axes.set_yscale("log")
    axes.set_xticks(range(len(arms)), arms)
    axes.set_ylabel("root of the sensitivity, 1e-3")
    axes.set_title("eps = 1e-3; one mark per training seed", fontsize=9)
    axes.legend(fontsize=7)
    plots.save(figure, path, kinds=("png",), dpi=110, bbox_inches="tight")
