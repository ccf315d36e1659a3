"""Precision and recall against torch-fidelity and piq, which need torchvision: `nox -s peers`."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stochrobust.metrics.manifolds import precision_recall


def sets(d: int, shift: float) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(d)
    real, generated = (torch.randn(n, d, generator=generator, dtype=torch.float64) for n in (400, 300))
    return real, generated + shift


def ours(real: Tensor, generated: Tensor, k: int) -> tuple[float, float]:
    result = precision_recall(real=real, generated=generated, k=k)
    return result.precision, result.recall


def of_torch_fidelity(real: Tensor, generated: Tensor, k: int) -> tuple[float, float]:
    """Version 0.4.0: the first features are the generated ones (before, the two numbers were swapped)."""
    metric_prc = pytest.importorskip("torch_fidelity.metric_prc")
    values = metric_prc.prc_features_to_metric(generated, real, prc_neighborhood=k, verbose=False)
    return values["precision"], values["recall"]


def of_piq(real: Tensor, generated: Tensor, k: int) -> tuple[float, float]:
    piq = pytest.importorskip("piq")
    precision, recall = piq.PR(nearest_k=k).compute_metric(real, generated)
    return float(precision), float(recall)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("d", "shift"), [(2, 1.0), (64, 0.1)])
def test_torch_fidelity_agrees(d: int, shift: float, k: int) -> None:
    real, generated = sets(d, shift)
    expected = of_torch_fidelity(real, generated, k)
    assert ours(real, generated, k) == pytest.approx(expected, abs=1e-6)
    assert abs(expected[0] - expected[1]) > 1e-3, "these sets would not show a swap"


def test_torch_fidelity_has_closed_balls_too() -> None:
    """Few enough points for `cdist` to take differences, which leaves the ties of integers exact."""
    real = torch.arange(20.0)[:, None]
    generated = real[:15] + 0.5 + 0.5 * (real[:15] % 2)
    for k in (1, 2, 3):
        assert ours(real, generated, k) == pytest.approx(of_torch_fidelity(real, generated, k), abs=1e-6)
    collapsed = torch.tensor([[7.0]]).repeat(12, 1)
    assert ours(real, collapsed, 3) == (1.0, 0.05)
    assert of_torch_fidelity(real, collapsed, 3) == pytest.approx((1.0, 0.05), abs=1e-6)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("d", "shift"), [(2, 1.0), (64, 0.1)])
def test_piq_agrees_on_ordinary_sets_but_for_its_ties(d: int, shift: float, k: int) -> None:
    """Its recall may count a few too many: see below."""
    real, generated = sets(d, shift)
    (precision, recall), (their_precision, their_recall) = ours(real, generated, k), of_piq(real, generated, k)
    assert precision == pytest.approx(their_precision, abs=1e-6)
    assert recall - 1e-6 < their_recall < recall + 0.011


def test_piq_counts_a_real_sample_whose_own_radius_reaches_a_generated_one() -> None:
    """Version 0.8.0 compares recall's ties with the radii of the *real* samples.

    The generated balls have radius 2^-8 and hold the real sample 1 alone. The real sample 0 has radius 1, and is at
    distance 1 from a generated one: piq counts it as recalled.
    """
    real = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
    generated = torch.tensor([[1.0], [1.0 + 2**-8], [1.0 + 2**-7]])
    assert ours(real, generated, 1) == (1.0, 0.25)
    assert of_piq(real, generated, 1) == (1.0, 0.5)
