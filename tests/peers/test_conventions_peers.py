"""Where other libraries' numbers mean something else: each test fails when that changes. `nox -s peers`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from stochrobust import crps, psnr
from stochrobust.transport.w2 import w2_squared

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries and what they import


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_torchmetrics_crps_divides_by_the_square_of_the_members() -> None:
    """Two members score some 1.47 times fifty of the same law; without the pairs of a member with itself, the same."""
    functional = pytest.importorskip("torchmetrics.functional.regression")
    x = normal(20_000)
    theirs, ours = {}, {}
    for n in (2, 50):
        members = normal(20_000, n, seed=n)
        theirs[n] = float(functional.continuous_ranked_probability_score(members, x))
        ours[n] = float(crps(members.reshape(-1, 1), x[:, None], n).mean())
    assert theirs[2] / theirs[50] == pytest.approx(1.47, abs=0.02)
    assert ours[2] / ours[50] == pytest.approx(1.0, abs=0.03)


def test_torchmetrics_errors_of_8_bit_images_wrap_at_256() -> None:
    functional = pytest.importorskip("torchmetrics.functional")
    a, b = (torch.full((8, 8), value, dtype=torch.uint8) for value in (0, 20))
    assert float(functional.mean_squared_error(a, b)) == 400 % 256
    assert float(functional.mean_absolute_error(a, b)) == 256 - 20
    with pytest.raises(TypeError, match="a must have a real floating-point dtype"):
        psnr(a, b, data_range=255)


def test_torchmetrics_psnr_b_sums_its_blocking_term_over_pictures() -> None:
    functional = pytest.importorskip("torchmetrics.functional.image")
    clean = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    blocky = torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(clean, 8), scale_factor=8)
    one, eight = (
        float(
            functional.peak_signal_noise_ratio_with_blocked_effect(
                *(x.repeat(n, 1, 1, 1) for x in (blocky, clean)), 1.0
            )
        )
        for n in (1, 8)
    )
    assert one - eight > 0.1, "eight copies of a picture have the PSNR-B of one"


def test_torchmetrics_merges_into_a_value_that_it_keeps() -> None:
    """Also: an error in ``forward`` loses what came before, and a reset empties the checkpoint that was loaded."""
    torchmetrics = pytest.importorskip("torchmetrics")
    one, two = torchmetrics.MeanMetric(), torchmetrics.MeanMetric()
    one.update(1.0)
    two.update(3.0)
    one.compute()
    one.merge_state(two)
    assert one.compute() == 1
    error = torchmetrics.MeanSquaredError()
    error.update(torch.zeros(3), torch.ones(3))
    with pytest.raises(RuntimeError):
        error(torch.zeros(3), torch.zeros(2))
    assert error.total == 0
    kept = torchmetrics.CatMetric()
    kept.persistent(mode=True)
    kept.update(torch.ones(3))
    state, restored = kept.state_dict(), torchmetrics.CatMetric()
    restored.load_state_dict(state)
    restored.reset()
    assert state["value"] == []


def test_piq_psnr_stops_at_80_decibels() -> None:
    piq = pytest.importorskip("piq")
    a = torch.zeros(1, 3, 8, 8)
    assert float(piq.psnr(a, a)) == pytest.approx(80, abs=0.01)
    assert float(piq.psnr(a, a + 1e-6)) == pytest.approx(80, abs=0.01)
    assert float(psnr(a, a + 1e-6)) == pytest.approx(120, abs=0.01)


def test_pytorch_msssim_says_1_of_any_two_8_bit_pictures() -> None:
    msssim = pytest.importorskip("pytorch_msssim")
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randint(256, (1, 3, 64, 64), generator=generator, dtype=torch.uint8) for _ in range(2))
    assert float(msssim.ssim(a, b, data_range=255)) == 1
    assert float(msssim.ssim(a.float(), b.float(), data_range=255)) < 0.1


def test_pot_values_of_low_rank_and_factored_plans_are_not_what_they_cost() -> None:
    ot = pytest.importorskip("ot")
    a, b = normal(60, 3).double(), normal(60, 3, seed=1).double() + 1
    costs = torch.cdist(a, b).square()
    exact = float(w2_squared(a[None], b[None]))
    for method, options in (("lowrank", {"rank": 10, "reg": 0.01}), ("factored", {"rank": 10})):
        found: Any = ot.solve_sample(a, b, method=method, **options)
        plan = found.lazy_plan[:] if method == "lowrank" else found.plan
        cost = float((plan * costs).sum())
        assert cost > exact * (1 - 1e-6)
        assert float(found.value) < 0.8 * cost


def test_pot_batched_entropic_value_subtracts_what_the_single_one_adds() -> None:
    ot = pytest.importorskip("ot")
    if not hasattr(ot, "solve_batch"):
        pytest.skip("before POT 0.9.6")
    costs = torch.cdist(normal(6, 2).double(), normal(6, 2, seed=1).double()).square()
    weights = torch.full((6,), 1 / 6, dtype=torch.float64)
    linear = float((ot.solve(costs, weights, weights, reg=1.0).plan * costs).sum())
    single = float(ot.solve(costs, weights, weights, reg=1.0).value)
    batched = float(ot.solve_batch(costs[None], reg=1.0).value[0])
    assert batched < linear < single
