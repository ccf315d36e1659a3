"""Estimators that a measurement must not take at face value are found, and the cause is named; others are let be."""

from __future__ import annotations

import copy
import pickle
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stochrobust import PGD, AttackWarning, sensitivity
from stochrobust.estimators.diagnosis import (
    Concern,
    coupled_samples,
    diagnose,
    ignores_input,
    ignores_seed,
    irreproducible,
)
from stochrobust.estimators.same_seed import SameSeed
from tests.problems import FourSeeds, SmallNet, normal_z

Y = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))


def held_and_clean(G: Any, n_seeds: int = 2, *, y: Tensor = Y, **options: Any) -> tuple[SameSeed, Tensor]:
    held = SameSeed(G, y, n_seeds, **options)
    with torch.no_grad():
        return held, held.outputs()


def found_by(check: Any, G: Any, n_seeds: int = 2, **options: Any) -> str | None:
    sentence: str | None = check(*held_and_clean(G, n_seeds, **options))
    return sentence


class AttentionAcrossTheBatch(nn.Module):
    """The classic mistake: a sequence-first attention given a batch-first tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 1)

    def forward(self, y: Tensor) -> Tensor:
        output: Tensor = self.attention(y, y, y, need_weights=False)[0]
        return output


def deep(width: int = 4) -> nn.Module:
    """Sound in every way, and deep, so that rounding has room to grow."""
    layers = [nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width), nn.Tanh()) for _ in range(12)]
    return nn.Sequential(*layers)


SOUND: dict[str, tuple[Any, dict[str, Any]]] = {
    "eval-mode BatchNorm": (SmallNet().eval(), {}),
    "dropout in train mode, replayed": (SmallNet(norm=False, dropout=0.5), {}),
    "noise inside, replayed": (lambda y: y + torch.randn(y.shape), {}),
    "nested seeds": (FourSeeds(), {}),
    "deep": (deep(), {}),
    "per-sample norms in train mode": (nn.Sequential(nn.Unflatten(1, (2, 2)), nn.InstanceNorm1d(2)), {}),
    "a condition of its own": (lambda y, z, c: y * c + z, {"sample_z": normal_z(4), "cond": torch.rand(6, 1)}),
    "small chunks": (SmallNet(dropout=0.5).eval(), {"max_batch": 3}),
    "all outputs zero": (lambda y, z: 0 * y, {"sample_z": normal_z(4)}),
}


@pytest.mark.parametrize("check", [coupled_samples, irreproducible])
@pytest.mark.parametrize(("G", "options"), SOUND.values(), ids=SOUND.keys())
def test_sound_estimators_are_let_be(check: Any, G: Any, options: dict[str, Any]) -> None:
    assert found_by(check, G, **options) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_rounding_is_no_coupling(dtype: torch.dtype) -> None:
    assert found_by(coupled_samples, deep(64).to(dtype), y=torch.randn(40, 64).to(dtype)) is None


# -- samples that depend on each other ---------------------------------------------------------------------------------


def test_batch_normalisation_is_named_by_its_path() -> None:
    sentence = found_by(coupled_samples, SmallNet())
    assert sentence is not None
    assert "depends on the other samples" in sentence
    assert "body.1 (BatchNorm1d)" in sentence


@pytest.mark.parametrize("options", [{"n_seeds": 1}, {"max_batch": 5}, {"n_seeds": 3, "max_batch": 4}])
def test_also_with_one_seed_and_in_chunks(options: dict[str, Any]) -> None:
    assert "body.1" in str(found_by(coupled_samples, SmallNet(), **options))


def test_only_layers_that_use_the_batch_are_named() -> None:
    layers = [nn.BatchNorm1d(4).eval(), nn.BatchNorm1d(4, track_running_stats=False).eval(), nn.BatchNorm1d(4)]
    sentence = str(found_by(coupled_samples, nn.Sequential(*layers)))
    assert "1 (BatchNorm1d), 2 (BatchNorm1d), norm" in sentence
    frozen = str(found_by(coupled_samples, nn.Sequential(*layers), norm_statistics="running"))
    assert "1 (BatchNorm1d), norm" in frozen
    assert found_by(coupled_samples, layers[2], norm_statistics="running") is None
    many = str(found_by(coupled_samples, nn.Sequential(*(nn.BatchNorm1d(4) for _ in range(5)))))
    assert "2 (BatchNorm1d) and 2 more" in many


@pytest.mark.parametrize(
    ("G", "cause"),
    [
        (AttentionAcrossTheBatch(), "an operation across samples"),
        (lambda y: y - y.mean(0), "module= did not name"),
        (lambda y: torch.dropout(y, 0.5, True) - y.mean(0), "module= did not name"),  # with noise inside
    ],
)
def test_other_coupling_is_found_too(G: Any, cause: str) -> None:
    assert str(found_by(coupled_samples, G)).endswith(cause)


@pytest.mark.parametrize("through", ["z", "cond"])
def test_coupling_through_seeds_and_conditions(through: str) -> None:
    def G(y: Tensor, z: Tensor, c: Tensor) -> Tensor:
        return y + (z if through == "z" else c).mean(0)

    cond = torch.rand(6, 4)
    assert found_by(coupled_samples, G, sample_z=normal_z(4), cond=cond) is not None


def test_a_weak_coupling_counts_from_the_tolerance_on() -> None:
    def weakly(strength: float) -> str | None:
        return found_by(coupled_samples, lambda y: y + strength * y.mean(0))

    assert weakly(1e-2) is not None
    assert weakly(1e-5) is None
    with torch.autocast("cpu", dtype=torch.bfloat16):  # whose rounding is coarser
        assert weakly(1e-2) is None
        assert weakly(2.0) is not None


def test_one_sample_cannot_be_coupled() -> None:
    assert found_by(coupled_samples, SmallNet(), y=Y[:1], n_seeds=3) is None
    assert found_by(coupled_samples, SmallNet(), n_seeds=3, max_batch=3) is None


# -- noise that is not replayed ----------------------------------------------------------------------------------------

OWN = torch.Generator().manual_seed(0)
UNREPLAYED: dict[str, Any] = {
    "its own generator": lambda y: y + torch.randn(y.shape, generator=OWN),
    "numpy's": lambda y: y + torch.from_numpy(np.random.default_rng().standard_normal(y.shape)).float(),
    "Python's": lambda y: y + random.random(),
}


@pytest.mark.parametrize("G", UNREPLAYED.values(), ids=UNREPLAYED.keys())
@pytest.mark.parametrize("max_batch", [None, 3])
def test_noise_that_is_not_replayed_is_found(G: Any, max_batch: int | None) -> None:
    assert "not the same function" in str(found_by(irreproducible, G, max_batch=max_batch))


def test_a_model_that_keeps_state_is_found() -> None:
    class Counting(nn.Module):
        calls = 0

        def forward(self, y: Tensor) -> Tensor:
            self.calls += 1
            return y + self.calls

    assert "keeps state" in str(found_by(irreproducible, Counting()))


# -- inputs and seeds that nobody looks at -----------------------------------------------------------------------------


def test_an_ignored_input() -> None:
    eps, nothing = torch.tensor([0.0, 1.0]), torch.zeros(2)
    assert "ignores its input" in str(ignores_input(nothing, eps))
    assert ignores_input(torch.tensor([0.0, 1e-30]), eps) is None
    assert "ignores its input" in str(ignores_input(torch.tensor([1.0, 0.0]), eps))  # what noise did at radius zero
    assert ignores_input(nothing, torch.zeros(2)) is None


@pytest.mark.parametrize(
    ("G", "options", "cause"),
    [
        (lambda y: deep()(y), {}, "draws no noise"),
        (lambda y, z: y, {"sample_z": normal_z(4)}, "ignores z"),
        (lambda y, z: y + z, {"z": torch.ones(12, 4)}, "the seeds given are the same"),
        (lambda y, z: 0 * z, {"sample_z": normal_z(4)}, "ignores z"),
        (lambda y, z: y * (1 + 1e-7 * z.sign()), {"sample_z": normal_z(4)}, "ignores z"),  # rounding is no spread
    ],
)
def test_an_ignored_seed(G: Any, options: dict[str, Any], cause: str) -> None:
    torch.manual_seed(0)
    assert cause in str(found_by(ignores_seed, G, **options))


def test_a_seed_that_matters_a_little() -> None:
    assert found_by(ignores_seed, lambda y, z: y + 1e-3 * z, sample_z=normal_z(4)) is None
    assert found_by(ignores_seed, SmallNet(dropout=0.1)) is None
    assert found_by(ignores_seed, SmallNet().eval().bfloat16(), y=Y.bfloat16()) is None
    assert found_by(ignores_seed, lambda y: y, n_seeds=1) is None

    def for_the_last_sample_only(y: Tensor, z: Tensor) -> Tensor:
        return y + z * (torch.arange(len(y)) >= len(y) - 2)[:, None]

    assert found_by(ignores_seed, for_the_last_sample_only, sample_z=normal_z(4)) is None


# -- all together ------------------------------------------------------------------------------------------------------


def counted(G: Any) -> tuple[Any, list[int]]:
    rows: list[int] = []

    def call(y: Tensor, *inputs: Any) -> Tensor:
        rows.append(len(y))
        output: Tensor = G(y, *inputs)
        return output

    return call, rows


@pytest.mark.parametrize(("max_batch", "expected"), [(None, [12]), (4, [4]), (2, [2])])
def test_a_sound_estimator_costs_one_call(max_batch: int | None, expected: list[int]) -> None:
    G, rows = counted(lambda y, z: y + z)
    held, clean = held_and_clean(G, sample_z=normal_z(4), max_batch=max_batch)
    rows.clear()
    state = torch.get_rng_state()
    assert diagnose(held, clean) == []
    assert rows == expected
    assert torch.equal(torch.get_rng_state(), state)


def test_an_irreproducible_estimator_is_not_called_coupled() -> None:
    for max_batch in (None, 2):
        (sentence,) = diagnose(*held_and_clean(UNREPLAYED["its own generator"], max_batch=max_batch))
        assert "not the same function" in sentence
    net = SmallNet()
    (sentence,) = diagnose(*held_and_clean(net))
    assert "depends on the other samples" in sentence
    both = diagnose(*held_and_clean(lambda y: y - y.mean(0)))
    assert len(both) == 2
    assert "draws no noise" in both[1]


def test_the_check_leaves_the_model_as_it_was() -> None:
    net = SmallNet(dropout=0.5)
    held, clean = held_and_clean(net)
    buffers = {name: buffer.clone() for name, buffer in net.named_buffers()}
    y, z = held.y.clone(), held.z.clone()
    diagnose(held, clean)
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in net.named_buffers())
    assert torch.equal(held.y, y)
    assert torch.equal(held.z, z)
    assert torch.equal(held.outputs(), clean)


def test_memory_format_of_the_copies() -> None:
    formats = []

    def G(y: Tensor) -> Tensor:
        formats.append(y.is_contiguous(memory_format=torch.channels_last))
        return y * 2

    diagnose(*held_and_clean(G, y=torch.rand(3, 3, 4, 5).to(memory_format=torch.channels_last)))
    assert all(formats)


@pytest.mark.gpu
def test_noise_on_a_gpu_is_replayed_too() -> None:
    y = Y.cuda()
    assert diagnose(*held_and_clean(SmallNet(dropout=0.5).cuda().eval(), y=y, z=torch.randn(12, 4).cuda())) == []
    assert diagnose(*held_and_clean(SmallNet(norm=False, dropout=0.5).cuda(), y=y)) == []
    (sentence,) = diagnose(*held_and_clean(SmallNet().cuda(), y=y, z=torch.randn(12, 4).cuda()))
    assert "body.1 (BatchNorm1d)" in sentence


def test_a_concern_is_a_sentence_that_keeps_its_code() -> None:
    found = Concern("the attack found less", "weaker than random")
    assert found == "the attack found less"
    for other in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        assert (other, other.code) == (found, "weaker than random")
    assert Concern("other words").code == ""


@pytest.mark.parametrize(
    ("G", "code"),
    [
        (lambda y: y - y.mean(0), "batch-dependent"),
        (lambda y: 0 * y + 1, "input ignored"),
        (lambda y: (8 * y).round(), "zero gradient"),
        (lambda y: torch.cat([9 * y[:, :1].detach(), y[:, 1:]], 1), "weaker than random"),
    ],
)
def test_each_doubt_has_its_code(G: Any, code: str) -> None:
    y = torch.rand(4, 6, generator=torch.Generator().manual_seed(1))
    attack, keys = PGD(steps=10, step=1.0, keep="last"), torch.Generator().manual_seed(2)
    with pytest.warns(AttackWarning):
        concerns = sensitivity(G, y, 0.5, attack=attack, generator=keys).concerns
    assert code in [concern.code for concern in concerns]
    assert all(isinstance(concern, str) for concern in concerns)


def odd_rows_ignore_their_seed(y: Tensor, z: Tensor) -> Tensor:
    return y + z * (torch.arange(len(y)) % 2 == 0).view(-1, 1)


@pytest.mark.parametrize("n_seeds", [1, 2, 3, 4])
def test_rows_that_ignore_their_seed_are_found_wherever_they_are(n_seeds: int) -> None:
    y = torch.rand(3, 5, generator=torch.Generator().manual_seed(0)) + 1
    z = torch.randn(3 * n_seeds, 5, generator=torch.Generator().manual_seed(1))
    held = SameSeed(odd_rows_ignore_their_seed, y, n_seeds, z=z)
    assert [concern.code for concern in diagnose(held, held.outputs())] == ["batch-dependent"]
    assert "the place in the batch" in diagnose(held, held.outputs())[0]
    fair = SameSeed(lambda y, z: y + z, y, n_seeds, z=z)
    assert diagnose(fair, fair.outputs()) == []


def test_noise_of_each_row_is_no_dependence_on_its_place() -> None:
    y = torch.rand(3, 5, generator=torch.Generator().manual_seed(0)) + 1
    for G in (lambda y: y + torch.randn_like(y), lambda y: y):
        held = SameSeed(G, y, 1)
        assert diagnose(held, held.outputs()) == []
    held = SameSeed(lambda y, z: y + z + torch.randn_like(y), y, 2, z=torch.rand(6, 5))
    assert diagnose(held, held.outputs()) == []
    dark = SameSeed(lambda y: y * (torch.arange(len(y)) < 1).view(-1, 1), y, 1)
    assert [concern.code for concern in diagnose(dark, dark.outputs())] == ["batch-dependent"]
