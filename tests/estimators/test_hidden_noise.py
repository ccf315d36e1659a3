"""Noise drawn inside the estimator: from torch's global generators or from its own, replayed and left as found."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from reference_experiments.diffusion.memory import PeakMemory
from stochrobust import (
    PGD,
    AttackWarning,
    Consistent,
    HiddenNoise,
    InpaintingProjector,
    SampleKeys,
    linearised_sensitivity,
    robustness_loss,
    same_seed_change,
    sensitivity,
    w2_sensitivity,
    w2_squared,
)
from tests.problems import normal_z

# Little noise chooses delta here, and other noise scores it: a random direction may do as well, which is said.
pytestmark = pytest.mark.filterwarnings("ignore:the attack found less:stochrobust.AttackWarning")

Y = torch.randn(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
ZERO = torch.zeros_like(Y)
ATTACK = PGD(4, restarts=2)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Sampler(nn.Module):
    """``G(y) = A y + B n + gain * n y`` with noise n of a given source; it keeps the noise of every pass."""

    def __init__(self, source: Callable[[Tensor], Tensor], gain: float = 0.5) -> None:
        super().__init__()
        self.A, self.B = (nn.Parameter(torch.randn(3, 3, dtype=torch.float64, generator=seeded(s))) for s in (2, 3))
        self.source, self.gain = source, gain
        self.drawn: list[Tensor] = []
        self.own: torch.Generator | None = None
        self.fail_at = -1

    def explicit(self, y: Tensor, noise: Tensor) -> Tensor:
        return y @ self.A.T + noise @ self.B.T + self.gain * noise * y

    def forward(self, y: Tensor) -> Tensor:
        noise = self.source(y)
        self.drawn.append(noise)
        if len(self.drawn) == self.fail_at:
            raise RuntimeError("the caller's own failure")
        return self.explicit(y, noise)


def normal_of(generator: torch.Generator) -> Callable[[Tensor], Tensor]:
    return lambda y: torch.randn(y.shape, dtype=y.dtype, generator=generator)


def two_sources(generator: torch.Generator) -> Callable[[Tensor], Tensor]:
    return lambda y: torch.randn_like(y) + torch.randn(y.shape, dtype=y.dtype, generator=generator)


def models(own: torch.Generator) -> dict[str, tuple[Sampler, Any]]:
    """Every way of drawing inside, and what is handed to the library."""
    dropout, normal = Sampler(lambda y: nn.functional.dropout(torch.ones_like(y))), Sampler(torch.randn_like)
    closed, both = Sampler(normal_of(own)), Sampler(two_sources(own))
    attribute = Sampler(lambda y: torch.randn(y.shape, dtype=y.dtype, generator=attribute.own))
    attribute.own = own
    given = Sampler(torch.randn_like)

    def with_argument(model: Sampler, y: Tensor, generator: torch.Generator) -> Tensor:
        model.source = normal_of(generator)
        return model(y)  # type: ignore[no-any-return]

    return {
        "dropout": (dropout, dropout),
        "randn": (normal, normal),
        "own, closed over": (closed, HiddenNoise(lambda y: closed(y), own)),
        "own, attribute": (attribute, HiddenNoise(attribute, own)),
        "own, argument": (given, HiddenNoise(functools.partial(with_argument, given, generator=own), own)),
        "own and global": (both, HiddenNoise(both.forward, own)),
        "inside another": (closed, Consistent(HiddenNoise(closed, own), InpaintingProjector(torch.arange(3) < 1))),
    }


NAMES = list(models(seeded()))
each_model = pytest.mark.parametrize("name", NAMES)
each_explicit = pytest.mark.parametrize("name", NAMES[:-1])  # the last has a projector around
CALLS: dict[str, Callable[..., Any]] = {
    "loss": lambda G, **more: robustness_loss(G, Y, 0.5, 2, **more),
    "sensitivity": lambda G, **more: sensitivity(G, Y, 0.5, 2, attack=ATTACK, **more),
    "change": lambda G, **more: same_seed_change(G, Y, ZERO + 1, 2, **more),
    "w2": lambda G, **more: w2_sensitivity(G, Y, 0.5, 2, attack=ATTACK, **more),
    "linearised": lambda G, **more: linearised_sensitivity(G, Y, 0.5, 2, steps=2, **more),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


def distinct(draws: list[Tensor]) -> int:
    return len({tuple(draw.flatten().tolist()) for draw in draws})


# -- replayed ----------------------------------------------------------------------------------------------------------


@each_model
@pytest.mark.parametrize("max_batch", [None, 3])
def test_every_pass_sees_the_same_noise_until_fresh_seeds_score(name: str, max_batch: int | None) -> None:
    model, G = models(seeded())[name]
    chunks = 1 if max_batch is None else 3
    robustness_loss(G, Y, 0.5, 2, max_batch=max_batch)
    assert len(model.drawn) >= 4 * chunks
    assert distinct(model.drawn) == chunks  # clean, every step, attacked
    assert (same_seed_change(G, Y, ZERO, 2, max_batch=max_batch) == 0).all()
    model.drawn.clear()
    sensitivity(G, Y, 0.5, 2, attack=ATTACK, max_batch=max_batch)
    found, expected = distinct(model.drawn), 2 * chunks  # those that choose delta, and those that score it
    assert chunks < found <= expected if name == "dropout" else found == expected  # two small masks may be alike


def test_what_is_not_named_is_not_replayed() -> None:
    model = Sampler(normal_of(seeded()))
    with pytest.warns(AttackWarning, match="HiddenNoise"):
        assert (same_seed_change(model, Y, ZERO) > 0).all()
    with pytest.warns(AttackWarning, match="HiddenNoise"):
        assert (same_seed_change(HiddenNoise(model, seeded()), Y, ZERO) > 0).all()


def test_it_is_found_in_the_module_of_a_closure_and_below_a_partial() -> None:
    own = seeded()
    G = HiddenNoise(Sampler(normal_of(own)), own)
    assert (same_seed_change(lambda y: G(y), Y, ZERO, module=G) == 0).all()
    assert (same_seed_change(functools.partial(G), Y, ZERO) == 0).all()
    assert (same_seed_change(G, Y, ZERO, module=nn.Linear(1, 1)) == 0).all()


def test_the_module_of_a_bound_method_is_guarded() -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(3).double()

        def restore(self, y: Tensor) -> Tensor:
            output: Tensor = self.norm(y)
            return output

    model = Normed()
    G = HiddenNoise(model.restore, seeded())
    robustness_loss(G, Y, 0.5)
    assert model.norm.num_batches_tracked == 0
    assert len(list(G.parameters())) == 2


def test_no_two_sources_give_the_same_numbers() -> None:
    first, second = seeded(), seeded()
    draws: list[list[Tensor]] = []

    def G(y: Tensor) -> Tensor:
        draws.append([torch.randn(4), torch.randn(4, generator=first), torch.randn(4, generator=second)])
        return y

    same_seed_change(HiddenNoise(G, first, second), Y, ZERO, check=False)
    assert distinct(draws[0]) == 3
    assert all(torch.equal(a, b) for a, b in zip(*draws, strict=True))


def test_the_global_generator_may_be_named_and_a_generator_twice() -> None:
    own = seeded()
    model = Sampler(two_sources(own))
    state = torch.get_rng_state(), own.get_state()
    G = HiddenNoise(HiddenNoise(model, torch.default_generator, own), own)
    assert (same_seed_change(G, Y, ZERO, generator=seeded()) == 0).all()
    assert torch.equal(torch.get_rng_state(), state[0])
    assert torch.equal(own.get_state(), state[1])


@each_model
@pytest.mark.parametrize("max_batch", [None, 3])
def test_a_generator_or_keys_decide_the_noise(name: str, max_batch: int | None) -> None:
    own = seeded()
    _, G = models(own)[name]
    for one, again, other in (
        (seeded(5), seeded(5), seeded(6)),
        (SampleKeys(range(4)), SampleKeys(range(4)), SampleKeys(range(4), run_seed=1)),
    ):
        values: list[Tensor] = []
        for randomness in (one, again, other):
            own.manual_seed(len(values))  # where the model's generator is does not matter
            values.append(sensitivity(G, Y, 0.5, 2, attack=ATTACK, generator=randomness, max_batch=max_batch).value)
        assert torch.equal(values[0], values[1])
        assert not torch.isclose(values[0], values[2]).all()


def test_keyed_noise_is_that_of_the_batch() -> None:
    own = seeded()
    model = Sampler(normal_of(own))
    G = HiddenNoise(model, own)
    for ids in ([1, 2, 3, 4], [1, 2, 3, 5]):
        same_seed_change(G, Y, ZERO, generator=SampleKeys(ids))
    assert distinct(model.drawn) == 2


def test_explicit_seeds_beside_hidden_noise() -> None:
    own = seeded()

    class Both(nn.Module):
        def sample_z(self, y: Tensor, generator: torch.Generator | None) -> Any:
            return normal_z(3)(y, generator)

        def forward(self, y: Tensor, z: Tensor) -> Tensor:
            return y * z * torch.randn(y.shape, dtype=y.dtype, generator=own)

    found = sensitivity(HiddenNoise(Both(), own), Y, 0.5, 2, attack=ATTACK)
    assert found.z is not None
    assert found.held_out
    assert (same_seed_change(HiddenNoise(Both(), own), Y, ZERO, 2) == 0).all()


# -- left as found -----------------------------------------------------------------------------------------------------


@each_model
@each_call
@pytest.mark.parametrize("max_batch", [None, 3])
def test_generators_are_afterwards_where_they_were(name: str, call: Callable[..., Any], max_batch: int | None) -> None:
    own = seeded()
    torch.randn(5, generator=own)
    model, G = models(own)[name]
    states = own.get_state(), torch.get_rng_state()
    result = call(G, generator=seeded(7), max_batch=max_batch)
    if isinstance(result, Tensor):
        result.sum().backward()
    assert len(model.drawn) > 1
    assert torch.equal(own.get_state(), states[0])
    assert torch.equal(torch.get_rng_state(), states[1])


@each_model
@each_call
@pytest.mark.parametrize("fail_at", [1, 2])
def test_also_when_the_model_raises(name: str, call: Callable[..., Any], fail_at: int) -> None:
    own = seeded()
    model, G = models(own)[name]
    model.fail_at = fail_at
    states = own.get_state(), torch.get_rng_state()
    with pytest.raises(RuntimeError, match="own failure"):
        call(G, generator=seeded(7))
    assert torch.equal(own.get_state(), states[0])
    assert torch.equal(torch.get_rng_state(), states[1])


def test_other_calls_of_the_module_advance_its_generator() -> None:
    own = seeded()
    G = HiddenNoise(Sampler(normal_of(own)), own)
    assert not torch.equal(G(Y), G(Y))


# -- values and gradients ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_batch", [None, 4])
def test_closed_forms_of_additive_noise(max_batch: int | None) -> None:
    own = seeded()
    model = Sampler(normal_of(own), gain=0.0)
    G, eps = HiddenNoise(model, own), 0.1
    expected = torch.full((4,), (eps * float(torch.linalg.matrix_norm(model.A.detach(), 2))) ** 2, dtype=torch.float64)
    found = sensitivity(G, Y, eps, 3, max_batch=max_batch)
    torch.testing.assert_close(found.value, expected, rtol=1e-4, atol=0)
    transported = w2_sensitivity(G, Y, eps, 3, max_batch=max_batch)
    torch.testing.assert_close(transported.value, expected, rtol=1e-4, atol=0)
    assert (transported.gelbrich <= transported.value * (1 + 1e-9)).all()
    assert (transported.floor > 1).all()  # two independent draws at y: B's noise
    loss = robustness_loss(G, Y, eps, 3, delta=found.delta, reduction="sum", max_batch=max_batch)
    torch.testing.assert_close(loss, expected.mean(), rtol=1e-4, atol=0)
    gradients = torch.autograd.grad(loss, [model.A, model.B], allow_unused=True, materialize_grads=True)
    by_hand = 2 * model.A @ torch.einsum("bi,bj->ij", found.delta, found.delta) / 4
    torch.testing.assert_close(gradients[0], by_hand.detach())
    assert (gradients[1] == 0).all()


@each_explicit
@pytest.mark.parametrize("max_batch", [None, 8])
def test_the_losss_gradient_is_that_of_explicit_seeds(name: str, max_batch: int | None) -> None:
    model, G = models(seeded())[name]
    delta = torch.randn(Y.shape, dtype=Y.dtype)
    hidden = robustness_loss(G, Y, 0.5, 2, delta=delta, reduction="sum", max_batch=max_batch)
    explicit = robustness_loss(model.explicit, Y, 0.5, 2, delta=delta, z=model.drawn[0], reduction="sum")
    torch.testing.assert_close(hidden, explicit)
    torch.testing.assert_close(torch.autograd.grad(hidden, model.A), torch.autograd.grad(explicit, model.A))


@each_explicit
def test_measurements_are_those_of_explicit_seeds(name: str) -> None:
    model, G = models(seeded())[name]
    changed = sensitivity(G, Y, 0.5, 3, attack=ATTACK)
    noise = model.drawn[0]
    torch.testing.assert_close(same_seed_change(model.explicit, Y, changed.delta, 3, z=noise), changed.in_sample)
    model.drawn.clear()
    moved = w2_sensitivity(G, Y, 0.5, 3, attack=ATTACK)
    rows = [at.repeat_interleave(3, 0) for at in (Y, Y + moved.delta)]
    points = [model.explicit(row, model.drawn[0]).detach().reshape(4, 3, 3) for row in rows]
    torch.testing.assert_close(w2_squared(points[0], points[1]), moved.in_sample)


# -- long samplers -----------------------------------------------------------------------------------------------------


class LongSampler(nn.Module):
    """A restorer of so many noisy steps; each step draws from ``own``, or from torch's global generator."""

    def __init__(self, steps: int, own: torch.Generator | None, recompute: str) -> None:
        super().__init__()
        self.steps, self.own, self.recompute = steps, own, recompute
        layers = [nn.Linear(6, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 3)]
        self.net = nn.Sequential(*layers).double()

    def noise(self, x: Tensor) -> Tensor:
        return torch.randn(x.shape, dtype=x.dtype, generator=self.own)

    def step(self, x: Tensor, y: Tensor, noise: Tensor | None = None) -> Tensor:
        drift: Tensor = self.net(torch.cat([x, y], 1))
        return x + drift + 0.1 * drift.tanh() * (self.noise(x) if noise is None else noise)

    def forward(self, y: Tensor) -> Tensor:
        x = y
        for _ in range(self.steps):
            if self.recompute == "no":
                x = self.step(x, y)
            elif self.recompute == "noise inside":
                x = checkpoint(self.step, x, y, use_reentrant=False)
            else:
                x = checkpoint(self.step, x, y, self.noise(x), use_reentrant=False)
        return x


