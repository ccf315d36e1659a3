"""The range of the pixels: the same numbers in any, and outputs in another one than the sources."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from stochrobust import AuditReport, AuditSettings, BlockAverageProjector, audit
from stochrobust.auditing.pixels import PixelRange, check_pixel_range, outside_of
from stochrobust.auditing.verdicts import judge
from tests.auditing.restorers import PROJECTOR, noise, sources

FEW = AuditSettings(n_seeds=3, n_attacked=3, attack_seeds=2, k=2, radii=(2.0,), n_splits=2, n_examples=1)
X = sources(8)
DECIBELS = {"psnr_sample", "psnr_mean", "robustness_paper", "robustness_strong", "robustness_random"}
DECIBELS |= {"ai_psnr_strong", "consistency", "consistency_8bit"}
RATIOS = {"spread_error", "rank_deviation", "amplification", "change_over_spread", "change_over_error"}


def curved(y: Tensor, z: Tensor) -> Tensor:
    """In [0, 1], and off y by a little, so that its consistency is finite."""
    return (PROJECTOR.pinv(y) * (0.9 + 0.1 * torch.sin(9 * PROJECTOR.pinv(y))) + 0.02 * z).clamp(0, 1)


def in_range(low: float, high: float, **more: Any) -> AuditReport:
    """The same restorer of the same images in another range."""
    width = high - low

    def G(y: Tensor, z: Tensor) -> Tensor:
        return curved((y - low) / width, z) * width + low

    return audit(
        G, X * width + low, eps=0.1 * width, projector=BlockAverageProjector(2), sample_z=noise, settings=FEW,
        pixel_range=(low, high), **more,
    )  # fmt: skip


@pytest.mark.parametrize("ends", [(-1.0, 1.0), (0.0, 255.0)])
def test_the_range_changes_units_and_nothing_else(ends: tuple[float, float]) -> None:
    usual, found = in_range(0.0, 1.0), in_range(*ends)
    width = ends[1] - ends[0]
    assert {"frechet", "precision", "std", "crps"} | DECIBELS | RATIOS <= set(usual.numbers)
    for name, number in usual.numbers.items():
        scale = width ** {"std": 1, "crps": 1, "conditional_frechet": 2, "conditional_frechet_null": 2}.get(name, 0)
        other = found.numbers[name]
        if name in ("frechet", "precision", "recall", "density", "coverage"):
            assert other.estimate == pytest.approx(number.estimate, rel=1e-2, abs=1e-4), name
        elif name == "rank_deviation":
            assert other.estimate == pytest.approx(number.estimate, abs=0.02)
        else:
            assert other.estimate == pytest.approx(scale * number.estimate, rel=3e-3), name
    assert found.curve.ai_psnr == pytest.approx(usual.curve.ai_psnr, abs=1e-6)
    assert found.protocol["eps_psnr"] == pytest.approx(usual.protocol["eps_psnr"])
    assert found.protocol["data"]["data_range"] == list(ends)
    for name in ("x", "y", "samples", "y_attacked", "std"):
        mine, theirs = getattr(found.examples[0], name), getattr(usual.examples[0], name)
        assert torch.allclose(mine, theirs, atol=2e-2), name


def test_real_images_are_of_that_range_too() -> None:
    real = sources(9, seed=3)
    usual, found = in_range(0.0, 1.0, real=real), in_range(-1.0, 1.0, real=2 * real - 1)
    assert found.numbers["frechet"].estimate == pytest.approx(usual.numbers["frechet"].estimate, rel=1e-2)
    with pytest.raises(ValueError, match=r"real must have values in \[0, 1\], got -"):
        in_range(0.0, 1.0, real=2 * real - 1)


@pytest.mark.parametrize(
    ("G", "told"),
    [
        (lambda y: 2 * PROJECTOR.pinv(y) - 1, "at 2 times the contrast of x"),
        (lambda y: 255 * PROJECTOR.pinv(y), "at 255 times the contrast of x"),
        (lambda y: PROJECTOR.pinv(y) + 5, "100% of it outside by more than 10% of its width"),
    ],
)
def test_outputs_in_another_range_are_an_error_that_names_it(G: Callable[[Tensor], Tensor], told: str) -> None:
    images = torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(0)) ** 2
    images = images.repeat_interleave(2, -1).repeat_interleave(2, -2)
    with pytest.raises(ValueError, match=r"G's output must be in pixel_range, \[0, 1\], .*" + told):
        audit(G, images, eps=0.1, projector=PROJECTOR, settings=FEW)


def test_the_range_that_the_error_asks_for_is_taken() -> None:
    images = 2 * X - 1
    audit(PROJECTOR.pinv, images, eps=0.1, projector=PROJECTOR, settings=FEW, pixel_range=(-1, 1))
    with pytest.raises(ValueError, match=r"x must have values in \[0, 1\], got -"):
        audit(PROJECTOR.pinv, images, eps=0.1, projector=PROJECTOR, settings=FEW)


def test_outputs_partly_outside_are_a_doubt_that_earns_no_praise() -> None:
    found = audit(
        lambda y, z: PROJECTOR.pinv(y) + 0.5 * z, X, eps=0.1, projector=PROJECTOR, settings=FEW, sample_z=noise
    )
    assert "outside the range" in [concern.code for concern in found.concerns]
    levels = {verdict.name: verdict.level for verdict in found.verdicts}
    assert levels["outside the range"] == "bad"
    assert not {"robust", "robust and diverse"} & set(levels)
    calm = audit(
        lambda y, z: PROJECTOR.pinv(y) + 0.1 * z, X, eps=0.1, projector=PROJECTOR, settings=FEW, sample_z=noise
    )
    assert "outside the range" not in [concern.code for concern in calm.concerns]


def test_what_is_counted_as_outside_is_said_and_ends_as_a_sentence() -> None:
    """Of ten pixels two lie outside by a little and three by more: these are counted."""
    row = torch.tensor([-0.3, -0.2, 1.2, -0.05, 1.05, 0.1, 0.3, 0.5, 0.7, 0.9])
    x = torch.full((4, 1, 1, 10), 0.5)
    for low, width in ((0.0, 1.0), (-1.0, 2.0)):
        pixels = PixelRange(low, low + width)
        said = outside_of(pixels.from_unit(row.expand_as(x)), pixels.from_unit(x), pixels)
        assert said is not None
        ends = f"{low - 0.3 * width:.4g} to {low + 1.2 * width:.4g}"
        named = f"[{low:g}, {low + width:g}]"
        assert said.startswith(f"30% of the outputs' pixels lie outside of {named} by more than 10% of its width ")
        assert f"(all of them from {ends})" in said
        found = judge({}, stochastic=False, takes_seeds=False, concerns=[said])
        assert "(see pixel_range). The other numbers" in found[0].sentence


@pytest.mark.parametrize(("n_outside", "doubted"), [(9, False), (11, True)])
def test_a_tenth_of_the_pixels_may_lie_outside(n_outside: int, doubted: bool) -> None:
    x = torch.full((1, 1, 10, 10), 0.5)
    outputs = x.clone()
    outputs.view(-1)[:n_outside] = 1.11
    assert (outside_of(outputs, x, PixelRange()) is not None) == doubted


def test_a_restorer_in_the_range_is_not_suspected() -> None:
    for outputs in (X, 0.5 + 0 * X, 1 - X, (X > 0.5).float()):
        assert outside_of(outputs, X, PixelRange()) is None


@pytest.mark.parametrize(
    ("value", "error"), [((1.0, 0.0), ValueError), ((0.0, 0.0), ValueError), ("01", TypeError), ((0.0,), TypeError)]
)
def test_wrong_ranges(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="pixel_range must"):
        check_pixel_range(value)
