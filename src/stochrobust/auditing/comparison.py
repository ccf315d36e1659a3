"""Two audits side by side: what differs between two estimators on the same inputs, and whether the data can tell."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from html import escape
from typing import Any, Literal

import torch

from stochrobust.auditing.findings import AuditNumber
from stochrobust.auditing.forms import as_csv, html_table, save
from stochrobust.auditing.numbers import NUMBERS, counted, number, percent, quantity
from stochrobust.auditing.report import AuditReport
from stochrobust.auditing.tables import in_one_line, json_ready
from stochrobust.metrics.intervals import interval_of_mean

Outcome = Literal["better", "worse", "higher", "lower", "cannot tell"]
OF_THE_ESTIMATOR = ("estimator",)
"""Entries of the protocol in which two audits may differ: they tell whose numbers these are."""
LEVEL = 0.95
"""Of the intervals, where the protocol does not say."""
SHOWN = 4
"""Differences in a terminal; the rest is counted."""


@dataclass(frozen=True)
class Difference:
    """By how much one number of b differs from that of a.

    Attributes:
        name: of the number, as in :data:`stochrobust.auditing.numbers.NUMBERS`.
        a, b: the number of each report.
        estimate: b - a; the mean over the inputs that have both, if it is paired.
        low, high: ends of the interval for its expectation; infinite where too few inputs have both.
        n: pairs, or the fewer inputs of the two where it is not paired.
        n_infinite: pairs left out, since one or both are infinite.
        paired: whether it is of the same inputs, one by one.
        outcome: of b, at the level of the interval: better or worse; higher or lower where neither is good; or
            "cannot tell".
        sentence: the same for people.
    """

    name: str
    a: float
    b: float
    estimate: float
    low: float
    high: float
    n: int
    n_infinite: int
    paired: bool
    outcome: Outcome
    sentence: str


@dataclass(frozen=True, repr=False)
class Comparison:
    """What :func:`compare` found.

    Attributes:
        a, b: titles of the two reports.
        differences: b - a, of every number that both have, in the order of the tables.
        only_a, only_b: names of the numbers that one of them has alone.
        level: of the intervals.
    """

    a: str
    b: str
    differences: tuple[Difference, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    level: float

    def __repr__(self) -> str:
        told = [difference for difference in self.differences if difference.outcome != "cannot tell"]
        shown = [f"  {difference.sentence}" for difference in told[:SHOWN]]
        more = [f"  and {len(told) - SHOWN} more"] if len(told) > SHOWN else []
        open_ones = counted(len(self.differences) - len(told), "number")
        return "\n".join([f"Comparison: {self.b} (b) against {self.a} (a); cannot tell {open_ones}", *shown, *more])

    def _repr_html_(self) -> str:
        return f"<h4>{escape(self.b)} (b) against {escape(self.a)} (a)</h4>{self._table()}"

    def _table(self) -> str:
        header = ["number", "a", "b", "b - a", f"{percent(self.level)} interval", "b is"]
        classes = {"better": "is-good", "worse": "is-bad"}
        rows = [_cells(difference) for difference in self.differences]
        return html_table(header, [[*row[:-1], (classes.get(row[-1], ""), row[-1])] for row in rows])

    def to_dict(self) -> dict[str, float]:
        """Each difference b - a by the name of its number, for loggers."""
        return {difference.name: difference.estimate for difference in self.differences}

    def to_csv(self) -> str:
        """A line for each difference."""
        header = [field.name for field in fields(Difference)]
        return as_csv(header, [[getattr(d, name) for name in header] for d in self.differences])

    def to_html(self) -> str:
        """The table and its sentences as one self-contained page that makes no requests; needs the extra ``report``."""
        from stochrobust.auditing.page.page import plain_page

        sentences = "".join(f"<li>{escape(difference.sentence)}</li>" for difference in self.differences)
        region = '<div class="wide" role="region" tabindex="0" aria-label="Differences">'
        return plain_page(
            f"{self.b} against {self.a}", f"{region}{self._table()}</div><ul class='concerns'>{sentences}</ul>"
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file: ``.json``, ``.html``, ``.md`` or ``.csv``, in the form that its suffix names.

        Raises:
            ValueError: if there is no form of that suffix.
        """
        save(path, {".json": self.to_json, ".html": self.to_html, ".md": self.to_markdown, ".csv": self.to_csv})

    def to_json(self) -> str:
        """All of it; infinities and NaN as strings, since JSON has none."""
        return json.dumps(json_ready(asdict(self)), indent=1, ensure_ascii=False)

    def to_markdown(self) -> str:
        """A table of the differences, and a sentence for each."""
        share = percent(self.level)
        head = f"| number | {in_one_line(self.a)} (a) | {in_one_line(self.b)} (b) | b - a | {share} interval | b is |"
        rows = [head, "|---|---:|---:|---:|---:|---|", *map(_row, self.differences)]
        found = [f"- {difference.sentence}" for difference in self.differences]
        notes = [f"Only one has: {names}." for names in [", ".join(map(_title, self.only_a + self.only_b))] if names]
        notes.append(
            f"Paired: differences on the same inputs, seeds and attack. Of numbers that do not differ at all, one in "
            f"{round(1 / (1 - self.level))} would be said to."
        )
        return (
            "\n".join([f"# {in_one_line(self.b)} against {in_one_line(self.a)}", "", *rows, "", *found, "", *notes])
            + "\n"
        )


