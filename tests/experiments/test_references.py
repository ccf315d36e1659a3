"""Restorers in closed form: what they are, and what they are measured to be."""

from __future__ import annotations

import pytest
import torch

from reference_experiments.digits.data import load_digits, observed
from reference_experiments.digits.evaluation import Protocol, measure
from reference_experiments.references import RIDGES, Linear, Near, near_width, references
from stochrobust import InpaintingProjector

pytest.importorskip("sklearn")


def test_the_linear_restorer_of_gaussians_is_their_regression() -> None:
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    y = torch.randn(50, 3, generator=generator, dtype=torch.float64) + 1
    x = y @ A + 2
    torch.testing.assert_close(Linear(x, y, 0.0)(y[:4] + 1), (y[:4] + 1) @ A + 2)
    shrunk = [(Linear(x, y, ridge)(y[:4]) - x.mean(0)).norm() for ridge in (0.0, 1.0, 1e9)]
    assert shrunk[0] > shrunk[1] > shrunk[2]
    assert shrunk[2] < 1e-6
    masked = torch.cat([y, torch.zeros(50, 2, dtype=torch.float64)], 1)
    torch.testing.assert_close(Linear(x, masked, 0.5)(masked), Linear(x, y, 0.5)(y))


def test_near_images_are_weighted_by_their_inputs_distances() -> None:
    x, y = torch.eye(3), torch.tensor([[0.0], [1.0], [5.0]])
    weights = torch.exp(-torch.tensor([0.25, 0.25, 20.25]) / (2 * 2.0**2))
    torch.testing.assert_close(Near(x, y, 2.0)(torch.tensor([[0.5]]))[0], weights / weights.sum())
    assert torch.equal(Near(x, y, 0.0)(torch.tensor([[0.6], [4.0]])), x[1:])
    assert near_width(y) == 1.0  # of 1, 1 and 4


def test_one_distortion_goes_with_robustness_of_any_size_and_a_copy_has_every_quality() -> None:
    digits, eps = load_digits(), 0.253
    made = references(digits.train, InpaintingProjector(observed()))
    x = digits.validation[:200]
    rows = {title: measure(G, x, eps, Protocol(2, 2, 1), 0) for title, G in made.items()}
    error = {title: float((G(x.where(observed(), 0)) - x).square().mean().sqrt()) for title, G in made.items()}
    assert all(row["consistency"] == torch.inf for row in rows.values())
    assert rows["Pseudo-inverse"]["robustness_evaluation"] == pytest.approx(30, abs=0.01)  # moves as much as y
    low, _, high = (f"Linear, ridge {ridge:g}" for ridge in RIDGES)
    assert rows[high]["robustness_evaluation"] > rows[low]["robustness_evaluation"] + 5
    assert error[high] < 1.1 * error[low]
    copy = rows["Copy of the nearest training image"]
    assert copy["recall"] > 0.8 > 10 * rows[low]["recall"]
    assert copy["frechet"] < 0.5
