"""The toy distributions and hand-made estimators, against their definitions and closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from reference_experiments.toy.data import (
    Ellipses,
    disk,
    disk_posterior,
    half_height,
    sine_estimator,
    square,
    zigzag,
    zigzag_transport,
)
from reference_experiments.toy.evaluation import distance, maxima, quantiles
from reference_experiments.toy.exact import exact, posterior_sensitivity, rotated_seed, theorem1


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_disk_is_uniform() -> None:
    x = disk(100_000, generator()).double()
    assert (x.square().sum(1) <= 1 + 1e-6).all()
    torch.testing.assert_close(x.square().mean(0), torch.full((2,), 0.25).double(), rtol=0.02, atol=0)
    assert abs((x.square().sum(1) < 0.25).double().mean() - 0.25) < 0.005  # area of half the radius


def test_posterior_draws_give_back_the_disk() -> None:
    chance = generator()
    y = disk(100_000, chance)[:, 0]
    x = disk_posterior(y, chance)
    assert torch.equal(x[:, 0], y)
    assert abs((x.square().sum(1) < 0.25).double().mean() - 0.25) < 0.005


def test_sine_estimators_stay_on_the_disk_and_move_as_their_slope_says() -> None:
    y = torch.linspace(-0.9, 0.9, 50).double()
    for alpha in (1.0, 50.0):
        assert (sine_estimator(y, alpha).square().sum(1) <= 1 + 1e-12).all()
    found = maxima(lambda at: sine_estimator(at, 50.0)[:, 1:], torch.zeros(1).double(), 1e-3, 41)
    torch.testing.assert_close(found.same_seed, math.sin(0.05), rtol=1e-3, atol=0)  # slope 50 at y = 0
    assert found.w2 == found.same_seed  # deterministic: Eq. 5 and 7 are one


def test_zigzag_is_the_papers_and_its_transport_costs_what_it_should() -> None:
    y = torch.rand(1000).double()
    papers = torch.arccos(torch.cos(2 * math.pi * 3 * y).clamp(-1, 1)) / math.pi
    torch.testing.assert_close(zigzag(y, 3)[:, 1], papers)
    for f in (1, 4):
        x = square(200_000, generator()).double()
        moved = zigzag_transport(x, f)
        torch.testing.assert_close(zigzag(moved[:, 0], f)[:, 1], moved[:, 1], rtol=0, atol=1e-9)  # it lands there
        cost = (x - moved).square().sum(1).mean().item()
        assert cost == pytest.approx(1 / (24 * f**2), rel=0.02)


def test_ellipses_are_uniform_and_the_estimators_consistent() -> None:
    region = Ellipses(a=0.75, b=1.0, inner=0.5)
    x = region.sample(50_000, generator()).double()
    scaled = (x / torch.tensor([0.75, 1.0]).double()).square().sum(1)
    assert ((scaled >= 0.25 - 1e-6) & (scaled <= 1 + 1e-6)).all()
    assert abs((scaled < 0.5).double().mean() - 1 / 3) < 0.01
    y = torch.linspace(-0.74, 0.74, 5001)
    one, both = region.one_side(y), region.both_sides(y)
    hole, outer = region.edges(y)
    assert torch.equal(one[:, 0], y)
    assert ((one[:, 1].abs() >= hole - 1e-6) & (one[:, 1].abs() <= outer + 1e-6)).all()  # never in the hole
    assert (both[:, 1].abs() < hole).any()  # through it
    for line in (one, both):
        assert (line[1:, 1] - line[:-1, 1]).abs().max() < 0.1  # continuous


def test_quantiles_are_a_quadrature_of_their_law() -> None:
    assert abs(quantiles(200, "uniform").double().square().mean() - 1 / 3) < 1e-4
    assert abs(quantiles(200, "normal").double().square().mean() - 1) < 0.02


def test_maxima_tell_transport_from_pairing() -> None:
    # Half of the seeds trade places with the other half as y moves: the pairing moves, the law does not.
    def draws(y: torch.Tensor) -> torch.Tensor:
        sign = torch.where(y > 0, 1.0, -1.0)[:, None]
        return sign * torch.tensor([[1.0, -1.0]]).double()

    found = maxima(draws, torch.full((3,), -0.5).double(), 1.0, 5)
    assert found.same_seed == 2.0
    assert found.w2 == 0.0


def test_posterior_sensitivity_is_its_integral() -> None:
    y = torch.linspace(-1, 1, 20001).double()
    weights = half_height(y) / half_height(y).sum()
    shift = torch.maximum(*((half_height(y + s * 1e-2) - half_height(y)).abs() for s in (-1, 1)))
    expected = float((weights * shift.square() / 3).sum().sqrt())
    assert posterior_sensitivity(1e-2, generator()) == pytest.approx(expected, rel=0.05)


def test_theorem_1_only_the_posterior_has_all_three() -> None:
    rows = theorem1(generator(), n=400, n_inputs=20, n_given=200)
    floor = rows[0]
    for entry in rows[1:]:
        perfect = entry["w2_to_data"] < 1.5 * floor["w2_to_data"]
        consistent = entry["inconsistency"] == 0
        assert (
            not (perfect and consistent) or "erratic" in entry["estimator"]
        )  # its distance is below 400 points' floor
        assert entry["w2_to_posterior"] > 2 * floor["w2_to_posterior"], entry["estimator"]


def test_distance_of_a_translation() -> None:
    x = disk(50, generator())
    assert distance(x, x + torch.tensor([0.3, 0.4])) == pytest.approx(0.25, rel=1e-5)


def test_a_seed_that_y_rotates_moves_the_outputs_and_not_their_law() -> None:
    eps = 0.01
    z = torch.randn(200_000, 2, generator=generator(), dtype=torch.float64)
    turned = torch.polar(torch.ones(()).double(), torch.tensor(2 * math.pi * eps).double()) * torch.view_as_complex(z)
    change = (torch.view_as_real(turned) - z).square().sum(1).mean().sqrt()
    assert rotated_seed(eps).same_seed == pytest.approx(float(change), rel=5e-3)
    assert rotated_seed(eps).w2 == 0


def test_floors_are_means_of_draws_with_their_deviation() -> None:
    found = exact(1e-2, generator(), n_draws=3, n_inputs=50, n_points=40)
    again = generator()
    rows = [theorem1(again, n=40) for _ in range(3)]
    first = torch.tensor([draw[0]["w2_to_data"] for draw in rows], dtype=torch.float64)
    assert found["theorem_1"][0]["w2_to_data"] == pytest.approx(
        {"mean": float(first.mean()), "spread": float(first.std())}
    )
    own = torch.tensor([posterior_sensitivity(1e-2, again, 50) for _ in range(3)], dtype=torch.float64)
    assert found["posterior_sensitivity"] == pytest.approx({"mean": float(own.mean()), "spread": float(own.std())})
    assert (found["n_draws"], found["n_inputs"]) == (3, 50)
