"""Numbers that know how they were measured, and refuse to be compared with others."""

from __future__ import annotations

import copy
import json
import operator
import pickle
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest

from stochrobust.metrics.protocol import Protocol, Score

BASE = Protocol("a network", "12ab", "resized", (0.0, 1.0), "distance", 3, 100, 200, "float32", "0.1.0")
OTHERS = {
    "extractor": "another",
    "weights": "34cd",
    "preprocessing": "cropped",
    "data_range": (-1.0, 1.0),
    "metric": "recall",
    "k": 5,
    "n_real": 99,
    "n_generated": 99,
}
COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.sub, operator.truediv]


@pytest.mark.parametrize("compare", COMPARISONS)
@pytest.mark.parametrize("name", OTHERS)
def test_scores_that_differ_in_one_point_do_not_compare(name: str, compare: Callable[..., Any]) -> None:
    mine, theirs = Score(1.0, BASE), Score(2.0, replace(BASE, **{name: OTHERS[name]}))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"two protocols do not compare: {name}: "):
        compare(mine, theirs)


def test_every_field_is_compared_or_only_recorded() -> None:
    assert {field.name for field in fields(Protocol)} == {*OTHERS, "dtype", "version"}


@pytest.mark.parametrize("compare", COMPARISONS)
def test_scores_of_one_protocol_compare_as_numbers(compare: Callable[..., Any]) -> None:
    recorded = replace(BASE, dtype="float16", version="0.2.0")
    for a, b in ((1.0, 2.0), (2.0, 1.0), (2.0, 2.0)):
        expected = compare(a, b)
        for left, right in ((Score(a, BASE), Score(b, recorded)), (Score(a, BASE), b), (a, Score(b, BASE))):
            assert compare(left, right) == expected
            assert type(compare(left, right)) is type(expected)


def test_a_score_is_a_float() -> None:
    score = Score(0.125, BASE)
    assert score == 0.125
    assert score == Score(0.125, Protocol())
    assert hash(score) == hash(0.125)
    assert f"{score:.1f} {score}" == "0.1 0.125"
    assert json.dumps([score]) == "[0.125]"
    assert type(2 * score) is float
    assert sorted([Score(2.0, BASE), score]) == [0.125, 2.0]
    with pytest.raises(TypeError):
        _ = score < "1"  # type: ignore[operator]


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda score: pickle.loads(pickle.dumps(score))],
    ids=["copy", "deep", "pickle"],
)
def test_copies_keep_the_protocol(duplicate: Callable[[Score], Score]) -> None:
    twin = duplicate(Score(0.5, BASE))
    assert type(twin) is Score
    assert twin.protocol == BASE
    assert twin == 0.5
