"""Sensitivity and the same-seed change, against closed forms and a naive version."""

from __future__ import annotations

import functools
import itertools
import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from stochrobust import (
    IFGSM,
    L2,
    PGD,
    AdamAscent,
    AttackWarning,
    Linf,
    SampleKeys,
    mean_sensitivity,
    same_seed_change,
    sensitivity,
    w2_sensitivity,
)
from stochrobust.estimators.contract import sampler_of
from stochrobust.estimators.same_seed import SameSeed
from tests.problems import FourSeeds, Linear, SmallNet, naive_change, normal_z

COUNTER = itertools.count()
SIXTY_FOUR = [1.3, *torch.linspace(1.0, 0.01, 63).tolist()]


@pytest.fixture
def net() -> SmallNet:
    model = SmallNet(dropout=0.5).double()
    model(torch.randn(32, 4).double(), torch.randn(32, 4).double())  # some running statistics
    return model.eval()


# -- closed forms ------------------------------------------------------------------------------------------------------


def test_linear_estimator_has_the_sensitivity_of_its_top_singular_value() -> None:
    problem = Linear.with_singular_values(SIXTY_FOUR)
    found = sensitivity(problem, torch.randn(5, 64, dtype=torch.float64), 0.3, 4, attack=PGD(50, step=1.0, restarts=1))
    exact = problem.sensitivity(0.3)
    assert (found.value >= 0.99 * exact).all()
    assert (found.value <= exact * (1 + 1e-9)).all()
    torch.testing.assert_close(found.in_sample, found.value)  # for every z
    torch.testing.assert_close(found.gain, torch.full((5,), 1.3, dtype=torch.float64), rtol=5e-3, atol=0)
    assert found.at_boundary.all()
    assert (found.random_value < 0.6 * exact).all()
    assert not found.stalled.any()


@pytest.mark.parametrize("eps", [1e-3, 1.0, 50.0])
def test_eps_scales_a_linear_estimator(eps: float) -> None:
    problem = Linear.with_singular_values([2.0, 1.0])
    found = sensitivity(problem, torch.zeros(1, 2, dtype=torch.float64), eps, 2)
    torch.testing.assert_close(found.value.item(), problem.sensitivity(eps), rtol=1e-6, atol=0)


def test_linf_sensitivity_of_a_sum_is_the_corner() -> None:
    found = sensitivity(lambda y: y.sum(1, keepdim=True), torch.zeros(2, 6), 0.5, ball=Linf())
    torch.testing.assert_close(found.value, torch.full((2,), 9.0))


def test_eps_zero_gives_exactly_zero(net: SmallNet) -> None:
    found = sensitivity(net, torch.randn(3, 4).double(), 0.0, 2)
    assert (found.value == 0).all()
    assert (found.delta == 0).all()
    assert not found.stalled.any()


def test_one_radius_per_sample() -> None:
    problem = Linear.with_singular_values([2.0, 1.0])
    found = sensitivity(problem, torch.zeros(2, 2, dtype=torch.float64), torch.tensor([0.1, 0.2]), 1)
    torch.testing.assert_close(found.value, torch.tensor([0.04, 0.16]).double(), rtol=1e-5, atol=0)


@pytest.mark.filterwarnings("ignore:all . seeds of every sample give the same output:stochrobust.AttackWarning")
@pytest.mark.parametrize("n_seeds", [1, 2, 7])
def test_a_seed_blind_estimator_gives_the_deterministic_answer(n_seeds: int) -> None:
    problem = Linear.with_singular_values([2.0, 1.0, 0.5])
    y = torch.zeros(2, 3, dtype=torch.float64)
    start = SampleKeys(range(2))
    blind = sensitivity(lambda y, z: y @ problem.A.T, y, 0.3, n_seeds, sample_z=normal_z(2), generator=start)
    plain = sensitivity(lambda y: y @ problem.A.T, y, 0.3, generator=start)
    torch.testing.assert_close(blind.value, plain.value)


