"""What is said of noise in y, of the attack, and of where it may go, by restorers whose truth is known."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stochrobust import (
    L2,
    PGD,
    AttackWarning,
    AuditReport,
    AuditSettings,
    InpaintingProjector,
    Linf,
    RandomSearch,
    audit,
    compare,
)
from stochrobust.auditing.findings import AuditNumber
from stochrobust.auditing.verdicts import judge
from tests.auditing.restorers import PROJECTOR, TAU, Scaled, gains, noise, sources

FEW = AuditSettings(n_seeds=4, n_attacked=2, attack_seeds=1, k=2, radii=(), n_splits=2, n_examples=1)
X = sources(60)
SIGMA = 0.02
NOISY = PROJECTOR.D(X) + SIGMA * torch.randn(60, 1, 2, 2, generator=torch.Generator().manual_seed(9))
KEPT = (TAU / 2) ** 2 / ((TAU / 2) ** 2 + SIGMA**2)
"""Of a block average's deviation from 1/2, by the posterior's mean."""


def posterior(y: Tensor, z: Tensor) -> Tensor:
    """Exact, of Gaussian sources and noise: z's block averages move the block, the rest of z its pixels."""
    averages = PROJECTOR.D(z) * 2  # of unit variance
    blocks = 0.5 + KEPT * (y - 0.5) + math.sqrt(KEPT) * SIGMA * averages
    return PROJECTOR.project(0.5 + TAU * z, blocks)


def mean(y: Tensor) -> Tensor:
    return PROJECTOR.pinv(0.5 + KEPT * (y - 0.5))


def wrapped(y: Tensor, z: Tensor) -> Tensor:
    return PROJECTOR.project(posterior(y, z), y)


def averaged(y: Tensor, z: Tensor) -> Tensor:
    """As near to y as a mean, with pixels that vary."""
    return PROJECTOR.project(0.5 + TAU * z, 0.5 + KEPT * (y - 0.5))


def noisy(G: Any, sigma: Any = SIGMA, **more: Any) -> AuditReport:
    arguments: dict[str, Any] = {"sample_z": None if G is mean else noise, "settings": FEW, "projector": PROJECTOR}
    return audit(G, (NOISY, X), eps=0.05, noise=sigma, **(arguments | more))


def names(report: AuditReport) -> dict[str, str]:
    return {verdict.name: verdict.level for verdict in report.verdicts}


@pytest.mark.parametrize(
    ("G", "left", "name", "level"),
    [
        (posterior, 1.0, "agrees with the noise", "good"),
        (mean, 1 - KEPT, "agrees with the noise", "good"),
        (averaged, 1 - KEPT, "noise averaged", "note"),
        (wrapped, 0.0, "noise kept", "note"),
        (lambda y, z: posterior(y, z) + 0.05, 1 + (0.05 / SIGMA) ** 2, "inconsistent", "bad"),
    ],
)
def test_what_is_left_of_y_beside_its_noise(G: Any, left: float, name: str, level: str) -> None:
    found = noisy(G)
    expected = left if left != 1 - KEPT else (1 - KEPT) ** 2 * ((TAU / 2) ** 2 + SIGMA**2) / SIGMA**2
    assert found.numbers["noise_consistency"].estimate == pytest.approx(expected, rel=0.25, abs=1e-3)
    assert names(found)[name] == level
    assert set(names(found)) & {"agrees with the noise", "noise averaged", "noise kept", "inconsistent"} == {name}
    assert "data of another D" not in names(found)


def test_without_the_noise_an_exact_sampler_is_as_consistent_as_its_data() -> None:
    found = noisy(posterior, None)
    assert "noise_consistency" not in found.numbers
    assert names(found)["data of another D"] == "note"
    assert "inconsistent" not in names(found)


