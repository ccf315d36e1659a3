"""A G through numpy, without ``detach``: told everywhere in the words of a G that carries no gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from stochrobust import (
    AttackWarning,
    SubspaceSearch,
    attack_evidence,
    check_estimator,
    jacobian_penalty,
    linearised_sensitivity,
    mean_sensitivity,
    robustness_loss,
    sensitivity,
    w2_sensitivity,
)

Y = torch.rand(2, 4, generator=torch.Generator().manual_seed(0))
CALLS: dict[str, Callable[[Any], Any]] = {
    "robustness_loss": lambda G: robustness_loss(G, Y, 0.1, 1),
    "sensitivity": lambda G: sensitivity(G, Y, 0.1, 1),
    "mean_sensitivity": lambda G: mean_sensitivity(G, Y, 0.1, 2),
    "w2_sensitivity": lambda G: w2_sensitivity(G, Y, 0.1, 2),
    "linearised_sensitivity": lambda G: linearised_sensitivity(G, Y, 0.1, 1),
    "attack_evidence": lambda G: attack_evidence(G, Y, 0.1, 1),
    "jacobian_penalty": lambda G: jacobian_penalty(G, Y, 1),
}


def through_numpy(y: Tensor) -> Tensor:
    return torch.from_numpy(y.numpy() * 2)


def through_detached_numpy(y: Tensor) -> Tensor:
    return torch.from_numpy(y.detach().numpy() * 2)


@pytest.mark.parametrize("G", [through_numpy, through_detached_numpy])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_both_forms_name_the_attack_without_gradients(call: Callable[[Any], Any], G: Any) -> None:
    with pytest.raises(ValueError, match=r"carries no gradient.*measure it with attack=SubspaceSearch\(\)"):
        call(G)


@pytest.mark.parametrize("G", [through_numpy, through_detached_numpy])
def test_check_estimator_raises_nothing(G: Any) -> None:
    assert [concern.code for concern in check_estimator(G, Y, n_seeds=1)] == ["no gradient"]


@pytest.mark.parametrize("G", [through_numpy, through_detached_numpy])
def test_evidence_without_gradients_leaves_the_linearisation_out(G: Any) -> None:
    with pytest.warns(AttackWarning, match="linearisation was left out"):
        found = attack_evidence(G, Y, 0.1, 1, attack=SubspaceSearch())
    assert bool(found.linearised.isnan().all())
    torch.testing.assert_close(found.value, torch.full((2,), 0.04), rtol=1e-3, atol=0.0)


def test_other_errors_pass_through() -> None:
    def G(y: Tensor) -> Tensor:
        raise RuntimeError("out of ink")

    with pytest.raises(RuntimeError, match=r"^out of ink$"):
        sensitivity(G, Y, 0.1, 1)
