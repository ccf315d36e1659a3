"""The plots of the page: every mark is where its value says, and the words say what is seen."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from stochrobust.auditing.findings import AuditNumber, Curve
from stochrobust.auditing.page import plots
from stochrobust.auditing.page.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Scale, element, padded, path, ticks
from tests.auditing.reading import Element, read

CURVE = Curve(
    eps=(1.0, 2.0, 4.0), ai_psnr=(36.0, 30.0, 24.0),
    attacked=tuple(AuditNumber(v, v - 1, v + 1, 9) for v in (20.0, 14.0, 9.0)),
    random=tuple(AuditNumber(v, v - 1, v + 1, 9) for v in (33.0, 27.0, 21.0)),
)  # fmt: skip
INFINITE = AuditNumber(math.inf, math.inf, math.inf, 9, 9)


def drawn(plot: plots.Drawing | None) -> Element:
    assert plot is not None
    return read(str(plot.svg))


def marks(page: Element, class_: str, tag: str = "circle") -> list[Element]:
    """Those of a class inside the axes, without the legend above them."""
    found = [e for e in page.all(tag) if e.has(class_)]
    return [e for e in found if float(e.attributes.get("cy", HEIGHT)) > TOP / 2]


def test_scales_and_ticks() -> None:
    scale = Scale(40, 20, 0, 100)  # descending, as the axis of AI-PSNR is
    assert [scale(v) for v in (40, 30, 20)] == [0, 50, 100]
    assert scale.ticks(4) == [20, 25, 30, 35, 40]
    assert ticks(0.0, 0.07) == [0.0, 0.02, 0.04, 0.06]
    assert ticks(-1.0, 1.0, 2) == [-1.0, 0.0, 1.0]
    assert padded([1.0, 3.0], share=0.1) == pytest.approx((0.8, 3.2))
    low, high = padded([0.0])
    assert low < 0 < high
    assert str(element("a", "<", class_="x", b_c=-0.001)) == '<a class="x" b-c="0">&lt;</a>'
    assert str(path([(0, 1), (2.5, 3)], "l", closed=True)) == '<path class="l" d="M0 1L2.5 3Z"></path>'


def test_the_curve_has_its_points_in_order_and_its_baselines() -> None:
    page = drawn(plots.robustness_curve(CURVE))
    for class_, values in (("attacked", CURVE.attacked), ("random", CURVE.random)):
        found = marks(page, class_)
        x = [float(e.attributes["cx"]) for e in found]
        y = [float(e.attributes["cy"]) for e in found]
        assert len(found) == 3
        assert x == sorted(x)  # stronger to the right
        assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.02)  # 6 dB either time
        slope = (y[2] - y[0]) / (values[2].estimate - values[0].estimate)
        assert y[1] == pytest.approx(y[0] + slope * (values[1].estimate - values[0].estimate), abs=0.02)
        whiskers = [e for e in marks(page, "whisker", "line") if e.has(class_)]
        for whisker, top in zip(whiskers, y, strict=True):
            ends = [float(whisker.attributes[key]) for key in ("y1", "y2")]
            assert ends == pytest.approx([top - slope, top + slope], abs=0.02)
    assert float(marks(page, "attacked")[0].attributes["cy"]) > float(marks(page, "random")[0].attributes["cy"])
    even = next(e for e in page.all("path") if e.has("even-line")).attributes["d"]
    start = [float(v) for v in even.removeprefix("M").split("L")[0].split()]
    y_scale = float(marks(page, "random")[0].attributes["cy"])
    assert start[0] == float(marks(page, "random")[0].attributes["cx"])
    assert y_scale - start[1] == pytest.approx(abs(slope) * (36.0 - 33.0), abs=0.05)  # robustness = AI-PSNR
    assert all(0 <= float(e.attributes["cy"]) <= HEIGHT - BOTTOM for e in page.all("circle"))


def test_the_curve_in_words_and_as_rows() -> None:
    found = plots.robustness_curve(CURVE)
    assert found is not None
    assert "at an AI-PSNR of 30.00 dB, 14.00 dB attacked and 27.00 dB along random directions" in found.words
    assert drawn(found).all("desc")[0].text == found.words
    assert plots.curve_rows(CURVE)[1] == [
        "2.00",
        "30.00 dB",
        "14.00 dB",
        "13.00 to 15.00",
        "27.00 dB",
        "26.00 to 28.00",
    ]
    assert plots.curve_rows(replace(CURVE, random=(INFINITE,) * 3))[0][-2:] == ["infinite", "–"]


def test_points_that_are_not_finite_are_not_drawn() -> None:
    partly = replace(CURVE, attacked=(INFINITE, *CURVE.attacked[1:]), random=(INFINITE,) * 3)
    page = drawn(plots.robustness_curve(partly))
    assert len(marks(page, "attacked")) == 2
    assert not marks(page, "random")
    assert plots.robustness_curve(replace(CURVE, attacked=(INFINITE,) * 3)) is None
    assert plots.robustness_curve(Curve((), (), (), ())) is None
    assert plots.robustness_curve(Curve((1.0,), (30.0,), CURVE.attacked[:1], CURVE.random[:1])) is not None


def test_convergence() -> None:
    trace = (0.0, 0.3, 0.6, 0.9, 0.98, 1.0)
    found = plots.convergence(trace)
    line = next(e for e in drawn(found).all("path") if e.has("line")).attributes["d"]
    points = [[float(v) for v in point.split()] for point in line.removeprefix("M").split("L")]
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - BOTTOM - TOP
    assert [x for x, _ in points] == pytest.approx([LEFT + width * i / 5 for i in range(6)], abs=0.01)
    assert [y for _, y in points] == pytest.approx([HEIGHT - BOTTOM - height * v / 1.04 for v in trace], abs=0.01)
    assert found is not None
    assert found.words == (
        "Half of the final squared change was found after 2 gradients, 95% of it after 4 of 5; "
        "the last tenth of them added 2.0%."
    )
    assert plots.convergence((1.0,)) is None
    assert plots.convergence((0.0, math.nan)) is None
    assert plots.convergence((0.0, 0.0)) is not None


def test_rank_histogram() -> None:
    ranks = (0.4, 0.1, 0.1, 0.4)
    found = plots.rank_histogram(ranks)
    columns = marks(drawn(found), "column", "rect")
    heights = [float(e.attributes["height"]) for e in columns]
    assert [h / heights[0] for h in heights] == pytest.approx([1, 0.25, 0.25, 1], abs=0.001)
    bottoms = [float(e.attributes["y"]) + float(e.attributes["height"]) for e in columns]
    assert bottoms == pytest.approx([HEIGHT - BOTTOM] * 4, abs=0.02)
    level = float(
        next(e for e in drawn(found).all("path") if e.has("even-line")).attributes["d"].split()[1].split("L")[0]
    )
    assert (HEIGHT - BOTTOM - level) / heights[0] == pytest.approx(0.25 / 0.4, abs=0.001)
    assert plots.rank_histogram(()) is None


@pytest.mark.parametrize(
    ("ranks", "words"),
    [
        ((0.4, 0.1, 0.1, 0.4), "In 80% of pixels the source lies outside all the outputs; with samples of the "
         "posterior it would in 50% (more than even: too little spread)."),
        ((0.25, 0.25, 0.25, 0.25), "In 50% of pixels the source lies outside all the outputs; with samples of the "
         "posterior it would in 50% (about even)."),
        ((0.1, 0.4, 0.4, 0.1), "In 20% of pixels the source lies outside all the outputs; with samples of the "
         "posterior it would in 50% (less than even: too much spread)."),
    ],
)  # fmt: skip
def test_ranks_in_words(ranks: tuple[float, ...], words: str) -> None:
    assert plots.ranks_in_words(ranks) == words


def test_precision_and_recall() -> None:
    precision, recall = AuditNumber(0.8, 0.7, 0.9, 9), AuditNumber(0.25, 0.25, 0.25, 9)
    found = plots.precision_and_recall(precision, recall)
    mark = marks(drawn(found), "mark")[0].attributes
    assert float(mark["cx"]) == pytest.approx(LEFT + 0.25 * (WIDTH - LEFT - RIGHT))
    assert float(mark["cy"]) == pytest.approx(HEIGHT - BOTTOM - 0.8 * (HEIGHT - BOTTOM - TOP), abs=0.01)
    across, along = marks(drawn(found), "whisker", "line")
    assert across.attributes["x1"] == across.attributes["x2"]
    height = float(along.attributes["y1"]) - float(along.attributes["y2"])
    assert height == pytest.approx(0.2 * (HEIGHT - BOTTOM - TOP), abs=0.01)
    assert found is not None
    assert found.words == "Precision 0.800 (0.700 to 0.900), recall 0.250."
    assert plots.precision_and_recall(INFINITE, recall) is None
    assert plots.precision_and_recall(precision, INFINITE) is None
