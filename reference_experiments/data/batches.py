"""Training batches that are a function of the step: a run that resumes gets the images it would have had."""

from __future__ import annotations

import functools
import mmap
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
        images: (N, C, H, W) uint8; mapped from disk, only what a batch needs is read.
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
        if len(self.images) == 0:
            raise ValueError("images must hold at least one image, got none")
        if self.size < 1 or self.size % self.world:
            raise ValueError(f"size must be a positive multiple of the {self.world} processes, got {self.size}")
        if not 0 <= self.rank < self.world:
            raise ValueError(f"rank must be at least 0 and below world={self.world}, got {self.rank}")

    def indices(self, step: int) -> NDArray[np.int64]:
        """(size / world,): which images this process gets at that step."""
        n, share = len(self.images), self.size // self.world
        first = step * self.size + self.rank * share
        chosen = np.empty(share, np.int64)
        filled = 0
        while filled < share:  # once, or at the seam of epochs twice; more often if a batch is larger than the set
            epoch, place = divmod(first + filled, n)
            some = _order(n, self.seed, epoch)[place : place + share - filled]
            chosen[filled : filled + len(some)] = some
            filled += len(some)
        return chosen

    def batch(self, step: int) -> Tensor:
        """(size / world, C, H, W) uint8: the images of that step."""
        chosen = self.indices(step)
        announce(self.images, chosen)
        announce(self.images, self.indices(step + 1))  # the disk works while the step computes
        return torch.from_numpy(np.take(np.asarray(self.images), chosen, axis=0))


def announce(images: Pixels, rows: NDArray[np.int64]) -> None:
    """Have the system read those rows from disk all at once, where the array is mapped from a file.

    Without it every page is waited for in turn, and a set that is not yet in the system's memory loads an order of
    magnitude more slowly (``benchmarks/data_loading.py``).
    """
    mapped = images.base
    if not (isinstance(images, np.memmap) and isinstance(mapped, mmap.mmap) and hasattr(mapped, "madvise")):
        return
    n_bytes, start = images[0].nbytes, images.offset % mmap.ALLOCATIONGRANULARITY
    for first in (start + rows * n_bytes).tolist():
        page = first - first % mmap.PAGESIZE
        mapped.madvise(mmap.MADV_WILLNEED, page, first + n_bytes - page)


@functools.lru_cache(maxsize=8)  # three streams at the seam of two epochs, and one of validation images
def _order(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    order: NDArray[np.int64] = np.random.default_rng([seed, epoch]).permutation(n)
    return order
