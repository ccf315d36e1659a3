"""The memory that an attack on a flow takes: bounded by ``max_batch``, lowered by checkpointing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from reference_experiments.networks.srflow import SRFlow
from reference_experiments.srflow.attack import Attack, measured
from reference_experiments.srflow.models import Subject
from reference_experiments.srflow.presets import drawn_images
from reference_experiments.srflow.settings import TINY
from tests.drawn_weights import drawn_weights

SIDE = 11
OUTPUT = 3 * (4 * SIDE) ** 2 * 4
"""Bytes of one output."""


class Peak(TorchDispatchMode):
    """The most bytes that tensors made within held at one time, whoever held them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.living: dict[int, tuple[StorageWeakRef, int]] = {}
        self.bytes: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self.living[storage.data_ptr()] = StorageWeakRef(storage), storage.nbytes()
        self.living = {place: held for place, held in self.living.items() if not held[0].expired()}
        self.bytes = max(self.bytes, sum(size for _, size in self.living.values()))
        return result


def peak(n_seeds: int, max_batch: int | None = None, *, checkpointing: bool = False) -> int:
    """Of an attack of one step, in bytes."""
    G = SRFlow(replace(TINY, steps=2, hidden=32), heat=0.5, checkpointing=checkpointing).eval()
    G.load_state_dict(drawn_weights(G.state_dict(), 0))
    (image,) = drawn_images(1, SIDE)
    found = Peak()
    with found:
        result = measured(Subject(G, "it", "flow", True, ""), image.pair, 1 / 255, Attack(1, n_seeds), 0, max_batch)
    assert result.exploded is None
    return found.bytes


def test_more_seeds_than_fit_a_call_cost_the_memory_of_their_outputs_alone() -> None:
    two, four, four_in_twos = peak(2), peak(4), peak(4, 2)
    assert four - two > 2 * 40 * OUTPUT
    assert four_in_twos - two < 2 * 15 * OUTPUT


def test_checkpointing_lowers_the_memory_of_an_attack() -> None:
    assert peak(2, checkpointing=True) < 0.6 * peak(2)


def test_it_is_the_peak_that_is_measured() -> None:
    with Peak() as found:
        a = torch.zeros(100)
        b = a + 1
        del a
        b = (b * 2)[:50]
        torch.zeros(1)
    assert found.bytes == 800
