"""Two reports side by side: paired differences against a closed form, coverage, and what is refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from stochrobust import AuditReport, compare, interval_of_mean
from stochrobust.auditing.comparison import Difference
from stochrobust.auditing.findings import AuditNumber, Curve
from stochrobust.auditing.numbers import NUMBERS

PROTOCOL = {"data": {"n": 4, "sha256": "ab"}, "settings": {"seed": 0, "level": 0.95}, "estimator": {"weights": "12"}}


def mean_of(values: tuple[float, ...]) -> AuditNumber:
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < 2:
        return AuditNumber(math.inf, math.inf, math.inf, len(values), len(values) - len(finite))
    found = interval_of_mean(torch.tensor(finite, dtype=torch.float64))
    return AuditNumber(found.estimate, found.low, found.high, len(values), len(values) - len(finite))


def report(
    title: str = "G", *, sets: dict[str, AuditNumber] | None = None, protocol: dict[str, Any] = PROTOCOL, **inputs: Any
) -> AuditReport:
    """A report with some numbers of inputs, one by one, and of whole sets."""
    per_input = {name: tuple(map(float, values)) for name, values in inputs.items()}
    numbers = {name: mean_of(values) for name, values in per_input.items()} | (sets or {})
    assert numbers.keys() <= NUMBERS.keys()
    nothing = Curve((), (), (), ())
    return AuditReport(title, True, True, numbers, per_input, nothing, (), (), (), (), protocol)


def only(found: Any) -> Difference:
    (difference,) = found.differences
    assert isinstance(difference, Difference)
    return difference


# -- paired numbers ----------------------------------------------------------------------------------------------------


def test_paired_differences_are_those_of_the_t_test() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(30, 5, 40)
    b = a + rng.normal(0.5, 1, 40)
    found = only(compare(report(psnr_mean=a), report(psnr_mean=b)))
    expected = stats.ttest_rel(b, a)
    low, high = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.estimate == pytest.approx(float((b - a).mean()))
    assert (found.a, found.b) == pytest.approx((a.mean(), b.mean()))
    assert (found.n, found.n_infinite, found.paired) == (40, 0, True)
    assert (found.outcome == "better") is bool(expected.pvalue < 0.05)


def test_b_minus_a_changes_sign_with_the_order() -> None:
    a, b = report(psnr_mean=[20, 30, 40]), report(psnr_mean=[21.1, 31.0, 40.9])
    one, other = only(compare(a, b)), only(compare(b, a))
    assert (one.estimate, one.low, one.high) == pytest.approx((-other.estimate, -other.high, -other.low))
    assert (one.outcome, other.outcome) == ("better", "worse")


def test_pairing_narrows_the_interval_where_inputs_are_hard_for_both() -> None:
    rng = np.random.default_rng(1)
    hard = rng.normal(30, 5, 60)
    a, b = hard + rng.normal(0, 1, 60), hard + rng.normal(0.8, 1, 60)
    paired = only(compare(report(psnr_mean=a), report(psnr_mean=b)))
    sets = [{"psnr_mean": report(psnr_mean=values).numbers["psnr_mean"]} for values in (a, b)]
    unpaired = only(compare(*(report(sets=numbers) for numbers in sets)))
    assert paired.estimate == pytest.approx(unpaired.estimate)
    assert paired.high - paired.low < (unpaired.high - unpaired.low) / 4
    assert (paired.outcome, unpaired.outcome) == ("better", "cannot tell")
    assert (paired.paired, unpaired.paired) == (True, False)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_interval_holds_the_difference_as_often_as_it_says(level: float) -> None:
    rng = np.random.default_rng(2)
    protocol = PROTOCOL | {"settings": {"seed": 0, "level": level}}
    held = 0
    for _ in range(500):
        hard = rng.normal(0, 3, 12)
        a, b = hard + rng.normal(0, 1, 12), hard + rng.normal(0.7, 2, 12)
        found = only(compare(report(std=a, protocol=protocol), report(std=b, protocol=protocol)))
        held += found.low <= 0.7 <= found.high
    assert held / 500 == pytest.approx(level, abs=3 * math.sqrt(level * (1 - level) / 500))


def test_pairs_with_an_infinite_member_are_left_out_and_counted() -> None:
    a, b = report(consistency=[50, math.inf, 52, 54, math.inf]), report(consistency=[51, 60, 53, math.inf, math.inf])
    found = only(compare(a, b))
    assert (found.estimate, found.n, found.n_infinite) == (1, 2, 3)
    assert found.low == found.high == 1
    assert "3 left out as infinite" in found.sentence


def test_too_few_pairs_tell_nothing() -> None:
    one = only(compare(report(consistency=[50, math.inf]), report(consistency=[51, 60])))
    assert (one.estimate, one.low, one.high, one.outcome) == (1, -math.inf, math.inf, "cannot tell")
    none = only(compare(report(consistency=[math.inf] * 2), report(consistency=[math.inf] * 2)))
    assert math.isnan(none.estimate)
    assert (none.n, none.n_infinite, none.outcome) == (0, 2, "cannot tell")
    assert "infinite against infinite" in none.sentence


@pytest.mark.parametrize(
    ("name", "outcome", "back"),
    [
        ("psnr_mean", "better", "worse"),
        ("crps", "worse", "better"),
        ("amplification", "worse", "better"),
        ("spread_error", "higher", "lower"),
        ("ai_psnr_strong", "higher", "lower"),
    ],
)
def test_more_is_better_worse_or_only_more(name: str, outcome: str, back: str) -> None:
    inputs: list[dict[str, Any]] = [{name: [1, 2, 3]}, {name: [2, 3.1, 4]}]
    a, b = (report(**of_one) for of_one in inputs)
    found = only(compare(a, b))
    assert (found.outcome, only(compare(b, a)).outcome) == (outcome, back)
    assert f"b is {outcome} by 1.03" in found.sentence
    assert "95% interval" in found.sentence
    assert "3 pairs" in found.sentence


def test_equal_estimators_cannot_be_told_apart() -> None:
    a = report(psnr_mean=[20, 30, 40], sets={"recall": AuditNumber(0.5, 0.4, 0.6, 40)})
    for found in compare(a, a).differences:
        assert (found.estimate, found.outcome) == (0, "cannot tell")
        assert "cannot tell, b - a is 0" in found.sentence


# -- numbers of whole sets ---------------------------------------------------------------------------------------------


def test_numbers_of_sets_have_combined_intervals_and_say_so() -> None:
    a = report(sets={"frechet": AuditNumber(10.0, 7.0, 13.0, 64)})
    found = only(compare(a, report(sets={"frechet": AuditNumber(4.0, 0.0, 8.0, 80, 2)})))
    assert (found.estimate, found.low, found.high) == pytest.approx((-6, -11, -1))
    assert (found.n, found.n_infinite, found.paired, found.outcome) == (64, 2, False, "better")
    assert "not paired" in found.sentence
    far = only(compare(a, report(sets={"frechet": AuditNumber(6.0, 2.0, 10.0, 64)})))
    assert far.outcome == "cannot tell"


def test_numbers_without_an_interval_tell_nothing() -> None:
    a, b = (report(sets={"recall": AuditNumber(share, share, share, 3)}) for share in (0.1, 0.9))
    assert only(compare(a, b)).outcome == "cannot tell"


def test_numbers_that_one_has_alone_are_named() -> None:
    a, b = report("first", std=[1, 2], psnr_mean=[3, 4]), report("second", psnr_mean=[3, 5], crps=[1, 2])
    found = compare(a, b)
    assert (found.a, found.b, found.only_a, found.only_b) == ("first", "second", ("std",), ("crps",))
    assert [difference.name for difference in found.differences] == ["psnr_mean"]
    assert "Only one has: per-pixel std, CRPS." in found.to_markdown()


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_the_estimator_may_differ_and_nothing_else() -> None:
    a = report(psnr_mean=[1, 2])
    compare(a, report(psnr_mean=[1, 2], protocol=PROTOCOL | {"estimator": {"weights": "34", "n_seeds": 1}}))
    for other, named in (
        (PROTOCOL | {"data": {"n": 5, "sha256": "ab"}}, "data.n: 4 against 5"),
        (PROTOCOL | {"data": {"n": 4, "sha256": "cd"}}, "data.sha256: ab against cd"),
        (PROTOCOL | {"settings": {"seed": 1, "level": 0.95}}, "settings.seed: 0 against 1"),
        (PROTOCOL | {"eps": 0.1}, "eps: nothing against 0.1"),
    ):
        with pytest.raises(ValueError, match="differ in") as raised:
            compare(a, report(psnr_mean=[1, 2], protocol=other))
        assert named in str(raised.value)
        assert "estimator." not in str(raised.value)


def test_all_that_differs_is_named() -> None:
    other = {"data": {"n": 5, "sha256": "cd"}, "settings": PROTOCOL["settings"], "estimator": {}}
    with pytest.raises(ValueError, match=r"data.n: 4 against 5; data.sha256: ab against cd"):
        compare(report(), report(protocol=other))


def test_other_numbers_of_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match="psnr_mean: 2 against 3"):
        compare(report(psnr_mean=[1, 2]), report(psnr_mean=[1, 2, 3]))


def test_lists_and_tuples_of_a_protocol_are_the_same() -> None:
    a, b = (report(protocol=PROTOCOL | {"radii": radii}) for radii in ((0.5, 2.0), [0.5, 2.0]))
    compare(a, b)  # one came from JSON


@pytest.mark.parametrize("name", ["a", "b"])
def test_what_is_no_report_is_refused(name: str) -> None:
    arguments: dict[str, Any] = {"a": report(), "b": report()} | {name: {}}
    with pytest.raises(TypeError, match=f"^{name} must be an AuditReport, got dict"):
        compare(**arguments)


# -- what people and programs read -------------------------------------------------------------------------------------


def test_markdown_has_a_row_and_a_sentence_of_each_number() -> None:
    a = report("one | two", psnr_mean=[20, 30, 40], sets={"recall": AuditNumber(0.5, 0.4, 0.6, 40)})
    b = report("three", psnr_mean=[21.1, 31.0, 40.9], sets={"recall": AuditNumber(0.7, 0.6, 0.8, 40)})
    found = compare(a, b)
    lines = found.to_markdown().splitlines()
    table = [line.replace("\\|", "").count("|") for line in lines if line.startswith("|")]
    assert table == [7] * 4
    assert "| PSNR of the mean output and x (dB) | 30.00 | 31.00 | 1.00 | 0.752 to 1.25 | better |" in lines
    assert "| recall | 0.500 | 0.700 | 0.200 | 0.0586 to 0.341, not paired | better |" in lines
    for difference in found.differences:
        assert f"- {difference.sentence}" in lines
    assert "one in 20" in lines[-1]


def test_json_has_all_of_it_and_no_infinity() -> None:
    found = compare(report(consistency=[50, math.inf]), report(consistency=[51, 60]))
    content = json.loads(found.to_json(), parse_constant=lambda name: pytest.fail(name))
    assert content["differences"][0]["low"] == "-inf"
    assert content["differences"][0]["estimate"] == 1
    assert content["level"] == 0.95
    assert {"a", "b", "only_a", "only_b"} < content.keys()


def test_the_level_is_that_of_the_protocol() -> None:
    a, b = (
        report(std=values, protocol=PROTOCOL | {"settings": {"seed": 0, "level": 0.5}})
        for values in ([1, 2, 3], [2, 3.1, 4.5])
    )
    found = compare(a, b)
    assert found.level == 0.5
    low, high = stats.ttest_rel([2, 3.1, 4.5], [1, 2, 3]).confidence_interval(0.5)
    assert (only(found).low, only(found).high) == pytest.approx((low, high))
    assert "one in 2 " in found.to_markdown()
    assert replace(found, level=0.8).to_markdown().count("80%") == 1


@pytest.mark.parametrize(("a", "b"), [([1, 2, 3], [2, 3.1, 4]), ([2, 3.1, 4], [1, 2, 3])])
@pytest.mark.parametrize("name", ["crps", "psnr_mean", "spread_error"])
def test_a_difference_and_its_interval_have_one_sign(name: str, a: list[float], b: list[float]) -> None:
    inputs: list[dict[str, Any]] = [{name: a}, {name: b}]
    found = only(compare(*(report(**of_one) for of_one in inputs)))
    assert "by 1.03" in found.sentence
    assert "interval 0.890 to 1.18;" in found.sentence  # sizes, as the difference is
    assert (found.low > 0) == (found.high > 0) == (found.estimate > 0)


def test_small_differences_of_decibels_keep_their_digits() -> None:
    found = only(compare(report(psnr_mean=[20, 30, 40]), report(psnr_mean=[20.002, 30.003, 40.004])))
    assert "b is better by 0.00300 dB" in found.sentence
