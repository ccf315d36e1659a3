"""Draws docs/images/front.png, the README's picture, from the demo's stored models: ``python docs/front_picture.py``.

Two networks of one architecture complete a digit from its bottom rows. One ignores its noise: three seeds give one
digit, and a small change of the input another. The other, trained with the robustness loss, uses its noise.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from reference_experiments.digits import restorers  # noqa: E402
from reference_experiments.digits.data import SIDE, load_digits, observed  # noqa: E402
from stochrobust import eps_from_psnr, sensitivity  # noqa: E402

ROWS = (("ignores its noise", restorers.stochastic_erratic), ("uses its noise", restorers.stochastic_robust))
COLUMNS = ("y", "seed 1", "seed 2", "seed 3", "seed 1 again,\ny moved by 3 %")
DIGIT, ATTACK_DB, N_SEEDS = 0, 30.0, 8  # the first of the validation digits; 30 dB is 3.2 % of the range
HIDDEN = torch.tensor([0.55, 0.67, 0.85])


@torch.no_grad()
def panels(name: str, y: Tensor) -> list[Tensor]:
    """What one network makes of y at three seeds, and of y + delta at the first of them."""
    G = dict(ROWS)[name]()
    generator = torch.Generator().manual_seed(0)
    eps = eps_from_psnr(ATTACK_DB, y[0].numel())
    found = sensitivity(G, y, eps, N_SEEDS, generator=generator)
    seeds = [G.sample_z(y, torch.Generator().manual_seed(seed)) for seed in range(3)]
    return [*(G(y, z)[0] for z in seeds), G(y + found.delta, seeds[0])[0]]


def draw(axes: Axes, picture: Tensor, *, known: bool = False) -> None:
    """One panel; what is not known of y is blue."""
    pixels = picture.reshape(SIDE, SIDE, 1).clamp(0, 1).repeat(1, 1, 3)
    if known:
        pixels[~observed().reshape(SIDE, SIDE)] = HIDDEN
    axes.imshow(pixels.numpy())
    axes.set(xticks=[], yticks=[])


def main() -> None:
    """Draw the picture."""
    x = load_digits().validation[DIGIT : DIGIT + 1].reshape(1, 1, SIDE, SIDE)
    y = x * observed().reshape(1, 1, SIDE, SIDE)
    figure = Figure(figsize=(9, 4.3), layout="constrained", facecolor="white")
    grid = figure.subplots(len(ROWS), len(COLUMNS))
    for row, (name, _) in enumerate(ROWS):
        for column, picture in enumerate([y[0], *panels(name, y)]):
            draw(grid[row, column], picture, known=column == 0)
            if row == 0:
                grid[row, column].set_title(COLUMNS[column], fontsize=15)
        grid[row, 0].set_ylabel(name, fontsize=15)
    figure.savefig(ROOT / "docs" / "images" / "front.png", dpi=110)


if __name__ == "__main__":
    main()
