"""Seeds: structure, order, keys, and where random numbers come from."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from stochrobust import SampleKeys
from stochrobust._tensors import repeat, tree_map, tree_rows, tree_stack, tree_tensors
from stochrobust.estimators.seeds import draw_like, draw_seed, draw_seeds
from tests.problems import normal_z


class Pair(NamedTuple):
    a: Tensor
    b: Tensor


def nested() -> dict[str, object]:
    return {
        "list": [torch.arange(2.0)[:, None]],
        "pair": Pair(torch.zeros(2, 1), torch.ones(2, 1)),
        "rest": (None, "x"),
    }


def test_trees_keep_their_structure() -> None:
    doubled = tree_map(lambda leaf: 2 * leaf, nested())
    assert isinstance(doubled["pair"], Pair)
    assert doubled["pair"].b.tolist() == [[2.0], [2.0]]
    assert doubled["rest"] == (None, "x")
    assert doubled["list"][0].tolist() == [[0.0], [2.0]]
    assert len(tree_tensors(nested())) == 3


def test_rows_and_stack_are_inverse() -> None:
    halves = [tree_rows(nested(), slice(i, i + 1)) for i in range(2)]
    joined = tree_stack(halves)
    for left, right in zip(tree_tensors(joined), tree_tensors(nested()), strict=True):
        assert torch.equal(left, right)


def test_repeat_is_sample_major() -> None:
    assert repeat(torch.tensor([[1], [2]]), 3).flatten().tolist() == [1, 1, 1, 2, 2, 2]


def test_draw_hands_the_expanded_batch_and_the_generator_to_sample_z() -> None:
    seen: list[object] = []

    def sample_z(y: Tensor, generator: torch.Generator | None) -> Tensor:
        seen.extend([y.clone(), generator])
        return y

    generator = torch.Generator()
    z = draw_seeds(sample_z, torch.tensor([[1.0], [2.0]]), 2, generator)
    assert z.flatten().tolist() == [1.0, 1.0, 2.0, 2.0]
    assert seen[1] is generator


def test_keys_do_not_depend_on_batch_or_order_and_do_on_everything_else() -> None:
    y = torch.zeros(3, 2)
    z = draw_seeds(normal_z(4), y, 2, SampleKeys([10, 11, 12])).reshape(3, 2, 4)
    turned = draw_seeds(normal_z(4), y, 2, SampleKeys([12, 10, 11])).reshape(3, 2, 4)
    assert torch.equal(z[[2, 0, 1]], turned)
    assert z.reshape(6, 4).unique(dim=0).shape[0] == 6  # sample and seed ids both count
    other_run = draw_seeds(normal_z(4), y, 2, SampleKeys([10, 11, 12], run_seed=1)).reshape(3, 2, 4)
    assert not torch.isclose(z, other_run).any()
    later = draw_seeds(normal_z(4), y, 2, SampleKeys([10, 11, 12]), first_seed=1).reshape(3, 2, 4)
    assert torch.equal(later[:, 0], z[:, 1])
    assert torch.equal(draw_seeds(normal_z(4), y, 2, SampleKeys(torch.tensor([10, 11, 12]))).reshape(3, 2, 4), z)


def test_keys_must_be_one_per_sample() -> None:
    with pytest.raises(ValueError, match="one id per sample, 2, got 3"):
        draw_seeds(normal_z(1), torch.zeros(2, 1), 1, SampleKeys([1, 2, 3]))


def test_numbers_come_from_where_they_are_asked_from() -> None:
    y = torch.zeros(2, 3, dtype=torch.float64)
    torch.manual_seed(3)
    expected = torch.randn(2, 3, dtype=torch.float64)
    torch.manual_seed(3)
    assert torch.equal(draw_like(y, None, "start"), expected)
    state = torch.get_rng_state()
    draw_like(y, torch.Generator().manual_seed(1), "start")
    draw_seed(torch.Generator(), 2, 0)
    draw_like(y, SampleKeys([1, 2]), "start", uniform=True)
    draw_seed(SampleKeys([1, 2]), 2, 0)
    assert torch.equal(torch.get_rng_state(), state)
    seeds = {draw_seed(torch.Generator().manual_seed(seed), 2, 0) for seed in (1, 2)}
    seeds |= {draw_seed(SampleKeys(ids), 2, first) for ids in ([1, 2], [1, 3]) for first in (0, 4)}
    assert len(seeds) == 6  # noise inside differs by generator, by sample and by held-out seeds
    draw_seed(None, 2, 0)
    assert not torch.equal(torch.get_rng_state(), state)


# -- no two keys agree -------------------------------------------------------------------------------------------------


def test_keys_that_agree_in_32_bits_give_other_numbers() -> None:
    # torch's generator of the CPU takes 32 bits of a seed; of 2^17 keys hashed to that, some two agree.
    seen: dict[int, int] = {}
    pairs = []
    for i in range(2**18):
        low = seen_as(i) & 0xFFFFFFFF
        if low in seen:
            pairs.append((seen[low], i))
        seen[low] = i
    assert pairs
    for first, second in pairs:
        old = [torch.Generator().manual_seed(seen_as(i)) for i in (first, second)]
        assert torch.equal(*(torch.randn(4, generator=generator) for generator in old))
        keyed = [SampleKeys([i]).generator(i, 0) for i in (first, second)]
        assert not torch.equal(*(torch.randn(4, generator=generator) for generator in keyed))


def seen_as(i: int) -> int:
    return int.from_bytes(hashlib.blake2b(repr((0, i, 0)).encode(), digest_size=8).digest(), "little") >> 1


def test_keyed_numbers_follow_their_laws() -> None:
    # The state of the generator is filled by a hash: what comes of it is uniform, and streams are not correlated.
    streams = torch.stack([torch.rand(2000, generator=SampleKeys([0]).generator(i)) for i in range(50)]).double()
    assert abs(float(streams.mean()) - 0.5) < 4 / (12 * streams.numel()) ** 0.5
    assert float((streams.flatten().sort().values - torch.linspace(0, 1, streams.numel())).abs().max()) < 0.007
    correlations = torch.corrcoef(streams)[*torch.triu_indices(50, 50, 1)]
    assert float(correlations.abs().max()) < 5 / 2000**0.5
    assert float(torch.corrcoef(streams[:, :200].T)[*torch.triu_indices(200, 200, 1)].abs().mean()) < 0.15
    normal = torch.randn(100_000, generator=SampleKeys([0]).generator("normal"))
    assert abs(float(normal.mean())) < 0.02
    assert abs(float(normal.std()) - 1) < 0.02


@pytest.mark.parametrize("ids", [[0.1, 0.5], torch.tensor([0.1, 0.5]), [0, 1.0], [True, False], ["a", "b"]])
def test_ids_that_are_no_integers_are_refused(ids: Any) -> None:
    with pytest.raises(TypeError, match="sample_ids"):
        SampleKeys(ids)


@pytest.mark.parametrize("run_seed", [0.5, "1", True, None])
def test_a_run_seed_that_is_no_integer_is_refused(run_seed: Any) -> None:
    with pytest.raises(TypeError, match="run_seed"):
        SampleKeys([0], run_seed)


def test_integers_of_every_kind_are_the_same_ids() -> None:
    for ids in ([3, 4], (3, 4), range(3, 5), torch.tensor([3, 4]), torch.tensor([3, 4], dtype=torch.int8)):
        assert SampleKeys(ids).ids(2) == [3, 4]
