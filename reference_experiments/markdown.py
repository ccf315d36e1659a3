"""The one writer of tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

RULES = {"l": " --- |", "r": "---:|"}


def table(head: Sequence[object], rows: Iterable[Sequence[object]], align: str | None = None) -> str:
    """Markdown.

    Args:
        head: of the columns.
        rows: as many cells each.
        align: ``l`` or ``r`` for each column; by default the first is left, the others right.

    Returns:
        Lines without a newline at the end.
    """
    align = align or "l" + "r" * (len(head) - 1)
    return "\n".join([_line(head), "|" + "".join(RULES[side] for side in align), *map(_line, rows)])


def _line(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"
