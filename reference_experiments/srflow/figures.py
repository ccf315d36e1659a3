"""Figure 7, input and output PSNR against alpha, and the one the paper lacks: output PSNR against sharpness."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from reference_experiments import plots
from reference_experiments.srflow.outputs import outputs_figure
from reference_experiments.srflow.run import Drawn
from reference_experiments.srflow.summary import Summary
from reference_experiments.study import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#1d4ed8", "#c2410c", "#15803d", "#7e22ce", "#0e7490", "#a16207", "#be185d", "#334155")
MARKERS = "osD^vP*X"
HEIGHT, WIDTH = 2.6, 3.1
"""Of a panel, in inches."""
SHOWN_DB = (-10.0, 60.0)
"""Of output PSNR; outputs of a model that is about to explode are further away than any image."""


def figures(results: Results, drawn: Drawn, out: Path) -> None:
    """Figure 7, sharpness, and the outputs themselves."""
    summary = Summary.of(results)
    figure7(out / "figure7", summary)
    sharpness_figure(out / "sharpness", summary)
    outputs_figure(out / "outputs", drawn.subjects, drawn.images, drawn.device, drawn.seed)


def figure7(path: Path, summary: Summary) -> None:
    """Two panels for each set: how visible the attack is, and how far it moves the output; intervals over images.

    A cross at the foot marks an alpha at which a model exploded on some image.

    Args:
        path: without ending.
        summary: rows of one run.
    """
    sets = summary.sets
    figure = plots.new(WIDTH * len(sets) + 0.4, 2 * HEIGHT, layout="constrained")
    panels = figure.subplots(2, len(sets), sharex=True, sharey="row", squeeze=False)
    for row, (name, title) in enumerate({"input": "Input PSNR (dB)", "output": "Output PSNR (dB)"}.items()):
        for axes, of_set in zip(panels[row], sets, strict=True):
            for i, model in enumerate(summary.models):
                _curve(axes, summary, model, of_set, name, i)
            _by_alpha(axes, summary)
            if row == 0:
                axes.set_title(of_set, fontsize=10)
            else:
                axes.set_xlabel("alpha (levels of 255)")
                _explosions(axes, summary, of_set)
                _cut_off(axes)
        panels[row][0].set_ylabel(title)
    _legend(figure, panels[0][0])
    plots.save(figure, path, bbox_inches="tight", facecolor="white")


def sharpness_figure(path: Path, summary: Summary) -> None:
    """A panel for each set: robust because blurry (left), or robust and sharp (right, near 1).

    Args:
        path: without ending.
        summary: rows of one run.
    """
    sets = summary.sets
    figure = plots.new(WIDTH * len(sets) + 0.4, 1.35 * HEIGHT, layout="constrained")
    panels = figure.subplots(1, len(sets), sharex=True, sharey=True, squeeze=False)[0]
    for axes, of_set in zip(panels, sets, strict=True):
        axes.axvline(1.0, color="0.6", linewidth=1, linestyle=":")
        for i, model in enumerate(summary.models):
            _column(axes, summary, model, of_set, i)
        _cut_off(axes)
        axes.set_xlim(left=0)
        axes.set_title(of_set, fontsize=10)
        axes.set_xlabel("sharpness of the clean output\n(the source has 1)")
        axes.grid(alpha=0.25)
    panels[0].set_ylabel("Output PSNR (dB)")
    _legend(figure, panels[0])
    figure.supxlabel("Beside each point: alpha in levels of 255.", fontsize=8)
    plots.save(figure, path, bbox_inches="tight", facecolor="white")


def _curve(axes: Axes, summary: Summary, model: str, of_set: str, name: str, i: int) -> None:
    """A model's number against alpha; where no image has a finite one, the curve has a gap."""
    levels, means, below, above = [], [], [], []
    for alpha in summary.levels:
        number = summary.number(model, of_set, alpha, name)
        if number is None or not math.isfinite(number.estimate):
            continue
        levels.append(alpha)
        means.append(number.estimate)
        below.append(0.0 if number.low is None else number.estimate - number.low)
        above.append(0.0 if number.high is None else number.high - number.estimate)
    axes.errorbar(
        levels, means, yerr=[below, above], label=model, color=_colour(i), marker=_marker(i), markersize=4.5,
        linewidth=1.3, capsize=2, elinewidth=0.9,
    )  # fmt: skip


def _explosions(axes: Axes, summary: Summary, of_set: str) -> None:
    """A cross for each model and alpha with explosions, side by side at the foot of the panel."""
    for i, model in enumerate(summary.models):
        levels = [alpha for alpha in summary.levels if summary.row(model, of_set, alpha)["exploded"]]
        height = [0.04 + 0.06 * i] * len(levels)
        axes.plot(levels, height, "x", color=_colour(i), markersize=5, transform=axes.get_xaxis_transform())


def _cut_off(axes: Axes) -> None:
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, SHOWN_DB[0]), min(top, SHOWN_DB[1]))


def _column(axes: Axes, summary: Summary, model: str, of_set: str, i: int) -> None:
    """A model's output PSNR at every alpha over its sharpness."""
    label: str | None = model
    for alpha in summary.levels:
        sharp, output = (summary.number(model, of_set, alpha, name) for name in ("sharpness_clean", "output"))
        if sharp is None or output is None or not (math.isfinite(sharp.estimate) and math.isfinite(output.estimate)):
            continue
        ends = [
            [[0.0 if n.low is None else n.estimate - n.low], [0.0 if n.high is None else n.high - n.estimate]]
            for n in (sharp, output)
        ]
        axes.errorbar(
            [sharp.estimate], [output.estimate], xerr=ends[0], yerr=ends[1], label=label, color=_colour(i),
            marker=_marker(i), markersize=5, linestyle="", elinewidth=0.7, alpha=0.9,
        )  # fmt: skip
        axes.annotate(
            f"{alpha:g}", (sharp.estimate, output.estimate), (5, 3), textcoords="offset points", fontsize=7,
            color=_colour(i), annotation_clip=True,
        )  # fmt: skip
        label = None


def _by_alpha(axes: Axes, summary: Summary) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(summary.levels, [f"{alpha:g}" for alpha in summary.levels])
    axes.minorticks_off()
    axes.grid(alpha=0.25)


def _legend(figure: object, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False, fontsize=9)  # type: ignore[attr-defined]


def _colour(i: int) -> str:
    return COLOURS[i % len(COLOURS)]


def _marker(i: int) -> str:
    return MARKERS[i % len(MARKERS)]
