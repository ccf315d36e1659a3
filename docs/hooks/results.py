"""The page of all results: the README of reference_experiments, which a script writes, with its figures.

Only the figures named here are shown, each with what it shows in words. Photographs of people are not among them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "reference_experiments" / "README.md"
SOURCE = "https://github.com/stochrobust/stochrobust/blob/main"
PAGE = "reproduction.md"
PLACE = "<!-- all results -->"

SCATTER = "Points of the disk, and of six estimators of them, each with its precision and recall"
BARS = "Sensitivity of the estimators: what the attack finds, the true maximum of Eq. 7 and that of Eq. 5"
ELLIPSES = "Points between two ellipses, and of the two consistent estimators X_1 and X_2"
ZIGZAG = "The zigzag and the mapping onto it, for growing frequency"
DIGITS = "Digits completed from their bottom quarter by four GANs, four samples each"
LIKELIHOOD = "A flow's bits per pixel, consistency, diversity and sharpness over the steps of its training"
FIGURE7 = "PSNR of the attacked inputs and of the outputs of super-resolvers against the attack's alpha, for each set"
SHARPNESS = "PSNR of the outputs of super-resolvers under attack against how sharp they are without, for each set"
FIGURES = {
    "toy-quick/figure2.png": SCATTER,
    "toy-quick/appendix_d.png": BARS,
    "toy-quick/figure4.png": ELLIPSES,
    "toy-quick/figure5.png": ZIGZAG,
    "toy-quick-training/figure2.png": SCATTER,
    "toy-quick-training/appendix_d.png": BARS,
    "toy-quick-training/figure4.png": ELLIPSES,
    "toy-quick-training/figure5.png": ZIGZAG,
    "toy-paper/figure2.png": SCATTER,
    "toy-paper/appendix_d.png": BARS,
    "toy-paper/figure4.png": ELLIPSES,
    "toy-paper/figure5.png": ZIGZAG,
    "demo/figure.png": DIGITS,
    "demo-seeds/figure.png": DIGITS + ", of the first of three training seeds",
    "diffusion/figure.png": "Digits completed by a diffusion sampler, posterior means and GANs",
    "srflow-flow/training.png": LIKELIHOOD,
    "srflow-flow-noisy/training.png": LIKELIHOOD,
    "srflow-crops/figure7.png": FIGURE7,
    "srflow-crops/sharpness.png": SHARPNESS,
    "srflow-crops/outputs.png": "An image's middle of each set: its input, what each model makes of it, the source",
    "srflow-full/figure7.png": FIGURE7,
    "srflow-full/sharpness.png": SHARPNESS,
    "srflow-full/outputs.png": "The middle of one image of each set: its input, what two models make of it, its source",
    "faces32-sr/figure3.png": "Quality, variety and robustness of four models of faces against the factor: a chart",
}
PICTURE = re.compile(r"!\[[^\]]*\]\(results/([^)]+)\)\n?")
LINKED_PICTURE = re.compile(r"\[([^\]]+)\]\(results/[^)]+\.(?:png|jpg|pdf)\)")


def results_page(readme: str) -> str:
    """The README below its title, for a page of the site."""

    def shown(match: re.Match[str]) -> str:
        name = match[1]
        return f"![{FIGURES[name]}](images/results/{name}){{ loading=lazy }}\n" if name in FIGURES else ""

    text = readme.partition("\n")[2]
    text = LINKED_PICTURE.sub(r"\1", PICTURE.sub(shown, text))
    return text.replace("](../", f"]({SOURCE}/")


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Called by mkdocs: the figures become files of the site."""
    for name in FIGURES:
        path = ROOT / "reference_experiments" / "results" / name
        files.append(File.generated(config, f"images/results/{name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Called by mkdocs for each page."""
    if page.file.src_uri != PAGE:
        return markdown
    return markdown.replace(PLACE, results_page(README.read_text()))
