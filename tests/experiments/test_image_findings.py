"""What is said of measured rows: the table, the conclusions of section 6.1.2 and super-resolution's trends."""

from __future__ import annotations

import math
from typing import Any

import pytest

from reference_experiments.arms import ARMS, Arm
from reference_experiments.four_models import PUBLISHED
from reference_experiments.images.findings import findings, trends
from reference_experiments.images.summary import Rows, spread_of, summarize
from reference_experiments.images.tables import COLUMNS, table, tables
from reference_experiments.spread import Spread

PROTOCOL: dict[str, Any] = {
    "set": "faces", "n_samples": 32, "n_attacked": 128, "n_seeds": 4, "eps": 2.5, "eps_in_db": 32.94,
    "conventions": "C.",
    "features": {"extractor": "Lite0", "weights": "0123456789abcdef", "n_real": 2485, "n_generated": 2485, "k": 3},
}  # fmt: skip
PAPER = {"fid" if name == "frechet" else name: values for name, values in PUBLISHED.items()}
Four = tuple[float, float, float, float]


def row(values: dict[str, float], error: float = 0.0, **protocol: Any) -> dict[str, Any]:
    """A row whose numbers have a standard error of that share; one that is not given is 1."""
    given = dict.fromkeys(COLUMNS, 1.0) | {"consistency": math.inf, "consistency_8bit": 60.0} | values
    contents: dict[str, Any] = {}
    for name, value in given.items():
        contents[name] = {
            "estimate": value, "low": None, "high": None, "standard_error": abs(value) * error, "least": value,
            "n_infinite": 0, "draws": [],
        }  # fmt: skip
    return {"values": contents, "protocol": PROTOCOL | protocol}


def rows_of(error: float = 0.01, **figures: Four) -> dict[Arm, list[dict[str, Any]]]:
    """One row of each model, with figures in the order of ARMS; those that are not given are the paper's."""
    all_figures = {"robustness_evaluation": (5.0, 25.0, 3.0, 23.0), **PAPER, **figures}
    return {arm: [row({name: f[i] for name, f in all_figures.items()}, error)] for i, arm in enumerate(ARMS)}


def results_of(rows: dict[Arm, list[dict[str, Any]]], name: str = "faces32-inpainting", **more: Any) -> dict[str, Any]:
    real = {"values": {key: {"estimate": value} for key, value in (("fid", 3.21), ("precision", 0.7), ("recall", 0.7))}}
    return {"tasks": {name: {arm.name: of_arm for arm, of_arm in rows.items()}}, "validation images": real, **more}


def test_the_claims_are_table_1s_and_that_the_outputs_are_consistent() -> None:
    found = findings(results_of(rows_of()))
    assert len(found) == 11
    assert {finding.word for finding in found[:10]} == {"in direction"}  # one training each
    assert all(finding.claim.endswith(" (faces32-inpainting)") for finding in found)
    assert found[10].verdict == "exact: holds"
    assert found[10].here == "the least of any image exact, and 60.0 dB after clamping and rounding to 8 bits"
    near = findings(results_of(rows_of(consistency=(140.0, 140.0, 99.0, 140.0))))
    assert near[10].verdict == "exact: fails"


def test_nothing_is_said_of_a_model_that_is_worse_than_bicubic() -> None:
    for decibels, silent in ((1.0, False), (1.01, True)):  # the models have 1 dB
        references = {"faces32-sr4": {"bicubic": row({"distortion": decibels})}}
        found = findings(results_of(rows_of(), "faces32-sr4", references=references))
        assert (found[0].word == "cannot tell") is silent
    assert "PSNR 1.00 dB of the stochastic, erratic model is below bicubic" in found[0].verdict
    assert found[0].paper.startswith("Figure 3")
    assert found[10].word == "exact"


def test_several_trainings_have_their_standard_deviation_and_one_its_standard_error() -> None:
    one, several = summarize([row({"fid": 10.0}, 0.02)]), summarize([row({"fid": 10.0}), row({"fid": 14.0})])
    assert one["fid"] == Spread(10.0, 0.2)
    assert several["fid"] == Spread(12.0, math.sqrt(8))
    assert several["consistency"].text(1) == "exact"
    rows = rows_of()
    assert "One training of each model" in spread_of(rows)
    assert "standard deviation of 2 trainings" in spread_of({arm: 2 * of_arm for arm, of_arm in rows.items()})


def test_rows_that_were_measured_otherwise_do_not_compare() -> None:
    rows = rows_of()
    other: Any = PROTOCOL["features"]
    rows[ARMS[2]] = [row(PAPER_ROW, features=other | {"n_real": 1000})]
    for compare in (findings, tables):
        with pytest.raises(ValueError, match=r"rows measured otherwise do not compare: features differ; .*1000"):
            compare(results_of(rows))


PAPER_ROW = {name: values[0] for name, values in PAPER.items()}


def test_the_table_has_the_papers_numbers_beside_ours() -> None:
    text = table(rows_of(fid=(10.0, 20.0, 11.0, 30.0)), {}, published=True)
    lines = text.splitlines()
    assert lines[0].count("|") == lines[2].count("|") == len(COLUMNS) + 2
    assert [line.split(" | ")[0] for line in lines[2:6]] == [f"| {arm.name.capitalize()}" for arm in ARMS]
    assert "10.0 ± 0.1 [14.10]" in lines[2]
    assert "30.0 ± 0.3 [39.09]" in lines[5]
    assert "| exact |" in lines[2]
    assert "In brackets: the paper's Table 1" in text
    assert "2485 training images of faces against one output at each of 2485 validation images" in text
    assert "Lite0, SHA-256 0123456789ab; k = 3; std over 32 samples; attacks of 32.94 dB (eps = 2.5) on 128" in text
    assert "[" not in table(rows_of(), {}, published=False)


