"""Sensitivity by transport (Eq. 4), against closed forms, and Appendix D's inequality."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stochrobust import L2, PGD, AttackWarning, Linf, sensitivity, w2_distance, w2_sensitivity
from tests.problems import Linear, disk_posterior_w2, normal_z


def test_linear_estimator_only_translates_its_law() -> None:
    problem = Linear.with_singular_values([2.0, 1.0, 0.5])
    found = w2_sensitivity(problem, torch.randn(3, 3, dtype=torch.float64), 0.3, 20)
    exact = torch.full((3,), problem.sensitivity(0.3), dtype=torch.float64)
    for value in (found.value, found.same_seed, found.gelbrich, found.in_sample):
        torch.testing.assert_close(value, exact, rtol=1e-5, atol=0)
    assert (found.floor > 0.05).all()  # two draws of 20 points of one law are that far apart
    assert found.n_seeds == 20


def test_gaussian_whose_width_depends_on_y() -> None:
    # The law at y is N(y, (1 + y)^2): W2^2 = delta^2 + delta^2, whatever the pairing does not need.
    def G(y: Tensor, z: Tensor) -> Tensor:
        return y + (1 + y) * z

    found = w2_sensitivity(G, torch.zeros(1, 1).double(), 0.5, 4000, sample_z=normal_z(1), attack=PGD(3))
    torch.testing.assert_close(found.value, torch.tensor([0.5]).double(), rtol=0.1, atol=0)
    torch.testing.assert_close(found.gelbrich, found.value, rtol=1e-3, atol=0)


def test_disk_posterior_sampler() -> None:
    quantiles = ((torch.arange(500) + 0.5) / 250 - 1).double()[:, None]

    def posterior(y: Tensor, z: Tensor) -> Tensor:
        return torch.cat([y, (1 - y.square()).sqrt() * z], 1)

    y, eps = torch.tensor([[0.3]]).double(), 0.05
    found = w2_sensitivity(posterior, y, eps, 500, z=quantiles, attack=PGD(5, restarts=6))
    exact = max(disk_posterior_w2(0.3, delta) for delta in (-eps, eps)) ** 2
    torch.testing.assert_close(found.value.item(), exact, rtol=1e-3, atol=0)


def test_shift_of_the_mean_is_exact_for_a_translation_and_what_its_formula_says_elsewhere() -> None:
    problem = Linear.with_singular_values([2.0, 1.0, 0.5])
    found = w2_sensitivity(problem, torch.randn(3, 3, dtype=torch.float64), 0.3, 5)
    exact = torch.full((3,), problem.sensitivity(0.3), dtype=torch.float64)
    torch.testing.assert_close(found.mean_shift, exact, rtol=1e-5, atol=0)

    def G(y: Tensor, z: Tensor) -> Tensor:
        return (y + z).sin() * (1 + y)

    y, z = torch.randn(2, 3).double(), torch.randn(8, 3).double()
    found = w2_sensitivity(G, y, 0.5, 4, z=z, attack=PGD(3))
    changes = (G((y + found.delta).repeat_interleave(4, 0), z) - G(y.repeat_interleave(4, 0), z)).reshape(2, 4, 3)
    for b in range(2):
        pairs = [changes[b, s] @ changes[b, t] for s in range(4) for t in range(4) if s != t]
        assert found.mean_shift[b].item() == pytest.approx(float(sum(pairs)) / 12)


def test_shift_of_the_mean_is_unbiased_where_the_mean_stays() -> None:
    found = w2_sensitivity(
        shuffled, torch.zeros(400, 1).double(), 0.1, 8, attack=PGD(8, step=0.3),
        sample_z=lambda y, generator: torch.rand(len(y), 1, dtype=y.dtype, generator=generator),
    )  # fmt: skip
    error = found.mean_shift.std().item() / 20
    assert abs(found.mean_shift.mean().item()) < 3 * error < 0.1
    assert found.same_seed.mean().item() / 8 > 0.3  # what the square of the mean change is too large by
    assert (found.mean_shift < 0).any()


def test_a_matching_that_says_nothing_is_told() -> None:
    wide = w2_sensitivity(lambda y, z: y + 100 * z, torch.zeros(2, 3).double(), 0.1, 4, sample_z=normal_z(3))
    assert wide.identity.all()
    z = (torch.arange(64) / 64).double()[:, None]
    moved = w2_sensitivity(shuffled, torch.zeros(1, 1).double(), 0.1, 64, z=z, attack=PGD(30, step=0.1))
    assert not moved.identity.any()
    alone = w2_sensitivity(lambda y: 2 * y, torch.zeros(2, 3), 0.5)
    assert alone.identity.all()
    assert alone.mean_shift.isnan().all()


def shuffled(y: Tensor, z: Tensor) -> Tensor:
    """Rotates by an angle that grows with y: each seed moves far, the law (a circle) not at all."""
    angle = 40 * y[:, :1] + 6.2831853 * z[:, :1]
    return torch.cat([angle.cos(), angle.sin()], 1)


def test_a_law_that_does_not_move_tells_eq4_from_eq6() -> None:
    y = torch.zeros(1, 1).double()
    z = (torch.arange(64) / 64).double()[:, None]
    by_law = w2_sensitivity(shuffled, y, 0.1, 64, z=z, attack=PGD(30, step=0.1))
    by_seed = sensitivity(shuffled, y, 0.1, 64, z=z, attack=PGD(30, step=0.1))  # |e^(i pi) - 1|^2 = 4, inside the ball
    assert by_law.value.item() < 0.003
    assert by_seed.value.item() > 3.9
    assert by_law.same_seed.item() >= by_law.value.item()


def test_order_of_the_three_values_holds_on_any_estimator() -> None:
    weights = torch.randn(12, 5).double()

    def G(y: Tensor, z: Tensor) -> Tensor:
        return torch.tanh(torch.cat([y, z, y * z], 1) @ weights)

    y = torch.randn(6, 4).double()
    found = w2_sensitivity(G, y, 1.0, 15, sample_z=normal_z(4), attack=PGD(4), ball=Linf())
    assert (found.gelbrich <= found.value * (1 + 1e-9)).all()
    assert (found.value <= found.same_seed * (1 + 1e-9)).all()
    assert (found.delta.abs() <= 1 + 1e-9).all()
    assert found.held_out
    given = w2_sensitivity(G, y, 1.0, 15, z=torch.randn(90, 4).double(), attack=PGD(2))
    assert not given.held_out
    assert given.floor.isnan().all()
    torch.testing.assert_close(given.value, given.in_sample)


def test_gradient_through_the_matching_finds_what_the_same_seed_attack_does_not() -> None:
    # Along the first axis the seeds trade places; along the second the law moves, but less than the seeds do.
    def G(y: Tensor, z: Tensor) -> Tensor:
        turned = shuffled(y[:, :1], z)
        return torch.cat([turned, 3 * y[:, 1:]], 1)

    z = (torch.arange(16) / 16).double()[:, None]
    found = w2_sensitivity(G, torch.zeros(1, 2).double(), 0.05, 16, z=z, attack=PGD(30, step=0.5, restarts=4))
    assert found.value.item() > 0.9 * (3 * 0.05) ** 2


def test_a_law_that_stays_while_the_outputs_change_places_is_not_an_ignored_input() -> None:
    z = torch.tensor([[1.0], [-1.0]]).repeat(40, 1)
    with pytest.warns(AttackWarning, match="the gradient of G with respect to y was zero"):
        found = w2_sensitivity(lambda y, z: z * y.sign() + 0 * y, torch.full((40, 1), -0.01), 1.0, 2, z=z)
    assert (found.value == 0).all()
    assert not any("exactly the same" in concern for concern in found.concerns)


def test_an_attack_beaten_by_a_random_direction_is_named() -> None:
    with pytest.warns(AttackWarning, match="the attack found less .* than one random direction did"):
        w2_sensitivity(lambda y: 3 * y, torch.zeros(20, 4), 1.0, attack=PGD(1, step=1e-6, keep="last"))


@pytest.mark.parametrize("max_batch", [None, 7])
def test_chunks_and_images(max_batch: int | None) -> None:
    y = torch.rand(2, 1, 2, 3).double()

    def G(y: Tensor, z: Tensor) -> Tensor:
        return y * z

    z = torch.randn(10, 1, 2, 3).double()
    found = w2_sensitivity(
        G, y, 0.4, 5, z=z, attack=PGD(4), max_batch=max_batch, ball=L2(mask=torch.tensor([1, 0, 1])),
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    assert (found.delta[..., 1] == 0).all()
    pairs = [(G(y.repeat_interleave(5, 0) + d, z)).reshape(2, 5, 6) for d in (0, found.delta.repeat_interleave(5, 0))]
    torch.testing.assert_close(found.value, w2_distance(*pairs).square())
    whole = w2_sensitivity(
        G, y, 0.4, 5, z=z, attack=PGD(4), ball=L2(mask=torch.tensor([1, 0, 1])),
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    torch.testing.assert_close(found.value, whole.value)


def test_one_seed_is_the_deterministic_sensitivity() -> None:
    found = w2_sensitivity(lambda y: 2 * y, torch.zeros(2, 3), 0.5)
    torch.testing.assert_close(found.value, torch.ones(2))
    torch.testing.assert_close(found.gelbrich, torch.ones(2))
    assert (found.floor == 0).all()
