"""The report's plots, each a drawing with the words for those who cannot see it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from stochrobust.auditing.findings import AuditNumber, Curve
from stochrobust.auditing.numbers import counted, interval, number, percent, quantity
from stochrobust.auditing.page.svg import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Scale,
    axes,
    drawing,
    element,
    padded,
    path,
)


class Drawing(NamedTuple):
    """A drawing, and in words what is seen in it."""

    svg: Markup
    words: str


def robustness_curve(curve: Curve) -> Drawing | None:
    """Robustness over the size of the attack, with its two baselines; None if nothing of it is finite."""
    attacked, random = _finite(curve, curve.attacked), _finite(curve, curve.random)
    if not attacked:
        return None
    values = [end for _, value in attacked + random for end in (value.low, value.high, value.estimate)]
    levels = [level for level, _ in attacked + random]
    low, high = padded(levels)
    x = Scale(high, low, LEFT, WIDTH - RIGHT)  # to the right: fewer decibels, a stronger attack
    y = Scale(*padded([v for v in values if math.isfinite(v)] + [min(levels), max(levels)]), HEIGHT - BOTTOM, TOP)
    even = [(x(level), y(level)) for level in (max(levels), min(levels))]
    parts = [
        axes(x, y, "AI-PSNR of the perturbation in dB; stronger to the right", ""),
        path(even, "even-line"),
        *_series(x, y, random, "random"),
        *_series(x, y, attacked, "attacked"),
        _legend((("attacked", "strong attack"), ("random", "random direction"), ("even-line", "change as large as δ"))),
    ]
    described = "; ".join(
        f"at an AI-PSNR of {quantity(level, 'dB')}, {quantity(a.estimate, 'dB')} attacked and "
        f"{quantity(r.estimate, 'dB')} along random directions"
        for level, a, r in zip(curve.ai_psnr, curve.attacked, curve.random, strict=True)
    )
    words = f"{described[0].upper()}{described[1:]}."
    return Drawing(drawing("curve", "Robustness in dB over the size of the perturbation", words, *parts), words)


def _finite(curve: Curve, values: Sequence[AuditNumber]) -> list[tuple[float, AuditNumber]]:
    return [
        (level, value)
        for level, value in zip(curve.ai_psnr, values, strict=True)
        if math.isfinite(level) and math.isfinite(value.estimate)
    ]


def _series(x: Scale, y: Scale, points: Sequence[tuple[float, AuditNumber]], class_: str) -> list[Markup]:
    """A line with a dot and an interval at every point."""
    parts = [path([(x(level), y(value.estimate)) for level, value in points], f"line {class_}")] if points else []
    for level, value in points:
        if math.isfinite(value.low) and math.isfinite(value.high):
            ends = {"y1": y(value.low), "y2": y(value.high)}
            parts.append(element("line", class_=f"whisker {class_}", x1=x(level), x2=x(level), **ends))
        parts.append(element("circle", class_=f"mark {class_}", cx=x(level), cy=y(value.estimate), r=4.0))
    return parts


def _legend(entries: Sequence[tuple[str, str]]) -> Markup:
    parts, left = [], 4.0
    for class_, text in entries:
        if class_ == "even-line":
            parts.append(path([(left, 12), (left + 16, 12)], class_))
        else:
            parts.append(path([(left, 12), (left + 16, 12)], f"line {class_}"))
            parts.append(element("circle", class_=f"mark {class_}", cx=left + 8, cy=12.0, r=4.0))
        parts.append(element("text", text, class_="tick", x=left + 21, y=16.0))
        left += 32 + 6.1 * len(text)
    return Markup("").join(parts)


def curve_rows(curve: Curve) -> list[list[str]]:
    """The curve's values: radius, AI-PSNR, and of either line the robustness and its interval."""
    return [
        [number(eps), quantity(level, "dB"), *_cells(attacked), *_cells(random)]
        for eps, level, attacked, random in zip(curve.eps, curve.ai_psnr, curve.attacked, curve.random, strict=True)
    ]


def _cells(value: AuditNumber) -> tuple[str, str]:
    return quantity(value.estimate, "dB"), interval(value, "dB") or "–"


