"""Evidence that an attack is strong: the linearisation's eigenvalue, and searches that gradients cannot mislead."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from stochrobust import (
    L2,
    PGD,
    AttackWarning,
    Linf,
    RandomSearch,
    SphereAscent,
    attack_evidence,
    linearised_sensitivity,
    sensitivity,
)
from tests.problems import Linear, SmallNet, normal_z

# -- the linearisation -------------------------------------------------------------------------------------------------


def test_of_a_linear_estimator_it_is_the_sensitivity() -> None:
    problem = Linear.with_singular_values([1.3, *torch.linspace(1.0, 0.01, 63).tolist()])
    y, eps = torch.randn(3, 64, dtype=torch.float64), torch.tensor([0.1, 0.3, 2.0]).double()
    found = linearised_sensitivity(problem, y, eps, 2, steps=40)
    torch.testing.assert_close(found.value, (1.3 * eps).square(), rtol=1e-10, atol=0)
    assert (found.residual < 1e-6 * found.value).all()
    torch.testing.assert_close(L2().norm(found.delta), eps)
    moved = (found.delta @ problem.A.T).square().sum(1)
    torch.testing.assert_close(moved, found.value)


def test_it_is_the_top_eigenvalue_of_the_mean_over_seeds() -> None:
    net = SmallNet().double().eval()
    y, z = torch.randn(3, 4).double(), torch.randn(15, 4).double()
    found = linearised_sensitivity(net, y, 1.0, 5, z=z, steps=4)
    for b in range(3):
        jacobians = [
            torch.autograd.functional.jacobian(lambda at, s=s: net(at[None], z[s : s + 1])[0], y[b])
            for s in range(5 * b, 5 * b + 5)
        ]
        exact = torch.linalg.eigvalsh(torch.stack([J.T @ J for J in jacobians]).mean(0))[-1]
        torch.testing.assert_close(found.value[b], exact)
    for max_batch in (1, 4, 7):
        chunked = linearised_sensitivity(net, y, 1.0, 5, z=z, steps=4, max_batch=max_batch)
        torch.testing.assert_close(chunked.value, found.value)


def test_fewer_steps_find_less_and_say_so() -> None:
    problem = Linear.with_singular_values(torch.linspace(1.0, 0.01, 50).tolist())
    y = torch.zeros(4, 50, dtype=torch.float64)
    few, many = (linearised_sensitivity(problem, y, 1.0, 1, steps=steps) for steps in (3, 30))
    assert (few.value < many.value).all()
    assert (many.value <= 1 + 1e-12).all()
    assert (few.value + few.residual >= 0.9).all()
    assert (few.residual > 10 * many.residual).all()


def test_it_is_what_small_radii_tend_to() -> None:
    net = SmallNet().double().eval()
    y, z = torch.randn(2, 4).double(), torch.randn(4, 4).double()
    linear = linearised_sensitivity(net, y, 1e-5, 2, z=z, steps=4).value
    found = sensitivity(net, y, 1e-5, 2, z=z, attack=SphereAscent(300)).value
    torch.testing.assert_close(found, linear, rtol=1e-4, atol=0)
    far = sensitivity(net, y, 3.0, 2, z=z).value / 9.0
    assert not torch.allclose(far, linear / 1e-10, rtol=0.02)


def test_conditions_and_blind_estimators() -> None:
    c = torch.tensor([[1.0], [2.0]])
    found = linearised_sensitivity(lambda y, c: y * c, torch.zeros(2, 3), 1.0, cond=c)
    torch.testing.assert_close(found.value, torch.tensor([1.0, 4.0]))
    blind = linearised_sensitivity(lambda y: torch.ones(len(y), 3), torch.zeros(2, 3), 1.0)
    assert (blind.value == 0).all()
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        linearised_sensitivity(lambda y: y, torch.zeros(2, 3), 1.0, steps=0)


# -- searches side by side ---------------------------------------------------------------------------------------------


class Mute(torch.autograd.Function):
    """The identity, with the gradient multiplied by a number that it does not have."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return y.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.factor, None


WEIGHTS = torch.tensor([3.0, 1.0, 1.0, 0.5], dtype=torch.float64)


