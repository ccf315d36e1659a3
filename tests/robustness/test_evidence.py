"""Evidence that an attack is strong: the linearisation's eigenvalue, and searches that gradients cannot mislead."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from stochrobust import (
    L2,
    PGD,
    AttackWarning,
    Linf,
    RandomSearch,
    SampleKeys,
    SphereAscent,
    attack_evidence,
    linearised_sensitivity,
    sensitivity,
)
from tests.problems import Linear, SmallNet, normal_z

# -- the linearisation -------------------------------------------------------------------------------------------------


def test_of_a_linear_estimator_it_is_the_sensitivity() -> None:
    problem = Linear.with_singular_values([1.3, *torch.linspace(1.0, 0.01, 63).tolist()])
    y, eps = torch.randn(3, 64, dtype=torch.float64), torch.tensor([0.1, 0.3, 2.0]).double()
    found = linearised_sensitivity(problem, y, eps, 2, steps=40)
    torch.testing.assert_close(found.value, (1.3 * eps).square(), rtol=1e-10, atol=0)
    assert (found.residual < 1e-6 * found.value).all()
    torch.testing.assert_close(L2().norm(found.delta), eps)
    moved = (found.delta @ problem.A.T).square().sum(1)
    torch.testing.assert_close(moved, found.value)


def test_it_is_the_top_eigenvalue_of_the_mean_over_seeds() -> None:
    net = SmallNet().double().eval()
    y, z = torch.randn(3, 4).double(), torch.randn(15, 4).double()
    found = linearised_sensitivity(net, y, 1.0, 5, z=z, steps=4)
    for b in range(3):
        jacobians = [
            torch.autograd.functional.jacobian(lambda at, s=s: net(at[None], z[s : s + 1])[0], y[b])
            for s in range(5 * b, 5 * b + 5)
        ]
        exact = torch.linalg.eigvalsh(torch.stack([J.T @ J for J in jacobians]).mean(0))[-1]
        torch.testing.assert_close(found.value[b], exact)
    for max_batch in (1, 4, 7):
        chunked = linearised_sensitivity(net, y, 1.0, 5, z=z, steps=4, max_batch=max_batch)
        torch.testing.assert_close(chunked.value, found.value)


def test_fewer_steps_find_less_and_say_so() -> None:
    problem = Linear.with_singular_values(torch.linspace(1.0, 0.01, 50).tolist())
    y = torch.zeros(4, 50, dtype=torch.float64)
    few, many = (linearised_sensitivity(problem, y, 1.0, 1, steps=steps) for steps in (3, 30))
    assert (few.value < many.value).all()
    assert (many.value <= 1 + 1e-12).all()
    assert (few.value + few.residual >= 0.9).all()
    assert (few.residual > 10 * many.residual).all()


def test_it_is_what_small_radii_tend_to() -> None:
    net = SmallNet().double().eval()
    y, z = torch.randn(2, 4).double(), torch.randn(4, 4).double()
    linear = linearised_sensitivity(net, y, 1e-5, 2, z=z, steps=4).value
    found = sensitivity(net, y, 1e-5, 2, z=z, attack=SphereAscent(300)).value
    torch.testing.assert_close(found, linear, rtol=1e-4, atol=0)
    far = sensitivity(net, y, 3.0, 2, z=z).value / 9.0
    assert not torch.allclose(far, linear / 1e-10, rtol=0.02)


def test_conditions_and_blind_estimators() -> None:
    c = torch.tensor([[1.0], [2.0]])
    found = linearised_sensitivity(lambda y, c: y * c, torch.zeros(2, 3), 1.0, cond=c)
    torch.testing.assert_close(found.value, torch.tensor([1.0, 4.0]))
    blind = linearised_sensitivity(lambda y: torch.ones(len(y), 3), torch.zeros(2, 3), 1.0)
    assert (blind.value == 0).all()
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        linearised_sensitivity(lambda y: y, torch.zeros(2, 3), 1.0, steps=0)


# -- searches side by side ---------------------------------------------------------------------------------------------


class Mute(torch.autograd.Function):
    """The identity, with the gradient multiplied by a number that it does not have."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return y.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.factor, None


WEIGHTS = torch.tensor([3.0, 1.0, 1.0, 0.5], dtype=torch.float64)


def masked(y: Tensor) -> Tensor:
    """Its gradient is zero, its linearisation too; it moves like diag(WEIGHTS)."""
    moved: Tensor = Mute.apply(y, 0.0)  # type: ignore[no-untyped-call]
    return moved * WEIGHTS