def pair_of_samplers(own: torch.Generator | None, recompute: str, steps: int = 5) -> list[Any]:
    plain, checkpointed = (LongSampler(steps, own, how) for how in ("no", recompute))
    checkpointed.load_state_dict(plain.state_dict())
    return [G if own is None else HiddenNoise(G, own) for G in (plain, checkpointed)]


@pytest.mark.parametrize(
    ("source", "recompute"), [("global", "noise inside"), ("global", "noise outside"), ("own", "noise outside")]
)
@pytest.mark.parametrize("max_batch", [None, 3])
def test_checkpointing_every_step_changes_nothing(source: str, recompute: str, max_batch: int | None) -> None:
    own = seeded() if source == "own" else None
    pair = pair_of_samplers(own, recompute)
    options: dict[str, Any] = {"max_batch": max_batch}
    found = [sensitivity(G, Y, 0.5, 2, attack=ATTACK, generator=seeded(1), **options) for G in pair]
    torch.testing.assert_close(found[0].delta, found[1].delta)
    torch.testing.assert_close(found[0].value, found[1].value)
    losses = [robustness_loss(G, Y, 0.5, 2, attack=ATTACK, generator=seeded(1), **options) for G in pair]
    torch.testing.assert_close(losses[0], losses[1])
    state = torch.get_rng_state()
    gradients = [torch.autograd.grad(loss, list(G.parameters())) for loss, G in zip(losses, pair, strict=True)]
    torch.testing.assert_close(gradients[0], gradients[1])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("call", ["loss", "sensitivity", "w2", "linearised"])
