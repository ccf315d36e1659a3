"""Whole audits of estimators whose answer is known, down to the words: samplers, means, and what is broken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from stochrobust import AuditReport, AuditSettings, Consistent, InpaintingProjector, audit

N = 240
SIDE = 4
BOTTOM = torch.arange(SIDE)[:, None] == SIDE - 1
PROJECTOR = InpaintingProjector(BOTTOM)
SETTINGS = AuditSettings(n_seeds=16, n_attacked=12, attack_seeds=4, radii=(), n_splits=4)


def sources() -> Tensor:
    """Images (N, 1, 4, 4) whose lowest row is uniform, and whose others are the mean of it and of a uniform one."""
    lower, *free = torch.rand(SIDE, N, 1, 1, SIDE, generator=torch.Generator().manual_seed(0))
    return torch.cat([*((lower + row) / 2 for row in free), lower], 2)


def completed(upper: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """An estimator that keeps the lowest row of y."""

    def G(y: Tensor, *z: Tensor) -> Tensor:
        lower = y[:, :, -1:]
        return torch.cat([upper(lower.expand(-1, -1, SIDE - 1, -1), *z), lower], 2)

    return G


def uniform(y: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.rand(len(y), 1, SIDE - 1, SIDE, generator=generator)


def report(G: Callable[..., Tensor], **options: Any) -> AuditReport:
    defaults: dict[str, Any] = {"eps": 0.02, "projector": PROJECTOR, "settings": SETTINGS}
    return audit(G, sources(), **(defaults | options))


def judged(G: Callable[..., Tensor], **options: Any) -> list[str]:
    return [verdict.name for verdict in report(G, **options).verdicts]


def waves(lower: Tensor) -> Tensor:
    """Numbers in [0, 1] that hang on the digits of y, other ones in each row: what seems drawn, and is not."""
    return 0.5 + 0.5 * (600 * lower + torch.arange(SIDE - 1)[:, None]).sin()


def test_a_sampler_of_the_posterior() -> None:
    found = report(completed(lambda lower, z: (lower + z) / 2), sample_z=uniform)
    assert [(verdict.name, verdict.level) for verdict in found.verdicts] == [
        ("robust and diverse", "good"), ("calibrated", "good"),
    ]  # fmt: skip
    assert found.numbers["amplification"].estimate == pytest.approx(1.75**0.5, rel=0.01)
    assert found.takes_seeds


def test_a_sampler_that_hides_its_noise() -> None:
    assert judged(completed(lambda lower: (lower + torch.rand_like(lower)) / 2)) == ["robust and diverse", "calibrated"]


def test_the_mean_of_the_posterior() -> None:
    assert judged(completed(lambda lower: (lower + 0.5) / 2)) == ["blurred"]


def test_the_identity_where_nothing_is_degraded() -> None:
    assert judged(lambda y: 1.0 * y, projector=InpaintingProjector(torch.ones(SIDE, SIDE))) == ["robust"]


def test_erratic_without_seeds() -> None:
    assert judged(completed(lambda lower: (lower + waves(lower)) / 2)) == ["erratic"]


def test_erratic_with_seeds_that_do_little() -> None:
    collapsed = completed(lambda lower, z: (lower + 0.98 * waves(lower) + 0.02 * z) / 2)
    assert judged(collapsed, sample_z=uniform) == ["conditional mode collapse"]


def test_erratic_with_seeds_that_do_much() -> None:
    lively = completed(lambda lower, z: (lower + (waves(lower) + z / 2).remainder(1)) / 2)
    assert judged(lively, sample_z=uniform)[0] == "erratic"


def test_seeds_that_change_places_are_excused_by_their_law() -> None:
    exchanged = completed(lambda lower, z: (lower + (waves(lower) + z).remainder(1)) / 2)  # uniform whatever y
    assert judged(exchanged, sample_z=uniform) == ["steep", "calibrated"]


def test_few_pairs_decide_nothing_against_a_steep_restorer() -> None:
    wild = completed(lambda lower: (lower + waves(lower)) / 2)
    found = audit(wild, sources()[:120], eps=0.02, projector=PROJECTOR, settings=SETTINGS)
    assert [verdict.name for verdict in found.verdicts] == ["not decided"]


def test_noise_of_the_right_size_in_the_wrong_places_is_not_calibrated() -> None:
    def heavy(lower: Tensor, z: Tensor) -> Tensor:  # as much in all, three times as much in one row
        return (lower + 0.5 + (z - 0.5) * torch.tensor([3**0.5, 0.0, 0.0])[:, None]) / 2

    names = judged(completed(heavy), sample_z=uniform)
    assert "miscalibrated" in names
    assert "calibrated" not in names


def test_outputs_that_look_like_no_source_are_unnatural() -> None:
    found = report(completed(lambda lower, z: (lower + z.round()) / 2), sample_z=uniform)
    assert found.verdicts[0].name == "unnatural"
    assert not {"robust", "robust and diverse"} & {verdict.name for verdict in found.verdicts}


def test_a_few_inputs_are_told() -> None:
    def partly(lower: Tensor, z: Tensor) -> Tensor:
        wild = lower[:, :, :1, :1] < 0.15
        return (lower + torch.where(wild, 0.98 * waves(lower) + 0.02 * z, z)) / 2

    settings = AuditSettings(n_seeds=16, n_attacked=64, attack_seeds=4, radii=(), n_splits=4)
    found = report(completed(partly), sample_z=uniform, settings=settings)
    assert found.verdicts[0].name == "erratic"
    assert 0.05 < found.numbers["steep_share"].estimate < 0.3
    assert found.numbers["spread_steep"].estimate < 0.3


def test_seeds_that_are_ignored() -> None:
    assert judged(completed(lambda lower, z: (lower + 0.5) / 2), sample_z=uniform) == ["seed ignored", "blurred"]
    wild = completed(lambda lower, z: (lower + waves(lower)) / 2)
    assert judged(wild, sample_z=uniform) == ["seed ignored", "conditional mode collapse"]


def test_outputs_that_depend_on_the_batch() -> None:
    found = judged(completed(lambda lower: (lower + lower.mean(0)) / 2))
    assert "batch-dependent" in found
    assert "robust" not in found


class Unprojecting(InpaintingProjector):
    """A projector that forgets to put the observed pixels in place."""

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        return 0.9 * x + 0.1 * super().project(x, y)


def test_a_broken_projector_is_named_whatever_the_estimator_does() -> None:
    broken, sampler = Unprojecting(BOTTOM), completed(lambda lower, z: (lower + z) / 2)
    inconsistent = completed(lambda lower, z: z)
    for G in (sampler, Consistent(inconsistent, broken)):
        found = judged(G, sample_z=uniform, projector=broken)
        assert found[0] == "broken projector"
        assert "inconsistent" not in found


def test_an_inconsistent_estimator_is_not_blamed_on_the_projector() -> None:
    assert judged(lambda y, z: torch.cat([(y[:, :, -1:] + z) / 2, 0.9 * y[:, :, -1:]], 2), sample_z=uniform)[0] == (
        "inconsistent"
    )
