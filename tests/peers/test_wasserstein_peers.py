"""W2 against geomloss and POT, each in its own conventions: `nox -s peers`, with geomloss where it is installed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from stochrobust.transport.bounds import w2_bracket
from stochrobust.transport.w2 import gaussian_w2_squared, sliced_w2_squared, w2_squared


def sets(n: int, m: int, d: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n)
    a, b = (torch.randn(3, size, d, generator=generator, dtype=torch.float64) for size in (n, m))
    return a, 1.5 * b + 0.5


def of_geomloss(a: Tensor, b: Tensor, **options: Any) -> Tensor:
    """Version 0.3.1: p = 2 costs half of the squared distance, and the regularization is the square of ``blur``."""
    geomloss = pytest.importorskip("geomloss")
    options = {"p": 2, "blur": 1e-2, "scaling": 0.95, "debias": False, "backend": "tensorized", **options}
    loss: Tensor = geomloss.SamplesLoss("sinkhorn", **options)(a, b)
    return 2 * loss


@pytest.mark.filterwarnings("ignore")  # of geomloss and what it imports
@pytest.mark.parametrize(("n", "m"), [(40, 40), (40, 30)])
def test_geomloss_without_its_conventions(n: int, m: int) -> None:
    a, b = sets(n, m, 3)
    exact, bracket = w2_squared(a, b), w2_bracket(a, b)
    assert (bracket.lower <= exact * (1 + 1e-12)).all()
    assert (exact <= bracket.upper * (1 + 1e-12)).all()
    torch.testing.assert_close(of_geomloss(a, b), exact, rtol=0.02, atol=0)
    torch.testing.assert_close((bracket.lower + bracket.upper) / 2, exact, rtol=0.02, atol=0)


@pytest.mark.filterwarnings("ignore")
def test_geomloss_has_a_bias_that_grows_with_its_blur() -> None:
    a, b = sets(40, 40, 3)
    exact = w2_squared(a, b)
    off = [((of_geomloss(a, b, blur=blur) - exact) / exact).abs().max().item() for blur in (0.03, 0.3, 1.0)]
    assert off[0] < off[1] < off[2]
    assert off[2] > 0.1
    bracket = w2_bracket(a, b)
    assert ((bracket.upper - bracket.lower) / exact).max() < 1e-6


@pytest.mark.parametrize(("n", "m", "d"), [(40, 40, 3), (40, 30, 5)])
def test_pot_has_the_same_gaussian_distance(n: int, m: int, d: int) -> None:
    ot = pytest.importorskip("ot")
    a, b = sets(n, m, d)
    moments = [(x.mean(0).numpy(), torch.cov(x.T, correction=0).numpy()) for x in (*a, *b)]
    expected = [
        ot.gaussian.bures_wasserstein_distance(*(part for pair in zip(*law, strict=True) for part in pair)) ** 2
        for law in zip(moments[:3], moments[3:], strict=True)
    ]
    assert gaussian_w2_squared(a, b).tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("n", "m", "d"), [(40, 40, 3), (40, 30, 5)])
def test_pot_has_the_same_sliced_distance(n: int, m: int, d: int) -> None:
    """Along the same lines; POT gives the root."""
    ot = pytest.importorskip("ot")
    a, b = sets(n, m, d)
    lines = torch.randn(d, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    projections = (lines / torch.linalg.vector_norm(lines, dim=0)).numpy()
    expected = [
        ot.sliced_wasserstein_distance(x.numpy(), y.numpy(), projections=projections) ** 2
        for x, y in zip(a, b, strict=True)
    ]
    found = sliced_w2_squared(a, b, n_projections=50, generator=torch.Generator().manual_seed(0))
    assert found.tolist() == pytest.approx(expected, rel=1e-9)


def test_pot_stops_too_early_inside_tight_clusters() -> None:
    """Version 0.9.7: its tolerance is one for all costs; ours shrinks with what is still undecided."""
    ot = pytest.importorskip("ot")
    centres, n, m, noise = torch.randn(1, 10, 2, dtype=torch.float64), 6, 5, 1e-6
    a, b = (centres.repeat(1, k, 1) + noise * torch.randn(1, 10 * k, 2, dtype=torch.float64) for k in (n, m))
    inside = torch.stack([w2_squared(a[:, k::10], b[:, k::10]) for k in range(10)]).mean().item()
    assert w2_squared(a, b).item() == pytest.approx(inside, rel=1e-9)
    costs = torch.cdist(a[0], b[0], compute_mode="donot_use_mm_for_euclid_dist").square().numpy()
    plan = ot.emd([], [], costs)
    assert (plan * costs).sum() > 1.01 * inside
