"""A matplotlib figure inside a page, drawn by a tutorial when the pages are built: a picture in the HTML, no file."""

from __future__ import annotations

import base64
import io
import os
import sys
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[2]


def picture(figure: Figure, alt: str, caption: str = "") -> str:
    """The figure as HTML; ``alt`` says what is to be seen to those who cannot."""
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=120, bbox_inches="tight")
    data = base64.b64encode(png.getvalue()).decode()
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure class="figure"><img alt="{escape(alt)}" src="data:image/png;base64,{data}">{below}</figure>'


def on_config(config: Any, **_: Any) -> Any:
    """Called by mkdocs: the tutorials find the library and this module, on one core, and draw without a screen."""
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]
    os.environ.setdefault("MPLBACKEND", "agg")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    return config