def test_a_right_attack_is_not_contradicted() -> None:
    problem = Linear.with_singular_values([2.0, 1.0, 0.5, 0.2])
    y = torch.zeros(6, 4, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = attack_evidence(problem, y, 0.3, 2)
    exact = torch.full((6,), problem.sensitivity(0.3), dtype=torch.float64)
    torch.testing.assert_close(found.value, exact, rtol=1e-4, atol=0)
    torch.testing.assert_close(found.linearised, exact)
    torch.testing.assert_close(found.transferred, exact, rtol=1e-4, atol=0)  # one direction is the worst of all samples
    assert (found.gradient_free <= exact * (1 + 1e-9)).all()
    assert found.gradient_free.mean() > 0.8 * exact[0]
    assert found.random.mean() < 0.6 * exact[0]
    assert not found.masked.any()


@pytest.mark.filterwarnings("ignore:the gradient of G with respect to y was zero:stochrobust.AttackWarning")
def test_masked_gradients_are_found_by_trial() -> None:
    y = torch.zeros(5, 4, dtype=torch.float64)
    with pytest.warns(AttackWarning, match=r"for [1-5] of 5 samples a search without G's gradient .* found more"):
        found = attack_evidence(masked, y, 0.5)
    assert (found.gradient_free > 0.9 * 9 * 0.25).all()
    assert found.masked.any()
    assert (found.linearised == 0).all()
    with pytest.warns(AttackWarning, match="a search without G's gradient"):
        weaker = attack_evidence(masked, y, 0.5, trials=1)
    assert weaker.gradient_free.mean() < found.gradient_free.mean()


@pytest.mark.filterwarnings("ignore:the gradient of G with respect to y was zero:stochrobust.AttackWarning")
def test_a_surrogate_finds_what_gradients_hide() -> None:
    y = torch.zeros(5, 4, dtype=torch.float64)
    with pytest.warns(AttackWarning, match="a search without G's gradient"):
        found = attack_evidence(masked, y, 0.5, trials=1, surrogate=lambda y: y * WEIGHTS)
    torch.testing.assert_close(found.transferred, torch.full((5,), 9 * 0.25).double(), rtol=1e-3, atol=0)


def test_a_surrogate_gets_the_seeds_of_g() -> None:
    net, y = SmallNet().eval(), torch.randn(3, 4)
    found = attack_evidence(net, y, 0.5, 4, surrogate=lambda y, z: net(y, z), trials=5, generator=SampleKeys(range(3)))
    torch.testing.assert_close(found.transferred, found.value)  # the same keys, so the same seeds and starts


def test_a_lack_of_memory_is_not_a_lack_of_second_derivatives(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.cuda.OutOfMemoryError("no memory left")

    monkeypatch.setattr("stochrobust.robustness.evidence.linearised_sensitivity", full)
    with pytest.raises(torch.cuda.OutOfMemoryError, match="no memory left"):
        attack_evidence(lambda y: y, torch.zeros(2, 3), 0.5, trials=1)


def test_without_a_surrogate_the_previous_samples_delta_is_tried_in_full_length() -> None:
    eps, rows = torch.tensor([0.1, 0.2, 0.4]), torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 1.0, 0.0]])
    found = attack_evidence(lambda y, c: (y * c).sum(1, keepdim=True), torch.zeros(3, 3), eps, cond=rows)
    torch.testing.assert_close(found.value, eps.square())
    expected = eps.square() * torch.tensor([0.0, 0.36, 0.64])
    torch.testing.assert_close(found.transferred, expected, rtol=1e-3, atol=1e-7)


def test_without_a_surrogate_a_box_holds_for_the_other_samples_delta() -> None:
    y, box = torch.tensor([[0.2], [0.9]]), (0.0, 1.0)
    found = attack_evidence(lambda y: 2 * y, y, 0.5, ball=L2(box=box))
    torch.testing.assert_close(found.value, torch.tensor([1.0, 1.0]))  # up from 0.2, down from 0.9
    torch.testing.assert_close(found.transferred, torch.tensor([0.16, 0.04]))  # the other's way, as far as the box goes
    alone = attack_evidence(lambda y: 2 * y, y[:1], 0.5)
    assert alone.transferred.isnan().all()
    assert not alone.masked.any()


def test_all_are_scored_on_seeds_that_none_of_them_saw() -> None:
    def G(y: Tensor, z: Tensor) -> Tensor:
        return (y * z).sum(1, keepdim=True)

    with pytest.warns(AttackWarning):  # one seed sees one direction: what is found is no better than chance elsewhere
        found = attack_evidence(G, torch.zeros(300, 20), 1.0, 1, sample_z=normal_z(20), attack=PGD(3), trials=5)
    for value in (found.value, found.random, found.gradient_free, found.transferred):
        assert 0.6 < value.mean() < 1.5


def test_what_the_examined_attack_gave_cause_to_say_is_said_once_and_of_the_callers_line() -> None:
    net = SmallNet()  # BatchNorm in train mode
    with pytest.warns(AttackWarning) as caught:
        attack_evidence(net, torch.randn(6, 4), 0.5, 2, trials=3)
    said = [str(warning.message) for warning in caught]
    assert len(said) == len(set(said))
    assert any("depends on the other samples" in sentence for sentence in said)
    assert all(warning.filename == __file__ for warning in caught)


