"""The linear model through the points tried: exact on linear maps, inside both balls, within its memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stochrobust.attacks.secants import KEPT, Secants

N, M = 5, 7
FAR = torch.full((1,), 2.0, dtype=torch.float64)
ONE = torch.ones(1, dtype=torch.float64)


def wide(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def tried(matrix: Tensor, points: Tensor, offset: Tensor | None = None) -> Secants:
    """Secants of ``c = A delta + offset`` at zero and at the points."""
    offset = torch.zeros(1, len(matrix), dtype=torch.float64) if offset is None else offset
    secants, best = Secants(torch.zeros(1, matrix.shape[1], dtype=torch.float64), offset), offset.square().sum()
    for point in points:
        change = point[None] @ matrix.T + offset
        secants.add(point[None], change, change.square().sum(1) > best)
        best = torch.maximum(best, change.square().sum())
    return secants


def test_on_a_whole_basis_it_finds_the_largest_singular_value() -> None:
    matrix = wide(M, N)
    target, value = tried(matrix, torch.nn.functional.normalize(wide(N, N))).ahead(FAR, ONE)
    torch.testing.assert_close(value, torch.linalg.matrix_norm(matrix, 2)[None] ** 2)
    torch.testing.assert_close((target @ matrix.T).square().sum(1), value)
    torch.testing.assert_close(target.norm(dim=1), ONE)


def test_on_a_part_of_a_basis_it_finds_the_largest_in_its_span() -> None:
    matrix, points = wide(M, N), torch.nn.functional.normalize(wide(3, N))
    _, value = tried(matrix, points).ahead(FAR, ONE)
    basis = torch.linalg.qr(points.T).Q
    torch.testing.assert_close(value, torch.linalg.matrix_norm(matrix @ basis, 2)[None] ** 2)


def test_a_first_change_that_is_not_zero_counts() -> None:
    matrix, offset = wide(M, N), wide(1, M)
    target, value = tried(matrix, 0.3 * wide(N, N), offset).ahead(FAR, ONE)
    torch.testing.assert_close((target @ matrix.T + offset).square().sum(1), value)
    # No point of a fine covering of the sphere is better: the model is convex, its maximum lies there.
    sphere = torch.nn.functional.normalize(wide(20000, N))
    assert value >= (sphere @ matrix.T + offset).square().sum(1).max()


@pytest.mark.parametrize("trust", [0.01, 0.1, 0.5, 1.2])
def test_the_best_point_in_reach_is_in_both_balls_and_no_other_is_better(trust: float) -> None:
    matrix = wide(M, N)
    secants = tried(matrix, torch.nn.functional.normalize(wide(4 * N, N)) * 0.9)
    start = secants.points[0, 0]
    for scale in (0.3, 0.7, 1.0):  # short columns too, or none is near enough for a short reach
        for step in scale * trust * torch.nn.functional.normalize(wide(N, N)):
            secants.add((start + step)[None], (start + step)[None] @ matrix.T, torch.zeros(1, dtype=torch.bool))
    target, value = secants.ahead(torch.full((1,), trust, dtype=torch.float64), ONE)
    assert float((target - start).norm()) <= trust * (1 + 1e-9)
    assert float(target.norm()) <= 1 + 1e-9
    torch.testing.assert_close((target @ matrix.T).square().sum(1), value)
    others = start + trust * torch.nn.functional.normalize(wide(20000, N)) * torch.rand(20000, 1).double() ** (1 / N)
    inside = others[others.norm(dim=1) <= 1]
    assert value >= (inside @ matrix.T).square().sum(1).max()


def test_columns_that_are_too_long_have_no_part() -> None:
    short, long = torch.tensor([[0.1, 0.0]]).double(), torch.tensor([[0.0, 0.9]]).double()
    secants = tried(torch.diag(torch.tensor([1.0, 5.0])).double(), torch.cat([long, short]))  # the best point is long
    secants.add(long + short, (long + short) @ torch.diag(torch.tensor([1.0, 5.0])).double(), torch.tensor([False]))
    target, _ = secants.ahead(torch.full((1,), 0.1, dtype=torch.float64), ONE)
    assert target[0, 1] == pytest.approx(0.9)  # along the second axis nothing near is known
    assert abs(float(target[0, 0])) == pytest.approx(0.1)


def test_memory_is_bounded_and_the_first_and_the_best_stay() -> None:
    matrix = wide(M, N)
    points = torch.nn.functional.normalize(wide(3 * KEPT, N)) * torch.linspace(0.5, 0.1, 3 * KEPT)[:, None].double()
    secants = tried(matrix, points)
    assert secants.points.shape == (1, KEPT + 2, N)
    assert secants.changes.shape == (1, KEPT + 2, M)
    best = (points @ matrix.T).square().sum(1).argmax()
    assert torch.equal(secants.points[0, 0], points[best])
    assert torch.equal(secants.points[0, 1], torch.zeros(N).double())
    _, value = secants.ahead(FAR, ONE)
    torch.testing.assert_close(value, torch.linalg.matrix_norm(matrix, 2)[None] ** 2)


def test_samples_do_not_know_each_other() -> None:
    matrices, points = wide(2, M, N), torch.nn.functional.normalize(wide(2, 6, N), dim=2)
    apart = torch.cat([tried(a, p).ahead(FAR, ONE)[1] for a, p in zip(matrices, points, strict=True)])
    both = Secants(torch.zeros(2, N).double(), torch.zeros(2, M).double())
    best = torch.zeros(2).double()
    for i in range(6):
        change = (matrices @ points[:, i, :, None])[..., 0]
        value = change.square().sum(1)
        both.add(points[:, i], change, value > best)
        best = torch.maximum(best, value)
    torch.testing.assert_close(both.ahead(FAR.expand(2), ONE.expand(2))[1], apart)


def test_nothing_known_is_no_move() -> None:
    secants = Secants(torch.zeros(1, N).double(), torch.zeros(1, M).double())
    target, value = secants.ahead(FAR, ONE)
    assert not target.any()
    assert not value.any()
