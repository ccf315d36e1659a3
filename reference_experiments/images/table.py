"""Table 1 in Markdown: the four models' rows with their spreads, the paper's numbers in brackets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reference_experiments.arms import ARMS, Arm
from reference_experiments.images.summary import Row, Rows, compared, spread_of

COLUMNS = {
    "fid": ("Fréchet distance ↓", 1),
    "precision": ("Precision ↑", 3),
    "recall": ("Recall ↑", 3),
    "std": ("Per-pixel std", 3),
    "std_unobserved": ("of unobserved pixels", 3),
    "robustness_paper": ("Robustness, paper's attack (dB) ↑", 2),
    "ai_psnr_paper": ("its AI-PSNR (dB)", 2),
    "robustness_evaluation": ("Robustness, strong attack (dB) ↑", 2),
    "ai_psnr_evaluation": ("its AI-PSNR (dB)", 2),
    "consistency": ("Consistency (dB) ↑", 0),
    "consistency_8bit": ("as 8 bits (dB) ↑", 1),
    "distortion": ("PSNR of one output (dB) ↑", 2),
    "distortion_mean": ("of the mean output (dB) ↑", 2),
}
PUBLISHED: dict[str, tuple[str, str, str, str]] = {
    "fid": ("14.10", "19.27", "14.37", "39.09"),
    "precision": ("0.670", "0.634", "0.670", "0.533"),
    "recall": ("0.388", "0.268", "0.382", "0.022"),
    "std": ("0.007", "0.105", "0", "0"),
    "robustness_paper": ("6.884", "26.19", "3.544", "23.69"),
    "ai_psnr_paper": ("34.47", "32.95", "34.18", "32.98"),
}
"""Table 1 (CelebA, 64 x 64, 50,000 images, Inception features), in the order of ``ARMS``."""


def table(rows: Rows, *, published: bool, reference: dict[str, Any] | None = None) -> str:
    """The table and a line on what its numbers are.

    Args:
        rows: of the four models.
        published: whether to put the paper's Table 1, which is of inpainting, beside.
        reference: a row of the validation images themselves.
    """
    lines = ["| | " + " | ".join(title for title, _ in COLUMNS.values()) + " |", "|---|" + "---:|" * len(COLUMNS)]
    for arm, row in compared(rows).items():
        lines.append(_line(arm.name.capitalize(), _cells(row, _published(arm) if published else {})))
    if reference is not None:
        values = {name: f"{value['estimate']:.{COLUMNS[name][1]}f}" for name, value in reference["values"].items()}
        lines.append(_line("*Validation images instead of outputs*", [values.get(name, "") for name in COLUMNS]))
    return "\n".join(lines) + f"\n\n{note(rows, published=published)}\n"


def note(rows: Rows, *, published: bool) -> str:
    """How the numbers were measured."""
    protocol = next(iter(rows.values()))[0]["protocol"]
    features = protocol["features"]
    weights = f", SHA-256 {features['weights'][:12]}" if features["weights"] else ""
    brackets = " In brackets: the paper's Table 1 (CelebA, 50,000 images, Inception features)." if published else ""
    spread = spread_of(rows)
    return (
        f"{spread[0].upper()}{spread[1:]}. {features['n_real']} training images of {protocol['set']} against one "
        f"output at each of {features['n_generated']} validation images; features: {features['extractor']}{weights}; "
        f"k = {features['k']}; std over {protocol['n_samples']} samples; attacks of {protocol['eps_in_db']:.2f} dB "
        f"(eps = {protocol['eps']:.3g}) on {protocol['n_attacked']} images with {protocol['n_seeds']} seeds, scored on "
        f"as many fresh ones. {protocol['conventions']}{brackets}"
    )


def _published(arm: Arm) -> Mapping[str, str]:
    return {name: values[ARMS.index(arm)] for name, values in PUBLISHED.items()}


def _cells(row: Row, beside: Mapping[str, str]) -> list[str]:
    cells = []
    for name, (_, digits) in COLUMNS.items():
        cell = row[name].text(digits)
        cells.append(f"{cell} [{beside[name]}]" if name in beside else cell)
    return cells


def _line(name: str, cells: list[str]) -> str:
    return f"| {name} | " + " | ".join(cells) + " |"
