"""Training batches that are a function of the step: a run that resumes gets the images it would have had."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reference_experiments.data.arrays import Pixels


@dataclass(frozen=True)
class Batches:
    """Every image once per epoch in a random order, an epoch after another without a gap.

    Args:
        images: (N, C, H, W) uint8.
        size: images per step, of all processes together.
        seed: of the orders; another stream, another seed.
        rank, world: of this process, which gets its share of every step: rows ``rank * size / world`` and on.
    """

    images: Pixels
    size: int
    seed: int
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if self.size < 1 or self.size % self.world:
            raise ValueError(f"size must be a positive multiple of the {self.world} processes, got {self.size}")

    def indices(self, step: int) -> list[int]:
        """Which images this process gets at that step."""
        share = self.size // self.world
        first = step * self.size + self.rank * share
        return [self._index(position) for position in range(first, first + share)]

    def batch(self, step: int) -> Tensor:
        """(size / world, C, H, W) uint8: the images of that step."""
        return torch.from_numpy(np.ascontiguousarray(self.images[self.indices(step)]))

    def _index(self, position: int) -> int:
        epoch, place = divmod(position, len(self.images))
        return int(_order(len(self.images), self.seed, epoch)[place])


@functools.lru_cache(maxsize=4)  # two streams, each at the seam of two epochs
def _order(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    order: NDArray[np.int64] = np.random.default_rng([seed, epoch]).permutation(n)
    return order
