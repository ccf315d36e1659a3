"""The regularizer: its value, its scale, its gradients, and that training on it works."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stochrobust import (
    L2,
    PAPER,
    PGD,
    TRAINING,
    AdamAscent,
    Linf,
    RobustnessLoss,
    SphereAscent,
    robustness_loss,
    same_seed_change,
)
from tests.problems import FourSeeds, Linear, SmallNet, naive_change, normal_z


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gradients(model: nn.Module, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(model.parameters())))


# -- value and scale ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("reduction", "scale"), [("sum", 0.09), ("mean", 0.03), ("relative", 1.0)])
def test_reductions_of_a_doubling(reduction: Any, scale: float) -> None:
    # ||2 delta||^2 = 4 eps^2 = 0.36 at eps = 0.3, over three elements.
    attack = PGD(5)
    loss = robustness_loss(lambda y: 2 * y, torch.zeros(2, 3), 0.3, 1, attack=attack, reduction=reduction)
    torch.testing.assert_close(loss, torch.tensor(4 * scale))


def test_relative_divides_each_sample_by_its_own_radius() -> None:
    eps = torch.tensor([0.1, 10.0])
    loss = robustness_loss(lambda y: 2 * y, torch.zeros(2, 3), eps, 1, attack=PGD(3), reduction="relative")
    torch.testing.assert_close(loss, torch.tensor(4.0))


@pytest.mark.parametrize("max_batch", [None, 1, 5])
def test_loss_at_a_given_delta_is_the_naive_change(max_batch: int | None) -> None:
    net = SmallNet().double().eval()
    y, delta, z = torch.randn(3, 4).double(), torch.randn(3, 4).double(), torch.randn(6, 4).double()
    loss = robustness_loss(net, y, 1.0, 2, z=z, delta=delta, reduction="sum", max_batch=max_batch)
    expected = naive_change(net, y, delta, z, 2).mean()
    torch.testing.assert_close(loss, expected)
    for ours, naive in zip(gradients(net, loss), gradients(net, expected), strict=True):
        torch.testing.assert_close(ours, naive)


def test_default_attack_is_two_gradients_of_the_sphere_ascent() -> None:
    net, y = SmallNet().eval(), torch.randn(5, 4)
    by_default = robustness_loss(net, y, 0.5, 3, generator=generator())
    assert SphereAscent(steps=2, keep="last") == TRAINING
    assert by_default == robustness_loss(net, y, 0.5, 3, attack=TRAINING, generator=generator())
    assert by_default != robustness_loss(net, y, 0.5, 3, attack=SphereAscent(3, keep="last"), generator=generator())


def test_the_papers_attack_is_five_adam_steps_of_size_one() -> None:
    net, y = SmallNet().eval(), torch.randn(5, 4)
    spelled = robustness_loss(net, y, 0.5, 3, attack=AdamAscent(5, lr=1.0, keep="last"), generator=generator())
    assert spelled == robustness_loss(net, y, 0.5, 3, attack=PAPER, generator=generator())
    assert spelled != robustness_loss(net, y, 0.5, 3, attack=AdamAscent(4, lr=1.0), generator=generator())


def test_the_loss_is_a_lower_bound_of_the_maximum_and_a_stronger_attack_comes_closer() -> None:
    problem = Linear.with_singular_values([2.0, 1.0, 0.5, 0.1])
    y, exact = torch.zeros(50, 4).double(), problem.sensitivity(0.3)
    weak = robustness_loss(problem, y, 0.3, 1, reduction="sum", generator=generator())
    strong = robustness_loss(problem, y, 0.3, 1, attack=PGD(30), reduction="sum", generator=generator())
    assert weak < strong <= exact * (1 + 1e-9)
    torch.testing.assert_close(float(strong), exact, rtol=1e-3, atol=0)


def test_ball_reaches_the_attack() -> None:
    mask = torch.tensor([1, 0, 0])
    y = torch.zeros(2, 3)
    losses = [
        robustness_loss(lambda y: y, y, 1.0, 1, ball=ball, attack=PGD(5), reduction="sum").item()
        for ball in (L2(), Linf(), L2(mask=mask), Linf(mask=mask), L2(box=(-0.1, 0.1)))
    ]
    assert losses == pytest.approx([1.0, 3.0, 1.0, 1.0, 0.03])
    assert robustness_loss(lambda y: y[:, 1:], y, 1.0, 1, ball=L2(mask=mask)) == 0


def test_nested_seeds_and_conditions() -> None:
    model = FourSeeds()
    y = torch.rand(3, 4)
    whole = robustness_loss(model, y, 0.5, 4, generator=generator())
    chunked = robustness_loss(model, y, 0.5, 4, generator=generator(), max_batch=5)
    torch.testing.assert_close(whole, chunked)
    zero = robustness_loss(lambda y, z, c: model(y, z) * c, y, 0.5, 4, sample_z=model.sample_z, cond=torch.zeros(3, 1))
    assert whole > 0
    assert zero == 0


# -- gradients ---------------------------------------------------------------------------------------------------------


def test_gradcheck_at_fixed_delta() -> None:
    y, delta = torch.randn(3, 2).double(), torch.randn(3, 2).double()
    z = torch.randn(6, 2).double()
    weights = torch.randn(2, 4).double().requires_grad_()
    delta.requires_grad_()

    def change(weights: Tensor, delta: Tensor) -> Tensor:
        return same_seed_change(lambda y, z: torch.tanh(torch.cat([y, z], 1) @ weights.T), y, delta, 2, z=z)

    def loss(weights: Tensor) -> Tensor:
        def G(y: Tensor, z: Tensor) -> Tensor:
            return torch.tanh(torch.cat([y, z], 1) @ weights.T)

        return robustness_loss(G, y, 1.0, 2, z=z, delta=delta)

    assert torch.autograd.gradcheck(change, (weights, delta))
    assert torch.autograd.gradcheck(loss, (weights,))


def test_delta_is_detached() -> None:
    delta = torch.randn(3, 2, requires_grad=True)
    loss = robustness_loss(nn.Linear(2, 2), torch.randn(3, 2), 1.0, 1, delta=delta)
    loss.backward()
    assert delta.grad is None


def test_gradient_reaches_whatever_made_y() -> None:
    source = torch.randn(3, 2, requires_grad=True)
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    robustness_loss(net, source * 2, 0.5, 1).backward()
    assert source.grad is not None
    assert source.grad.abs().sum() > 0


@pytest.mark.parametrize("max_batch", [1, 4, 7])
def test_chunks_give_the_gradient_of_the_whole(max_batch: int) -> None:
    net = SmallNet().double().eval()
    y = torch.randn(5, 4).double()
    whole = robustness_loss(net, y, 0.5, 3, generator=generator())
    chunked = robustness_loss(net, y, 0.5, 3, generator=generator(), max_batch=max_batch)
    torch.testing.assert_close(whole, chunked, rtol=1e-12, atol=0)
    for a, b in zip(gradients(net, whole), gradients(net, chunked), strict=True):
        torch.testing.assert_close(a, b)


def test_chunks_bound_the_rows_of_every_call() -> None:
    net, seen = SmallNet().eval(), []

    def G(y: Tensor, z: Tensor) -> Tensor:
        seen.append(len(y))
        output: Tensor = net(y, z)
        return output

    robustness_loss(G, torch.randn(5, 4), 0.5, 3, sample_z=net.sample_z, max_batch=4).backward()
    assert max(seen) == 4


@pytest.mark.parametrize(("attack", "gradients"), [(TRAINING, 2), (PAPER, 5)])
def test_passes_are_those_of_the_floor(attack: Any, gradients: int) -> None:
    # 1 clean + those of the ascent + 1 attacked; nothing is computed twice.
    net, seen = SmallNet(), []
    net.register_forward_hook(lambda *_: seen.append(torch.is_grad_enabled()))
    robustness_loss(net, torch.randn(5, 4), 0.5, 3, attack=attack, check=False).backward()
    assert seen == [True] * (gradients + 2)


@pytest.mark.parametrize("attack", [TRAINING, PAPER, PGD(3, keep="last")])
@pytest.mark.parametrize("ball", [L2(box=(0.0, 1.0)), Linf(box=(0.0, 1.0))])
def test_a_box_does_not_send_the_attack_to_zero(attack: Any, ball: Any) -> None:
    # Behind its hill sin(5 y) falls: every step from there points out of the box, at whose corner lies delta = 0.
    y, start = torch.zeros(200, 1), generator()
    loss = robustness_loss(lambda y: (5 * y).sin(), y, 0.5, attack=attack, ball=ball, reduction="sum", generator=start)
    assert loss > 0.3


def test_nan_gradients_are_not_taken_for_zero() -> None:
    loss = robustness_loss(lambda y: (0 * y).square().sqrt() + y, torch.rand(2, 3), 0.1)
    assert loss.isnan()


def test_one_training_step_lowers_it() -> None:
    net, y = SmallNet(), torch.randn(64, 4)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    z = torch.randn(128, 4)

    def loss() -> Tensor:
        return robustness_loss(net, y, 0.5, 2, z=z, generator=generator())

    before = loss()
    before.backward()
    optimizer.step()
    assert loss() < 0.9 * before


def test_accumulated_gradients_are_those_of_the_whole_batch() -> None:
    net = SmallNet().double().eval()
    y, z, delta = torch.randn(6, 4).double(), torch.randn(12, 4).double(), torch.randn(6, 4).double()
    whole = gradients(net, robustness_loss(net, y, 1.0, 2, z=z, delta=delta))
    for part in (slice(0, 3), slice(3, 6)):
        rows = slice(2 * part.start, 2 * part.stop)
        (robustness_loss(net, y[part], 1.0, 2, z=z[rows], delta=delta[part]) / 2).backward()
    for gradient, parameter in zip(whole, net.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_nan_propagates_and_the_scaler_can_see_it() -> None:
    net = nn.Linear(3, 3)
    loss = robustness_loss(lambda y: net(y) * float("nan"), torch.rand(2, 3), 0.1, 1)
    assert loss.isnan()
    loss.backward()
    assert net.weight.grad is not None
    assert net.weight.grad.isnan().all()


# -- the module --------------------------------------------------------------------------------------------------------


def test_module_is_the_function_with_its_settings_kept() -> None:
    net, y = SmallNet().eval(), torch.rand(3, 4)
    settings: dict[str, Any] = {
        "attack": PGD(3), "ball": L2(box=(0.0, 1.0)), "reduction": "sum", "max_batch": 2, "sample_z": normal_z(4)
    }  # fmt: skip
    module = RobustnessLoss(0.5, 2, **settings)
    assert module(net, y, generator=generator()) == robustness_loss(net, y, 0.5, 2, generator=generator(), **settings)
    z, delta = torch.randn(6, 4), torch.randn(3, 4)
    assert module(net, y, z=z, delta=delta) == robustness_loss(net, y, 0.5, 2, z=z, delta=delta, **settings)
    conditioned = module(lambda y, z, c: net(y, z) * c, y, cond=torch.zeros(3, 1), module=net)
    assert conditioned == 0
    assert not list(module.parameters())
    assert not module.state_dict()
