"""The alternatives to Eq. 7: closed forms, versions written out, and what each argument does."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stochrobust import (
    PGD,
    SampleKeys,
    diversity_sensitive_loss,
    jacobian_penalty,
    mode_seeking_loss,
    robustness_loss,
    spectral_penalty,
    std_reward_loss,
)
from tests.problems import FourSeeds, Linear, SmallNet, normal_z
from tests.processes import in_two_processes

DIVERSITY: dict[str, Callable[..., Tensor]] = {
    "mode seeking": mode_seeking_loss,
    "diversity sensitive": diversity_sensitive_loss,
    "std reward": std_reward_loss,
}
JACOBIAN: dict[str, Callable[..., Tensor]] = {"jacobian": jacobian_penalty, "spectral": spectral_penalty}
ALL = DIVERSITY | JACOBIAN
each = pytest.mark.parametrize("loss", ALL.values(), ids=ALL.keys())
each_diversity = pytest.mark.parametrize("loss", DIVERSITY.values(), ids=DIVERSITY.keys())
each_jacobian = pytest.mark.parametrize("loss", JACOBIAN.values(), ids=JACOBIAN.keys())


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def number(value: Tensor) -> float:
    return value.item()


def net() -> SmallNet:
    return SmallNet().double().eval()


def gradients(model: nn.Module, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(model.parameters()), allow_unused=True))


# -- closed forms: G(y, z) = A y + B z ---------------------------------------------------------------------------------


def test_mode_seeking_of_a_scaled_seed_is_the_reciprocal_of_its_scale() -> None:
    G = Linear(torch.randn(3, 3), 5 * torch.eye(3)[[2, 0, 1]])
    loss = mode_seeking_loss(G, torch.randn(4, 3), 3)
    assert number(loss) == pytest.approx(1 / (5 + 1e-5))


def test_mode_seeking_where_seeds_do_nothing() -> None:
    G = Linear(torch.randn(3, 3), torch.zeros(3, 3))
    assert number(mode_seeking_loss(G, torch.randn(4, 3))) == pytest.approx(1e5)


def test_diversity_of_a_scaled_seed_is_its_scale_up_to_tau() -> None:
    G = Linear(torch.randn(3, 3).double(), torch.diag(torch.tensor([5.0, -5.0, 5.0])).double())
    y = torch.randn(4, 3).double()
    assert number(diversity_sensitive_loss(G, y, 3)) == pytest.approx(-5, rel=1e-3)
    assert number(diversity_sensitive_loss(G, y, 3, tau=2.0)) == -2
    assert number(diversity_sensitive_loss(G, y, 3, tau=6)) == pytest.approx(-5, rel=1e-3)


def test_beyond_tau_there_is_nothing_to_gain() -> None:
    scale = torch.tensor([5.0, 1.0], requires_grad=True)
    z = torch.tensor([[0.0], [1.0], [0.0], [1.0]])
    loss = diversity_sensitive_loss(lambda y, z: y + scale.repeat_interleave(2)[:, None] * z, torch.zeros(2, 1), 2,
                                    tau=2.0, z=z)  # fmt: skip
    (gradient,) = torch.autograd.grad(loss, scale)
    assert gradient.tolist() == pytest.approx([0, -0.5], rel=1e-4)
    assert number(loss) == pytest.approx(-1.5, rel=1e-4)


def test_seeds_that_coincide_do_no_harm() -> None:
    z = torch.tensor([[1.0], [1.0], [0.0], [1.0]])
    loss = diversity_sensitive_loss(lambda y, z: y + 4 * z, torch.zeros(2, 1), 2, z=z)
    assert number(loss) == pytest.approx(-2, rel=1e-4)


@pytest.mark.parametrize("n_seeds", [2, 5])
def test_the_std_reward_of_gaussian_outputs_is_their_std_times_beta(n_seeds: int) -> None:
    G = Linear(torch.randn(3, 3).double(), torch.randn(3, 4).double())
    loss = std_reward_loss(G, torch.randn(100_000, 3).double(), n_seeds)
    std = G.B.square().sum(1).sqrt().mean()
    beta = math.sqrt(2 / (math.pi * n_seeds * (n_seeds + 1)))
    assert number(loss) == pytest.approx(-beta * number(std), rel=5e-3)


def test_the_std_reward_and_l1_are_least_at_the_posterior() -> None:
    # x ~ N(0, 1), outputs N(0, s^2): with this beta the sum of the two terms is least at s = 1, by a grid of exact
    # expectations E|x - mean| = sqrt(2 / pi) sqrt(1 + s^2 / P) and the reward's measured slope in s.
    n_seeds, z = 3, torch.randn(600_000, 1).double()
    slope = number(std_reward_loss(lambda y, z: z, torch.zeros(200_000, 1).double(), n_seeds, z=z))
    grid = torch.linspace(0.2, 3, 281).double()
    total = math.sqrt(2 / math.pi) * (1 + grid**2 / n_seeds).sqrt() + slope * grid
    assert number(grid[total.argmin()]) == pytest.approx(1, abs=0.03)


def test_the_std_reward_has_a_gradient_where_outputs_agree() -> None:
    G = nn.Bilinear(3, 2, 3)
    nn.init.zeros_(G.weight)
    loss = std_reward_loss(G, torch.randn(4, 3), 2, sample_z=normal_z(2))
    assert loss.item() == 0
    assert all(torch.isfinite(gradient).all() for gradient in gradients(G, loss))


def test_the_jacobian_penalty_is_exact_for_a_scaled_rotation() -> None:
    G = Linear.with_singular_values([3.0, 3.0, 3.0, 3.0])
    assert number(jacobian_penalty(G, torch.randn(5, 4).double(), 2)) == pytest.approx(36)


def test_the_jacobian_penalty_is_unbiased() -> None:
    A = torch.randn(3, 5).double()  # 3 outputs, 5 inputs: which of the two counts shows
    G = Linear(A, torch.randn(3, 2).double())
    found = jacobian_penalty(G, torch.zeros(20_000, 5).double(), 2)
    assert number(found) == pytest.approx(number(A.square().sum()), rel=1e-2)


def test_more_projections_come_closer_to_the_frobenius_norm() -> None:
    G, y = Linear.with_singular_values([4.0, 1.0, 0.1]), torch.zeros(1, 3).double()
    exact = 16 + 1 + 0.01
    errors = [
        torch.stack([(jacobian_penalty(G, y, n_projections=n, generator=generator(i)) - exact).square()
                     for i in range(50)]).mean()
        for n in (1, 30)
    ]  # fmt: skip
    assert errors[1] < errors[0] / 10


def test_projections_drawn_by_keys_differ_from_each_other() -> None:
    G, y = Linear.with_singular_values([4.0, 1.0, 0.1]), torch.zeros(1, 3).double()
    one, two = (jacobian_penalty(G, y, n_projections=n, generator=SampleKeys([0])) for n in (1, 2))
    assert number(one) != pytest.approx(number(two))


def test_the_spectral_penalty_is_the_largest_singular_value_squared() -> None:
    G = Linear.with_singular_values([3.0, 2.0, 1.0])
    assert number(spectral_penalty(G, torch.randn(5, 3).double(), 2, steps=40)) == pytest.approx(9)


def test_fewer_steps_find_less_and_never_more_than_there_is() -> None:
    G, y = Linear.with_singular_values([3.0, 2.9, 1.0, 0.5]), torch.zeros(200, 4).double()
    found = [number(spectral_penalty(G, y, steps=steps, generator=generator())) for steps in (1, 2, 4)]
    assert found[0] < found[1] < found[2] <= 9 * (1 + 1e-12)


def test_the_spectral_penalty_of_several_seeds_is_that_of_their_mean_square() -> None:
    # J = diag(z): over the seeds (3, 0) and (0, 2), E[J^T J] = diag(4.5, 2); each alone would give 9 and 4.
    z = torch.tensor([[3.0, 0.0], [0.0, 2.0]])
    found = spectral_penalty(lambda y, z: y * z, torch.zeros(1, 2), 2, z=z, steps=40)
    assert number(found) == pytest.approx(4.5)


def test_the_spectral_penalty_is_the_limit_of_eq_7_for_small_radii() -> None:
    model, y, z = net(), torch.randn(3, 4).double(), torch.randn(6, 4).double()
    limit = spectral_penalty(model, y, 2, z=z, steps=200).item()
    options: dict[str, Any] = {"z": z, "attack": PGD(200, step=0.5), "reduction": "relative"}
    assert robustness_loss(model, y, 1e-4, 2, **options).item() == pytest.approx(limit, rel=1e-3)
    assert robustness_loss(model, y, 2.0, 2, **options).item() != pytest.approx(limit, rel=1e-2)


# -- versions written out ----------------------------------------------------------------------------------------------


def rows_of(model: Any, y: Tensor, z: Tensor, n_seeds: int) -> list[list[Tensor]]:
    return [[model(y[b : b + 1], z[b * n_seeds + s][None])[0] for s in range(n_seeds)] for b in range(len(y))]


def naive_ratios(model: Any, y: Tensor, z: Tensor, n_seeds: int) -> list[tuple[Tensor, Tensor]]:
    pairs = list(itertools.combinations(range(n_seeds), 2))
    outputs = rows_of(model, y, z, n_seeds)
    return [
        ((outputs[b][i] - outputs[b][j]).abs().mean(), (z[b * n_seeds + i] - z[b * n_seeds + j]).abs().mean())
        for b in range(len(y))
        for i, j in pairs
    ]


def naive_mode_seeking(model: Any, y: Tensor, z: Tensor, n_seeds: int) -> Tensor:
    ratios = naive_ratios(model, y, z, n_seeds)
    above, below = (torch.stack([pair[k] for pair in ratios]).mean() for k in (0, 1))
    return 1 / (above / below + 1e-5)


def naive_diversity(model: Any, y: Tensor, z: Tensor, n_seeds: int) -> Tensor:
    return -torch.stack([a / (b + 1e-5) for a, b in naive_ratios(model, y, z, n_seeds)]).mean()


def naive_std_reward(model: Any, y: Tensor, z: Tensor, n_seeds: int) -> Tensor:
    P, total = n_seeds, []
    for outputs in rows_of(model, y, z, n_seeds):
        mean = torch.stack(outputs).mean(0)
        total.append(sum((output - mean).abs().mean() for output in outputs))
    scale = math.sqrt(2 / (math.pi * P * (P + 1))) * math.sqrt(math.pi / (2 * P * (P - 1)))
    return -scale * torch.stack([torch.as_tensor(t) for t in total]).mean()


def naive_spectral(model: Any, y: Tensor, z: Tensor, n_seeds: int) -> Tensor:
    values = []
    for b in range(len(y)):
        jacobians = [
            torch.autograd.functional.jacobian(
                lambda at, s=b * n_seeds + s: model(at, z[s][None]), y[b][None], create_graph=True
            )[0, :, 0]
            for s in range(n_seeds)
        ]
        gram = torch.stack([J.T @ J for J in jacobians]).mean(0)
        values.append(torch.linalg.eigvalsh(gram)[-1])
    return torch.stack(values).mean()


@pytest.mark.parametrize(
    ("loss", "naive"),
    [
        (mode_seeking_loss, naive_mode_seeking),
        (diversity_sensitive_loss, naive_diversity),
        (std_reward_loss, naive_std_reward),
        (lambda *a, **k: spectral_penalty(*a, steps=300, **k), naive_spectral),
    ],
    ids=["mode seeking", "diversity sensitive", "std reward", "spectral"],
)
def test_value_and_gradients_are_those_of_the_version_written_out(loss: Any, naive: Any) -> None:
    model, y, z = net(), torch.randn(3, 4).double(), torch.randn(9, 4).double()
    ours, expected = loss(model, y, 3, z=z), naive(model, y, z, 3)
    torch.testing.assert_close(ours, expected)
    for a, b in zip(gradients(model, ours), gradients(model, expected), strict=True):
        a, b = (torch.zeros(()) if g is None else g for g in (a, b))
        torch.testing.assert_close(a.double(), b.double().expand_as(a), rtol=1e-5, atol=1e-8)


def test_the_jacobian_penalty_is_that_of_the_version_written_out() -> None:
    model, y, z = net(), torch.randn(3, 4).double(), torch.randn(6, 4).double()
    squares = []
    for row in range(6):
        J = torch.autograd.functional.jacobian(
            lambda at, r=row: model(at, z[r][None]), y[row // 2][None], create_graph=True
        )
        squares.append(J.square().sum())
    expected = torch.stack(squares).mean()
    ours = jacobian_penalty(model, y, 2, z=z, n_projections=4000)
    torch.testing.assert_close(ours, expected, rtol=0.02, atol=0)
    for a, b in zip(gradients(model, ours), gradients(model, expected), strict=True):
        if a is not None and b is not None:
            torch.testing.assert_close(a, b, rtol=0.1, atol=0.02 * number(b.abs().max()))


# -- derivatives -------------------------------------------------------------------------------------------------------


@each
def test_gradients_by_finite_differences(loss: Callable[..., Tensor]) -> None:
    y, z = torch.randn(2, 3).double(), torch.randn(4, 2).double()
    # The direction that the spectral penalty finds is held, not differentiated: its derivative is right at convergence.
    more: dict[str, Any] = {"steps": 100} if loss is spectral_penalty else {}

    def value(W: Tensor, V: Tensor) -> Tensor:
        return loss(lambda y, z: (y @ W + z @ V).tanh(), y, 2, z=z, generator=generator(), **more)

    W, V = torch.randn(3, 3).double().requires_grad_(), torch.randn(2, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(value, (W, V))


@each
def test_descending_on_it_lowers_it(loss: Callable[..., Tensor]) -> None:
    torch.manual_seed(1)
    model, y, z = SmallNet(), torch.randn(16, 4), torch.randn(48, 4)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    values = []
    for _ in range(30):
        value = loss(model, y, 3, z=z, generator=generator())
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(number(value))
    assert values[-1] < values[0] - 0.1 * abs(values[0])


# -- what each argument does -------------------------------------------------------------------------------------------


@each
def test_seeds_conditions_and_counts_are_used(loss: Callable[..., Tensor]) -> None:
    y = torch.randn(3, 4)

    def G(y: Tensor, z: Tensor, cond: Tensor) -> Tensor:
        assert len(y) == len(z) == len(cond)
        return (y * z + cond * (y + z)).sin()

    def value(n_seeds: int = 2, cond: float = 1.0, seed: int = 0, z_seed: int = 0) -> float:
        z = torch.randn(3 * n_seeds, 4, generator=generator(z_seed))
        return number(loss(G, y, n_seeds, z=z, cond=torch.full((3, 1), cond), generator=generator(seed)))

    assert value() == value()
    assert value() != value(n_seeds=3)
    assert value() != value(cond=2.0)
    assert value() != value(z_seed=1)
    assert (value() != value(seed=1)) is (loss in JACOBIAN.values())


@each
def test_seeds_are_drawn_by_sample_z_or_by_the_estimator(loss: Callable[..., Tensor]) -> None:
    model, y = SmallNet().eval(), torch.randn(3, 4)
    own = loss(model, y, 2, generator=generator())
    assert own == loss(lambda y, z: model(y, z), y, 2, sample_z=normal_z(4), generator=generator())
    assert own != loss(model, y, 2, sample_z=lambda y, g: torch.rand(len(y), 4, generator=g), generator=generator())
    assert own != loss(model, y, 2, generator=generator(1))


@each
def test_nested_seeds(loss: Callable[..., Tensor]) -> None:
    model, y = FourSeeds(), torch.randn(3, 4)
    value = loss(model, y, 2, generator=generator())
    assert torch.isfinite(value)
    assert all(gradient is not None for gradient in gradients(model, value)[:1])
    z = model.sample_z(y.repeat_interleave(2, 0), generator(7))
    longer = (*z[:3], 10 * z[3])
    if loss in (mode_seeking_loss, diversity_sensitive_loss):  # all of the tree's tensors count in d(z, z')
        blind = lambda y, z: z[0][:, :4]  # noqa: E731
        assert abs(loss(blind, y, 2, z=longer)) != abs(loss(blind, y, 2, z=z))


@each
def test_the_order_of_the_rows_does_not_matter(loss: Callable[..., Tensor]) -> None:
    model, y, order = net(), torch.randn(5, 4).double(), [3, 0, 4, 2, 1]
    keyed = loss(model, y, 3, generator=SampleKeys(range(5)))
    shuffled = loss(model, y[order], 3, generator=SampleKeys(order))
    torch.testing.assert_close(keyed, shuffled)
    assert keyed != loss(model, y, 3, generator=SampleKeys(order))


@each
def test_the_order_of_the_seeds_does_not_matter(loss: Callable[..., Tensor]) -> None:
    model, y, z = net(), torch.randn(2, 4).double(), torch.randn(6, 4).double()
    # Of a scaled identity the Jacobian penalty is the same for every projection.
    G = (lambda y, z: y * z[:, :1]) if loss is jacobian_penalty else model
    order = [2, 0, 1, 4, 5, 3]
    values = [loss(G, y, 3, z=z[rows], generator=generator()) for rows in (range(6), order)]
    torch.testing.assert_close(*values)


@each_diversity
@pytest.mark.parametrize("max_batch", [1, 4, 100])
def test_chunks_equal_the_whole(loss: Callable[..., Tensor], max_batch: int) -> None:
    model, y, z = net(), torch.randn(3, 4).double(), torch.randn(9, 4).double()
    sizes: list[int] = []

    def G(y: Tensor, z: Tensor) -> Any:
        sizes.append(len(y))
        return model(y, z)

    whole, chunked = (loss(G, y, 3, z=z, max_batch=most) for most in (None, max_batch))
    torch.testing.assert_close(whole, chunked)
    for a, b in zip(gradients(model, whole), gradients(model, chunked), strict=True):
        torch.testing.assert_close(a, b)
    assert max(sizes[1:]) <= max_batch


@each_diversity
def test_chunks_are_made_again_in_the_backward_pass(loss: Callable[..., Tensor]) -> None:
    model, y, z = SmallNet().eval(), torch.randn(3, 4), torch.randn(6, 4)
    calls = []

    def G(y: Tensor, z: Tensor) -> Any:
        calls.append(len(y))
        return model(y, z)

    value = loss(G, y, 2, z=z, max_batch=4)
    assert calls == [4, 2]
    value.backward()
    assert sorted(calls) == [2, 2, 4, 4]


@each_diversity
def test_chunks_under_autocast(loss: Callable[..., Tensor]) -> None:
    model, y, z = nn.Bilinear(4, 4, 4), torch.randn(8, 4), torch.randn(16, 4)
    head = nn.Linear(4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        values = [loss(lambda y, z: head(model(y, z) + y), y, 2, z=z, max_batch=most) for most in (None, 5)]
    torch.testing.assert_close(*values)
    for a, b in zip(*(gradients(head, value) for value in values), strict=True):
        torch.testing.assert_close(a, b, rtol=2e-2, atol=1e-3)


@each
def test_the_module_behind_a_closure_is_left_alone_and_another_one_if_it_is_named(loss: Callable[..., Tensor]) -> None:
    model, y, z = SmallNet(), torch.randn(3, 4), torch.randn(6, 4)
    hidden = {"model": [model]}  # not to be found behind exec'd code
    exec("def G(y, z): return model[0](y, z)", hidden)
    for G, module, kept in ((lambda y, z: model(y, z), None, True), (hidden["G"], model, True)):
        before = model.body[1].running_mean.clone()  # type: ignore[operator]
        loss(G, y, 2, z=z, module=module)
        assert torch.equal(before, model.body[1].running_mean) is kept  # type: ignore[arg-type]


# -- noise inside, precision, dead estimators --------------------------------------------------------------------------


def test_the_std_reward_of_noise_drawn_inside() -> None:
    reward = std_reward_loss(lambda y: y + 3 * torch.randn_like(y), torch.zeros(50_000, 1), 2, generator=generator())
    assert number(reward) == pytest.approx(-3 * math.sqrt(2 / (math.pi * 6)), rel=2e-2)


@each_jacobian
def test_jacobians_at_noise_held(loss: Callable[..., Tensor]) -> None:
    # The noise is the same in both of its roles: a slope that it sets, and an offset that is not seen.
    def G(y: Tensor) -> Tensor:
        return 2 * y + 100 * torch.randn_like(y)

    more: dict[str, Any] = {"steps": 30} if loss is spectral_penalty else {}
    assert number(loss(G, torch.zeros(3, 2), 2, **more)) == pytest.approx(8 if loss is jacobian_penalty else 4)


@pytest.mark.parametrize("loss", [mode_seeking_loss, diversity_sensitive_loss])
def test_a_ratio_to_seeds_needs_them(loss: Callable[..., Tensor]) -> None:
    with pytest.raises(ValueError, match=r"z must be at hand for \w+: give z, sample_z or a G that has sample_z"):
        loss(lambda y: y + torch.randn_like(y), torch.zeros(2, 3), 2)


@each
def test_differences_are_taken_in_float32_under_autocast(loss: Callable[..., Tensor]) -> None:
    model, y, z = nn.Bilinear(4, 4, 4), torch.randn(8, 4), torch.randn(16, 4)
    G: Any = lambda y, z: nn.functional.linear(model(y, z) + y, torch.eye(4))  # noqa: E731
    full = loss(G, y, 2, z=z, generator=generator())
    with torch.autocast("cpu", torch.bfloat16):
        half = loss(G, y, 2, z=z, generator=generator())
    assert half.dtype == torch.float32
    assert half != full
    torch.testing.assert_close(half, full, rtol=5e-2, atol=0)
    half.backward()
    assert model.weight.grad is not None


@each_jacobian
def test_directions_have_length_one_whatever_the_outputs_precision(loss: Callable[..., Tensor]) -> None:
    found = loss(lambda y: (3 * y).to(torch.bfloat16), torch.zeros(1, 4000))
    assert found.dtype == torch.float32
    assert number(found) == pytest.approx(9 * (4000 if loss is jacobian_penalty else 1), rel=5e-4)


@each_jacobian
def test_an_estimator_that_ignores_y_has_no_jacobian(loss: Callable[..., Tensor]) -> None:
    weight = torch.ones(3, requires_grad=True)
    blind = loss(lambda y, z: weight * z, torch.zeros(2, 3), 2, sample_z=normal_z(3))
    assert blind.item() == 0
    assert number(loss(lambda y, z: z, torch.zeros(2, 3), 2, sample_z=normal_z(3))) == 0


@each_jacobian
def test_an_estimator_that_hides_its_gradient_is_named(loss: Callable[..., Tensor]) -> None:
    with pytest.raises(ValueError, match="changes with its input but carries no gradient"):
        loss(lambda y: 2 * y.detach(), torch.zeros(2, 3))


@each_jacobian
def test_checkpointed_layers_are_differentiated_twice(loss: Callable[..., Tensor]) -> None:
    plain, again = SmallNet(), SmallNet(recompute=True)
    again.load_state_dict(plain.state_dict())
    y, z = torch.randn(3, 4), torch.randn(6, 4)
    values = [loss(model, y, 2, z=z, generator=generator()) for model in (plain, again)]
    torch.testing.assert_close(*values)
    for a, b in zip(gradients(plain, values[0]), gradients(again, values[1]), strict=True):
        if a is not None and b is not None:
            torch.testing.assert_close(a, b)


@each_jacobian
def test_a_layer_computed_again_inside_records_nothing(loss: Callable[..., Tensor]) -> None:
    model = SmallNet(recompute=True)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    loss(model, torch.randn(3, 4), 2)
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


# -- distributed -------------------------------------------------------------------------------------------------------


def _training_step(G: nn.Module, loss: Callable[..., Tensor], rank: int) -> None:
    """A term of the caller's own and a regularizer, on one rank's half of the batch."""
    numbers = torch.Generator().manual_seed(rank)
    y = torch.randn(4, 4, generator=numbers, dtype=torch.float64)
    z = torch.randn(8, 4, generator=numbers, dtype=torch.float64)
    (G(y, z[::2]).square().mean() + loss(G, y, 2, z=z, generator=numbers)).backward()


def _gradients_in_ddp(rank: int) -> list[list[Any]]:
    found = []
    for loss in ALL.values():
        torch.manual_seed(7)
        model = SmallNet(norm=False).double()
        _training_step(nn.parallel.DistributedDataParallel(model), loss, rank)
        found.append([parameter.grad.tolist() for parameter in model.parameters() if parameter.grad is not None])
    return found


@pytest.mark.distributed
@pytest.mark.slow
def test_two_processes_give_the_mean_of_their_gradients() -> None:
    for loss, found in zip(ALL.values(), in_two_processes(_gradients_in_ddp), strict=True):
        torch.manual_seed(7)
        model = SmallNet(norm=False).double()
        for rank in range(2):
            _training_step(model, loss, rank)
        for gradient, parameter in zip(found, model.parameters(), strict=True):
            assert parameter.grad is not None
            torch.testing.assert_close(torch.tensor(gradient, dtype=torch.float64), parameter.grad / 2)


# -- bad input ---------------------------------------------------------------------------------------------------------

Y = torch.zeros(2, 3)
WRONG: dict[str, tuple[Callable[..., Tensor], dict[str, Any], type[Exception], str]] = {
    "one seed, mode seeking": (mode_seeking_loss, {"n_seeds": 1}, ValueError, "n_seeds must be at least 2.* got 1"),
    "one seed, diversity": (diversity_sensitive_loss, {"n_seeds": 1}, ValueError, "n_seeds must be at least 2.* got 1"),
    "one seed, std": (std_reward_loss, {"n_seeds": 1}, ValueError, "n_seeds must be at least 2.* got 1"),
    "tau zero": (diversity_sensitive_loss, {"tau": 0}, ValueError, "tau must be positive, got 0"),
    "tau NaN": (diversity_sensitive_loss, {"tau": math.nan}, ValueError, "tau must be positive, got nan"),
    "tau a word": (diversity_sensitive_loss, {"tau": "large"}, TypeError, "tau must be a real number, got 'large'"),
    "no projection": (jacobian_penalty, {"n_projections": 0}, ValueError, "n_projections must be at least 1, got 0"),
    "half a projection": (jacobian_penalty, {"n_projections": 0.5}, TypeError, "n_projections must be an integer"),
    "no step": (spectral_penalty, {"steps": 0}, ValueError, "steps must be at least 1, got 0"),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_number_is_named(case: Any) -> None:
    loss, changes, error, message = case
    arguments: dict[str, Any] = {"sample_z": normal_z(3)} | changes
    n_seeds = arguments.pop("n_seeds", 2)
    with pytest.raises(error, match=message):
        loss(lambda y, z: y + z, Y, n_seeds, **arguments)


@each
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"G": 3}, TypeError, "G must be callable"),
        ({"y": [0.5]}, TypeError, "y must be a torch.Tensor"),
        ({"n_seeds": 0}, ValueError, "n_seeds must be at least"),
        ({"n_seeds": 2.0}, TypeError, "n_seeds must be an integer"),
        ({"z": torch.zeros(3, 3)}, ValueError, "z must have 4 rows"),
        ({"cond": torch.zeros(3)}, ValueError, "cond must have 2 rows"),
        ({"generator": 3}, TypeError, "generator must be"),
        ({"G": lambda y, z: y[:1]}, ValueError, "one output per row"),
        ({"sample_z": lambda y, g: y[:1]}, ValueError, "sample_z"),
    ],
)
def test_what_all_share_is_checked(loss: Callable[..., Tensor], changes: Any, error: Any, message: str) -> None:
    arguments: dict[str, Any] = {"G": lambda y, z: y + z, "y": Y, "n_seeds": 2, "sample_z": normal_z(3)} | changes
    with pytest.raises(error, match=message):
        loss(arguments.pop("G"), arguments.pop("y"), arguments.pop("n_seeds"), **arguments)
