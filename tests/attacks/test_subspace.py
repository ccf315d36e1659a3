"""The search without gradients that looks at outputs: closed forms, its passes, its directions, its promises."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from stochrobust import EVALUATION, L2, Linf, RandomSearch, SampleKeys, SubspaceSearch, robustness_loss, sensitivity
from stochrobust.attacks.subspace import envelope, low_pass, mapped_back
from stochrobust.robustness.outputs import Sensitivity
from tests.problems import Linear


class Counted:
    """A restorer that no gradient passes through, and that counts its calls and rows."""

    def __init__(self, function: object) -> None:
        self.function, self.rows = function, []  # type: ignore[var-annotated]

    def __call__(self, y: Tensor) -> Tensor:
        self.rows.append(len(y))
        return torch.from_numpy(self.function(y).detach().numpy().copy())  # type: ignore[operator]


def blurred(y: Tensor) -> Tensor:
    return F.conv2d(y, torch.tensor([[[[1.0, -2.0, 0.5], [0.3, 1.0, 0.2], [0.0, 0.4, -1.0]]]]).to(y))


def found(steps: int, G: object = blurred, y: Tensor | None = None, seed: int = 0, **options: object) -> Sensitivity:
    generator = torch.Generator().manual_seed(seed)
    y = torch.zeros(2, 1, 10, 10, dtype=torch.float64) if y is None else y
    return sensitivity(G, y, 0.1, attack=SubspaceSearch(steps), generator=generator, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("values", [(3.0, 1.0, 0.5), (2.0, 2.0, 2.0, 0.0), (5.0,), (4.0, 3.9, 1.0, 0.1, 0.01, 1e-6)])
def test_it_finds_the_largest_singular_value_of_a_linear_map(values: tuple[float, ...]) -> None:
    G = Linear.with_singular_values(values)
    y = torch.randn(3, len(values), dtype=torch.float64)
    result = sensitivity(G, y, 0.2, 4, attack=SubspaceSearch(60))
    torch.testing.assert_close(result.value, torch.full((3,), G.sensitivity(0.2)).double(), rtol=1e-6, atol=0)
    assert result.at_boundary.all()
    assert result.concerns == ()


def test_no_gradient_is_asked_for() -> None:
    G = Counted(lambda y: 3 * y)
    assert float(found(20, G).value.max()) == pytest.approx(0.09)


def test_it_finds_more_than_a_random_search_and_most_of_what_gradients_find() -> None:
    y = torch.zeros(2, 1, 10, 10, dtype=torch.float64)
    values = [
        float(sensitivity(blurred, y, 0.1, attack=a, generator=torch.Generator().manual_seed(0)).value.mean())
        for a in (SubspaceSearch(200), RandomSearch(200), EVALUATION)
    ]
    assert values[0] > 1.3 * values[1]
    assert values[0] > 0.8 * values[2]


@pytest.mark.filterwarnings("ignore::stochrobust.AttackWarning")  # one pass finds little
@pytest.mark.parametrize("steps", [1, 2, 7, 40])
def test_steps_count_passes_beyond_the_clean_one(steps: int) -> None:
    passes = []
    for attack in (SubspaceSearch(steps), RandomSearch(1)):
        G = Counted(blurred)
        sensitivity(G, torch.zeros(2, 1, 6, 6), 0.1, attack=attack)
        passes.append(len(G.rows))
    # A RandomSearch(1) makes two: its start and its trial. All else of a measurement is the same.
    assert passes[0] - (passes[1] - 2) == steps + 1
    assert len(found(steps).trace) == steps + 1


def test_more_steps_find_more_and_the_trace_never_falls() -> None:
    few, many = found(20), found(150)
    assert (many.value > 1.2 * few.value).all()
    assert (many.trace.diff(dim=0) >= 0).all()
    torch.testing.assert_close(many.trace[-1], many.value)


@pytest.mark.parametrize(
    "ball",
    [
        L2(),
        Linf(),
        L2(box=(-0.02, 1.0)),
        Linf(box=(-0.02, 1.0)),
        L2(mask=torch.ones(10, 10).triu()),
        Linf(mask=torch.ones(10, 10).triu(), box=(-0.05, 0.01)),
    ],
)
def test_delta_is_in_the_ball_and_better_than_a_random_one(ball: L2 | Linf) -> None:
    result = found(80, ball=ball)
    assert (ball.norm(result.delta) <= 0.1 * (1 + 1e-9)).all()
    radii = torch.full((2,), 0.1)
    torch.testing.assert_close(ball.project(result.delta, torch.zeros_like(result.delta), radii), result.delta)
    assert (result.value > result.random_value).all()


def test_an_even_map_of_one_number_has_its_top_inside_the_ball() -> None:
    # |sin(20 delta)| is largest at 0.0785, not at the sphere.
    result = found(100, lambda y: (20 * y).sin(), torch.zeros(2, 1).double())
    torch.testing.assert_close(result.value, torch.ones(2).double(), rtol=1e-3, atol=0)


def test_a_generator_decides_everything() -> None:
    torch.testing.assert_close(found(40).delta, found(40).delta, rtol=0, atol=0)
    assert not torch.equal(found(40).delta, found(40, seed=1).delta)
    state = torch.get_rng_state()
    found(20)
    assert torch.equal(state, torch.get_rng_state())


def test_with_keys_a_sample_is_searched_alike_alone_and_in_company() -> None:
    y = torch.randn(3, 1, 8, 8, dtype=torch.float64)
    options = {"attack": SubspaceSearch(40), "eps": 0.1}
    whole = sensitivity(torch.sin, y, generator=SampleKeys([5, 6, 7]), **options)  # type: ignore[arg-type]
    alone = sensitivity(torch.sin, y[1:2], generator=SampleKeys([6]), **options)  # type: ignore[arg-type]
    torch.testing.assert_close(whole.delta[1:2], alone.delta, rtol=1e-6, atol=1e-9)
    other = sensitivity(torch.sin, y, generator=SampleKeys([5, 6, 7], run_seed=1), **options)  # type: ignore[arg-type]
    assert not torch.allclose(other.delta, whole.delta, atol=1e-3)


def test_away_from_a_reference_the_first_change_is_not_zero() -> None:
    # From x = -1 the outputs of the identity move farthest along y - x, all ones: (|1| + 0.1 / 2)^2 per element.
    y = torch.zeros(1, 4, dtype=torch.float64)
    result = found(60, lambda y: y, y, reference=-torch.ones(1, 4).double())
    torch.testing.assert_close(result.delta, torch.full((1, 4), 0.05).double(), rtol=1e-4, atol=0)
    assert float(result.restart_values) == pytest.approx(4 * 1.05**2, rel=1e-6)


def test_a_radius_of_zero_and_a_constant_restorer_stay_where_they_are() -> None:
    y = torch.zeros(2, 1, 4, 4, dtype=torch.float64)
    result = sensitivity(blurred, y, torch.tensor([0.0, 0.1]), attack=SubspaceSearch(30))
    assert float(result.value[0]) == 0.0
    assert float(result.value[1]) > 0.0
    with pytest.warns(UserWarning, match="ignores its input"):
        assert not sensitivity(lambda y: torch.ones_like(y), y, 0.1, attack=SubspaceSearch(30)).value.any()


def test_mean_over_seeds_is_what_it_climbs() -> None:
    # Seed by seed a direction each: the mean of (z delta)^2, whose top is the top of E[z z^T].
    z = torch.tensor([[3.0, 0.0], [0.0, 1.0], [3.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    result = sensitivity(lambda y, z: y * z + z, torch.zeros(2, 2).double(), 0.1, 2, z=z, attack=SubspaceSearch(40))
    torch.testing.assert_close(result.value, torch.full((2,), 9 * 0.01 / 2).double(), rtol=1e-6, atol=0)


def test_numbers_that_are_not_finite_are_an_error_of_a_measurement() -> None:
    def broken(y: Tensor) -> Tensor:
        return torch.where(y.abs().sum() > 0, y * torch.nan, y)

    with pytest.raises(ValueError, match="during the attack"):
        found(5, broken)


def test_a_loss_does_not_take_it() -> None:
    with pytest.raises(TypeError, match="attack must be one by gradients or values"):
        robustness_loss(blurred, torch.zeros(1, 1, 5, 5), 0.1, attack=SubspaceSearch(5))


@pytest.mark.parametrize(("steps", "error"), [(0, ValueError), (2.5, TypeError), (True, TypeError)])
def test_steps_are_a_count(steps: int, error: type[Exception]) -> None:
    with pytest.raises(error, match="steps must be"):
        SubspaceSearch(steps)


# -- directions --------------------------------------------------------------------------------------------------------


def test_low_frequencies_are_low() -> None:
    white = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    low = low_pass(white, 1 / 16)  # 8 x 8 of 32 x 32 modes
    grid = (torch.arange(32, dtype=torch.float64) + 0.5) * math.pi / 32
    cosines = torch.cos(torch.arange(32, dtype=torch.float64)[:, None] * grid)
    spectrum = (cosines @ low @ cosines.T).square().sum((0, 1))
    assert float(spectrum[:8, :8].sum() / spectrum.sum()) == pytest.approx(1)
    assert float(spectrum[7, 7]) > 0


def test_a_small_input_keeps_all_its_frequencies() -> None:
    assert torch.linalg.matrix_rank(low_pass(torch.eye(8).double()[:, None], 1 / 64)[:, 0]) == 8
    assert low_pass(torch.randn(2, 1), 1 / 64).shape == (2, 1)


def test_an_envelope_is_where_delta_is() -> None:
    delta = torch.zeros(1, 2, 9, 9)
    delta[0, :, 2, 2] = 3.0
    expected = torch.zeros(9, 9)
    expected[1:4, 1:4] = 1.0  # the root of 9 / 9
    torch.testing.assert_close(envelope(delta)[0, 0], expected)
    assert torch.equal(envelope(torch.randn(2, 5)), torch.ones(2, 5))


def test_a_change_of_another_size_is_averaged_and_one_of_another_kind_is_not_used() -> None:
    y, change = torch.zeros(1, 2, 3, 3), torch.randn(1, 2, 12, 12)
    mapped = mapped_back(change, y)
    assert mapped is not None
    torch.testing.assert_close(mapped, F.avg_pool2d(change, 4))
    assert mapped_back(torch.zeros(1, 1, 3, 3), y) is None
    assert mapped_back(torch.zeros(1, 18), y) is None
    assert mapped_back(y + 1, y) is not None


def test_mapped_back_directions_are_a_power_iteration_where_the_map_is_symmetric() -> None:
    # 400 elements and a top that no random direction sees: only the response leads there in 60 passes.
    torch.manual_seed(0)
    basis = torch.linalg.qr(torch.randn(400, 400, dtype=torch.float64)).Q
    values = torch.linspace(0, 1, 400, dtype=torch.float64) ** 3
    values[0] = 3.0
    A = basis * values @ basis.T
    result = found(60, lambda y: y @ A, torch.zeros(1, 400).double())
    assert float(result.value) > 0.9 * 9 * 0.01


def test_noise_inside_is_held() -> None:
    result = sensitivity(
        lambda y: 3 * y + torch.randn(y.shape), torch.zeros(2, 4), 0.1, 2, attack=SubspaceSearch(30), sample_z=None
    )
    torch.testing.assert_close(result.value, torch.full((2,), 0.09), rtol=1e-3, atol=0)
