"""Figures of matplotlib, which is imported when one is drawn, written whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reference_experiments.runs import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new(width: float, height: float, **how: Any) -> Figure:
    """An empty figure; sizes in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), **how)


def save(figure: Figure, path: Path, *, kinds: Sequence[str] = ("png", "pdf"), dpi: int = 160, **how: Any) -> None:
    """``path`` with an ending for each kind; the same figure gives the same files."""
    for kind in kinds:
        buffer = io.BytesIO()
        metadata = {"CreationDate": None} if kind == "pdf" else {}
        figure.savefig(buffer, format=kind, dpi=dpi, metadata=metadata, **how)
        write_atomically(path.with_name(f"{path.name}.{kind}"), buffer.getvalue())
