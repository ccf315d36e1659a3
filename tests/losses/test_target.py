"""A robustness to reach instead of a weight: on problems whose weight is known in closed form."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from stochrobust import (
    L2,
    PGD,
    AttackWarning,
    Consistent,
    InpaintingProjector,
    Linf,
    RobustnessLoss,
    RobustnessTarget,
    SphereAscent,
    robustness_loss,
    sensitivity,
)
from tests.problems import SmallNet, normal_z
from tests.processes import in_two_processes

Y = torch.randn(16, 4, generator=torch.Generator().manual_seed(1))


class Pulled(nn.Module):
    """``g y`` with g at the minimum of ``(g - 5)^2 + weight g^2``: the amplification is ``5 / (1 + weight)``."""

    def __init__(self, shape: Tensor | None = None) -> None:
        super().__init__()
        self.shape = torch.ones(4) if shape is None else shape
        self.gain = nn.Parameter(torch.ones(()))

    def settle(self, weight: Tensor) -> None:
        with torch.no_grad():
            self.gain.copy_(5 / (1 + weight))

    def forward(self, y: Tensor) -> Tensor:
        return self.gain * self.shape * y


def run(G: Pulled, robustness: RobustnessTarget, calls: int = 400) -> float:
    for _ in range(calls):
        G.settle(robustness.log_weight.exp())
        robustness(G, Y)
    return float((sensitivity(G, Y, 0.3).value.mean() / 0.3**2).sqrt())


# -- the number --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("eps", [0.1, 2.0, torch.linspace(0.1, 1, 3)], ids=["small", "large", "per sample"])
@pytest.mark.parametrize("n_y", [2, 6])
def test_squared_amplification_is_per_element(eps: Any, n_y: int) -> None:
    # One output element, the sum of y: ||change||^2 = n_y eps^2 at most in L2, and (n_y eps)^2 in Linf.
    y = torch.zeros(3, n_y)
    for ball, attack in ((L2(), SphereAscent(2)), (Linf(), PGD(20))):
        loss = robustness_loss(
            lambda y: y.sum(1, keepdim=True), y, eps, ball=ball, attack=attack, reduction="squared_amplification"
        )
        torch.testing.assert_close(loss, torch.tensor(float(n_y**2)))


def test_it_is_one_where_outputs_move_as_the_input_and_mean_is_it_times_a_radius() -> None:
    for repeats in (1, 5):
        G = lambda y: y.repeat(1, repeats)  # noqa: B023, E731
        loss = robustness_loss(G, torch.zeros(2, 3), 0.3, reduction="squared_amplification")
        torch.testing.assert_close(loss, torch.tensor(1.0))
    net, start = nn.Linear(4, 7), torch.Generator()
    ours = robustness_loss(net, Y, 0.3, reduction="squared_amplification", generator=start.manual_seed(0))
    mean = robustness_loss(net, Y, 0.3, generator=start.manual_seed(0))
    torch.testing.assert_close(mean, ours * 0.3**2 / 4)
    with pytest.raises(ValueError, match="eps must be positive for reduction='squared_amplification'"):
        robustness_loss(net, Y, 0.0, reduction="squared_amplification")


# -- the weight --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [100.0, 1.0, 0.01], ids=["too strong", "near", "too weak"])
@pytest.mark.parametrize("target", [1.0, 2.5])
def test_the_weight_is_found_from_starts_a_hundred_times_off(target: float, start: float) -> None:
    weight = 5 / target - 1
    robustness = RobustnessTarget(0.3, amplification=target, weight=start * weight)
    assert run(Pulled(), robustness) == pytest.approx(target, rel=1e-3)
    assert float(robustness.log_weight.exp()) == pytest.approx(weight, rel=1e-2)


def test_decibels_are_of_the_mean_squared_change() -> None:
    target = 2.0
    psnr = -10 * math.log10(target**2 * 0.3**2 / 4)
    assert run(Pulled(), RobustnessTarget(0.3, psnr=psnr)) == pytest.approx(target, rel=1e-3)


def test_the_move_of_one_call() -> None:
    robustness = RobustnessTarget(0.3, amplification=2.0, weight=3.0, rate=0.1, check_every=0)
    loss = robustness(lambda y: 6 * y, Y)
    torch.testing.assert_close(loss, torch.tensor(3.0 * 36.0))
    assert float(robustness.log_weight) == pytest.approx(math.log(3.0) + 0.1 * 2 * math.log(6.0 / 2.0), rel=1e-5)


def test_the_strong_attack_is_what_reaches_the_target() -> None:
    G, weak = Pulled(torch.tensor([1.0, 0.9, 0.1, 0.1])), SphereAscent(1, keep="last")
    own = run(G, RobustnessTarget(0.3, amplification=2.0, attack=weak, check_every=0))
    checked = RobustnessTarget(0.3, amplification=2.0, attack=weak, check_every=10)
    assert own > 2.05
    assert run(G, checked) == pytest.approx(2.0, rel=0.02)
    assert checked.log_ratio > 0.02
    feeble = RobustnessTarget(0.3, amplification=2.0, attack=weak, check_every=10, strong=weak)
    assert run(G, feeble) > 2.03


def test_how_often_it_is_made() -> None:
    calls: list[int] = []

    def G(y: Tensor) -> Tensor:
        calls.append(1)
        return 2 * y

    for every, checks in ((0, 0), (3, 2), (100, 1)):
        robustness = RobustnessTarget(0.3, amplification=2.0, check_every=every, strong=PGD(4), check=False)
        robustness(G, Y)
        calls.clear()
        robustness._calls = 0
        for _ in range(5):
            robustness(G, Y)
        # Clean, its reference, two gradients, attacked. A check: its reference, four gradients, two scores, and two
        # passes for the change at what was found.
        assert len(calls) == 5 * 5 + checks * 9


def test_the_weight_stays_within_its_ends() -> None:
    robustness = RobustnessTarget(0.3, amplification=1.0, weight=9e3, rate=1.0, check_every=0)
    robustness(lambda y: 100 * y, Y)
    assert float(robustness.log_weight.exp()) == pytest.approx(1e4)
    robustness = RobustnessTarget(0.3, amplification=1.0, weight=2e-4, rate=1.0, check_every=0)
    for _ in range(2):
        robustness(lambda y: 1e-9 * y, Y)
    assert float(robustness.log_weight.exp()) == pytest.approx(1e-4)


@pytest.mark.parametrize("case", ["eval", "no_grad", "delta", "nan", "infinite"])
def test_when_it_does_not_move(case: str) -> None:
    robustness = RobustnessTarget(0.3, amplification=1.0, check_every=0)
    robustness(lambda y: 3 * y, Y)
    before = robustness.log_weight.clone()
    assert before > 0
    G = {"nan": lambda y: y * torch.nan, "infinite": lambda y: y * 3e38}.get(case, lambda y: 3 * y)
    robustness.train(case != "eval")
    with torch.set_grad_enabled(case != "no_grad"):
        loss = robustness(G, Y, delta=torch.ones_like(Y) if case == "delta" else None)
    assert robustness.log_weight == before
    assert loss.isfinite() or case in ("nan", "infinite")


def test_a_state_dict_goes_on_where_it_was() -> None:
    one, other = (RobustnessTarget(0.3, amplification=2.0, weight=7.0, check_every=6) for _ in range(2))
    G = Pulled(torch.tensor([1.0, 0.9, 0.1, 0.1]))
    torch.manual_seed(0)
    run(G, one, 4)
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    for robustness in (one, other):
        torch.manual_seed(1)
        run(G, robustness, 5)  # with a check among them
    assert one.state_dict().keys() == {"log_weight", "log_ratio", "_extra_state"}
    for name in ("log_weight", "log_ratio"):
        assert one.state_dict()[name] == other.state_dict()[name]
    assert one.log_ratio > 0


class NoReading(TorchDispatchMode):
    """Raises where a value is read from the device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, function: Any, kinds: Any, arguments: Any = (), options: Any = None) -> Any:
        # Integers are seeds, drawn on the host.
        if function is torch.ops.aten._local_scalar_dense.default and arguments[0].dtype != torch.int64:
            raise AssertionError("a value is read")
        return function(*arguments, **(options or {}))


