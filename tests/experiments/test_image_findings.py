"""What is said of measured rows: the table, the conclusions of section 6.1.2 and super-resolution's trends."""

from __future__ import annotations

import math
from typing import Any

import pytest

from reference_experiments.arms import ARMS, Arm
from reference_experiments.images.findings import Finding, findings, judged
from reference_experiments.images.summary import Statistic, compared, spread_of, summarize
from reference_experiments.images.table import COLUMNS, PUBLISHED, table
from reference_experiments.images.trends import Factors, trends

PROTOCOL: dict[str, Any] = {
    "set": "faces", "n_samples": 32, "n_attacked": 128, "n_seeds": 4, "eps": 2.5, "eps_in_db": 32.94,
    "conventions": "C.",
    "features": {"extractor": "Lite0", "weights": "0123456789abcdef", "n_real": 2485, "n_generated": 2485, "k": 3},
}  # fmt: skip
PAPER = {name: tuple(map(float, values)) for name, values in PUBLISHED.items()}
Four = tuple[float, float, float, float]


def row(values: dict[str, float], error: float = 0.0, **protocol: Any) -> dict[str, Any]:
    """A row whose numbers have a standard error of that share; one that is not given is 1."""
    given = dict.fromkeys(COLUMNS, 1.0) | {"consistency": math.inf, "consistency_8bit": 60.0} | values
    contents: dict[str, Any] = {}
    for name, value in given.items():
        number = "inf" if math.isinf(value) else value
        contents[name] = {
            "estimate": number, "low": None, "high": None, "standard_error": abs(value) * error, "least": number,
            "n_infinite": 0, "draws": [],
        }  # fmt: skip
    return {"values": contents, "protocol": PROTOCOL | protocol}


def rows_of(error: float = 0.01, **figures: Four) -> dict[Arm, list[dict[str, Any]]]:
    """One row of each model, with figures in the order of ARMS; those that are not given are the paper's."""
    all_figures = {"robustness_evaluation": (5.0, 25.0, 3.0, 24.0), **PAPER, **figures}
    return {arm: [row({name: f[i] for name, f in all_figures.items()}, error)] for i, arm in enumerate(ARMS)}


def about(found: list[Finding], start: str) -> list[Finding]:
    return [finding for finding in found if start in finding.claim]


def test_the_papers_numbers_confirm_the_papers_conclusions() -> None:
    found = findings(rows_of())
    assert [finding.verdict for finding in found] == ["confirmed"] * 7
    assert [finding.claim[:3] for finding in found[:5]] == ["(a)", "(a)", "(b)", "(c)", "(d)"]
    assert "deterministic 0.382 ± 0.004 -> 0.022 ± 0.000 and stochastic 0.388" in found[0].text
    assert "costs 0.360 ± 0.004 and 0.120 ± 0.005" in found[0].text
    assert "costs 24.7 ± 0.4 and 5.2 ± 0.2" in found[1].text
    assert "per-pixel std 0.0070 ± 0.0001, 1.8 levels of 255, 7 % of the robust one's" in found[2].text
    assert "0.0070 ± 0.0001 -> 0.1050 ± 0.0010, 15.0 ± 0.2 times" in found[3].text
    assert "the least of any image exact, and 60.0 dB after clamping and rounding" in found[4].text
    assert "stochastic 6.9 ± 0.1 -> 26.2 ± 0.3 dB, deterministic 3.5 ± 0.0 -> 23.7 ± 0.2 dB" in found[5].text
    assert found[4].text.endswith("confirmed (" + found[4].figures + ").")


@pytest.mark.parametrize(
    ("which", "figures", "verdict"),
    [
        (0, {"recall": (0.4, 0.2, 0.4, 0.05)}, "in direction only"),  # 0.35 is less than twice 0.2
        (0, {"recall": (0.4, 0.1, 0.4, 0.2)}, "not confirmed"),
        (0, {"recall": (0.0, 0.019, 0.0, 0.0)}, "cannot tell"),  # no model has any
        (0, {"recall": (0.0, 0.02, 0.0, 0.0)}, "confirmed"),
        (1, {"fid": (14.0, 24.0, 14.0, 33.0)}, "in direction only"),
        (1, {"fid": (14.0, 24.0, 14.0, 20.0)}, "not confirmed"),
        (1, {"fid": (14.0, 12.0, 14.0, 20.0)}, "confirmed"),
        (2, {"std": (0.03, 0.1, 0.0, 0.0)}, "in direction only"),
        (2, {"std": (0.01, 0.005, 0.0, 0.0)}, "not confirmed"),
        (3, {"std": (0.01, 0.025, 0.0, 0.0)}, "in direction only"),
        (3, {"std": (0.01, 0.035, 0.0, 0.0)}, "confirmed"),
        (4, {"consistency": (140.0, 140.0, 99.0, 140.0)}, "not confirmed"),
        (4, {"consistency": (140.0, 140.0, 101.0, 140.0)}, "confirmed"),
        (5, {"robustness_paper": (6.0, 26.0, 4.0, 20.0)}, "in direction only"),
        (5, {"robustness_paper": (26.0, 25.0, 4.0, 24.0)}, "not confirmed"),
        (6, {"robustness_evaluation": (6.0, 26.0, 4.0, 20.0)}, "in direction only"),
    ],
)
def test_other_numbers_do_not(which: int, figures: dict[str, Four], verdict: str) -> None:
    assert findings(rows_of(0.001, **figures))[which].verdict == verdict


