"""Results in hand: a few lines for a terminal, a fragment for a notebook, flat numbers, CSV, LaTeX, and files."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from stochrobust._files import write_whole
from stochrobust.auditing.findings import Findings, Level
from stochrobust.auditing.numbers import NUMBERS, counted, interval, number, quantity

SHOWN = 4
"""Verdicts in a terminal; the rest is counted."""
TOLD = ("robustness_strong", "amplification", "spread_error", "psnr_mean", "recall")
"""Numbers in a terminal, of those that were measured."""
TABLE_1 = {
    "frechet": r"FID $\downarrow$",
    "precision": r"Precision $\uparrow$",
    "recall": r"Recall $\uparrow$",
    "std": r"Per-pixel std $\uparrow$",
    "ai_psnr_strong": "AI-PSNR",
    "robustness_strong": r"Robustness $\uparrow$",
}
"""Columns of the paper's Table 1: number -> heading."""
WORDS: dict[Level, str] = {"bad": "BAD", "note": "note", "good": "good"}
COLOURS: dict[Level, str] = {"bad": "#a8231b", "note": "#745000", "good": "#1a6a3a"}


def in_a_terminal(findings: Findings) -> str:
    """Six lines at most: what was audited, the verdicts, and the numbers that they rest on."""
    kind = "stochastic" if findings.stochastic else "deterministic"
    n = max((value.n for value in findings.numbers.values()), default=0)
    lines = [f"AuditReport: {findings.title or 'untitled'} ({kind}, {counted(n, 'input')})"]
    verdicts = findings.verdicts
    shown = verdicts if len(verdicts) <= SHOWN else verdicts[: SHOWN - 1]
    lines += [f"  {WORDS[verdict.level]:<4} {verdict.name}" for verdict in shown]
    if len(shown) < len(verdicts):
        lines.append(f"  and {len(verdicts) - len(shown)} more")
    told = [name for name in TOLD if name in findings.numbers]
    figures = (quantity(findings.numbers[name].estimate, NUMBERS[name].unit) for name in told)
    lines += [
        "  " + ", ".join(f"{NUMBERS[name].title} {text}" for name, text in zip(told, figures, strict=True))
    ] * bool(told)
    return "\n".join(lines)


def in_a_notebook(findings: Findings) -> str:
    """Verdicts with their sentences, and a table of the numbers, as a fragment of HTML."""
    verdicts = "".join(
        f'<li><strong style="color:{COLOURS[v.level]}">{WORDS[v.level]}: {escape(v.name)}</strong><br>'
        f"{escape(v.sentence)}</li>"
        for v in findings.verdicts
    )
    rows = [
        [
            NUMBERS[name].title,
            quantity(value.estimate, NUMBERS[name].unit),
            interval(value, NUMBERS[name].unit),
            value.n,
        ]
        for name, value in findings.numbers.items()
        if name in NUMBERS
    ]
    table = html_table(["", "value", "interval", "n"], rows)
    return f"<h4>{escape(findings.title or 'Audit')}</h4><ul>{verdicts}</ul>{table}"


def html_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table, escaped; a cell may be a pair of a class and a text."""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    body = "".join(
        "<tr>" + f'<th scope="row">{escape(str(row[0]))}</th>' + "".join(map(_cell, row[1:])) + "</tr>" for row in rows
    )
    return f'<table class="plain"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _cell(cell: Any) -> str:
    class_, text = cell if isinstance(cell, tuple) else ("", cell)
    return f'<td class="{class_}">{escape(str(text))}</td>' if class_ else f"<td>{escape(str(text))}</td>"


def flat(findings: Findings) -> dict[str, float]:
    """Each number by its name, for loggers."""
    return {name: value.estimate for name, value in findings.numbers.items()}


def to_csv(findings: Findings) -> str:
    """A line of each number, with its interval."""
    header = ["name", "title", "unit", "better", "estimate", "low", "high", "n", "n_infinite"]
    rows = [
        [name, info.title, info.unit, info.better, value.estimate, value.low, value.high, value.n, value.n_infinite]
        for name, value in findings.numbers.items()
        if (info := NUMBERS.get(name)) is not None
    ]
    return as_csv(header, rows)


def as_csv(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Lines of values, quoted where they must be."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def to_latex(findings: Findings) -> str:
    """The row of the paper's Table 1 with its heading, for booktabs; numbers that were not measured are left out."""
    columns = {name: heading for name, heading in TABLE_1.items() if name in findings.numbers}
    cells = [_latex(number(findings.numbers[name].estimate, NUMBERS[name].unit)) for name in columns]
    lines = [
        rf"\begin{{tabular}}{{l{'r' * len(columns)}}}",
        r"\toprule",
        " & ".join(["", *columns.values()]).strip() + r" \\",
        r"\midrule",
        " & ".join([_latex(findings.title or "Estimator"), *cells]) + r" \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _latex(text: str) -> str:
    """Words of somebody else's in LaTeX."""
    names = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    marked = re.sub(r"[\\~^&%$#_{}]", lambda found: names.get(found[0], "\\" + found[0]), " ".join(text.split()))
    return {"infinite": r"$\infty$", "-infinite": r"$-\infty$", "none": "--"}.get(marked, marked)


def save(path: str | os.PathLike[str], forms: Mapping[str, Callable[[], str]]) -> None:
    """Write the form that the suffix names, whole or not at all.

    Raises:
        ValueError: there is no form of that suffix.
    """
    place = Path(path)
    if place.suffix not in forms:
        raise ValueError(f"path must end in {', '.join(forms)}, got {str(place)!r}")
    write_whole(place, [forms[place.suffix]().encode("utf-8")])
