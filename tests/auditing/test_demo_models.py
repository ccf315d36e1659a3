"""What an audit says of the demo's four GANs: the paper's diagnosis, of those that it is of."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import Tensor

from reference_experiments.arms import ARMS, Arm
from reference_experiments.digits.data import validation_images
from reference_experiments.digits.restorers import load_restorer
from stochrobust import AuditReport, AuditSettings, InpaintingProjector, audit, compare, eps_from_psnr

pytest.importorskip("sklearn")
pytest.importorskip("safetensors")
BOTTOM = torch.arange(8)[:, None] >= 6
COLLAPSE = "conditional mode collapse"
ERRATIC, ROBUST = Arm(stochastic=True, robust=False), Arm(stochastic=True, robust=True)
FIXED_ERRATIC, FIXED_ROBUST = Arm(stochastic=False, robust=False), Arm(stochastic=False, robust=True)


@functools.cache
def report(arm: Arm, n: int = 240) -> AuditReport:
    settings = AuditSettings(n_attacked=8, attack_seeds=4, radii=(), n_splits=4, n_examples=0)
    return audit(
        load_restorer(arm), validation_images()[:n], eps=eps_from_psnr(30.0, 64), title=arm.name, settings=settings,
        projector=InpaintingProjector(BOTTOM),
    )  # fmt: skip


def names(found: AuditReport) -> list[str]:
    return [verdict.name for verdict in found.verdicts]


def test_the_erratic_stochastic_gan_has_collapsed() -> None:
    found = report(ERRATIC)
    assert found.stochastic
    assert names(found) == [COLLAPSE]
    assert found.verdicts[0].level == "bad"
    assert COLLAPSE in found.to_markdown()


def test_the_robust_stochastic_gan_has_not() -> None:
    found = report(ROBUST)
    assert names(found) == ["miscalibrated", "robust and diverse"]
    assert COLLAPSE not in found.to_markdown()


def test_deterministic_gans_are_not_blamed_for_having_no_diversity() -> None:
    assert names(report(FIXED_ERRATIC)) == ["erratic"]
    assert names(report(FIXED_ROBUST)) == ["blurred"]
    for arm in (FIXED_ERRATIC, FIXED_ROBUST):
        for verdict in report(arm).verdicts:
            assert "spread" not in verdict.sentence


class Swapped(InpaintingProjector):
    """A projector that keeps the pixels which are missing."""

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.where(self.mask, x, y)


def test_a_broken_projector_is_named() -> None:
    settings = AuditSettings(n_seeds=2, n_attacked=2, attack_seeds=1, radii=(), n_splits=2, n_examples=0)
    found = audit(
        load_restorer(ROBUST), validation_images()[:20], eps=0.1, projector=Swapped(BOTTOM), settings=settings
    )
    assert names(found)[0] == "broken projector"
    assert "inconsistent" not in names(found)
    assert "broken projector" not in names(report(ROBUST))


def test_the_robust_gan_is_more_robust_than_the_erratic_one_on_the_same_inputs() -> None:
    found = {difference.name: difference for difference in compare(report(ERRATIC), report(ROBUST)).differences}
    for name in ("robustness_strong", "robustness_paper", "std", "amplification", "crps"):
        assert found[name].outcome == "better", found[name]
        assert found[name].paired
    assert found["spread_error"].outcome == "higher"
    assert found["robustness_strong"].estimate == pytest.approx(19, abs=2)
    assert not found["frechet"].paired
    assert all(arm.name in (report(arm).title, "") for arm in ARMS)


def test_other_inputs_are_not_compared() -> None:
    with pytest.raises(ValueError, match="data"):
        compare(report(FIXED_ERRATIC), report(FIXED_ROBUST, 239))
