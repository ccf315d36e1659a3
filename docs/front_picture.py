"""Draws front.png and front.gif in docs/images from the demo's stored models: ``python docs/front_picture.py``.

Two networks of one architecture complete a digit from its bottom rows. One ignores its noise: three seeds give one
digit, and a small change of the input another. The other, trained with the robustness loss, uses its noise.
"""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from reference_experiments.digits import restorers  # noqa: E402
from reference_experiments.digits.data import SIDE, load_digits, observed  # noqa: E402
from stochrobust import eps_from_psnr, sensitivity  # noqa: E402

ROWS = (("ignores its noise", restorers.stochastic_erratic), ("uses its noise", restorers.stochastic_robust))
COLUMNS = ("y", "seed 1", "seed 2", "seed 3", "seed 1 again,\ny moved by 3 %")
DIGIT, ATTACK_DB, N_SEEDS = 0, 30.0, 8  # the first of the validation digits; 30 dB is 3.2 % of the range
HIDDEN = torch.tensor([0.55, 0.67, 0.85])


class Subject:
    """A network with its seeds, and the change of y that moves its outputs most."""

    @torch.no_grad()
    def __init__(self, G: restorers.DigitRestorer, y: Tensor) -> None:
        eps = eps_from_psnr(ATTACK_DB, y[0].numel())
        self.G, self.y = G, y
        self.delta = sensitivity(G, y, eps, N_SEEDS, generator=torch.Generator().manual_seed(0)).delta

    @torch.no_grad()
    def output(self, seed: int, share: float = 0.0) -> Tensor:
        """At one seed, of y moved by a share of the way."""
        z = self.G.sample_z(self.y, torch.Generator().manual_seed(seed))
        return self.G(self.y + share * self.delta, z)[0]


def draw(axes: Axes, picture: Tensor, *, known: bool = False) -> None:
    """One panel; what is not known of y is blue."""
    pixels = picture.reshape(SIDE, SIDE, 1).clamp(0, 1).repeat(1, 1, 3)
    if known:
        pixels[~observed().reshape(SIDE, SIDE)] = HIDDEN
    axes.imshow(pixels.numpy())
    axes.set(xticks=[], yticks=[])


def still(y: Tensor, subjects: list[Subject]) -> Figure:
    """Two rows of five panels: three seeds, and the first again where y has moved."""
    figure = Figure(figsize=(9, 4.3), layout="constrained", facecolor="white")
    grid = figure.subplots(len(ROWS), len(COLUMNS))
    for row, subject in enumerate(subjects):
        outputs = [*map(subject.output, range(3)), subject.output(0, 1.0)]
        for column, picture in enumerate([y[0], *outputs]):
            draw(grid[row, column], picture, known=column == 0)
            if row == 0:
                grid[row, column].set_title(COLUMNS[column], fontsize=15)
        grid[row, 0].set_ylabel(ROWS[row][0], fontsize=15)
    return figure


def frame(y: Tensor, subjects: list[Subject], seed: int, share: float, title: str) -> Image.Image:
    """One moment: y as it is now, and what both networks make of it."""
    figure = Figure(figsize=(6.6, 2.9), layout="constrained", facecolor="white")
    figure.suptitle(title, fontsize=15)
    axes = figure.subplots(1, 1 + len(subjects))
    draw(axes[0], y[0] + share * subjects[0].delta[0] * observed().reshape(1, SIDE, SIDE), known=True)
    axes[0].set_xlabel("y", fontsize=14)
    for place, subject, (name, _) in zip(axes[1:], subjects, ROWS, strict=True):
        draw(place, subject.output(seed, share))
        place.set_xlabel(name, fontsize=14)
    content = BytesIO()
    figure.savefig(content, format="png", dpi=90)
    return Image.open(content).convert("RGB").quantize(64)


def moving(y: Tensor, subjects: list[Subject]) -> list[tuple[Image.Image, int]]:
    """Frames and their milliseconds: new noise for the same y, then the same noise while y moves there and back."""
    seeds = [(frame(y, subjects, seed, 0.0, "new noise, same y"), 700) for seed in range(6)]
    there = [step / 10 for step in range(11)]
    shares = [(frame(y, subjects, 0, share, f"same noise, y moved by {3.2 * share:.1f} %"), 120) for share in there]
    return [*seeds, *shares[:-1], (shares[-1][0], 1500), *reversed(shares[:-1])]


def main() -> None:
    """Draw the pictures."""
    x = load_digits().validation[DIGIT : DIGIT + 1].reshape(1, 1, SIDE, SIDE)
    y = x * observed().reshape(1, 1, SIDE, SIDE)
    subjects = [Subject(restorer(), y) for _, restorer in ROWS]
    still(y, subjects).savefig(IMAGES / "front.png", dpi=110)
    frames, times = zip(*moving(y, subjects), strict=True)
    frames[0].save(
        IMAGES / "front.gif", save_all=True, append_images=frames[1:], duration=list(times), loop=0, optimize=True
    )


if __name__ == "__main__":
    main()