def masked(y: Tensor) -> Tensor:
    """Its gradient is zero, its linearisation too; it moves like diag(WEIGHTS)."""
    moved: Tensor = Mute.apply(y, 0.0)  # type: ignore[no-untyped-call]
    return moved * WEIGHTS


def test_a_right_attack_is_not_contradicted() -> None:
    problem = Linear.with_singular_values([2.0, 1.0, 0.5, 0.2])
    y = torch.zeros(6, 4, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = attack_evidence(problem, y, 0.3, 2)
    exact = torch.full((6,), problem.sensitivity(0.3), dtype=torch.float64)
    torch.testing.assert_close(found.value, exact, rtol=1e-4, atol=0)
    torch.testing.assert_close(found.linearised, exact)
    torch.testing.assert_close(found.transferred, exact, rtol=1e-4, atol=0)  # one direction is the worst of all samples
    assert (found.gradient_free <= exact * (1 + 1e-9)).all()
    assert found.gradient_free.mean() > 0.8 * exact[0]
    assert found.random.mean() < 0.6 * exact[0]
    assert not found.masked.any()


def test_masked_gradients_are_found_by_trial() -> None:
    y = torch.zeros(5, 4, dtype=torch.float64)
    with pytest.warns(AttackWarning, match=r"for [1-5] of 5 samples a search without G's gradient .* found more"):
        found = attack_evidence(masked, y, 0.5)
    assert (found.gradient_free > 0.9 * 9 * 0.25).all()
    assert found.masked.any()
    assert (found.linearised == 0).all()
    with pytest.warns(AttackWarning):
        weaker = attack_evidence(masked, y, 0.5, trials=1)
    assert weaker.gradient_free.mean() < found.gradient_free.mean()


def test_a_surrogate_finds_what_gradients_hide() -> None:
    y = torch.zeros(5, 4, dtype=torch.float64)
    with pytest.warns(AttackWarning):
        found = attack_evidence(masked, y, 0.5, trials=1, surrogate=lambda y: y * WEIGHTS)
    torch.testing.assert_close(found.transferred, torch.full((5,), 9 * 0.25).double(), rtol=1e-3, atol=0)


def test_without_a_surrogate_the_next_samples_delta_is_tried() -> None:
    y, box = torch.tensor([[0.2], [0.9]]), (0.0, 1.0)
    found = attack_evidence(lambda y: 2 * y, y, 0.5, ball=L2(box=box))
    torch.testing.assert_close(found.value, torch.tensor([1.0, 1.0]))  # up from 0.2, down from 0.9
    torch.testing.assert_close(found.transferred, torch.tensor([0.16, 0.04]))  # the other's way, as far as the box goes
    alone = attack_evidence(lambda y: 2 * y, y[:1], 0.5)
    assert alone.transferred.isnan().all()
    assert not alone.masked.any()


def test_all_are_scored_on_seeds_that_none_of_them_saw() -> None:
    def G(y: Tensor, z: Tensor) -> Tensor:
        return (y * z).sum(1, keepdim=True)

    with pytest.warns(AttackWarning):  # one seed sees one direction: what is found is no better than chance elsewhere
        found = attack_evidence(G, torch.zeros(300, 20), 1.0, 1, sample_z=normal_z(20), attack=PGD(3), trials=5)
    for value in (found.value, found.random, found.gradient_free, found.transferred):
        assert 0.6 < value.mean() < 1.5


def test_attack_and_ball_are_those_given() -> None:
    y = torch.zeros(3, 4, dtype=torch.float64)
    corner = attack_evidence(lambda y: y * WEIGHTS, y, 0.5, ball=Linf())
    torch.testing.assert_close(corner.value, WEIGHTS.square().sum().expand(3) / 4)
    assert corner.linearised.isnan().all()
    with pytest.warns(AttackWarning):
        weak = attack_evidence(lambda y: y * WEIGHTS, y, 0.5, attack=RandomSearch(1), trials=200)
    assert (weak.value < 0.99 * 9 * 0.25).any()
    with pytest.raises(TypeError, match=r"surrogate must be callable like G, or None, got 3 \(int\)"):
        attack_evidence(lambda y: y, y, 0.5, surrogate=3)  # type: ignore[arg-type]
