"""Density and coverage against prdc, and the faults of other packages that ours must not have, each with its thread."""

from __future__ import annotations

import contextlib
import io

import pytest
import torch
from torch import Tensor

from stochrobust.metrics.manifolds import density_coverage, prdc
from tests.metrics.neighbour_sets import largest, normal

NAMES = ("precision", "recall", "density", "coverage")


def of_prdc(real: Tensor, generated: Tensor, k: int) -> dict[str, float]:
    """Version 0.2, which prints."""
    package = pytest.importorskip("prdc")
    with contextlib.redirect_stdout(io.StringIO()):
        values: dict[str, float] = package.compute_prdc(real.double().numpy(), generated.double().numpy(), nearest_k=k)
    return values


def ours(real: Tensor, generated: Tensor, k: int) -> dict[str, float]:
    result = prdc(real=real, generated=generated, k=k)
    return {name: float(getattr(result, name)) for name in NAMES}


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("d", "shift"), [(2, 1.0), (32, 0.5), (64, 0.1)])
def test_prdc_agrees_where_nothing_ties(d: int, shift: float, k: int) -> None:
    real, generated = normal(300, d), normal(250, d, seed=1) + shift
    expected = of_prdc(real, generated, k)
    assert ours(real, generated, k) == pytest.approx(expected, abs=1e-12)
    assert 0.02 < expected["coverage"] < 0.99


def test_prdc_leaves_a_collapsed_generator_on_a_real_sample_uncovered() -> None:
    """Its balls are open (generative-evaluation-prdc 0.2), so one of radius 0 does not even hold its centre."""
    real = torch.randint(9, (40, 16), generator=torch.Generator().manual_seed(0)).float().repeat_interleave(4, 0)
    collapsed = real[:1].repeat(60, 1)
    assert ours(real, collapsed, 3) == {"precision": 1.0, "recall": 0.025, "density": 4 / 3, "coverage": 0.025}
    assert of_prdc(real, collapsed, 3) == {"precision": 0.0, "recall": 0.0, "density": 0.0, "coverage": 0.0}


def test_prdc_drops_samples_on_the_surface_of_a_ball() -> None:
    """Integers tie: a memorising generator lies on the surface of the balls of its neighbours."""
    real = torch.arange(20.0)[:, None]
    # at k = 2 the radii are 1, but for 2 at either end: each sample is in its own ball and in those of its neighbours
    assert ours(real, real, 2) == {"precision": 1.0, "recall": 1.0, "density": (20 + 38 + 2) / 40, "coverage": 1.0}
    assert of_prdc(real, real, 2)["density"] == (20 + 2) / 40


def test_identical_sets_are_covered() -> None:
    """piq #285: identical sets scored precision 0 and recall 0.98."""
    for rows in (normal(100, 64), normal(10, 64).repeat(10, 1)):
        found = ours(rows, rows, 3)
        assert (found["precision"], found["recall"], found["coverage"]) == (1.0, 1.0, 1.0)


def test_the_roles_are_not_swapped() -> None:
    """torch-fidelity #58: a collapsed model read precision 4e-05 and recall 0.99."""
    wide, tight = normal(300, 8), 0.05 * normal(200, 8, seed=1)
    found = ours(wide, tight, 3)
    assert found["precision"] == 1.0
    assert found["recall"] < 0.02
    assert found["density"] > 1
    assert found["coverage"] < 0.4


def test_no_matrix_of_all_distances() -> None:
    """generative-evaluation-prdc #4 and piq #214: three N x N matrices, and a wish to compute only what is asked."""
    n, m = 4000, 2500
    sets = normal(n, 2), normal(m, 2, seed=1)
    both, half = largest(sets, prdc), largest(sets, density_coverage)
    assert max(both.elements, half.elements) <= 2048 * 1024 < n * m / 4
    assert both.products - half.products > m * m / 2, "the generated set's own distances were not asked for"


def test_several_k_share_the_products() -> None:
    """pytorch_integrated_cell #34: several k at once."""
    sets = normal(300, 4), normal(250, 4, seed=1)
    one = largest(sets, prdc).products
    several = largest(sets, lambda real, generated: prdc(real=real, generated=generated, k=(1, 3, 5))).products
    assert several == one
    for result in prdc(real=sets[0], generated=sets[1], k=(1, 3, 5)):
        alone = prdc(real=sets[0], generated=sets[1], k=result.k)
        assert all(getattr(alone, name) == getattr(result, name) for name in NAMES)


def test_no_sample_is_its_own_neighbour_or_loses_one() -> None:
    """pytorch #57690, #42479 and #37734: ``cdist`` in float32 puts samples at a distance from themselves.

    Pairs 0.02 apart, far from the origin. Counting k + 1 of those distances, itself included, gives wrong radii.
    """
    real = normal(60, 4096) + 10
    real = torch.cat([real, real + 0.02 / 64])
    generated = real[:60] + 0.01 / 64
    cdist = torch.cdist(real, real)
    assert float(cdist.diagonal().max()) > 0.01, "this cdist would do"
    found = prdc(real=real, generated=generated, k=1)
    assert found.n_balls.tolist() == [2] * 60
    assert (found.precision, found.density, found.coverage) == (1.0, 2.0, 1.0)
    alone = prdc(real=real, generated=real[:60] - 0.01 / 64, k=1)
    assert alone.n_balls.tolist() == [1] * 60, "within the radius of one of the two"
