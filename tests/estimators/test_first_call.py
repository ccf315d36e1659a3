"""Noise that is not replayed is told at the first call of a loss, which is silent otherwise."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stochrobust import AttackWarning, HiddenNoise, RobustnessLoss, RobustnessTarget, robustness_loss, same_seed_change

Y = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
CALLS: dict[str, Any] = {
    "loss": lambda G, **more: robustness_loss(G, Y, 0.5, **more),
    "loss in chunks": lambda G, **more: robustness_loss(G, Y, 0.5, max_batch=4, **more),
    "module": lambda G, **more: RobustnessLoss(0.5, **more)(G, Y),
    "target": lambda G, **more: RobustnessTarget(0.5, amplification=1.0, check_every=0, **more)(G, Y),
    "change": lambda G, **more: same_seed_change(G, Y, torch.ones_like(Y), **more),
    "change in chunks": lambda G, **more: same_seed_change(G, Y, torch.ones_like(Y), max_batch=4, **more),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


class Own(nn.Module):
    """Draws from a generator of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.own = nn.Linear(4, 4), torch.Generator().manual_seed(0)

    def forward(self, y: Tensor) -> Tensor:
        output: Tensor = self.net(y) + torch.randn(y.shape, generator=self.own)
        return output


@each_call
def test_it_is_told_once_by_name(call: Any) -> None:
    model = Own()
    with pytest.warns(AttackWarning, match="draws noise that is not replayed.*HiddenNoise"):
        call(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call(model)


@each_call
def test_it_can_be_left_out_and_is_silent_where_all_is_well(call: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call(Own(), check=False)
        call(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.BatchNorm1d(4)))
        model = Own()
        call(HiddenNoise(model, model.own))


@each_call
def test_a_lambda_made_anew_is_one_function(call: Any) -> None:
    passes: list[int] = []
    # Of its own code for each call, which stays alive as that of a lambda in a training loop does.
    code = compile(f"lambda y: (passes.append({id(call)}), 2 * y)[1]", "loop", "eval")
    counts = []
    for _ in range(3):
        call(eval(code, {"passes": passes}))
        counts.append(len(passes))
        passes.clear()
    assert 1 <= counts[0] - counts[1] <= 3  # a pass, and in chunks those at y
    assert counts[1] == counts[2]


def test_without_a_check_no_pass_is_made_for_it() -> None:
    model, passes = nn.Linear(4, 4), []
    model.register_forward_hook(lambda *_: passes.append(1))
    robustness_loss(model, Y, 0.5, check=False)
    assert len(passes) == 4
    robustness_loss(model, Y, 0.5)
    assert len(passes) == 4 + 5
    robustness_loss(model, Y, 0.5)
    assert len(passes) == 4 + 5 + 4