def test_a_wide_spread_leaves_the_direction_only() -> None:
    assert [finding.verdict for finding in findings(rows_of(0.3))[:2]] == ["in direction only"] * 2
    assert judged(Statistic(2.1, 1.0)) == "confirmed"
    assert judged(Statistic(1.9, 1.0)) == "in direction only"
    assert judged(Statistic(0.0, 0.0)) == "not confirmed"


def test_a_stochastic_model_that_does_not_vary_at_all_is_named_so() -> None:
    found = findings(rows_of(std=(0.0, 0.0, 0.0, 0.0)))
    assert found[2].verdict == "not confirmed"
    assert "nan" not in found[2].text + found[3].text
    assert "from nothing" in findings(rows_of(std=(0.0, 0.1, 0.0, 0.0)))[3].text


def test_several_trainings_have_their_standard_deviation_and_one_its_standard_error() -> None:
    one, several = summarize([row({"fid": 10.0}, 0.02)]), summarize([row({"fid": 10.0}), row({"fid": 14.0})])
    assert one["fid"] == Statistic(10.0, 0.2, 10.0)
    assert several["fid"] == Statistic(12.0, math.sqrt(8), 10.0)
    assert several["consistency"].text(1) == "exact"
    rows = rows_of()
    assert "one training of each model" in spread_of(rows)
    assert "standard deviation of 2 trainings" in spread_of({arm: 2 * of_arm for arm, of_arm in rows.items()})


def test_differences_and_quotients_carry_their_spread() -> None:
    a, b = Statistic(10.0, 3.0), Statistic(5.0, 4.0)
    assert a - b == Statistic(5.0, 5.0)
    ratio = a / b
    assert ratio.mean == 2
    assert ratio.spread == pytest.approx(2 * math.hypot(0.3, 0.8))
    assert math.isnan((Statistic(0.0) / Statistic(0.0)).mean)


def test_rows_that_were_measured_otherwise_do_not_compare() -> None:
    rows = rows_of()
    other: Any = PROTOCOL["features"]
    rows[ARMS[2]] = [row(PAPER_ROW, features=other | {"n_real": 1000})]
    for compare in (compared, findings, lambda rows: table(rows, published=False)):
        with pytest.raises(ValueError, match=r"rows measured otherwise do not compare: features differ; .*1000"):
            compare(rows)


PAPER_ROW = {name: values[0] for name, values in PAPER.items()}


def test_the_table_has_the_papers_numbers_beside_ours() -> None:
    text = table(rows_of(fid=(10.0, 20.0, 11.0, 30.0)), published=True)
    lines = text.splitlines()
    assert lines[0].count("|") == lines[2].count("|") == len(COLUMNS) + 2
    assert [line.split(" | ")[0] for line in lines[2:6]] == [f"| {arm.name.capitalize()}" for arm in ARMS]
    assert "10.0 ± 0.1 [14.10]" in lines[2]
    assert "30.0 ± 0.3 [39.09]" in lines[5]
    assert "| exact |" in lines[2]
    assert "In brackets: the paper's Table 1" in text
    assert "2485 training images of faces against one output at each of 2485 validation images" in text
    assert "Lite0, SHA-256 0123456789ab; k = 3; std over 32 samples; attacks of 32.94 dB (eps = 2.5) on 128" in text
    assert "[" not in table(rows_of(), published=False)


def test_the_validation_images_themselves_may_be_a_line() -> None:
    reference = {"values": {"fid": {"estimate": 3.21}, "recall": {"estimate": 0.7}}}
    line = table(rows_of(), published=False, reference=reference).splitlines()[6]
    assert line.startswith("| *Validation images instead of outputs* | 3.2 |  | 0.700 |")