def test_noise_of_its_own_inside_a_checkpointed_step_is_refused(call: str) -> None:
    own = seeded()
    _, G = pair_of_samplers(own, "noise inside")
    state = own.get_state()
    with pytest.raises(ValueError, match="draw outside, and pass the noise as an argument"):
        CALLS[call](G)
    assert torch.equal(own.get_state(), state)


def test_a_failure_while_a_step_is_computed_again_leaves_the_generator() -> None:
    own = seeded()
    _, G = pair_of_samplers(own, "noise inside")
    calls, net = [0], G.G.net

    def fail(*call: Any) -> None:
        calls[0] += 1
        if calls[0] == 12:  # 5 steps clean, 5 attacked, the 2nd that is computed again
            raise RuntimeError("the caller's own failure")

    net.register_forward_hook(fail)
    state = own.get_state()
    with pytest.raises(RuntimeError, match="own failure"):
        sensitivity(G, Y, 0.5, attack=ATTACK)
    assert torch.equal(own.get_state(), state)


def kept_and_peak(steps: int, recompute: str) -> tuple[int, int]:
    """Bytes that a forward pass keeps for the backward pass, and the most that the gradient of delta held at once."""
    G = LongSampler(steps, None, recompute)
    y = torch.randn(100, 3, dtype=torch.float64)
    kept = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel() * tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        G(y.requires_grad_())
    with PeakMemory() as memory:
        sensitivity(G, y.detach(), 0.5, attack=PGD(1), generator=seeded())
    return sum(kept), memory.peak


def test_memory_grows_with_what_goes_into_a_step_instead_of_with_its_passes() -> None:
    plain, checkpointed = ([kept_and_peak(steps, how) for steps in (10, 40)] for how in ("no", "noise outside"))
    growth = [[longer - shorter for shorter, longer in zip(*pair, strict=True)] for pair in (plain, checkpointed)]
    assert growth[1][0] < 0.1 * growth[0][0]
    assert growth[1][1] < 0.1 * growth[0][1]
    assert checkpointed[1][1] < 0.15 * plain[1][1]
    assert growth[0][1] > 30 * 100 * 64 * 8  # at least one hidden layer per further step: the meter works


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="at least one"):
        HiddenNoise(nn.Identity())
    with pytest.raises(TypeError, match=r"generators must be torch.Generator objects, got 3"):
        HiddenNoise(nn.Identity(), 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="G must be callable"):
        HiddenNoise(seeded(), seeded())  # type: ignore[arg-type]