@pytest.mark.parametrize("sigma", [torch.tensor(SIGMA), lambda y: torch.full_like(y, SIGMA)])
def test_noise_may_be_a_tensor_or_a_function(sigma: Any) -> None:
    found = noisy(posterior, sigma)
    assert found.per_input["noise_consistency"] == pytest.approx(noisy(posterior).per_input["noise_consistency"])
    assert found.protocol["noise"] != noisy(posterior).protocol["noise"]
    twice = noisy(posterior, 2 * SIGMA)
    ratio = twice.numbers["noise_consistency"].estimate / found.numbers["noise_consistency"].estimate
    assert ratio == pytest.approx(0.25, rel=1e-3)


@pytest.mark.parametrize(
    ("sigma", "error"), [(0.0, ValueError), (-0.1, ValueError), (math.nan, ValueError), ("much", TypeError)]
)
def test_wrong_noise(sigma: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="noise must be"):
        noisy(posterior, sigma)


def test_noise_needs_a_projector() -> None:
    with pytest.raises(ValueError, match="projector must be given where noise is"):
        noisy(posterior, projector=None)


def test_an_interval_that_holds_1_blames_nobody() -> None:
    def found(low: float, high: float) -> list[str]:
        numbers = {"consistency": AuditNumber(30, 30, 30, 9)}
        numbers["noise_consistency"] = AuditNumber((low + high) / 2, low, high, 9)
        return [verdict.name for verdict in judge(numbers, stochastic=True, takes_seeds=True)]

    assert found(0.9, 1.8) == ["agrees with the noise"]
    assert found(1.1, 1.8) == ["inconsistent"]
    assert found(0.5, 0.9) == ["agrees with the noise"]
    assert found(0.5, 0.7) == ["noise averaged"]


# -- the attack --------------------------------------------------------------------------------------------------------


def attacked(G: Any = None, **more: Any) -> AuditReport:
    arguments: dict[str, Any] = {"settings": FEW, "eps": 0.05} | more
    return audit(G or Scaled(gains(3.0)), (X[:8], X[:8]), **arguments)


def test_the_strong_attack_is_the_caller_s() -> None:
    usual, weak = attacked(), attacked(attack=RandomSearch(3))
    assert weak.protocol["attacks"]["strong"] == repr(RandomSearch(3))
    assert weak.numbers["amplification"].estimate < 0.8 * usual.numbers["amplification"].estimate
    assert weak.per_input["robustness_paper"] == usual.per_input["robustness_paper"]
    assert f"The strong attack is {RandomSearch(3)!r}." in weak.to_markdown()
    with pytest.raises(ValueError, match=r"attacks\.strong"):
        compare(usual, weak)
    last = attacked(attack=PGD(steps=3, step=0.5, keep="last"))
    assert last.numbers["amplification"].estimate > weak.numbers["amplification"].estimate
    with pytest.raises(TypeError, match="attack must be an attack"):
        attacked(attack="strong")


def without_gradient(y: Tensor) -> Tensor:
    return torch.from_numpy(y.numpy() * gains(3.0).numpy())


def no_grad(y: Tensor) -> Tensor:
    with torch.no_grad():
        return y * gains(3.0)


@pytest.mark.parametrize("G", [without_gradient, no_grad])
def test_what_has_no_gradient_is_searched_without(G: Any) -> None:
    found = attacked(G)
    assert "SubspaceSearch" in found.protocol["attacks"]["strong"]
    assert set(found.protocol["attacks"]) == {"strong", "ball"}
    assert "robustness_paper" not in found.numbers
    assert "paper's attack" not in found.to_markdown().replace("the paper's attack was left out", "").replace(
        "and the paper's attack was left out", ""
    )
    assert found.numbers["amplification"].estimate == pytest.approx(3.0, rel=0.02)
    assert names(found)["searched without gradients"] == "note"
    assert [concern.code for concern in found.concerns] == ["no gradient"]
    asked = attacked(G, attack=RandomSearch(5))
    assert asked.protocol["attacks"]["strong"] == repr(RandomSearch(5))


