"""The page: what a report holds, laid out for the template."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from stochrobust import __version__
from stochrobust.auditing.findings import AuditNumber, Findings
from stochrobust.auditing.numbers import GROUPS, NUMBERS, NumberInfo, counted, interval, number, quantity
from stochrobust.auditing.page import bars, gallery, plots
from stochrobust.auditing.page import pictures as png

if TYPE_CHECKING:
    from jinja2 import Template

LEVELS = {"bad": "Problem", "note": "Note", "good": "Good"}
N_LISTED = 32  # entries of a long list of the protocol


def render(report: Findings) -> str:
    """A report as one HTML file that holds all it shows: no script, no font or picture from elsewhere, no request.

    It follows the reader's light or dark scheme, fits a phone and prints. Equal reports give equal pages.

    Args:
        report: what :func:`stochrobust.audit` found; missing numbers and pictures are left out of the page.

    Returns:
        The page, to be written as UTF-8.

    Raises:
        ModuleNotFoundError: without the extra ``stochrobust[report]``.

    Example:
        >>> from stochrobust.auditing.findings import Curve, Findings
        >>> report = Findings("A & B", False, False, {}, {}, Curve((), (), (), ()), (), (), (), (), {})
        >>> "<title>A &amp; B" in render(report)
        True
    """
    _require_extra()
    samples, top_spread = gallery.sample_plates(report.examples)
    worst, top_change = gallery.worst_plates(report.worst)
    return _template().render(
        report=report,
        version=__version__,
        style=Markup(files(__package__).joinpath("style.css").read_text("utf-8")),
        levels=LEVELS,
        summary=summary(report),
        breakable=breakable,
        tiles=list(tiles(report.numbers)),
        tables=[Table(group, list(lines(infos, report.numbers))) for group, infos in GROUPS.items()],
        plots=_plots(report),
        samples=samples,
        top_spread=number(top_spread),
        worst=worst,
        top_change=number(top_change),
        heat_scale=png.heat_scale(),
        protocol=list(entries(report.protocol)),
        reduced_to=png.LARGEST_SIDE if _any_reduced(report) else None,
    )


def plain_page(title: str, body: str) -> str:
    """A page of the same look around a body of HTML, which is taken as it is."""
    _require_extra()
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    style = files(__package__).joinpath("style.css").read_text("utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}\n</style>\n</head>\n<body>\n"
        f"<header><h1>{breakable(title)}</h1></header>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def breakable(text: str) -> Markup:
    """Words that a line may also break after their dots, underscores and colons."""
    return Markup(re.sub(r"(?<=\w)([._:/])(?=\w)", r"\1<wbr>", str(escape(text))))


def _require_extra() -> None:
    for module in ("jinja2", "PIL"):
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            advice = f"{error}: `pip install 'stochrobust[report]'` brings what the page needs"
            raise ModuleNotFoundError(advice, name=error.name) from error


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(files(__package__).joinpath("report.html.jinja").read_text("utf-8"))


def summary(report: Findings) -> str:
    """What was audited and what came out, in one sentence."""
    if report.stochastic:
        kind = "A stochastic estimator"
    elif report.takes_seeds:
        kind = "An estimator whose seeds change nothing"
    else:
        kind = "A deterministic estimator"
    n = max((value.n for value in report.numbers.values()), default=0)
    audited = f", audited on {counted(n, 'input')}" if n else ""
    bad = [verdict.name for verdict in report.verdicts if verdict.level == "bad"]
    good = [verdict.name for verdict in report.verdicts if verdict.level == "good"]
    if bad:
        found = f"{'Problem' if len(bad) == 1 else 'Problems'}: {', '.join(bad)}"
    else:
        found = "No problem found" + (f": {', '.join(good)}" if good else "")
    return f"{kind}{audited}. {found}."


# -- the numbers -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """A number as the table shows it."""

    name: str
    info: NumberInfo
    value: AuditNumber
    text: str
    interval: str
    left_out: str
    bar: Markup


@dataclass(frozen=True)
class Table:
    """A group of numbers."""

    title: str
    lines: list[Line]


@dataclass(frozen=True)
class Tile:
    """One of the few figures that stand on top, with those that give it meaning."""

    label: str
    text: str
    beside: list[str]


def lines(infos: Mapping[str, NumberInfo], numbers: Mapping[str, AuditNumber]) -> Iterator[Line]:
    """The lines of one table; numbers that were not measured are absent."""
    measured = {name: numbers[name] for name in infos if name in numbers}
    spans = bars.spans(measured)
    for name, value in measured.items():
        info = infos[name]
        yield Line(
            name=name,
            info=info,
            value=value,
            text=quantity(value.estimate, info.unit),
            interval=interval(value, info.unit),
            left_out=_left_out(value),
            bar=bars.bar(name, value, spans[name]),
        )


def _left_out(value: AuditNumber) -> str:
    if not value.n_infinite:
        return ""
    if value.n_infinite == value.n:
        return f"infinite for all of {counted(value.n, 'input')}"
    return f"infinite for {value.n_infinite} of {counted(value.n, 'input')}, left out of the mean"


# Number on top -> label, and the numbers beside it with their words.
_TILES: dict[str, tuple[str, dict[str, str]]] = {
    "frechet": ("Fréchet distance", {"precision": "precision", "recall": "recall"}),
    "consistency": ("Consistency", {"consistency_8bit": "after 8 bits"}),
    "std": ("Spread per pixel", {"spread_error": "over error"}),
    "robustness_strong": (
        "Robustness, strong attack",
        {"robustness_random": "random direction", "amplification": "amplification"},
    ),
}


def tiles(numbers: Mapping[str, AuditNumber]) -> Iterator[Tile]:
    """The figures on top, of those that were measured."""
    for name, (label, beside) in _TILES.items():
        if name in numbers:
            words = [f"{word} {_text(other, numbers)}" for other, word in beside.items() if other in numbers]
            yield Tile(label, _text(name, numbers), words)


def _text(name: str, numbers: Mapping[str, AuditNumber]) -> str:
    return quantity(numbers[name].estimate, NUMBERS[name].unit)


# -- the rest ----------------------------------------------------------------------------------------------------------


def _plots(report: Findings) -> dict[str, plots.Drawing | list[list[str]] | None]:
    precision, recall = report.numbers.get("precision"), report.numbers.get("recall")
    return {
        "curve": plots.robustness_curve(report.curve),
        "rows": plots.curve_rows(report.curve),
        "trace": plots.convergence(report.trace),
        "ranks": plots.rank_histogram(report.ranks),
        "pr": plots.precision_and_recall(precision, recall) if precision and recall else None,
    }


@dataclass(frozen=True)
class Entry:
    """A line of the protocol; of one that only heads others, ``value`` is None."""

    key: str
    value: str | None
    children: list[Entry]


def entries(protocol: Mapping[str, Any]) -> Iterator[Entry]:
    """The protocol as a tree of text."""
    for key, value in protocol.items():
        label = str(key).replace("_", " ")
        if isinstance(value, Mapping):
            yield Entry(label, None, list(entries(value)))
        elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
            yield Entry(label, None, list(entries({str(i): item for i, item in enumerate(value, start=1)})))
        else:
            yield Entry(label, plain(value), [])


def plain(value: Any) -> str:
    """A value of the protocol in words.

    Example:
        >>> plain(True), plain(None), plain([0.25, 1]), plain(2.5)
        ('yes', 'none', '0.25, 1', '2.5')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == "":
        return "none"
    if isinstance(value, list | tuple):
        more = f", … ({len(value)} in all)" if len(value) > N_LISTED else ""
        return ", ".join(plain(item) for item in value[:N_LISTED]) + more
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _any_reduced(report: Findings) -> bool:
    return any(png.reduction(image) > 1 for e in (*report.examples, *report.worst) for image in (e.x, e.y))