def convergence(trace: Sequence[float]) -> Drawing | None:
    """The share of its final change that the attack had found after 0, 1, ... gradients; None for fewer than one."""
    if len(trace) < 2 or not all(map(math.isfinite, trace)):
        return None
    x = Scale(0, len(trace) - 1, LEFT, WIDTH - RIGHT)
    y = Scale(0, max(1.0, *trace) * 1.04, HEIGHT - BOTTOM, TOP)
    points = [(x(step), y(share)) for step, share in enumerate(trace)]
    parts = [
        axes(x, y, "gradients", "share of the squared change at the end"),
        path([(x.start, y.start), *points, (x.end, y.start)], "area", closed=True),
        path(points, "line attacked"),
        element("circle", class_="mark attacked", cx=points[-1][0], cy=points[-1][1], r=4.0),
    ]
    words = convergence_in_words(trace)
    return Drawing(drawing("trace", "How far the strong attack had come after each gradient", words, *parts), words)


def convergence_in_words(trace: Sequence[float]) -> str:
    """When the attack had found half of its change and most of it, and what its last tenth added."""
    last = len(trace) - 1
    half, most = (next(step for step, share in enumerate(trace) if share >= part * trace[-1]) for part in (0.5, 0.95))
    late = max(0.0, 1 - trace[last - max(1, last // 10)] / trace[-1]) if trace[-1] else 0.0
    return (
        f"Half of the final squared change was found after {counted(half, 'gradient')}, {percent(0.95)} of it after "
        f"{most} of {last}; the last tenth of them added {percent(late)}."
    )


def rank_histogram(ranks: Sequence[float]) -> Drawing | None:
    """How often the source ranks where among the outputs, beside the even share; None if there are no ranks."""
    if not ranks:
        return None
    even = 1 / len(ranks)
    x = Scale(-0.5, len(ranks) - 0.5, LEFT, WIDTH - RIGHT)
    y = Scale(0, max(even, *ranks) * 1.1, HEIGHT - BOTTOM, TOP)
    gap = min(2.0, 0.2 * (x.end - x.start) / len(ranks))
    width = (x.end - x.start) / len(ranks) - gap
    bars = [
        element("rect", class_="column", x=x(rank) - width / 2, y=y(share), width=width, height=y.start - y(share))
        for rank, share in enumerate(ranks)
    ]
    step = max(1, len(ranks) // 8)
    shown = [float(rank) for rank in range(0, len(ranks), step)]
    parts = [
        axes(x, y, "outputs below the source", "share of pixels", x_ticks=shown),
        *bars,
        path([(x.start, y(even)), (x.end, y(even))], "even-line"),
    ]
    words = ranks_in_words(ranks)
    return Drawing(drawing("ranks", "Where the source ranks among the outputs, pixel by pixel", words, *parts), words)


def ranks_in_words(ranks: Sequence[float]) -> str:
    """How much lies in the two outermost ranks, against what an even histogram has there."""
    outer, even = ranks[0] + ranks[-1], 2 / len(ranks)
    shape = (
        "more than even: too little spread"
        if outer > 1.5 * even
        else "less than even: too much spread"
        if outer < even / 1.5
        else "about even"
    )
    return (
        f"In {percent(outer)} of pixels the source lies outside all the outputs; with samples of the posterior it "
        f"would in {percent(even)} ({shape})."
    )


def precision_and_recall(precision: AuditNumber, recall: AuditNumber) -> Drawing | None:
    """Both in one square with their intervals; None if either is not finite."""
    if not (math.isfinite(precision.estimate) and math.isfinite(recall.estimate)):
        return None
    x = Scale(0, 1, LEFT, WIDTH - RIGHT)
    y = Scale(0, 1, HEIGHT - BOTTOM, TOP)
    at = x(recall.estimate), y(precision.estimate)
    parts = [
        axes(x, y, "recall: real images that the outputs cover", "precision: outputs that look real"),
        path([(x(0), at[1]), at, (x(recall.estimate), y(0))], "guide"),
        element("line", class_="whisker attacked", x1=x(recall.low), x2=x(recall.high), y1=at[1], y2=at[1]),
        element("line", class_="whisker attacked", x1=at[0], x2=at[0], y1=y(precision.low), y2=y(precision.high)),
        element("circle", class_="mark attacked", cx=at[0], cy=at[1], r=5.0),
    ]
    words = f"Precision {_with_interval(precision)}, recall {_with_interval(recall)}."
    return Drawing(drawing("pr", "Precision over recall", words, *parts), words)


def _with_interval(value: AuditNumber) -> str:
    ends = interval(value)
    return number(value.estimate) + (f" ({ends})" if ends else "")
