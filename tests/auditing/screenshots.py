"""Draws the pictures of reports in docs/images anew: audits two of the demo's GANs on digits and opens their pages.

``python -m tests.auditing.screenshots [FOLDER]``, or ``nox -s screenshots``; needs Chromium, and takes a minute or two.
"""

from __future__ import annotations

import base64
import sys
import tempfile
from pathlib import Path

import torch

from reference_experiments.digits.data import validation_images
from reference_experiments.digits.restorers import stochastic_erratic, stochastic_robust
from stochrobust import audit, eps_from_psnr
from stochrobust.cli.tasks import parse_task
from tests import browser

IMAGES = Path(__file__).parents[2] / "docs" / "images"


def reports(folder: Path) -> None:
    """Write erratic.html and robust.html."""
    x = validation_images()
    projector = parse_task("inpainting:top=0.75")(*x.shape[2:])
    eps = eps_from_psnr(30.0, x[0].numel())
    for name, make in (("erratic", stochastic_erratic), ("robust", stochastic_robust)):
        report = audit(make(), x, eps=eps, projector=projector, title=f"Digits, stochastic and {name}")
        (folder / f"{name}.html").write_text(report.to_html(), encoding="utf-8")


def photograph(tab: browser.Page, path: Path, *, start: str, height: int) -> None:
    """A picture of the page from an element's top on, this many pixels high and as wide as the window."""
    top = tab.run(f"document.querySelector({start!r}).getBoundingClientRect().top + scrollY")
    clip = {"x": 0, "y": max(0, top - 24), "width": tab.run("innerWidth"), "height": height, "scale": 1}
    answer = tab.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
    path.write_bytes(base64.b64decode(answer["data"]))


def main(folder: Path) -> None:
    """Leave report.png, report-robust.png, report-attack.png (dark) and report-phone.png in a folder."""
    with tempfile.TemporaryDirectory() as temporary, browser.page(Path(temporary) / "profile") as tab:
        pages = Path(temporary)
        reports(pages)
        erratic, robust = ((pages / f"{name}.html").as_uri() for name in ("erratic", "robust"))
        tab.open(erratic, 1200)
        photograph(tab, folder / "report.png", start="body", height=1130)
        tab.open(robust, 1200)
        photograph(tab, folder / "report-robust.png", start="body", height=810)
        tab.open(erratic, 1200, dark=True)
        photograph(tab, folder / "report-attack.png", start="#robustness", height=1100)
        tab.open(robust, 390)
        photograph(tab, folder / "report-phone.png", start="#outputs", height=780)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES)