def test_what_ignores_its_input_is_not_taken_for_what_has_no_gradient() -> None:
    found = attacked(lambda y: 0.5 + 0 * y.detach())
    assert "input ignored" in names(found)
    assert "searched without gradients" not in names(found)


# -- where it may go ---------------------------------------------------------------------------------------------------


SEEN = torch.arange(4) > 0
INPAINTING = InpaintingProjector(SEEN)


class Reading(nn.Module):
    """Looks at the hidden column too, and more there."""

    def forward(self, y: Tensor) -> Tensor:
        return y * torch.tensor([6.0, 1.0, 1.0, 1.0])


def test_where_the_attack_may_go_and_how_much_of_it_is_where_y_holds_nothing() -> None:
    arguments: dict[str, Any] = {"eps": 0.05, "settings": FEW, "projector": INPAINTING}
    everywhere = audit(Reading(), X[:8], **arguments)
    assert everywhere.numbers["energy_outside"].estimate == pytest.approx(1.0, abs=1e-2)
    assert everywhere.numbers["amplification"].estimate == pytest.approx(6.0, rel=1e-2)
    inside = audit(Reading(), X[:8], ball=L2(mask=SEEN), **arguments)
    assert inside.numbers["energy_outside"].estimate == 0
    assert inside.numbers["amplification"].estimate == pytest.approx(1.0, rel=1e-2)
    assert inside.protocol["attacks"]["ball"] != everywhere.protocol["attacks"]["ball"]
    with pytest.raises(ValueError, match=r"attacks\.ball"):
        compare(everywhere, inside)
    assert "energy_outside" not in attacked().numbers  # all of y is observed, or it is not known


def test_lengths_are_l2_in_any_ball() -> None:
    found = attacked(Scaled(torch.ones(1, 4, 4)), ball=Linf())
    assert found.numbers["amplification"].estimate == pytest.approx(1.0, rel=1e-3)
    assert found.numbers["ai_psnr_strong"].estimate == pytest.approx(-20 * math.log10(0.05), abs=0.1)
    boxed = attacked(ball=L2(box=(float(X.min()), float(X.max()))))
    assert "box=(" in boxed.protocol["attacks"]["ball"]


# -- doubts ------------------------------------------------------------------------------------------------------------


def test_train_mode_is_told_before_anything_is_measured() -> None:
    calls = []

    class Forgotten(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, y: Tensor) -> Tensor:
            calls.append(len(y))
            raise RuntimeError("measured")

    with (
        pytest.warns(AttackWarning, match="train mode, in which Dropout"),
        pytest.raises(RuntimeError, match="measured"),
    ):
        attacked(Forgotten())
    assert len(calls) == 1
    trained = nn.Sequential(nn.Dropout(0.1), Scaled(gains(1.0)))
    with pytest.warns(AttackWarning, match="train mode"):
        found = attacked(trained)
    assert "train mode" in [concern.code for concern in found.concerns]
    assert "train mode" not in [concern.code for concern in attacked(trained.eval()).concerns]


def test_noise_is_of_a_y_that_was_given() -> None:
    """A y that is made from x holds none, and every consistent G would be said to keep it."""

    def never(y: Tensor) -> Tensor:
        raise AssertionError("nothing is measured")

    for data in (X, {"x": X}, [X[:30], X[30:]]):
        with pytest.raises(
            ValueError, match=r"^noise must be .*y, made from x .*, holds no noise; give pairs \(y, x\)"
        ):
            audit(never, data, eps=0.05, noise=SIGMA, projector=PROJECTOR, settings=FEW)
    with pytest.raises(ValueError, match=r"^noise must be .*--inputs"):
        audit(mean, [(NOISY[:30], X[:30]), X[30:]], eps=0.05, noise=SIGMA, projector=PROJECTOR, settings=FEW)
