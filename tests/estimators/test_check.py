"""``check_estimator`` finds each kind of trouble, and only that."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stochrobust import check_estimator, robustness_loss
from tests.problems import SmallNet, normal_z

Y = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))


class Counting(nn.Module):
    """Keeps a running mean, also in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.mean: Tensor
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, y: Tensor) -> Tensor:
        self.mean.lerp_(y.detach().mean(0), 0.1)
        return 2 * y


class KeptInTraining(nn.Module):
    """Writes to a parameter that does not learn, in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(4), requires_grad=False)

    def forward(self, y: Tensor) -> Tensor:
        if self.training:
            self.mean.data.add_(1.0)
        return 2 * y


def hidden_module() -> Callable[[Tensor], Tensor]:
    names: dict[str, Any] = {"net": [nn.Linear(4, 4)]}  # a list of a global name is not looked into
    exec("def G(y): return net[0](y)", names)
    function: Callable[[Tensor], Tensor] = names["G"]
    return function


def no_gradient(y: Tensor) -> Tensor:
    with torch.no_grad():
        return 2 * y


def own_noise(y: Tensor, own: torch.Generator = torch.Generator()) -> Tensor:  # noqa: B008
    return y + torch.randn(y.shape, generator=own)


CASES: dict[str, tuple[Any, int, list[str]]] = {
    "sound": (nn.Sequential(nn.Linear(4, 4), nn.Tanh()), 1, []),
    "sound, with seeds": (SmallNet(norm=False).eval(), 3, []),
    "seeds do nothing": (lambda y, z: 2 * y + 0 * z, 2, ["seed ignored"]),
    "noise": (own_noise, 1, ["irreproducible"]),
    "batch": (lambda y: y - y.mean(0), 1, ["batch-dependent"]),
    "no gradient": (no_gradient, 1, ["no gradient"]),
    "gradient of zero": (lambda y: 2 * y.round(), 1, ["no gradient"]),
    "gradient of NaN": (lambda y: (0 * y).square().sqrt() + y, 1, ["not finite"]),
    "NaN": (lambda y: y * torch.nan, 1, ["not finite"]),
    "module": (hidden_module(), 1, ["module unknown"]),
    "state": (Counting().eval(), 1, ["state"]),
    "train mode": (nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).train(), 1, ["train mode"]),
}


@pytest.mark.parametrize(("G", "n_seeds", "codes"), CASES.values(), ids=CASES.keys())
def test_each_kind_is_found_and_nothing_else(G: Any, n_seeds: int, codes: list[str]) -> None:
    sample_z = normal_z(4) if n_seeds > 1 else None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = check_estimator(G, Y, n_seeds, sample_z=sample_z, generator=torch.Generator().manual_seed(0))
    assert [concern.code for concern in found] == codes
    assert all(concern for concern in found)


def test_a_g_without_seeds_ignores_none() -> None:
    assert check_estimator(nn.Linear(4, 4).eval(), Y) == ()


def test_what_moved_in_another_mode_is_no_state_of_this_one() -> None:
    for net in (nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), KeptInTraining()):
        robustness_loss(net.train(), Y, 0.1)
        assert "state" in [concern.code for concern in check_estimator(net, Y, n_seeds=1)]
        assert check_estimator(net.eval(), Y, n_seeds=1) == ()
        assert "state" in [concern.code for concern in check_estimator(net.train(), Y, n_seeds=1)]


def test_arguments_reach_the_estimator() -> None:
    seen: list[Any] = []

    def G(y: Tensor, z: Tensor, c: Tensor) -> Tensor:
        seen.append((y, z, c))
        return y + z * c

    z, condition = torch.randn(12, 4), torch.rand(6, 1)
    assert check_estimator(G, Y, 2, z=z, cond=condition) == ()
    assert len(seen) <= 6
    assert torch.equal(seen[0][1], z)
    assert torch.equal(seen[0][2], condition.repeat_interleave(2, 0))
    assert check_estimator(hidden_module(), Y, 1, module=nn.Linear(1, 1)) == ()
    names = [str(concern) for concern in check_estimator(nn.Sequential(Counting()).eval(), Y, 1)]
    assert "0.mean" in names[0]
    with pytest.raises(ValueError, match="no seeds are given"):
        check_estimator(lambda y, z: y + z, Y)