@pytest.mark.filterwarnings("ignore::stochrobust.AttackWarning")  # of a network in train mode
def test_module_seeds_randomness_and_chunks_are_those_given() -> None:
    net, y, z = SmallNet(), torch.randn(3, 4), torch.randn(6, 4)
    rows: list[int] = []
    net.register_forward_hook(lambda module, inputs, output: rows.append(len(output)))
    statistics = {name: buffer.clone() for name, buffer in net.named_buffers()}
    options: dict[str, Any] = {"module": net, "trials": 3, "attack": PGD(3)}

    def G(y: Tensor, z: Tensor) -> Tensor:  # only module= says what it holds
        output: Tensor = net(y, z)
        return output

    def fixed() -> torch.Generator:
        return torch.Generator().manual_seed(0)

    attack_evidence(G, y, 0.5, 2, z=z, **options)
    linearised_sensitivity(G, y, 0.5, 2, z=z, module=net, steps=2)
    for name, buffer in net.named_buffers():
        assert torch.equal(buffer, statistics[name]), name
    net.eval()
    state = torch.get_rng_state()
    found = [attack_evidence(G, y, 0.5, 2, z=z, generator=fixed(), **options) for _ in range(2)]
    linear = [linearised_sensitivity(G, y, 0.5, 2, z=z, generator=fixed()) for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(found[0].value, found[1].value)
    assert torch.equal(found[0].random, found[1].random)
    assert torch.equal(linear[0].delta, linear[1].delta)
    given = sensitivity(net, y, 0.5, 2, z=z, attack=PGD(3), generator=fixed())
    torch.testing.assert_close(found[0].value, given.value)  # on the seeds given, not on others
    rows.clear()
    attack_evidence(G, y, 0.5, 2, z=z, max_batch=4, **options)
    linearised_sensitivity(G, y, 0.5, 2, z=z, module=net, max_batch=4)
    assert max(rows) == 4


def test_a_checkpointed_layer_records_no_statistics_when_it_is_computed_again() -> None:
    net, plain = SmallNet(recompute=True), SmallNet()
    plain.load_state_dict(net.state_dict())
    statistics = {name: buffer.clone() for name, buffer in net.named_buffers()}
    y, z = torch.randn(6, 4), torch.randn(6, 4)
    found, expected = (linearised_sensitivity(G, y, 0.5, z=z, generator=SampleKeys(range(6))) for G in (net, plain))
    torch.testing.assert_close(found.value, expected.value)
    for name, buffer in net.named_buffers():
        assert torch.equal(buffer, statistics[name]), name


def test_attention_has_a_linearisation() -> None:
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True).double().eval()
    y = torch.randn(2, 3, 8).double()
    found = linearised_sensitivity(layer, y, 1.0, steps=24)
    for b in range(2):
        jacobian = torch.autograd.functional.jacobian(lambda at: layer(at[None]), y[b]).reshape(24, 24)
        torch.testing.assert_close(found.value[b], torch.linalg.matrix_norm(jacobian, 2) ** 2)


class Once(torch.autograd.Function):
    """Twice y, differentiable once."""

    @staticmethod
    def forward(_ctx: Any, y: Tensor) -> Tensor:
        return 2 * y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        return 2 * gradient


def test_without_second_derivatives_the_linearisation_is_left_out() -> None:
    with pytest.warns(AttackWarning, match="the linearisation was left out, G cannot be differentiated twice"):
        found = attack_evidence(Once.apply, torch.zeros(2, 3), 0.5)
    assert found.linearised.isnan().all()
    torch.testing.assert_close(found.value, torch.ones(2))


def test_a_linearisation_that_cannot_be_is_an_error() -> None:
    net = torch.nn.Linear(3, 3)
    for G in (lambda y: 2 * y.detach(), lambda y: net(y.detach())):
        with pytest.raises(ValueError, match="output changes with its input but carries no gradient to it"):
            linearised_sensitivity(G, torch.rand(2, 3), 1.0)
    with pytest.raises(ValueError, match="G's Jacobian at y must be finite, got 6 NaN"):
        linearised_sensitivity(lambda y: (0 * y).square().sqrt() + y, torch.rand(2, 3), 1.0)


def test_attack_and_ball_are_those_given() -> None:
    y = torch.zeros(3, 4, dtype=torch.float64)
    corner = attack_evidence(lambda y: y * WEIGHTS, y, 0.5, ball=Linf())
    torch.testing.assert_close(corner.value, WEIGHTS.square().sum().expand(3) / 4)
    assert corner.linearised.isnan().all()
    with pytest.warns(AttackWarning):
        weak = attack_evidence(lambda y: y * WEIGHTS, y, 0.5, attack=RandomSearch(1), trials=200)
    assert (weak.value < 0.99 * 9 * 0.25).any()
    with pytest.raises(TypeError, match=r"surrogate must be callable like G, or None, got 3 \(int\)"):
        attack_evidence(lambda y: y, y, 0.5, surrogate=3)  # type: ignore[arg-type]
