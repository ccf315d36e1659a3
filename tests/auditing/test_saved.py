"""The JSON of a report read back: field by field, under a checksum, and that of 0.1.0 without one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from stochrobust import AuditReport
from stochrobust.auditing.findings import AuditNumber, Curve, Verdict
from stochrobust.estimators.diagnosis import Concern

NUMBER = AuditNumber(20.5, 19.0, math.inf, n=3, n_infinite=1)
REPORT = AuditReport(
    "G", True, False, {"psnr_mean": NUMBER}, {"psnr_mean": (19.0, 22.0, math.inf)},
    Curve((0.5, 1.0), (40.0, math.nan), (NUMBER, NUMBER), (NUMBER, NUMBER)), (0.5, 1.0), (0.25, 0.75),
    (Verdict("seed ignored", "bad", "It ignores its seeds."),), (Concern("a doubt", "kind"),),
    {"settings": {"level": 0.95}},
)  # fmt: skip


def content() -> dict[str, Any]:
    return dict(json.loads(REPORT.to_json()))


def without_checksum(fields: dict[str, Any]) -> str:
    return json.dumps({name: value for name, value in fields.items() if name != "checksum"})


def test_a_report_without_a_checksum_is_read_as_0_1_0_wrote_it() -> None:
    again = AuditReport.from_json(without_checksum(content()))
    assert repr(vars(again)) == repr(vars(REPORT)), "NaN is not equal to itself"
    assert again.to_json() == REPORT.to_json()


def test_another_layout_of_the_text_is_the_same_report() -> None:
    again = AuditReport.from_json(json.dumps(content(), sort_keys=True))
    assert repr(vars(again)) == repr(vars(REPORT))


def changes(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    """Every place of a leaf, and something else to put there."""
    if isinstance(value, dict):
        return [found for name, part in value.items() for found in changes(part, (*at, name))]
    if isinstance(value, list):
        return [found for i, part in enumerate(value) for found in changes(part, (*at, i))]
    return [(at, f"{value}!" if isinstance(value, str) else not value if isinstance(value, bool) else value + 1)]


def put(fields: dict[str, Any], at: tuple[Any, ...], value: Any) -> dict[str, Any]:
    part: Any = fields
    for name in at[:-1]:
        part = part[name]
    part[at[-1]] = value
    return fields


def test_every_change_of_a_value_is_noticed() -> None:
    places = changes(content())
    assert len(places) > 40
    for at, value in places:
        with pytest.raises(ValueError, match=r"changed since|of the format"):
            AuditReport.from_json(json.dumps(put(content(), at, value)))


WRONG: dict[str, tuple[tuple[Any, ...], Any, str]] = {
    "title": (("title",), 3, "title must be a string, got 3"),
    "stochastic": (("stochastic",), "yes", "stochastic must be true or false, got 'yes'"),
    "takes_seeds": (("takes_seeds",), 1, "takes_seeds must be true or false, got 1"),
    "numbers": (("numbers",), [], r"numbers must be an object, got \[\]"),
    "a number": (("numbers", "psnr_mean", "low"), "19", r"numbers.psnr_mean.low must be a number, got '19'"),
    "a truth for a number": (
        ("numbers", "psnr_mean", "low"),
        True,
        r"numbers.psnr_mean.low must be a number, got True",
    ),
    "a missing end": (("numbers", "psnr_mean"), {"low": 1}, r"numbers.psnr_mean must be an object of estimate, low"),
    "n": (("numbers", "psnr_mean", "n"), -1, r"numbers.psnr_mean.n must be a count, got -1"),
    "n of another kind": (("numbers", "psnr_mean", "n"), 1.5, r"numbers.psnr_mean.n must be a count, got 1.5"),
    "per_input": (("per_input", "psnr_mean", 1), None, r"per_input.psnr_mean\[1\] must be a number, got None"),
    "curve": (("curve", "eps"), [1.0], r"curve must be an object of|curve must be as many entries"),
    "trace": (("trace",), "0.5", "trace must be a list, got '0.5'"),
    "ranks": (("ranks", 0), "many", r"ranks\[0\] must be a number, got 'many'"),
    "level": (("verdicts", 0, "level"), "awful", r"verdicts\[0\].level must be one of good, note, bad, got 'awful'"),
    "verdict": (("verdicts", 0), {}, r"verdicts\[0\] must be an object of name, level, sentence"),
    "concerns": (("concerns", 0), ["a"], r"concerns\[0\] must be a string"),
    "protocol": (("protocol",), "none", "protocol must be an object, got 'none'"),
    "format": (("format",), "stochrobust audit 7", "of the format 'stochrobust audit 1', got 'stochrobust audit 7'"),
}


@pytest.mark.parametrize(("at", "value", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_field_of_another_kind_is_named(at: tuple[Any, ...], value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AuditReport.from_json(without_checksum(put(content(), at, value)))


@pytest.mark.parametrize("name", sorted(set(content()) - {"checksum", "codes", "format"}))
def test_a_missing_field_is_named(name: str) -> None:
    fields = content()
    del fields[name]
    with pytest.raises(ValueError, match=f"{name} must be there"):
        AuditReport.from_json(without_checksum(fields))


@pytest.mark.parametrize("codes", [[], ["a", "b"], [1], "kind"])
def test_each_doubt_has_one_code(codes: Any) -> None:
    with pytest.raises(ValueError, match="codes"):
        AuditReport.from_json(without_checksum(content() | {"codes": codes}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda text: text.replace("20.5", "NaN"),
            "every number must be finite or one of 'inf', '-inf', 'nan', got 'NaN'",
        ),
        (lambda text: text.replace("20.5", "-Infinity"), "every number must be finite or"),
        (lambda text: text.replace("20.5", "1e999"), "numbers.psnr_mean.estimate must be a number of double precision"),
        (lambda text: text.replace("20.5", "1" + "0" * 400), "estimate must be a number of double precision"),
        (lambda text: "[" * 100_000, "got no JSON"),
        (lambda text: text[:-1], "got no JSON"),
        (lambda text: f"[{text}]", "the whole must be an object"),
    ],
)
def test_text_that_is_no_report_is_refused(change: Callable[[str], str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AuditReport.from_json(change(without_checksum(content())))


@pytest.mark.parametrize("text", [None, b"{}", 3])
def test_a_text_is_a_string(text: Any) -> None:
    with pytest.raises(TypeError, match="text must be a string, got"):
        AuditReport.from_json(text)


def test_words_of_others_are_no_markdown() -> None:
    from dataclasses import replace

    report = replace(
        REPORT, title="a|b\n# <b>[x](http://y) *z* _w_ my_model", concerns=(Concern("x.png: `odd` | name"),)
    )
    text = report.to_markdown()
    assert text.splitlines()[0] == r"# Audit: a\|b \# \<b\>\[x\](http://y) \*z\* \_w\_ my_model"
    assert r"- x.png: \`odd\` \| name" in text.splitlines()
