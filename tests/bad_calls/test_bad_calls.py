"""A seeded sample of the wrong calls of every public name, judged; `nox -s bad_calls` makes all of them."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

import stochrobust
from stochrobust import torchmetrics
from tests.bad_calls.calls import BASES, NOT_CALLED, RESULTS
from tests.bad_calls.judge import Base

CASES = [case for base in BASES for case in base.cases()]
SAMPLE = 4_000


def test_no_wrong_call_is_answered_and_nearly_all_name_the_argument() -> None:
    assert len(CASES) > 20_000
    verdicts = {str(case): case.verdict() for case in random.Random(20).sample(CASES, SAMPLE)}
    counts = Counter(verdict.partition(":")[0] for verdict in verdicts.values())
    told = {case: verdict for case, verdict in verdicts.items() if verdict}
    assert counts["silent"] == counts["slow"] == 0, told
    assert counts["obscure"] <= SAMPLE // 100, told


NEEDS_A_FILE = {"InceptionFeatures"}


@pytest.mark.filterwarnings("ignore::stochrobust.AttackWarning")
@pytest.mark.parametrize(
    "base",
    [base for base in BASES if base.name not in NEEDS_A_FILE and "audit --" not in base.name],
    ids=lambda base: base.name,
)
def test_the_right_call_is_answered(base: Base) -> None:
    base.call(**base.right)


def test_every_public_name_is_called() -> None:
    called = {base.name for base in BASES} | {"FrechetStatistics", "AuditReport"}
    names = {*stochrobust.__all__, *torchmetrics.__all__}
    assert names - called - RESULTS - NOT_CALLED == set()
    assert names >= RESULTS | NOT_CALLED


def test_the_judge_can_tell() -> None:
    def check(a: Any) -> Any:
        if a == "named":
            raise ValueError("a must be right, got 'named'")
        if a == "unnamed":
            raise ValueError("it must be right")
        if a == "other":
            raise RuntimeError("a must be right")
        return a

    wrong = {kind: kind for kind in ("named", "unnamed", "other", "silent")}
    verdicts = {case.kind: case.verdict() for case in Base("check", check, {"a": 1}, {"a": wrong}).cases()}
    assert verdicts["named"] == ""
    assert verdicts["unnamed"].startswith("obscure: ValueError")
    assert verdicts["other"].startswith("obscure: RuntimeError")
    assert verdicts["silent"] == "silent: a str"
