"""What restorations leave of noisy inputs: sources, posterior samples and means, and those that keep the noise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from stochrobust import InpaintingProjector, LinearProjector, interval_of_mean, noise_consistency

MASK = torch.tensor([True, True, False, True])
PROJECTOR = InpaintingProjector(MASK)
N, SIGMA, TAU = 3000, 0.3, 0.5


def problem() -> tuple[Tensor, Tensor, float]:
    """Sources N(0, TAU^2), their inputs, and the gain of the posterior mean."""
    x = TAU * torch.randn(N, 4, dtype=torch.float64)
    y = (x + SIGMA * torch.randn(N, 4, dtype=torch.float64)) * MASK
    return x, y, TAU**2 / (TAU**2 + SIGMA**2)


def test_the_three_readings() -> None:
    x, y, gain = problem()
    spread = (TAU**2 * (1 - gain)) ** 0.5  # of the posterior where y is observed
    found = {
        "source": noise_consistency(x, y, PROJECTOR, SIGMA),
        "sample": noise_consistency(gain * y + spread * torch.randn_like(y), y, PROJECTOR, SIGMA),
        "mean": noise_consistency(gain * y, y, PROJECTOR, SIGMA),
        "wrapped": noise_consistency(PROJECTOR.project(torch.rand_like(x), y), y, PROJECTOR, SIGMA),
    }
    exact = {"source": 1.0, "sample": 1.0, "mean": 1 - spread**2 / SIGMA**2, "wrapped": 0.0}
    for name, value in exact.items():
        interval = interval_of_mean(found[name], level=0.999)
        assert interval.low - 1e-9 <= value <= interval.high + 1e-9, name
    assert found["source"].std().item() == pytest.approx((2 / 3) ** 0.5, rel=0.1)  # 2 / m, m the observed ones


def test_it_is_what_its_formula_says() -> None:
    A, x_hat = torch.randn(2, 4).double(), torch.randn(6, 4).double()
    y, sigma = torch.randn(3, 2).double(), torch.tensor([0.5, 2.0]).double()
    found = noise_consistency(x_hat, y, LinearProjector(A), sigma, 2)
    for b in range(3):
        parts = [((y[b] - A @ x_hat[2 * b + s]) / sigma).square().mean() for s in range(2)]
        assert found[b].item() == pytest.approx(float(sum(parts)) / 2)


def test_noise_that_depends_on_the_signal() -> None:
    x, y, _ = problem()
    by_signal = noise_consistency(x, y, PROJECTOR, lambda degraded: SIGMA * (1 + 0 * degraded))
    torch.testing.assert_close(by_signal, noise_consistency(x, y, PROJECTOR, SIGMA))
    seen: list[Tensor] = []

    def law(degraded: Tensor) -> Tensor:
        seen.append(degraded)
        return (0.1 + degraded.abs()).sqrt()

    found = noise_consistency(x, y, PROJECTOR, law)
    torch.testing.assert_close(seen[0][:, MASK], x[:, MASK])
    exact = ((y - x).square() / (0.1 + x.abs()))[:, MASK].mean(1)
    torch.testing.assert_close(found, exact)


def test_noise_scales_and_dtypes_are_wide() -> None:
    x, y, _ = problem()
    torch.testing.assert_close(
        4 * noise_consistency(x, y, PROJECTOR, 2 * SIGMA), noise_consistency(x, y, PROJECTOR, SIGMA)
    )
    assert noise_consistency(x.bfloat16(), y.bfloat16(), PROJECTOR, SIGMA).dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"projector": 3}, TypeError, "projector must have D, pinv"),
        ({"x_hat": torch.rand(3, 4)}, ValueError, "x_hat must have 1 rows for each of y"),
        ({"n_seeds": 2}, ValueError, "x_hat must have 2 rows for each of y"),
        ({"noise": 0.0}, ValueError, "noise must be a finite number above"),
        ({"noise": "small"}, TypeError, "noise must be a real number"),
        ({"noise": torch.rand(3)}, ValueError, "noise must broadcast to y"),
        ({"noise": lambda y: 0 * y}, ValueError, "noise must be above 0 wherever y is observed"),
        ({"noise": lambda y: 0.1}, TypeError, "what noise returns must be a torch.Tensor"),
        ({"projector": InpaintingProjector(torch.zeros(4, dtype=torch.bool))}, ValueError, "observe an element"),
        ({"x_hat": torch.full((2, 4), torch.nan)}, ValueError, "must be finite"),
    ],
)
def test_wrong_arguments(change: dict[str, Any], error: type[Exception], message: str) -> None:
    good: dict[str, Any] = {"x_hat": torch.rand(2, 4), "y": torch.rand(2, 4), "projector": PROJECTOR, "noise": 0.1}
    with pytest.raises(error, match=message):
        noise_consistency(**(good | change))