@pytest.mark.parametrize("make", [lambda: RobustnessLoss(0.3), lambda: RobustnessTarget(0.3, amplification=1.0)])
def test_an_ordinary_call_reads_nothing_from_the_device(make: Any) -> None:
    net, robustness = SmallNet(), make()
    for _ in range(2):
        robustness(net, Y).backward()
    with NoReading():
        robustness(net, Y).backward()
        robustness.log()
    with pytest.raises(AssertionError, match="a value is read"), NoReading():
        RobustnessTarget(0.3, amplification=1.0)(net, Y)  # makes a check


# -- what cannot be had ------------------------------------------------------------------------------------------------


def test_a_target_below_the_floor_is_told_once() -> None:
    G = Consistent(lambda y: 0.1 * y, InpaintingProjector(torch.tensor([1, 0, 0, 0])))
    y = Y * torch.tensor([1, 0, 0, 0])
    mask = L2(mask=torch.tensor([1, 0, 0, 0]))
    robustness = RobustnessTarget(0.3, amplification=0.5, check_every=2, ball=mask)
    with pytest.warns(AttackWarning, match="below what consistency leaves.*4 times the target's"):
        robustness(G, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(4):
            robustness(G, y)
        RobustnessTarget(0.3, amplification=1.1, ball=mask)(G, y)


def test_a_weight_at_its_end_is_told_once() -> None:
    robustness = RobustnessTarget(0.3, amplification=1.0, weight=1e4, check_every=1)
    with pytest.warns(AttackWarning, match="has grown to its end, 10000"):
        robustness(lambda y: 3 * y, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        robustness(lambda y: 3 * y, Y)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({}, ValueError, "give amplification or psnr, one of them, got None and None"),
        ({"amplification": 1.0, "psnr": 30.0}, ValueError, "give amplification or psnr, one of them"),
        ({"amplification": 0.0}, ValueError, "amplification must be a finite number above 0"),
        ({"psnr": math.inf}, ValueError, "psnr must be a finite number"),
        ({"amplification": 1.0, "weight": -1.0}, ValueError, "weight must be a finite number above 0"),
        ({"amplification": 1.0, "rate": "fast"}, TypeError, "rate must be a real number"),
        ({"amplification": 1.0, "check_every": 0.5}, TypeError, "check_every must be an integer"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        RobustnessTarget(0.3, **settings)


def test_the_rest_is_passed_on() -> None:
    net = SmallNet(norm=False)
    settings: dict[str, Any] = {"attack": PGD(3), "ball": L2(box=(-9.0, 9.0)), "max_batch": 3, "sample_z": normal_z(4)}
    target = RobustnessTarget(0.5, 2, amplification=1.0, weight=2.0, check_every=0, **settings)
    loss = target(net, Y, generator=torch.Generator().manual_seed(0))
    plain = robustness_loss(
        net, Y, 0.5, 2, reduction="squared_amplification", generator=torch.Generator().manual_seed(0), **settings
    )
    torch.testing.assert_close(loss, 2 * plain)
    z, delta = torch.randn(32, 4), torch.randn(16, 4)
    loss = target.eval()(lambda y, z, c: net(y, z) * c, Y, z=z, delta=delta, cond=torch.full((16, 1), 3.0), module=net)
    plain = robustness_loss(net, Y, 0.5, 2, z=z, delta=delta, reduction="squared_amplification")
    torch.testing.assert_close(loss, target.log_weight.exp() * 9 * plain)
    norms = RobustnessTarget(0.5, amplification=1.0, norm_statistics="running", check_every=0)
    model = SmallNet()
    assert norms(model, Y, z=torch.zeros(16, 4)) != RobustnessTarget(0.5, amplification=1.0, check_every=0)(
        model, Y, z=torch.zeros(16, 4)
    )


# -- the record --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: RobustnessLoss(0.3), lambda: RobustnessTarget(0.3, amplification=2.0)])
def test_the_record_of_a_call(make: Any) -> None:
    robustness, net = make(), nn.Linear(4, 4)
    with torch.no_grad():
        net.weight.copy_(torch.diag(torch.tensor([3.0, 1.0, 1.0, 1.0])))
    assert robustness.log() == {}
    robustness(net, Y)
    last = robustness.last
    assert 1 < last.amplification <= 3
    assert 1 / 9 <= last.random_share < 1
    assert last.at_boundary == 1
    assert last.stalled == 0
    assert last.weight == 1
    assert last.passes == 4  # clean, two gradients, attacked
    names = {"amplification", "random_share", "at_boundary", "stalled", "weight", "passes"}
    assert robustness.log("r/").keys() == {f"r/{name}" for name in names}
    assert all(value.ndim == 0 and not value.requires_grad for value in robustness.log().values())
    robustness(net, Y, delta=torch.full((16, 4), 0.01))
    assert robustness.last.random_share.isnan()
    assert robustness.last.at_boundary == 0
    assert robustness.last.passes == 2
    robustness(lambda y: 0 * y + net(torch.zeros_like(y)), Y)
    assert robustness.last.stalled == 1


# -- processes ---------------------------------------------------------------------------------------------------------


def _of_a_rank(rank: int) -> tuple[float, float, float]:
    robustness = RobustnessTarget(0.3, amplification=2.0, check_every=2, attack=SphereAscent(1, keep="last"))
    torch.manual_seed(rank)
    for _ in range(3):
        robustness(lambda y: (3.0 + 2 * rank) * y * torch.tensor([1, 0.5, 0.5, 0.5]), Y)
    weights = [torch.zeros(()) for _ in range(2)]
    dist.all_gather(weights, robustness.log_weight)
    return float(weights[0]), float(weights[1]), float(robustness.log_ratio)


@pytest.mark.distributed
@pytest.mark.slow
def test_processes_agree() -> None:
    first, second, ratio = in_two_processes(_of_a_rank)
    assert first == second
    assert ratio > 0
    most = 3 * 0.03 * (math.log((9 + 25) / 2) - math.log(4.0))
    assert 0.5 * most < first < 1.5 * most


def test_settings_and_the_weight_are_printed() -> None:
    goal = RobustnessTarget(0.1, 3, amplification=2.0, weight=0.5)
    assert repr(goal) == "RobustnessTarget(eps=0.1, n_seeds=3, amplification=2, weight=0.5)"
    goal.log_weight.fill_(0.0)
    assert repr(goal).endswith("weight=1)")
    goal = RobustnessTarget(torch.tensor([0.1, 0.2]), psnr=40.0)
    assert repr(goal).startswith("RobustnessTarget(eps=tensor of shape (2,), n_seeds=1, psnr=40, weight=")
    assert repr(RobustnessLoss(torch.tensor(0.5), 2, reduction="sum")) == (
        "RobustnessLoss(eps=0.5, n_seeds=2, reduction='sum')"
    )
