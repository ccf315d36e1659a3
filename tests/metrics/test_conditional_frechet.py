"""The Frechet distance given y: closed forms of Gaussians, the formula written out, and its bias."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from stochrobust import Features, Protocol, conditional_frechet_distance, frechet_distance

N = 4000


def rows(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def written_out(y: Tensor, x: Tensor, g: Tensor) -> float:
    """The definition, term by term, with general inverses and eigenvalues."""
    d = y.shape[1]
    real, other = torch.cat([y, x], 1).T.cov(), torch.cat([y, g], 1).T.cov()
    inverse = torch.linalg.inv(real[:d, :d])
    slopes = real[d:, :d] - other[d:, :d]
    s, t = (c[d:, d:] - c[d:, :d] @ inverse @ c[:d, d:] for c in (real, other))
    root = torch.linalg.eigvals(s @ t).real.clamp_min(0).sqrt().sum()
    means = (x.mean(0) - g.mean(0)).square().sum()
    return float(means + torch.trace(slopes @ inverse @ slopes.T) + s.trace() + t.trace() - 2 * root)


def test_it_is_what_its_formula_says() -> None:
    y, x, g = rows(60, 4), rows(60, 3), rows(60, 3)
    x, g = x + y[:, :3], 0.5 * g - y[:, 1:] + 2
    found = conditional_frechet_distance(y=y, real=x, generated=g)
    assert found == pytest.approx(written_out(y, x, g), rel=1e-9)
    assert conditional_frechet_distance(y=y.reshape(60, 2, 2), real=x, generated=g) == found
    assert found.protocol.metric == "conditional Frechet distance, all of y"
    assert (found.protocol.n_real, found.protocol.n_generated) == (60, 60)


@pytest.mark.parametrize(
    ("slope", "width", "shift"), [(1.0, 1.0, 0.0), (0.0, 2**0.5, 0.0), (1.0, 2.0, 0.0), (0.5, 1.0, 3.0)]
)
def test_gaussians(slope: float, width: float, shift: float) -> None:
    y = rows(N, 1)
    found = conditional_frechet_distance(y=y, real=y + rows(N, 1), generated=slope * y + width * rows(N, 1) + shift)
    exact = (1 - slope) ** 2 + (width - 1) ** 2 + shift**2
    assert found == pytest.approx(exact, rel=0.1, abs=0.02)


def test_shuffled_outputs_have_the_right_law_and_the_wrong_inputs() -> None:
    y = rows(N, 2)
    x, g = y + rows(N, 2), (y + rows(N, 2)).roll(1, 0)
    assert frechet_distance(real=x, generated=g) < 0.02
    assert conditional_frechet_distance(y=y, real=x, generated=g) > 1.8


@pytest.mark.parametrize("components", [None, 3])
def test_its_bias_is_that_of_the_regression(components: int | None) -> None:
    n, d = 200, 40
    found = [
        conditional_frechet_distance(y=rows(n, d), real=rows(n, 2), generated=rows(n, 2), components=components)
        for _ in range(20)
    ]
    expected = 2 * 2 * (components or d) / (n - 1)  # tr S is 2
    assert sum(found) / 20 == pytest.approx(expected, rel=0.15, abs=0.03)


def test_components_are_the_principal_ones() -> None:
    y = rows(300, 3) * torch.tensor([1.0, 30.0, 0.1]).double()
    x, g = rows(300, 2), rows(300, 2) + y[:, :2]
    assert conditional_frechet_distance(y=y, real=x, generated=g, components=1) == pytest.approx(
        written_out(y[:, 1:2], x, g), rel=0.02
    )
    full = conditional_frechet_distance(y=y, real=x, generated=g, components=3)
    assert full == pytest.approx(written_out(y, x, g))
    assert "3 components of y" in full.protocol.metric


def test_constant_and_repeated_elements_of_y_do_not_matter() -> None:
    y, x, g = rows(50, 2), rows(50, 2), rows(50, 2)
    padded = torch.cat([y, y, torch.ones(50, 3).double()], 1)
    expected = conditional_frechet_distance(y=y, real=x, generated=g)
    assert conditional_frechet_distance(y=padded, real=x, generated=g) == pytest.approx(float(expected), rel=1e-9)
    alone = conditional_frechet_distance(y=torch.ones(50, 1), real=x, generated=g)
    assert alone == pytest.approx(float(frechet_distance(real=x, generated=g)), rel=1e-9)


def test_protocols_go_through() -> None:
    mine = Protocol(extractor="mine")
    sets = {name: Features(rows(20, 2), mine) for name in ("real", "generated")}
    found = conditional_frechet_distance(y=rows(20, 1), real=sets["real"], generated=sets["generated"])
    assert found.protocol.extractor == "mine"
    with pytest.raises(ValueError, match="protocol"):
        conditional_frechet_distance(y=rows(20, 1), real=sets["real"], generated=rows(20, 2))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"y": torch.rand(9, 2)}, ValueError, "a row for each input.* got 9, 10 and 10 rows"),
        ({"generated": torch.rand(9, 2)}, ValueError, "a row for each input"),
        ({"y": torch.rand(10, 2) * torch.nan}, ValueError, "y must be finite"),
        ({"y": torch.ones(10, 2, dtype=torch.long)}, TypeError, "y must have a real floating-point"),
        ({"y": torch.rand(10, 20)}, ValueError, "at most N - 2 = 8 directions, got 9: give components="),
        ({"components": 9}, ValueError, "components must be at most N - 2 = 8"),
        ({"components": 0}, ValueError, "components must be at least 1"),
        ({"real": torch.rand(10, 3)}, ValueError, "generated must have the 3 features of real"),
    ],
)
def test_wrong_arguments(change: dict[str, Any], error: type[Exception], message: str) -> None:
    good: dict[str, Any] = {"y": torch.rand(10, 2), "real": torch.rand(10, 2), "generated": torch.rand(10, 2)}
    with pytest.raises(error, match=message):
        conditional_frechet_distance(**(good | change))
