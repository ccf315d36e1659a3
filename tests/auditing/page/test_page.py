"""The page of a report, read without a browser: what it holds, that it is sound, and that it asks for nothing."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

import pytest

from stochrobust.auditing.findings import AuditNumber, Curve, Findings, Verdict
from stochrobust.auditing.numbers import NUMBERS, interval, quantity
from stochrobust.auditing.page import render
from stochrobust.auditing.page.bars import Span, bar, spans
from stochrobust.auditing.page.page import LEVELS, summary
from stochrobust.auditing.report import AuditReport
from tests.auditing import synthetic
from tests.auditing.reading import Element, plain, read

MAKERS: dict[str, Callable[[], AuditReport]] = {
    "stochastic": synthetic.stochastic_report,
    "deterministic": lambda: synthetic.deterministic_report(channels=3, side=16, scale=4),
    "bare": synthetic.bare_report,
    "nasty": synthetic.nasty_report,
}
REPORTS = {name: make() for name, make in MAKERS.items()}
PAGES = {name: render(report) for name, report in REPORTS.items()}


@pytest.fixture(params=REPORTS)
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def page(name: str) -> Element:
    return read(PAGES[name])


# -- it asks for nothing -----------------------------------------------------------------------------------------------


def outside(page: Element) -> list[str]:
    """What a browser would fetch, or run."""
    found = []
    for element in page.all():
        for key, value in element.attributes.items():
            if key in ("src", "href", "srcset", "poster", "action", "data", "xlink:href"):
                found += [] if value.startswith(("data:", "#")) else [f"{key}={value}"]
            if key == "style" or key.startswith("on"):
                found.append(f"{key}={value}")
        if element.tag in ("script", "iframe", "object", "embed", "base", "form"):
            found.append(element.tag)
        if element.tag == "style" and re.search(r"url\(|@import|@font-face|https?:", element.text):
            found.append("style")
    return found


def test_nothing_is_fetched_or_run(page: Element) -> None:
    assert not outside(page)
    policy = [e.attributes["content"] for e in page.all("meta") if e.attributes.get("http-equiv")]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


@pytest.mark.parametrize(
    "text",
    [
        "<img src='https://a.b/c.png'>", "<a href='//a.b'></a>", "<script></script>", "<p onclick='x()'></p>",
        "<style>p { background: url(a.png) }</style>", "<style>@import 'a.css';</style>",
    ],
)  # fmt: skip
def test_what_is_outside_is_noticed(text: str) -> None:
    assert outside(read(text))


# -- it is sound -------------------------------------------------------------------------------------------------------


def test_pages_say_their_language_and_title(name: str, page: Element) -> None:
    assert PAGES[name].startswith("<!doctype html>")
    assert [e.attributes.get("lang") for e in page.all("html")] == ["en"]
    title = REPORTS[name].title or "Audit"
    assert [e.text for e in page.all("head")[0].all("title")] == [f"{title} · stochrobust audit"]
    assert [plain(e.text) for e in page.all("h1")] == [plain(REPORTS[name].title or "Untitled estimator")]


def test_headings_go_down_one_level_at_a_time(page: Element) -> None:
    levels = [int(e.tag[1]) for e in page.all("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels)), levels


def test_what_is_pointed_at_is_there_once(page: Element) -> None:
    ids = [e.attributes["id"] for e in page.all() if "id" in e.attributes]
    assert len(set(ids)) == len(ids)
    for element in page.all():
        href = element.attributes.get("href", "")
        pointed = [href[1:]] if href.startswith("#") else []
        for key in ("aria-labelledby", "aria-describedby"):
            pointed += element.attributes.get(key, "").split()
        assert set(pointed) <= set(ids), element


def test_every_picture_has_words(page: Element) -> None:
    for image in page.all("img"):
        assert image.attributes["src"].startswith("data:image/png;base64,")
        assert {"alt", "width", "height"} <= set(image.attributes)
        assert image.attributes["alt"] or (image.parent is not None and image.parent.has("scale"))
    for drawing in page.all("svg"):
        if drawing.attributes.get("aria-hidden") != "true":
            assert drawing.attributes["role"] == "img"
            assert [e.tag for e in drawing.children[:2]] == ["title", "desc"]
            assert all(e.text for e in drawing.children[:2])
    for figure in page.all("figure"):
        assert figure.all("figcaption")[0].text.strip()


def test_tables_are_tables(page: Element) -> None:
    for table in page.all("table"):
        assert plain(table.all("caption")[0].text)
        assert {e.attributes.get("scope") for e in table.all("thead")[0].all("th")} == {"col"}
        assert {e.attributes.get("scope") for e in table.all("tbody")[0].all("th")} == {"row"}
        widths = {len(row.all("th", "td")) for row in table.all("tr")}
        assert len(widths) == 1
    for region in page.all():
        if region.has("wide"):
            assert region.attributes["tabindex"] == "0"
            assert region.attributes["aria-label"]


def test_equal_reports_give_equal_pages(name: str) -> None:
    assert render(MAKERS[name]()) == PAGES[name]


def test_a_report_of_four_examples_of_64_by_64_is_small() -> None:
    page = render(synthetic.stochastic_report(channels=3, side=64))
    assert len(page.encode()) < 1_000_000
    assert len(read(page).all("img")) == 2 + 4 * 8 + 4 * 9


# -- it says what the report holds -------------------------------------------------------------------------------------


def test_numbers_are_those_of_the_report(name: str, page: Element) -> None:
    rows = [row for row in page.all("tr") if row.all("data")]
    assert len(rows) == len(REPORTS[name].numbers)
    by_title = {info.title: key for key, info in NUMBERS.items()}
    for row in rows:
        heading = row.all("th")[0]
        title = max((t for t in by_title if plain(heading.text).startswith(t)), key=len)
        info, value = NUMBERS[by_title[title]], REPORTS[name].numbers[by_title[title]]
        shown = row.all("data")[0]
        written = float(shown.attributes["value"])
        assert written == value.estimate or (math.isnan(written) and math.isnan(value.estimate))
        assert shown.text == quantity(value.estimate, info.unit)
        assert "".join(e.text for e in row.all("span") if e.has("interval")) == interval(value, info.unit)
        assert row.children[-1].text == str(value.n)
        share = "all" if value.n_infinite == value.n else str(value.n_infinite)
        assert (f"infinite for {share} of {value.n} inputs" in heading.text) == (value.n_infinite > 0)
        assert (", left out of the mean" in heading.text) == (0 < value.n_infinite < value.n)
        assert (", better high" in heading.text, ", better low" in heading.text) == (
            info.better == "high",
            info.better == "low",
        )
        assert info.about in heading.text


def test_the_strong_attack_never_stands_without_its_baselines() -> None:
    text = plain(" ".join(e.text for e in read(PAGES["stochastic"]).all("dl") if e.has("tiles")))
    assert "Robustness, strong attack 6.24 dB random direction 24.10 dB amplification 15.3" in text
    curve = next(e for e in read(PAGES["stochastic"]).all("figure") if e.has("drawn"))
    third = [cell.text for cell in curve.all("tbody")[0].all("tr")[2].all("th", "td")]
    assert third == ["0.253", "30.00 dB", "6.20 dB", "5.70 to 6.80", "24.10 dB", "23.20 to 24.90"]


def test_verdicts_come_first_with_their_level_as_a_word_and_as_a_sign() -> None:
    page = read(PAGES["stochastic"])
    shown = [e for e in page.all("li") if e.has("verdict")]
    for element, verdict in zip(shown, synthetic.VERDICTS, strict=True):
        assert element.has(verdict.level)
        assert plain(element.all("h3")[0].text) == f"{LEVELS[verdict.level]} {verdict.name}"
        assert element.all("p")[0].text == verdict.sentence
    signs = [[(e.tag, e.attributes) for e in element.all("svg")[0].children] for element in shown]
    assert signs[0] != signs[1] != signs[2] != signs[0]
    assert page.all("section")[0].attributes["id"] == "findings"


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({}, "A stochastic estimator, audited on 500 inputs. Problem: conditional mode collapse."),
        ({"stochastic": False}, "An estimator whose seeds change nothing, audited on 500 inputs. Problem: "
         "conditional mode collapse."),
        ({"stochastic": False, "takes_seeds": False, "numbers": {}, "verdicts": ()},
         "A deterministic estimator. No problem found."),
        ({"verdicts": (Verdict("a", "bad", ""), Verdict("b", "bad", ""), Verdict("c", "good", ""))},
         "A stochastic estimator, audited on 500 inputs. Problems: a, b."),
        ({"verdicts": (Verdict("robust and diverse", "good", ""),)},
         "A stochastic estimator, audited on 500 inputs. No problem found: robust and diverse."),
    ],
)  # fmt: skip
def test_the_summary(changed: dict[str, Any], sentence: str) -> None:
    assert summary(replace(REPORTS["stochastic"], **changed)) == sentence


def test_every_field_of_a_report_is_shown() -> None:
    full = replace(
        REPORTS["stochastic"], examples=(synthetic.example(0),), worst=(synthetic.example(0, attacked=True),)
    )
    page = render(full)
    other: dict[str, Any] = {
        "title": "other", "stochastic": False, "numbers": {}, "curve": Curve((), (), (), ()), "trace": (0.0, 1.0),
        "ranks": (), "verdicts": (), "concerns": (), "protocol": {}, "examples": (), "worst": (),
    }  # fmt: skip
    told_otherwise = {"per_input"}  # the numbers are its means
    for field in fields(Findings):
        if field.name == "takes_seeds":
            blind = replace(full, stochastic=False)
            assert render(replace(blind, takes_seeds=False)) != render(blind)
        elif field.name not in told_otherwise:
            assert render(replace(full, **{field.name: other[field.name]})) != page, field.name


def test_a_deterministic_estimator_has_no_spread_to_show() -> None:
    page = read(PAGES["deterministic"])
    captions = {e.text for e in page.all("figcaption")}
    assert "output" in captions
    assert not captions & {"spread", "mean of all", "output 1"}
    assert "per-pixel std" not in page.text
    assert not [e for e in page.all() if e.attributes.get("id") == "ranks-title"]


def test_what_was_not_measured_is_left_out() -> None:
    page = read(PAGES["bare"])
    assert {e.attributes["id"] for e in page.all("section")} == {"findings", "numbers", "protocol"}
    assert [e.text for e in page.all("nav")[0].all("a")] == ["Findings", "Numbers", "Protocol"]
    assert not page.all("img")
    assert "infinite" in page.text
    assert "nan" not in page.all("body")[0].text


def test_titles_break_between_words() -> None:
    page = render(replace(REPORTS["bare"], title="a_package.restorers:stochastic_robust & <b>"))
    assert "a_<wbr>package.<wbr>restorers:<wbr>stochastic_<wbr>robust &amp; &lt;b&gt;</h1>" in page


def test_words_are_escaped() -> None:
    page = read(PAGES["nasty"])
    assert plain(synthetic.NASTY) in plain(page.all("h1")[0].text)
    text = plain(page.text)
    assert text.count(plain(synthetic.NASTY)) >= 6  # title, heading, verdict, concern, key and value of the protocol
    assert "seed <b>ignored</b>" in text
    assert not page.all("b", "i")


def test_the_protocol_is_told_whole() -> None:
    def leaves(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [leaf for part in value.values() for leaf in leaves(part)]
        return [str(value)] if isinstance(value, str | int) and not isinstance(value, bool) else []

    shown = [e.text for e in read(PAGES["stochastic"]).all("dd")]
    assert set(leaves(synthetic.PROTOCOL)) <= set(shown)
    assert {"0.25, 0.5, 2", "none"} <= set(shown)


@pytest.mark.parametrize("module", ["jinja2", "PIL"])
def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=re.escape("pip install 'stochrobust[report]'")) as raised:
        render(REPORTS["bare"])
    assert raised.value.name == module


# -- bars --------------------------------------------------------------------------------------------------------------


def test_decibels_of_a_table_share_a_scale_and_shares_go_to_one() -> None:
    found = spans(
        {"psnr_sample": AuditNumber(12.3, 12, 13, 5), "psnr_mean": AuditNumber(31.0, 30, 32, 5)}
        | {"recall": AuditNumber(0.1, 0.1, 0.2, 5), "crps": AuditNumber(0.17, 0.16, 0.18, 5)}
        | {"amplification": AuditNumber(0.2, 0.1, 0.3, 5), "robustness_strong": AuditNumber(math.inf, 1, math.inf, 5)}
    )
    assert found["psnr_sample"] == found["psnr_mean"] == found["robustness_strong"] == Span(0, 40)
    assert found["recall"] == Span(0, 1)
    assert found["crps"] == Span(0, 0.2)
    assert found["amplification"] == Span(0, 1)


def test_a_bar_stands_where_its_number_is() -> None:
    drawn = read(str(bar("recall", AuditNumber(0.25, 0.2, 0.4, 9), Span(0, 1))))
    assert drawn.all("circle")[0].attributes["cx"] == "25.0%"
    assert [drawn.all("rect")[0].attributes[key] for key in ("x", "width")] == ["20.0%", "20.0%"]
    assert [e.text for e in drawn.all("text")] == ["0", "1"]
    assert not [e for e in drawn.all("line") if e.has("even")]
    negative = read(str(bar("amplification", AuditNumber(9.0, 9.0, 9.0, 9), Span(-1, 3))))
    assert negative.all("circle")[0].attributes["cx"] == "100.0%"
    assert [e.attributes["x1"] for e in negative.all("line") if e.has("even")] == ["50.0%"]
    assert not negative.all("rect")
    assert not read(str(bar("recall", AuditNumber(math.nan, math.nan, math.nan, 9), Span(0, 1)))).all("circle")
