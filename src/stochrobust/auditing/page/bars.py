"""Small bars in the table: where a number and its interval lie on the scale that it shares with its neighbours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from stochrobust.auditing.findings import AuditNumber
from stochrobust.auditing.numbers import NUMBERS, has_interval, number
from stochrobust.auditing.page.svg import element, round_step


@dataclass(frozen=True)
class Span:
    """The two ends of a bar's scale."""

    low: float
    high: float

    def percent(self, value: float) -> float:
        """Where a value lies, from 0 to 100; beyond the ends, at them."""
        return 100 * min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)


def spans(numbers: Mapping[str, AuditNumber]) -> dict[str, Span]:
    """The scale of each number of one table: decibels share one, shares from 0 to 1 too, any other has its own."""
    families: dict[str, list[str]] = {}
    for name in numbers:
        family = "shares" if NUMBERS[name].scale == "share" else NUMBERS[name].unit or name
        families.setdefault(family, []).append(name)
    return {name: _span(numbers, names) for names in families.values() for name in names}


def _span(numbers: Mapping[str, AuditNumber], names: list[str]) -> Span:
    ends = [end for name in names for value in [numbers[name]] for end in (value.low, value.high, value.estimate)]
    finite = [end for end in ends if math.isfinite(end)]
    if any(NUMBERS[name].scale for name in names):
        finite.append(1.0)
    low, high = min([0.0, *finite]), max([0.0, *finite])
    if high == low:
        return Span(low, low + 1.0)
    step = round_step((high - low) / 5)
    return Span(step * math.floor(low / step + 1e-9), step * math.ceil(high / step - 1e-9))


def bar(name: str, value: AuditNumber, span: Span) -> Markup:
    """The bar of one number. It repeats what stands beside it, so a screen reader passes it over."""
    unit = NUMBERS[name].unit
    middle = "9"
    parts = [element("line", class_="track", x1="0%", x2="100%", y1=middle, y2=middle)]
    if NUMBERS[name].scale == "ratio":
        one = f"{span.percent(1.0):.1f}%"
        parts.append(element("line", class_="even", x1=one, x2=one, y1="2", y2="16"))
    if has_interval(value):
        left, right = span.percent(value.low), span.percent(value.high)
        parts.append(
            element("rect", class_="band", x=f"{left:.1f}%", y="4", width=f"{right - left:.1f}%", height="10", rx="2")
        )
    if not math.isnan(value.estimate):
        parts.append(element("circle", class_="dot", cx=f"{span.percent(value.estimate):.1f}%", cy=middle, r="3.5"))
    parts.append(element("text", _end(span.low, unit), class_="end", x="0%", y="27"))
    parts.append(element("text", _end(span.high, unit), class_="end", x="100%", y="27", text_anchor="end"))
    return element("svg", *parts, class_="bar", width="100%", height="30", aria_hidden="true")


def _end(value: float, unit: str) -> str:
    return (
        f"{value:g}".replace("-", "−") + (f" {unit}" if unit and value else "") if abs(value) < 1e5 else number(value)
    )
