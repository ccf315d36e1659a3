"""Results in hand: what a terminal, a notebook, a logger, a spreadsheet and a paper get."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from stochrobust.auditing.comparison import compare
from stochrobust.auditing.findings import AuditNumber, Verdict
from stochrobust.auditing.numbers import NUMBERS, quantity
from stochrobust.auditing.report import AuditReport
from tests.auditing import synthetic
from tests.auditing.reading import plain, read

REPORT = synthetic.stochastic_report()
COMPARED = compare(REPORT, replace(REPORT, title="Other", numbers=REPORT.numbers))


@pytest.mark.parametrize("n_verdicts", [0, 1, 4, 5, 9])
def test_a_report_prints_six_lines_at_most_verdicts_first(n_verdicts: int) -> None:
    verdicts = tuple(Verdict(f"verdict {i}", "bad", "words") for i in range(n_verdicts))
    lines = repr(replace(REPORT, verdicts=verdicts)).splitlines()
    assert len(lines) <= 6
    assert lines[0] == f"AuditReport: {REPORT.title} (stochastic, 500 inputs)"
    assert lines[-1].startswith("  robustness, strong attack 6.24 dB, amplification 15.3, ")
    named = [line.removeprefix("  BAD  ") for line in lines if line.startswith("  BAD")]
    assert named == [f"verdict {i}" for i in range(len(named))]
    assert len(named) == n_verdicts or f"  and {n_verdicts - len(named)} more" in lines
    assert "tensor" not in repr(REPORT)
    assert "tensor" not in repr(synthetic.bare_report())


def test_a_notebook_gets_verdicts_by_colour_and_word_and_escaped() -> None:
    page = read(synthetic.nasty_report()._repr_html_())
    levels = [(element.text.split(":")[0], element.attributes["style"]) for element in page.all("strong")]
    assert [word for word, _ in levels] == ["BAD", "BAD", "note", "good"]
    assert len({style for _, style in levels}) == 3
    assert plain(synthetic.NASTY) in plain(page.all("h4")[0].text)
    rows = {row.all("th")[0].text: [cell.text for cell in row.all("td")] for row in page.all("tr")[1:]}
    for name, value in REPORT.numbers.items():
        assert rows[NUMBERS[name].title][0] == quantity(value.estimate, NUMBERS[name].unit)


def test_flat_numbers_and_lines_of_numbers() -> None:
    assert REPORT.to_dict() == {name: value.estimate for name, value in REPORT.numbers.items()}
    rows = list(csv.DictReader(io.StringIO(REPORT.to_csv())))
    assert [row["name"] for row in rows] == list(REPORT.numbers)
    for row in rows:
        value = REPORT.numbers[row["name"]]
        assert [float(row[key]) for key in ("estimate", "low", "high", "n", "n_infinite")] == [
            value.estimate, value.low, value.high, value.n, value.n_infinite,
        ]  # fmt: skip
        assert (row["unit"], row["better"]) == (NUMBERS[row["name"]].unit, NUMBERS[row["name"]].better)


def test_latex_is_the_row_of_table_1() -> None:
    text = replace(REPORT, title="50% & more_").to_latex()
    lines = text.splitlines()
    assert lines[1:-1] == [
        r"\toprule",
        r"& FID $\downarrow$ & Precision $\uparrow$ & Recall $\uparrow$ & Per-pixel std $\uparrow$ & AI-PSNR & "
        r"Robustness $\uparrow$ \\",
        r"\midrule",
        r"50\% \& more\_ & 0.183 & 0.770 & 0.731 & 0.00610 & 30.00 & 6.24 \\",
        r"\bottomrule",
    ]
    infinite = {"robustness_strong": AuditNumber(math.inf, math.inf, math.inf, 3)}
    assert r"Estimator & $\infty$ \\" in replace(REPORT, title="", numbers=infinite).to_latex()


def test_the_suffix_names_the_form(tmp_path: Path) -> None:
    for suffix, form in (
        (".json", REPORT.to_json), (".html", REPORT.to_html), (".md", REPORT.to_markdown), (".csv", REPORT.to_csv),
        (".tex", REPORT.to_latex),
    ):  # fmt: skip
        REPORT.save(tmp_path / f"report{suffix}")
        assert (tmp_path / f"report{suffix}").read_text("utf-8") == form()
    assert AuditReport.from_json((tmp_path / "report.json").read_text()).numbers == REPORT.numbers
    for suffix, form in ((".json", COMPARED.to_json), (".html", COMPARED.to_html), (".csv", COMPARED.to_csv)):
        COMPARED.save(str(tmp_path / f"both{suffix}"))
        assert (tmp_path / f"both{suffix}").read_text("utf-8") == form()
    with pytest.raises(ValueError, match=r"path must end in .json, .html, .md, .csv, .tex, got '.*report.png'"):
        REPORT.save(tmp_path / "report.png")
    with pytest.raises(ValueError, match=r"path must end in .json, .html, .md, .csv, got"):
        COMPARED.save(tmp_path / "both.tex")


def test_a_comparison_in_hand() -> None:
    a = replace(REPORT, title="one <b>", per_input={"std": (1.0, 2.0, 3.0), "crps": (1.0, 2.0, 3.0)})
    b = replace(REPORT, title="two", per_input={"std": (2.0, 3.1, 4.0), "crps": (1.0, 2.0, 3.0)})
    found = compare(a, b)
    lines = repr(found).splitlines()
    assert len(lines) <= 6
    assert lines[0].startswith("Comparison: two (b) against one <b> (a); cannot tell ")
    assert "  per-pixel std: b is better by 1.03" in lines[1]
    page = found.to_html()
    assert "http:" not in page.replace("Content-Security", "")
    assert not re.search(r"<script|src=|href=", page)
    elements = read(page)
    assert [plain(e.text) for e in elements.all("h1")] == ["two against one <b>"]
    assert len(elements.all("tr")) == 1 + len(found.differences)
    assert {difference.sentence for difference in found.differences} == {plain(e.text) for e in elements.all("li")}
    outcomes = [(row.children[-1].text, row.children[-1].attributes) for row in elements.all("tr")[1:]]
    assert ("better", {"class": "is-good"}) in outcomes
    assert ("cannot tell", {}) in outcomes
    assert found.to_dict()["std"] == pytest.approx(1.0333, rel=1e-3)
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert [row["outcome"] for row in rows] == [difference.outcome for difference in found.differences]
    assert read(found._repr_html_()).all("table")
    assert json.loads(found.to_json())["a"] == "one <b>"
