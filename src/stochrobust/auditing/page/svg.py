"""Drawing in SVG: elements, scales, axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 380, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 30, 44  # margins around the axes' box


def element(name: str, *children: str, **attributes: float | str) -> Markup:
    """An element; ``class_`` is the attribute ``class``, an underscore a hyphen, and text is escaped.

    Example:
        >>> print(element("text", "a < b", class_="tick", x=1 / 3, text_anchor="end"))
        <text class="tick" x="0.33" text-anchor="end">a &lt; b</text>
    """
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _compact(value))
        for key, value in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), written, Markup("").join(map(escape, children)))


def _compact(value: float | str) -> str:
    if isinstance(value, str):
        return value
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


@dataclass(frozen=True)
class Scale:
    """From values in [low, high] to pixels in [start, end]; either may descend."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Round values inside the scale."""
        return ticks(min(self.low, self.high), max(self.low, self.high), count)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count`` round values in [low, high], ascending.

    Example:
        >>> ticks(0.0, 1.0), ticks(-3.0, 41.0)
        ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0, 10.0, 20.0, 30.0, 40.0])
    """
    step = round_step((high - low) / count)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def round_step(width: float) -> float:
    """The smallest of 1, 2, 5, 10, ... times a power of ten that is not below ``width``."""
    power = 10.0 ** math.floor(math.log10(width))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= width * (1 - 1e-9))


def padded(values: Sequence[float], *, floor: float | None = None, share: float = 0.06) -> tuple[float, float]:
    """A range somewhat wider than the values, never of no width; it reaches down to ``floor`` if that is given."""
    low, high = min(values), max(values)
    if floor is not None:
        low = min(low, floor)
    margin = share * (high - low) or max(abs(high), 1.0) * share
    return (low if floor is not None and low == floor else low - margin), high + margin


def tick_label(value: float) -> str:
    """A tick's value as briefly as it can be."""
    return f"{value:g}".replace("-", "−")


def axes(x: Scale, y: Scale, x_title: str, y_title: str, *, x_ticks: Sequence[float] | None = None) -> Markup:
    """Grid lines, tick labels and the titles of two axes."""
    parts = []
    for value in y.ticks():
        parts.append(element("line", class_="grid", x1=x.start, x2=x.end, y1=y(value), y2=y(value)))
        parts.append(
            element("text", tick_label(value), class_="tick", x=x.start - 6, y=y(value) + 4, text_anchor="end")
        )
    for value in x.ticks() if x_ticks is None else x_ticks:
        parts.append(element("line", class_="axis", x1=x(value), x2=x(value), y1=y.start, y2=y.start + 4))
        parts.append(
            element("text", tick_label(value), class_="tick", x=x(value), y=y.start + 17, text_anchor="middle")
        )
    middle = (x.start + x.end) / 2
    parts.append(element("line", class_="axis", x1=x.start, x2=x.end, y1=y.start, y2=y.start))
    parts.append(element("text", x_title, class_="name", x=middle, y=y.start + 35, text_anchor="middle"))
    parts.append(element("text", y_title, class_="name", x=4, y=14))
    return Markup("").join(parts)


def path(points: Sequence[tuple[float, float]], class_: str, *, closed: bool = False) -> Markup:
    """A line through points, or the area that they enclose."""
    written = "M" + "L".join(f"{_compact(x)} {_compact(y)}" for x, y in points) + ("Z" if closed else "")
    return element("path", class_=class_, d=written)


def drawing(
    name: str, title: str, description: str, *parts: str, width: float = WIDTH, height: float = HEIGHT
) -> Markup:
    """A drawing that a screen reader reads as one picture with a title and a description."""
    return element(
        "svg",
        element("title", title, id=f"{name}-title"),
        element("desc", description, id=f"{name}-desc"),
        *parts,
        class_="plot",
        viewBox=f"0 0 {_compact(width)} {_compact(height)}",
        role="img",
        aria_labelledby=f"{name}-title",
        aria_describedby=f"{name}-desc",
    )
