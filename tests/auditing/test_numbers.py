"""The rows and the writer of numbers: what each number is made of, and that one figure has one form everywhere."""

from __future__ import annotations

import math

import pytest
import torch

from stochrobust.auditing.findings import AuditNumber
from stochrobust.auditing.numbers import (
    GROUPS,
    NUMBERS,
    counted,
    mean_of,
    number,
    over_inputs,
    percent,
    quantity,
    root_of,
    root_of_ratio,
    unevenness,
    unevenness_of,
)
from stochrobust.auditing.quality import QUALITY
from stochrobust.auditing.report import AuditReport
from stochrobust.auditing.verdicts import judge
from tests.auditing import synthetic
from tests.auditing.reading import plain, read


def test_every_number_stands_in_one_group_and_all_but_those_of_sets_say_what_they_are_made_of() -> None:
    assert sum(map(len, GROUPS.values())) == len(NUMBERS)
    of_sets = {name for name, info in NUMBERS.items() if info.made is None}
    steep = {"amplification_reference", "steep_share", "spread_steep"}
    assert of_sets == {*QUALITY, "precision_shortfall", *GROUPS["Posterior"], *steep}


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (31.649, "dB", "31.65"), (31.6, "dB", "31.60"), (-0.004, "dB", "0.00"), (-1.5, "dB", "-1.50"),
        (12345.6, "", "12346"), (999.4, "", "999"), (999.6, "", "1000"), (1.0, "", "1.00"), (0.0001, "", "0.000100"),
        (0.00009, "", "9.00e-05"), (2e7, "", "2.00e+07"), (-0.5, "", "-0.500"), (0.0, "", "0"),
        (math.inf, "dB", "infinite"), (-math.inf, "", "-infinite"), (math.nan, "dB", "none"),
    ],
)  # fmt: skip
def test_how_a_number_is_written(value: float, unit: str, text: str) -> None:
    assert number(value, unit) == text


def test_units_stand_beside_what_is_finite() -> None:
    assert [quantity(value, "dB") for value in (3.0, math.inf, math.nan, None)] == [
        "3.00 dB",
        "infinite",
        "none",
        "not measured",
    ]
    assert [percent(share) for share in (0.0, 0.0004, 0.02, 0.0996, 1.0)] == ["0%", "under 0.1%", "2.0%", "10%", "100%"]
    assert counted(2, "pair") == "2 pairs"


@pytest.mark.parametrize("maker", [synthetic.stochastic_report, synthetic.deterministic_report, synthetic.bare_report])
def test_page_tables_and_verdicts_have_the_same_figures(maker: type) -> None:
    report: AuditReport = maker()
    cells = [[cell.strip() for cell in line.split("|")] for line in report.to_markdown().splitlines()]
    written = {row[1]: row[2:4] for row in cells if len(row) == 7}
    page = read(report.to_html())
    for name, value in report.numbers.items():
        info = NUMBERS[name]
        (row,) = [row for row in page.all("tr") if row.all("data") and _title(row.all("th")[0].text) == info.title]
        shown = "".join(element.text for element in row.all("span") if element.has("interval"))
        assert written[info.title] == [row.all("data")[0].text, shown]
        assert row.all("data")[0].text == quantity(value.estimate, info.unit)


def _title(heading: str) -> str:
    return max((info.title for info in NUMBERS.values() if plain(heading).startswith(info.title)), key=len, default="")


def test_verdicts_write_the_figures_of_the_tables() -> None:
    numbers = {"amplification": 15.64, "change_over_error": 2.0, "spread_error": 0.0312, "robustness_strong": 6.2345}
    found = judge({name: AuditNumber(v, v, v, 9) for name, v in numbers.items()}, stochastic=True, takes_seeds=True)
    for name, value in numbers.items():
        assert quantity(value, NUMBERS[name].unit) in found[0].sentence


# -- how numbers are made ----------------------------------------------------------------------------------------------


def test_a_mean_leaves_infinite_values_out_and_counts_them() -> None:
    found = over_inputs(torch.tensor([1.0, 3.0, math.inf]), 0.95)
    assert (found.estimate, found.n, found.n_infinite) == (2.0, 3, 1)
    assert over_inputs(torch.tensor([1.0, 3.0, 5.0]), 0.5).high < over_inputs(torch.tensor([1.0, 3.0, 5.0]), 0.95).high
    assert over_inputs(torch.tensor([math.inf]), 0.95).estimate == math.inf
    assert mean_of("a")({"a": torch.ones(2), "b": torch.zeros(2)}) is not None
    assert mean_of("a")({}) is None


def test_a_root_of_a_ratio_of_means() -> None:
    top, bottom = torch.tensor([1.0, 7.0]), torch.tensor([2.0, 0.0, 9.0])
    values = root_of("a", "b")({"a": top, "b": bottom})
    assert values is not None
    assert values.mean().item() == pytest.approx(2.0)  # sqrt(4 / 1), of the two inputs that have both
    assert root_of("a", "b")({"a": top}) is None
    assert root_of_ratio(top, torch.zeros(2)) is None
    still = root_of_ratio(torch.zeros(2), top)
    assert still is not None
    assert not still.any()
    # the values' spread is that of the estimate: the jackknife of many draws agrees
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(400, generator=generator, dtype=torch.float64) + shift for shift in (0.5, 1.0))
    whole = root_of_ratio(a, b)
    assert whole is not None
    kept = ~torch.eye(400, dtype=torch.bool)
    jackknife = torch.stack([(a[row].mean() / b[row].mean()).sqrt() for row in kept])
    expected = (399 / 400 * (jackknife - jackknife.mean()).square().sum()).sqrt()
    assert (whole.std() / 20).item() == pytest.approx(expected.item(), rel=0.02)


def test_unevenness_is_zero_for_even_ranks_and_one_for_a_single_one() -> None:
    assert unevenness(torch.full((3, 4), 0.25)).mean().item() == 0
    single = torch.zeros(3, 4)
    single[:, 0] = 1
    assert unevenness(single).mean().item() == pytest.approx(1)
    assert unevenness_of("ranks")({}) is None
