"""A search by outputs in groups of samples: within ``max_batch``, the same numbers, each sample its own bounds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stochrobust import L2, Linf, SubspaceSearch, sensitivity, w2_sensitivity
from stochrobust.attacks.ascent import Found
from stochrobust.attacks.balls import Ball
from stochrobust.estimators.seeds import SampleKeys
from tests.problems import normal_z

Y = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def G(y: Tensor, z: Tensor) -> Tensor:
    return (2 * y + 0.3 * z).sin()


class Watched:
    """A search by outputs that keeps what it is given, and stays at zero."""

    steps = 1

    def __init__(self) -> None:
        self.groups: list[tuple[Ball, Tensor, Tensor, list[int]]] = []
        self.shapes: list[torch.Size] = []

    def search_outputs(self, changes, ball, y, eps, keys) -> Found:  # type: ignore[no-untyped-def]
        self.groups.append((ball, y, eps, keys.ids(len(y))))
        self.shapes.append(changes(torch.zeros_like(y)).shape)
        nothing = torch.zeros_like(eps)
        return Found(torch.zeros_like(y), nothing, nothing[None], nothing[None], nothing > 0)


@pytest.mark.filterwarnings("ignore::stochrobust.AttackWarning")
@pytest.mark.parametrize(
    ("n_seeds", "max_batch", "samples"),
    [
        (4, None, [6]),
        (4, 8, [2, 2, 2]),
        (4, 2, [1] * 6),
        (4, 6, [3, 3]),
        (4, 16, [4, 2]),
        (4, 1, [1] * 6),
        (1, 4, [4, 2]),
    ],
)
def test_groups_are_the_fewest_whole_chunks_that_end_with_a_sample(
    n_seeds: int, max_batch: int | None, samples: list[int]
) -> None:
    watched = Watched()
    keys = SampleKeys(range(10, 16))
    eps = torch.linspace(0.1, 0.6, 6).double()
    sensitivity(G, Y, eps, n_seeds, sample_z=normal_z(3), attack=watched, max_batch=max_batch, generator=keys)
    assert [len(y) for _, y, _, _ in watched.groups] == samples
    assert watched.shapes == [torch.Size([n, n_seeds, 3]) for n in samples]
    assert torch.equal(torch.cat([y for _, y, _, _ in watched.groups]), Y)
    assert torch.equal(torch.cat([radii for _, _, radii, _ in watched.groups]), eps)
    assert [i for *_, ids in watched.groups for i in ids] == list(range(10, 16))


@pytest.mark.parametrize("max_batch", [1, 3, 4, 8])
@pytest.mark.parametrize("keyed", [True, False])
def test_max_batch_changes_no_number(max_batch: int, keyed: bool) -> None:
    def found(max_batch: int | None) -> Tensor:
        generator = SampleKeys(range(6)) if keyed else torch.Generator().manual_seed(3)
        return sensitivity(
            G, Y, 0.3, 4, sample_z=normal_z(3), attack=SubspaceSearch(25), max_batch=max_batch, generator=generator
        ).in_sample

    torch.testing.assert_close(found(max_batch), found(None), rtol=1e-6, atol=0)


@pytest.mark.filterwarnings("ignore::stochrobust.AttackWarning")  # in a cut ball twenty passes may find little
def test_each_sample_keeps_its_own_box_and_mask() -> None:
    mask = torch.eye(3).repeat(2, 1)
    low, high = Y - 0.05 * torch.arange(1, 7).double()[:, None], Y + 0.01
    for ball in (L2(mask=mask), Linf(mask=mask, box=(low, high)), L2(box=(low, 9.0))):
        run = [
            sensitivity(
                torch.sin, Y, 0.2, attack=SubspaceSearch(20), max_batch=m, ball=ball, generator=SampleKeys(range(6))
            )
            for m in (2, None)
        ]
        torch.testing.assert_close(run[0].delta, run[1].delta)
        torch.testing.assert_close(ball.project(run[0].delta, Y, torch.full((6,), 0.2)), run[0].delta)


def test_one_bound_for_all_is_nobodys_row() -> None:
    # A mask of as many rows as samples, but of fewer dimensions than y, is not one row per sample.
    y = torch.zeros(3, 3, 3, dtype=torch.float64)
    found = sensitivity(torch.sin, y, 0.1, attack=SubspaceSearch(10), max_batch=1, ball=L2(mask=torch.eye(3)))
    assert not (found.delta * (1 - torch.eye(3))).any()


def test_the_laws_own_search_sees_paired_outputs() -> None:
    found = w2_sensitivity(
        lambda y, z: 3 * y + z, torch.zeros(2, 2), 0.1, 4, sample_z=normal_z(2), attack=SubspaceSearch(20)
    )
    torch.testing.assert_close(found.value, torch.full((2,), 0.09), rtol=1e-3, atol=0)


def test_a_result_has_the_shapes_of_any_other() -> None:
    found = sensitivity(torch.sin, Y, 0.1, attack=SubspaceSearch(10), max_batch=4)
    assert found.trace.shape == (11, 6)
    assert found.restart_values.shape == (1, 6)
    assert found.stalled.shape == found.value.shape == (6,)