def test_a_number_that_was_not_measured_has_no_column() -> None:
    rows = rows_of()
    for of_arm in rows.values():
        for one in of_arm:
            del one["values"]["robustness_observed"]
    lines = table(rows, {"bicubic": row({})}, published=True).splitlines()
    assert {line.count("|") for line in lines[:7]} == {len(COLUMNS) + 1}
    assert "observed pixels alone" not in lines[0]
    assert "observed pixels alone" in table(rows_of(), {}, published=True).splitlines()[0]


def test_references_are_lines_too() -> None:
    reference = {"values": {"fid": {"estimate": 3.21}, "recall": {"estimate": 0.7}}}
    lines = table(rows_of(), {"Validation": reference, "bicubic": row({})}, published=False).splitlines()
    assert lines[6].startswith("| *Validation* | 3.2 |  | 0.700 |")
    assert lines[7].startswith("| *bicubic* | 1.0 | 1.000 |")
    assert "| exact |" in lines[7]


def factors_of(error: float = 0.001, **changed: tuple[Four, ...]) -> dict[int, Rows]:
    """Rows of three factors in which the paper's conclusions hold, or what is given."""
    figures = {
        "fid": ((12, 14, 12, 16), (14, 18, 14, 24), (18, 24, 18, 40)),
        "recall": ((0.5, 0.45, 0.5, 0.4), (0.45, 0.4, 0.45, 0.2), (0.4, 0.35, 0.4, 0.05)),
        "precision": ((0.7, 0.69, 0.7, 0.68),) * 3,
        "std": ((0.002, 0.02, 0, 0), (0.003, 0.05, 0, 0), (0.003, 0.1, 0, 0)),
        **changed,
    }
    rows: dict[int, Rows] = {}
    for index, factor in enumerate((4, 8, 16)):
        of_factor: dict[Arm, list[dict[str, Any]]] = {}
        for i, arm in enumerate(ARMS):
            values = {name: float(by_factor[index][i]) for name, by_factor in figures.items()}
            of_factor[arm] = [row(values, error, eps=1 / factor, eps_in_db=30.0 + factor)]
        rows[factor] = of_factor
    return rows


REAL = {"precision": 0.7, "recall": 0.7}


def test_the_trends_of_the_paper() -> None:
    found = trends(factors_of(), REAL)
    assert {finding.word for finding in found} == {"in direction"}
    assert found[0].here == "x4: 4; x8: 10; x16: 22"
    assert [finding.effect for finding in found] == pytest.approx([6.0, 0.1, 2.0, 0.03])
    assert found[0].placebo == 0
    assert trends(factors_of(), REAL, "no bicubic")[0].verdict == "cannot tell: no bicubic"


@pytest.mark.parametrize(
    ("which", "changed"),
    [
        (0, {"fid": ((12, 14, 12, 16), (14, 18, 14, 17), (18, 24, 18, 40))}),
        (1, {"recall": ((0.5, 0.45, 0.5, 0.4), (0.45, 0.4, 0.45, 0.2), (0.4, 0.35, 0.4, 0.2))}),
        (2, {"fid": ((12, 17, 12, 16), (14, 18, 14, 24), (18, 24, 18, 40))}),
        (3, {"std": ((0.002, 0.05, 0, 0), (0.003, 0.04, 0, 0), (0.003, 0.1, 0, 0))}),
    ],
)
def test_a_trend_that_is_broken_once_is_against_its_direction(which: int, changed: dict[str, Any]) -> None:
    assert trends(factors_of(**changed), REAL)[which].word == "against direction"


def test_a_trend_of_poor_models_tells_nothing() -> None:
    precision = ((0.7, 0.69, 0.7, 0.68), (0.7, 0.69, 0.7, 0.2), (0.7, 0.69, 0.7, 0.68))
    assert {finding.word for finding in trends(factors_of(precision=precision), REAL)} == {"cannot tell"}


def test_trends_of_some_factors_are_among_the_findings() -> None:
    rows = factors_of()
    results = results_of({})
    results["tasks"] = {f"celeba-sr{f}": {arm.name: of for arm, of in rows[f].items()} for f in (16, 4)}
    assert [finding.claim for finding in findings(results)[-4:]] == [finding.claim for finding in trends(rows, REAL)]
    assert findings(results)[-1].here == "x4: 0.02; x16: 0.1"


def test_a_trend_needs_two_factors_measured_alike() -> None:
    rows = factors_of()
    with pytest.raises(ValueError, match=r"factors must be at least two, for a trend, got \[4\]"):
        trends({4: rows[4]}, REAL)
    other = {**rows, 16: {arm: [r | {"protocol": r["protocol"] | {"n_samples": 8}} for r in of_arm]
                          for arm, of_arm in rows[16].items()}}  # fmt: skip
    with pytest.raises(ValueError, match="rows measured otherwise do not compare: n_samples differ"):
        trends(other, REAL)
