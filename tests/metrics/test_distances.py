"""Squared distances: exact ones, bounds of quick ones, and the rows that are the same."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stochrobust.metrics import _distances
from tests.metrics.neighbour_sets import normal


@pytest.mark.parametrize("d", [1, 2, 7, 100, 2048, 100_001])
def test_a_distance_does_not_depend_on_the_company_it_is_computed_in(d: int) -> None:
    """``torch.sum`` fails this with two threads for the last d."""
    torch.set_num_threads(2)
    a, b = normal(5, d), normal(5, d, seed=1)
    together = _distances.squared_distances(a, b)
    assert torch.equal(_distances.squared_distances(b, a), together)
    for row in range(5):
        assert torch.equal(_distances.squared_distances(a[row : row + 1], b[row : row + 1])[0], together[row])
    exact = [math.fsum((x - y) ** 2 for x, y in zip(*rows, strict=True)) for rows in zip(a.tolist(), b.tolist())]  # noqa: B905
    assert together.tolist() == pytest.approx(exact, rel=1e-15)


@given(value=st.floats(0, 1e300), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_rounding_to_either_side(value: float, dtype: torch.dtype) -> None:
    exact = torch.tensor(value, dtype=torch.float64)
    up, down = _distances.above(exact, dtype), _distances.below(exact, dtype)
    tiny = torch.finfo(dtype).tiny
    assert float(down) - tiny <= value <= float(up) + tiny
    assert math.isfinite(float(down))
    if tiny < value < 1e38:
        assert float(up) - float(down) < 8 * torch.finfo(dtype).eps * value


def test_equal_rows_are_found() -> None:
    features = torch.tensor([[1.0, 0.0], [2.0, 3.0], [1.0, -0.0], [1.0, 0.0], [3.0, 2.0]])
    rows = _distances.distinct_rows(features)
    assert len(rows) == 3
    assert torch.equal(features[rows.first][rows.group], features)
    assert rows.count[rows.group].tolist() == [3, 1, 3, 3, 1]


def test_rows_too_long_for_the_bound_of_float32_are_multiplied_in_float64() -> None:
    assert _distances.working_dtype(torch.empty(0, 2**22)) == torch.float32
    assert _distances.working_dtype(torch.empty(0, 2**22 + 1)) == torch.float64


def test_rows_with_one_key_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_distances, "_keys", lambda features: torch.zeros(len(features), dtype=torch.int64))
    rows = _distances.distinct_rows(torch.tensor([[1.0], [2.0], [1.0], [2.0]]))
    assert (len(rows), rows.group.tolist(), rows.count.tolist()) == (3, [0, 1, 0, 2], [2, 1, 1])