def compare(a: AuditReport, b: AuditReport) -> Comparison:
    """What differs between two estimators that were audited alike.

    A number that is a mean over inputs is compared input by input: ``d_i = b_i - a_i`` on the same input, seeds and
    attack, with Student's interval ``mean d -+ t s_d / sqrt(n)``. What makes some inputs harder than others cancels, so
    that the interval is narrower than that of two sets of inputs wherever both estimators find the same inputs hard.
    Pairs with an infinite member (a PSNR of equal images) are left out and counted. Numbers of whole sets (Frechet
    distance, precision) are not paired: theirs is ``b - a -+ sqrt(h_a^2 + h_b^2)`` of the half widths, as for
    independent sets, which is too wide where the real images are the same.

    Args:
        a: the report to compare with.
        b: the report in question.

    Returns:
        The :class:`Comparison`; an outcome is "cannot tell" where the interval holds zero.

    Raises:
        ValueError: if the two differ in anything but the estimator, naming it: other images, seeds, attacks, settings
            or versions would be compared along with the estimators.
        TypeError: if an argument is no report.

    Example:
        >>> from stochrobust import AuditReport
        >>> from stochrobust.auditing.findings import AuditNumber, Curve
        >>> def report(*values):
        ...     mean = sum(values) / len(values)
        ...     found = {"numbers": {"psnr_mean": AuditNumber(mean, mean - 9, mean + 9, n=3)}}
        ...     found |= {"per_input": {"psnr_mean": values}, "curve": Curve((), (), (), ()), "protocol": {}}
        ...     return AuditReport("G", False, False, trace=(), ranks=(), verdicts=(), concerns=(), **found)
        >>> found = compare(report(20.0, 30.0, 40.0), report(21.1, 31.0, 40.9)).differences[0]
        >>> found.outcome, round(found.estimate, 2), round(found.high - found.low, 2)
        ('better', 1.0, 0.5)
    """
    for name, report in (("a", a), ("b", b)):
        if not isinstance(report, AuditReport):
            raise TypeError(f"{name} must be an AuditReport, got {type(report).__name__}")
    _check_alike(a, b)
    level = float(a.protocol.get("settings", {}).get("level", LEVEL))
    both = [name for name in NUMBERS if name in a.numbers and name in b.numbers]
    return Comparison(
        a=a.title,
        b=b.title,
        differences=tuple(_difference(name, a, b, level) for name in both),
        only_a=tuple(name for name in a.numbers if name not in b.numbers),
        only_b=tuple(name for name in b.numbers if name not in a.numbers),
        level=level,
    )


def _check_alike(a: AuditReport, b: AuditReport) -> None:
    """Refuses reports that were not made alike."""
    own, shared = dict.fromkeys(OF_THE_ESTIMATOR), a.per_input.keys() & b.per_input.keys()
    of_a, of_b = (
        report.protocol | own | {"inputs": {name: len(report.per_input[name]) for name in shared}} for report in (a, b)
    )
    differing = list(_differing(of_a, of_b))
    if differing:
        raise ValueError(
            "a and b must be audits with one protocol, that differ in the estimator alone; they differ in "
            f"{'; '.join(differing)}"
        )