def factors_of(error: float = 0.001, **changed: tuple[Four, ...]) -> Factors:
    """Rows of three factors in which the paper's conclusions hold, or what is given."""
    figures = {
        "fid": ((12, 14, 12, 16), (14, 18, 14, 24), (18, 24, 18, 40)),
        "recall": ((0.5, 0.45, 0.5, 0.4), (0.45, 0.4, 0.45, 0.2), (0.4, 0.35, 0.4, 0.05)),
        "precision": ((0.7, 0.69, 0.7, 0.68),) * 3,
        "std": ((0.002, 0.02, 0, 0), (0.003, 0.05, 0, 0), (0.003, 0.1, 0, 0)),
        **changed,
    }
    rows = {}
    for index, factor in enumerate((4, 8, 16)):
        of_factor = {}
        for i, arm in enumerate(ARMS):
            values = {name: float(by_factor[index][i]) for name, by_factor in figures.items()}
            of_factor[arm] = [row(values, error, eps=1 / factor, eps_in_db=30.0 + factor)]
        rows[factor] = of_factor
    return rows


def test_the_trends_of_the_paper() -> None:
    found = trends(factors_of())
    assert [finding.verdict for finding in found] == ["confirmed"] * 5
    assert "x4: 4.0 ± 0.0, the stochastic one 2.0 ± 0.0; x8: 10.0 ± 0.0, the stochastic one 4.0" in found[0].text
    assert "x16: 0.350 ± 0.000, the stochastic one 0.050" in found[1].text
    assert "x16: 16.0 ± 0.0 above the next" in found[2].text
    assert "from 0.680 ± 0.001 (deterministic, robust, x4) to 0.700 ± 0.001 (stochastic, erratic, x4)" in found[3].text
    assert "x8: 0.0500 ± 0.0001 against 0.0030 ± 0.0000" in found[4].text


@pytest.mark.parametrize(
    ("which", "changed"),
    [
        (0, {"fid": ((12, 14, 12, 16), (14, 18, 14, 17), (18, 24, 18, 40))}),
        (1, {"recall": ((0.5, 0.45, 0.5, 0.4), (0.45, 0.4, 0.45, 0.2), (0.4, 0.35, 0.4, 0.2))}),
        (2, {"fid": ((12, 17, 12, 16), (14, 18, 14, 24), (18, 24, 18, 40))}),
        (3, {"precision": ((0.7, 0.7, 0.7, 0.7), (0.7, 0.7, 0.7, 0.7), (0.7, 0.7, 0.7, 0.59))}),
        (4, {"std": ((0.002, 0.05, 0, 0), (0.003, 0.04, 0, 0), (0.003, 0.1, 0, 0))}),
        (4, {"std": ((0.002, 0.02, 0, 0), (0.03, 0.05, 0, 0), (0.003, 0.1, 0, 0))}),
    ],
)
def test_a_trend_that_is_broken_once_is_not_confirmed(which: int, changed: dict[str, Any]) -> None:
    verdicts = [finding.verdict for finding in trends(factors_of(**changed))]
    assert verdicts[which] == "not confirmed"


@pytest.mark.parametrize(("which", "name"), [(1, "recall"), (3, "precision")])
def test_a_trend_of_numbers_that_are_all_at_the_floor_tells_nothing(which: int, name: str) -> None:
    floor = (0.0, 0.001, 0.0, 0.0)
    for last, told in ((floor, False), ((0.0, 0.0, 0.03, 0.0), True)):
        figures: dict[str, Any] = {name: (floor, floor, last)}
        verdicts = [finding.verdict for finding in trends(factors_of(**figures))]
        assert (verdicts[which] != "cannot tell") == told


def test_a_trend_within_its_spread_is_one_in_direction_only() -> None:
    found = trends(factors_of(0.2))
    assert found[0].verdict == "in direction only"
    assert found[1].verdict == "in direction only"


def test_a_trend_needs_two_factors_measured_alike() -> None:
    rows = factors_of()
    with pytest.raises(ValueError, match=r"factors must be at least two, for a trend, got \[4\]"):
        trends({4: rows[4]})
    other = {**rows, 16: {arm: [r | {"protocol": r["protocol"] | {"n_samples": 8}} for r in of_arm]
                          for arm, of_arm in rows[16].items()}}  # fmt: skip
    with pytest.raises(ValueError, match="rows measured otherwise do not compare: n_samples differ"):
        trends(other)