@pytest.mark.filterwarnings("ignore:the attack found less:stochrobust.AttackWarning")
def test_the_attack_climbs_from_where_a_zero_start_would_stay() -> None:
    # At delta = 0 the gradient of Eq. 6 is exactly zero: an ascent from there reads 0 for ever.
    zero = torch.zeros(4, 3, requires_grad=True)
    same_seed_change(lambda y: 5 * y, torch.rand(4, 3), zero).sum().backward()
    assert zero.grad is not None
    assert (zero.grad == 0).all()
    for attack in (PGD(1), AdamAscent(1, lr=1e-4)):
        assert (sensitivity(lambda y: 5 * y, torch.rand(50, 3), 1e-3, attack=attack).in_sample > 0).all()


# -- against the naive version -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_batch", [None, 1, 4, 5, 100])
def test_change_equals_one_sample_and_one_seed_at_a_time(net: SmallNet, max_batch: int | None) -> None:
    y, delta = torch.randn(3, 4).double(), torch.randn(3, 4).double()
    z = torch.randn(6, 4).double()
    found = same_seed_change(net, y, delta, 2, z=z, max_batch=max_batch)
    torch.testing.assert_close(found, naive_change(net, y, delta, z, 2), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("max_batch", [None, 5])
def test_value_is_the_change_at_the_delta_returned(net: SmallNet, max_batch: int | None) -> None:
    y, z = torch.randn(3, 4).double(), torch.randn(12, 4).double()
    found = sensitivity(net, y, 0.7, 4, z=z, max_batch=max_batch)
    torch.testing.assert_close(found.value, naive_change(net, y, found.delta, z, 4), rtol=1e-10, atol=1e-12)
    assert torch.equal(found.z, z)
    assert not found.held_out
    torch.testing.assert_close(found.value, found.in_sample, rtol=1e-10, atol=1e-12)
    outputs = torch.stack([net(y, z[s::4]) for s in range(4)])
    torch.testing.assert_close(found.spread, outputs.var(0).sum(1))


@pytest.mark.filterwarnings("ignore:the attack found less:stochrobust.AttackWarning")
def test_value_is_scored_on_seeds_that_did_not_choose_delta() -> None:
    # One seed sees one direction: on other seeds that direction is worth less.
    def G(y: Tensor, z: Tensor) -> Tensor:
        return (y * z).sum(1, keepdim=True)

    found = sensitivity(G, torch.zeros(200, 20), 1.0, 1, sample_z=normal_z(20))
    assert found.held_out
    assert 15 < found.in_sample.mean() < 25  # ||z||^2
    assert 0.5 < found.value.mean() < 1.6  # the square of a projection of another z: 1


def test_batch_equals_samples_one_by_one(net: SmallNet) -> None:
    y = torch.randn(4, 4).double()
    attack = PGD(8, restarts=2)
    whole = sensitivity(net, y, 0.7, 3, attack=attack, generator=SampleKeys([5, 8, 2, 9]))
    for i, key in enumerate([5, 8, 2, 9]):
        one = sensitivity(net, y[i : i + 1], 0.7, 3, attack=attack, generator=SampleKeys([key]))
        for name in ("value", "delta", "in_sample", "random_value", "spread"):
            torch.testing.assert_close(getattr(one, name), getattr(whole, name)[i : i + 1], rtol=0, atol=1e-10)
    small = sensitivity(net, y, 0.7, 3, attack=attack, generator=SampleKeys([5, 8, 2, 9]), max_batch=2)
    torch.testing.assert_close(small.value, whole.value, rtol=0, atol=1e-10)


def test_samples_may_be_swapped_with_their_seeds(net: SmallNet) -> None:
    y, z, delta = torch.randn(2, 4).double(), torch.randn(6, 4).double(), torch.randn(2, 4).double()
    swapped = same_seed_change(net, y.flip(0), delta.flip(0), 3, z=torch.cat([z[3:], z[:3]]))
    torch.testing.assert_close(swapped, same_seed_change(net, y, delta, 3, z=z).flip(0))


# -- what the outputs are driven away from -----------------------------------------------------------------------------


def test_a_reference_is_what_the_attack_climbs_away_from_and_not_what_is_reported() -> None:
    # Away from x = 10 the outputs of G(y) = y fall; away from their own values either way is as good.
    y, x = torch.zeros(20, 1), torch.full((20, 1), 10.0)
    found = sensitivity(lambda y: y, y, 0.5, attack=PGD(3), reference=x)
    torch.testing.assert_close(found.delta, torch.full((20, 1), -0.5))
    torch.testing.assert_close(found.value, torch.full((20,), 0.25))
    torch.testing.assert_close(found.in_sample, found.value)
    torch.testing.assert_close(found.restart_values, torch.full((1, 20), 10.5**2))
    own = sensitivity(lambda y: y, y, 0.5, attack=PGD(3))
    assert own.delta.min() < -0.499
    assert own.delta.max() > 0.499


def test_a_reference_belongs_to_each_sample_and_serves_all_its_seeds() -> None:
    x = torch.tensor([[10.0], [-10.0]])
    found = sensitivity(lambda y, z: y + 0.01 * z, torch.zeros(2, 1), 0.5, 3, sample_z=normal_z(1), reference=x)
    torch.testing.assert_close(found.delta, torch.tensor([[-0.5], [0.5]]))


@pytest.mark.filterwarnings("ignore:the attack found less:stochrobust.AttackWarning")
def test_a_start_at_zero_is_at_zero() -> None:
    once = PGD(1, step=0.5, keep="last", start="zero")
    found = sensitivity(
        lambda y: y, torch.zeros(2, 3), 1.0, attack=once, ball=Linf(), reference=torch.full((2, 3), -1.0)
    )
    assert torch.equal(found.delta, torch.full((2, 3), 0.5))


def test_the_released_ifgsm_starts_at_zero_and_leaves_the_ground_truth() -> None:
    # 50 sign steps of alpha / 50 on a linear map travel exactly alpha along the signs.
    released = PGD(50, step=1 / 50, keep="last", start="zero")
    y = torch.full((1, 3), 0.5, dtype=torch.float64)
    weights = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
    found = sensitivity(
        lambda y: (y * weights).sum(1, keepdim=True), y, 8 / 255, attack=released, ball=Linf(box=(0.0, 1.0)),
        reference=torch.full((1, 1), -5.0, dtype=torch.float64),
    )  # fmt: skip
    torch.testing.assert_close(found.delta, 8 / 255 * weights.sign()[None], rtol=1e-12, atol=0)
    assert replace(IFGSM, start="zero") == released


# -- what an estimator may look like -----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:the gradient of G with respect to y was zero:stochrobust.AttackWarning")
def test_nested_seeds_and_conditions_are_repeated_and_chunked_alike() -> None:
    model = FourSeeds()
    y = torch.rand(3, 4)

    def conditioned(y: Tensor, z: Any, cond: dict[str, Any]) -> Tensor:
        assert cond["name"] == "label"
        output: Tensor = model(y, z) * cond["scale"]
        return output

    cond = {"scale": torch.tensor([[1.0], [2.0], [0.0]]), "name": "label"}
    results = []
    for max_batch in (None, 4):
        generator = torch.Generator().manual_seed(0)
        found = sensitivity(
            conditioned, y, 0.5, 2, sample_z=model.sample_z, cond=cond, generator=generator, max_batch=max_batch
        )
        results.append(found.value)
    torch.testing.assert_close(results[0], results[1])
    assert results[0][2] == 0
    assert results[0][1] > results[0][0] > 0


def test_condition_without_seeds_is_the_second_argument() -> None:
    found = sensitivity(lambda y, cond: y * cond, torch.zeros(2, 3), 1.0, cond=torch.tensor([[2.0], [3.0]]))
    torch.testing.assert_close(found.value, torch.tensor([4.0, 9.0]))


class Noisy(nn.Module):
    """Draws its noise inside, as dropout or a sampler does; the noise decides what the input is worth."""

    def forward(self, y: Tensor) -> Tensor:
        return y * torch.randn_like(y)


@pytest.mark.parametrize("max_batch", [None, 3])
def test_hidden_noise_is_the_same_for_clean_and_attacked(max_batch: int | None) -> None:
    y, delta = torch.randn(4, 3), torch.ones(4, 3)
    change = same_seed_change(Noisy(), y, delta, 500, max_batch=max_batch)
    # Same noise: E ||delta * n||^2 = 3. Other noise would add 2 ||y||^2.
    torch.testing.assert_close(change, torch.full((4,), 3.0), rtol=0.2, atol=0)
    assert (same_seed_change(Noisy(), y, torch.zeros(4, 3), 5, max_batch=max_batch) == 0).all()


@pytest.mark.filterwarnings("ignore:the attack found less:stochrobust.AttackWarning")
def test_hidden_noise_is_held_out_with_keys_too() -> None:
    found = sensitivity(Noisy(), torch.ones(2, 3), 0.1, 5, generator=SampleKeys([1, 2]))
    other = sensitivity(Noisy(), torch.ones(2, 3), 0.1, 5, generator=SampleKeys([3, 4]))
    assert not torch.isclose(found.value, found.in_sample).any()
    assert not torch.isclose(found.spread, other.spread).any()
    assert (w2_sensitivity(Noisy(), torch.ones(2, 3), 0.1, 5, generator=SampleKeys([1, 2])).floor > 0).all()


@pytest.mark.filterwarnings("ignore:the attack found less:stochrobust.AttackWarning")
def test_hidden_noise_differs_between_seeds_and_calls() -> None:
    found = sensitivity(Noisy(), torch.ones(2, 3), 0.1, 50)
    assert (found.spread > 1).all()
    assert not torch.equal(found.value, sensitivity(Noisy(), torch.ones(2, 3), 0.1, 50).value)


def test_dropout_beside_explicit_seeds_is_held_too(net: SmallNet) -> None:
    net.train()
    y = torch.randn(6, 4).double()
    assert (same_seed_change(net, y, torch.zeros(6, 4), 2) == 0).all()


@pytest.mark.parametrize("wrap", ["module", "method", "partial", "sample_z", "average"])
def test_the_sampler_is_found(net: SmallNet, wrap: str) -> None:
    G: Any = {
        "module": net,
        "method": net.forward,
        "partial": functools.partial(net),
        "average": AveragedModel(net),
        "sample_z": lambda y, z: net(y, z),
    }[wrap]
    sample_z = net.sample_z if wrap == "sample_z" else None
    y = torch.randn(3, 4).double()
    found = sensitivity(G, y, 0.5, 2, sample_z=sample_z, generator=torch.Generator().manual_seed(0))
    expected = sensitivity(net, y, 0.5, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(found.value, expected.value)


def test_the_sampler_is_found_below_several_wrappers(net: SmallNet) -> None:
    wrapped = torch.compile(nn.DataParallel(net), backend="eager")
    assert sampler_of(functools.partial(wrapped)) == net.sample_z
    assert sampler_of(lambda y: y) is None


def test_given_seeds_come_before_the_samplers(net: SmallNet) -> None:
    y, z = torch.randn(2, 4).double(), torch.randn(2, 4).double()

    def never(y: Tensor, generator: object) -> Tensor:
        raise AssertionError("z was given")

    assert torch.equal(sensitivity(net, y, 0.5, 1, z=z, sample_z=never).z, z)


# -- parameters --------------------------------------------------------------------------------------------------------


def test_ball_mask_and_box_reach_the_attack() -> None:
    y = torch.full((2, 3), 0.5)
    found = sensitivity(lambda y: y, y, 10.0, ball=L2(box=(0.0, 1.0), mask=torch.tensor([1, 1, 0])))
    torch.testing.assert_close(found.value, torch.full((2,), 0.5))
    assert (found.delta[:, 2] == 0).all()


def test_attack_reaches_the_ascent(net: SmallNet) -> None:
    y = torch.randn(2, 4).double()
    assert sensitivity(net, y, 0.5, 1, attack=PGD(3, restarts=4)).restart_values.shape == (4, 2)
    assert sensitivity(net, y, 0.5, 1, attack=PGD(3, keep="last")).trace.shape == (4, 2)
    assert sensitivity(net, y, 0.5, 1, attack=PGD(3)).trace.shape == (5, 2)  # and the best one's mirror image


def test_mean_is_the_mean(net: SmallNet) -> None:
    y = torch.randn(5, 4).double()
    options: dict[str, Any] = {"attack": PGD(2), "max_batch": 4}
    mean = mean_sensitivity(net, y, 0.5, 2, generator=torch.Generator().manual_seed(0), **options)
    single = sensitivity(net, y, 0.5, 2, generator=torch.Generator().manual_seed(0), **options).value
    assert mean == single.mean()


def test_the_generator_decides_everything(net: SmallNet) -> None:
    y = torch.randn(2, 4).double()
    first, second, other = (
        sensitivity(net, y, 0.5, 2, attack=PGD(1), generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first.value, second.value)
    assert not torch.isclose(first.value, other.value).any()


def test_a_model_that_ignores_its_input_is_stalled() -> None:
    for G in (lambda y, z: z, lambda y, z: z + 0 * y):
        with pytest.warns(AttackWarning, match="G ignores its input"):
            found = sensitivity(G, torch.rand(2, 3), 0.5, 2, sample_z=normal_z(3))
        assert (found.value == 0).all()
        assert found.stalled.all()
        assert [concern.split(":")[0] for concern in found.concerns] == [
            "G's output is exactly the same at y and at y + delta"
        ]


# -- a value that says less than it seems to ---------------------------------------------------------------------------


def measured_by(measure: str, G: Any, y: Tensor, n_seeds: int = 1, **options: Any) -> Any:
    call: Any = {"sensitivity": sensitivity, "w2_sensitivity": w2_sensitivity}[measure]
    return call(G, y, 0.5, n_seeds, **options)


@pytest.mark.parametrize("measure", ["sensitivity", "w2_sensitivity"])
@pytest.mark.parametrize(
    ("G", "n_seeds", "sentence"),
    [
        (lambda y, z: y, 3, "all 3 seeds of every sample give the same output"),
        (lambda y, z: y - y.mean(0), 1, "depends on the other samples of the batch"),
        (lambda y, z: y.round(), 1, "the gradient of G with respect to y was zero at every step for 4 of 4 samples"),
        (lambda y, z: y.detach().round() + 0 * y, 1, "the gradient of G with respect to y was zero at every step"),
        (lambda y, z: y + next(COUNTER), 1, "not the same function in two calls"),
    ],
)
def test_measurements_name_what_makes_them_meaningless(measure: str, G: Any, n_seeds: int, sentence: str) -> None:
    y = 3 * torch.rand(4, 3)
    with pytest.warns(AttackWarning) as caught:
        found = measured_by(measure, G, y, n_seeds, sample_z=normal_z(3))
    assert any(sentence in concern for concern in found.concerns)
    assert {str(warning.message) for warning in caught} == set(found.concerns)
    assert all(warning.filename == __file__ for warning in caught)  # they point at the caller's line


def test_an_attack_that_is_beaten_by_a_random_direction_is_named() -> None:
    weak = PGD(1, step=1e-6)
    with pytest.warns(AttackWarning, match="the attack found less .* than one random direction did"):
        sensitivity(lambda y: y, torch.zeros(50, 1), 0.5, attack=weak)


def test_nothing_is_said_of_a_sound_measurement(net: SmallNet) -> None:
    found = sensitivity(net, torch.randn(4, 4).double(), 0.5, 4)
    assert found.concerns == ()
    assert w2_sensitivity(net, torch.randn(4, 4).double(), 0.5, 4).concerns == ()
    assert (found.agreement > 0.9).all()
    assert torch.equal(found.agreement, found.restart_values.amin(0) / found.restart_values.amax(0))


def test_half_precision_inputs_are_attacked_in_float32() -> None:
    found = sensitivity(lambda y: 2 * y, torch.full((1, 4), 0.5, dtype=torch.bfloat16), 0.5)
    assert found.delta.dtype == torch.float32
    assert found.value.dtype == torch.float32
    torch.testing.assert_close(found.value, torch.tensor([1.0]), rtol=0.02, atol=0)


@pytest.mark.parametrize("max_batch", [None, 2])
def test_the_ascents_gradient_is_that_of_the_change(net: SmallNet, max_batch: int | None) -> None:
    y, z, delta = torch.randn(3, 4).double(), torch.randn(6, 4).double(), torch.randn(3, 4).double()
    held = SameSeed(net, y, 2, z=z, max_batch=max_batch)
    value, gradient = held.evaluate(delta, held.outputs().detach(), with_gradient=True)
    delta.requires_grad_()
    expected = same_seed_change(net, y, delta, 2, z=z)
    torch.testing.assert_close(value, expected.detach())
    assert gradient is not None
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.sum(), delta)[0])


def test_tensors_made_under_inference_mode_may_be_saved_for_the_gradient() -> None:
    with torch.inference_mode():
        y, z = torch.ones(2, 3), torch.full((2, 3), 2.0)
        found = sensitivity(lambda y, z, c: y * z * c, y, 0.5, z=z, cond=torch.ones(2, 3))
    torch.testing.assert_close(found.value, torch.ones(2))


@pytest.mark.parametrize(("eps", "told"), [(0.3, False), (0.005, True)])
def test_gain_is_of_the_delta_that_a_half_precision_y_takes(eps: float, told: bool) -> None:
    y = 0.3 + 0.7 * torch.rand(2, 64, generator=torch.Generator().manual_seed(0))
    half = y.to(torch.bfloat16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AttackWarning)
        found = sensitivity(lambda y: 2 * y, half, eps, generator=torch.Generator().manual_seed(1))
    applied = (half.float() + found.delta).to(torch.bfloat16).float() - half.float()
    assert found.gain == pytest.approx(torch.full((2,), 2.0).tolist(), rel=1e-3)  # doubling is exact
    assert found.value == pytest.approx((4 * applied.square().sum(1)).tolist(), rel=1e-5)
    assert ("rounded delta" in [concern.code for concern in found.concerns]) is told
    whole = sensitivity(lambda y: 2 * y, half.float(), eps, generator=torch.Generator().manual_seed(1))
    assert "rounded delta" not in [concern.code for concern in whole.concerns]


def test_a_measurement_of_no_change_says_so_plainly() -> None:
    y = torch.zeros(2, 2)
    nowhere = repr(sensitivity(lambda y: 3 * y, y, 0.0))
    assert nowhere == "Sensitivity of 2 inputs: delta is zero at all of them, so that nothing was measured"
    with pytest.warns(AttackWarning):
        blind = repr(sensitivity(torch.ones_like, y, 0.1))
    assert "change 0 (root mean square), 0 times delta" in blind
    assert "along one random direction 0; no restart found any" in blind
    assert "nothing was searched for 2 of the inputs" in blind
    assert "nan" not in blind
    assert "inside the ball" not in blind
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AttackWarning)
        within = sensitivity(lambda y: y * torch.exp(-((y / 0.02) ** 2)), torch.zeros(2, 1), 0.1, attack=PGD(20))
    assert within.at_boundary.tolist() == [False, False]
    assert "delta stayed inside the ball for 2 of the inputs" in repr(within)


def test_a_measurement_prints_few_lines_and_no_tensor() -> None:
    y = torch.rand(3, 6, generator=torch.Generator().manual_seed(0))
    with pytest.warns(AttackWarning):
        found = sensitivity(lambda y, z: (4 * y).round() + z, y, 0.1, n_seeds=2, z=torch.rand(6, 6))
    assert repr(found) == found.summary()
    assert "tensor" not in repr(found)
    assert len(repr(found).splitlines()) <= 6
    assert "nothing was searched for 3 of the inputs" in repr(found)
    assert "doubts: " in repr(found)
    assert "zero gradient" in repr(found)
    assert f"spread by {found.spread.mean().sqrt().item():.3g}" in repr(found)
    linear = sensitivity(lambda y: 3 * y, y, 0.1)
    assert "change 0.3 (root mean square), 3 times delta" in repr(linear)
    assert "on the seeds given" in repr(found)