def _differing(a: Any, b: Any, where: str = "") -> Iterator[str]:
    """The places in two nested mappings where they differ, with what is there."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(a.keys() | b.keys()):
            yield from _differing(a.get(key, "nothing"), b.get(key, "nothing"), f"{where}.{key}" if where else key)
    elif json_ready(a) != json_ready(b):
        yield f"{where}: {a} against {b}"


def _difference(name: str, a: AuditReport, b: AuditReport, level: float) -> Difference:
    one, other = a.numbers[name], b.numbers[name]
    if name in a.per_input and name in b.per_input:
        found = _paired(a.per_input[name], b.per_input[name], level)
    else:
        found = _unpaired(one, other)
    outcome = _outcome(name, *found[1:3])
    fixed = (name, one.estimate, other.estimate, *found)
    return Difference(*fixed, outcome, _sentence(*fixed, outcome, level))


def _paired(a: tuple[float, ...], b: tuple[float, ...], level: float) -> tuple[float, float, float, int, int, bool]:
    """Estimate, ends of the interval, pairs, pairs left out, and that they are pairs."""
    pairs = [other - one for one, other in zip(a, b, strict=True) if math.isfinite(one) and math.isfinite(other)]
    left_out = len(a) - len(pairs)
    if len(pairs) < 2:
        return (pairs[0] if pairs else math.nan), -math.inf, math.inf, len(pairs), left_out, True
    found = interval_of_mean(torch.tensor(pairs, dtype=torch.float64), level=level)
    return found.estimate, found.low, found.high, len(pairs), left_out, True


def _unpaired(a: AuditNumber, b: AuditNumber) -> tuple[float, float, float, int, int, bool]:
    """The same of two numbers with intervals, taken as independent."""
    estimate, halves = b.estimate - a.estimate, [(value.high - value.low) / 2 for value in (a, b)]
    reach = math.hypot(*halves) if all(half > 0 for half in halves) else math.inf
    left_out = max(a.n_infinite, b.n_infinite)
    return estimate, estimate - reach, estimate + reach, min(a.n, b.n), left_out, False


def _outcome(name: str, low: float, high: float) -> Outcome:
    if low <= 0 <= high:
        return "cannot tell"
    wanted = NUMBERS[name].better
    if not wanted:
        return "higher" if low > 0 else "lower"
    return "better" if (low > 0) == (wanted == "high") else "worse"


def _sentence(
    name: str, a: float, b: float, difference: float, low: float, high: float, n: int, n_infinite: int,
    paired: bool, outcome: Outcome, level: float,
) -> str:  # fmt: skip
    unit = NUMBERS[name].unit
    kind = f"{n} pairs" if paired else "not paired"
    left_out = f", {n_infinite} left out as infinite" if n_infinite else ""
    title = _title(name)
    if not math.isfinite(difference):
        return f"{title}: cannot tell, {quantity(a, unit)} against {quantity(b, unit)} ({kind}{left_out})."
    if outcome == "cannot tell":
        interval = f"{percent(level)} interval {number(low)} to {number(high)}; {kind}{left_out}"
        return f"{title}: cannot tell, b - a is {_by(difference, unit)} ({interval})."
    low, high = sorted((abs(low), abs(high)))  # both ends have the sign of the difference
    interval = f"{percent(level)} interval {number(low)} to {number(high)}; {kind}{left_out}"
    return f"{title}: b is {outcome} by {_by(abs(difference), unit)} ({interval})."


def _by(difference: float, unit: str) -> str:
    """A difference to three digits, of decibels too, which may differ by less than their last decimal."""
    return f"{number(difference)} {unit}".rstrip()


def _title(name: str) -> str:
    return NUMBERS[name].title if name in NUMBERS else name


def _cells(difference: Difference) -> list[str]:
    name = difference.name
    unit = NUMBERS[name].unit
    kind = "" if difference.paired else ", not paired"
    values = [number(difference.a, unit), number(difference.b, unit), number(difference.estimate)]
    interval = f"{number(difference.low)} to {number(difference.high)}{kind}"
    title = f"{_title(name)} ({unit})" if unit else _title(name)
    return [title, *values, interval, difference.outcome]


def _row(difference: Difference) -> str:
    return f"| {' | '.join(_cells(difference))} |"
