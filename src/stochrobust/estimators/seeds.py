"""Seeds z of a stochastic estimator: nested structures of tensors, drawn, repeated, keyed and sliced by rows.

Everywhere in the library the row of sample ``b`` with its ``s``-th seed is ``b * n_seeds + s`` (sample-major).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from stochrobust._arguments import check_count, check_integer, check_tensor, describe
from stochrobust._tensors import Tree, repeat, tree_stack, tree_tensors
from stochrobust.estimators.calling import sampled

SampleZ: TypeAlias = Callable[[Tensor, torch.Generator | None], Tree]
"""``sample_z(y, generator) -> z``, called with the batch that z must fit, row by row."""


def check_rows(name: str, tree: Tree, n_rows: int, meaning: str, device: torch.device) -> None:
    """Every tensor of the tree has ``n_rows`` rows and is on the device."""
    for leaf in tree_tensors(tree):
        if leaf.device != device:
            raise ValueError(f"{name} must be on the device of y, {device}, got {describe(leaf)}")
        if leaf.ndim == 0 or leaf.shape[0] != n_rows:
            raise ValueError(f"{name} must have {n_rows} rows ({meaning}), batch first, got {describe(leaf)}")


def check_seeds(name: str, z: Tree) -> None:
    """None, or a tree with a tensor in it."""
    if z is not None and not tree_tensors(z):
        raise TypeError(f"{name} must be or hold tensors, got {describe(z)}")


def check_generator(generator: object) -> None:
    """A source of random numbers, see :data:`Randomness`."""
    if not (generator is None or isinstance(generator, torch.Generator | SampleKeys)):
        raise TypeError(f"generator must be a torch.Generator, SampleKeys or None, got {describe(generator)}")


WORDS = 624  # of the Mersenne twister's state, each kept in 8 bytes of the state that torch shows
STATE_START = 24  # the byte where they begin: behind the seed, and how many words are left of a round


@dataclass(frozen=True)
class SampleKeys:
    """Random numbers keyed by (run seed, sample id, seed id), to be passed as ``generator=``.

    Seeds and starting points then belong to the sample, not to its place in a batch: results do not depend on batch
    size, order, chunking or the number of processes (G in eval mode, to rounding; where iterates or restarts of an
    attack tie, rounding decides which is kept). They do depend on the device's kind. Noise that G draws inside cannot
    be keyed by sample: all of a batch shares one stream.

    Args:
        sample_ids: one integer per sample of the batch, its identity in the data set.
        run_seed: an integer; another one gives other random numbers.

    Raises:
        TypeError: for ids that are no integers.
        ValueError: for an id that is there twice; when used for a batch of another number of samples.

    Example:
        >>> import torch
        >>> sample_z = lambda y, generator: torch.randn(len(y), 2, generator=generator)
        >>> y = torch.zeros(2, 3)
        >>> both = draw_seeds(sample_z, y, 4, SampleKeys([7, 9]))
        >>> alone = draw_seeds(sample_z, y[1:], 4, SampleKeys([9]))
        >>> torch.equal(both[4:], alone)
        True
    """

    sample_ids: Sequence[int] | Tensor
    run_seed: int = 0

    def __post_init__(self) -> None:
        check_integer("run_seed", self.run_seed)
        ids = self.sample_ids
        if isinstance(ids, str | bytes) or not isinstance(ids, Sequence | Tensor | np.ndarray):
            raise TypeError(f"sample_ids must be a sequence of integers, got {describe(ids)}")
        if isinstance(ids, Tensor | np.ndarray):
            if ids.ndim != 1:
                raise ValueError(f"sample_ids must have one dimension, got {describe(ids)}")
            ids = ids.tolist()
        numbers = [check_integer("each of sample_ids", i) for i in ids]
        if len(set(numbers)) < len(numbers):
            raise ValueError(f"sample_ids must differ, got {len(numbers)} of which {len(set(numbers))} do")

    def ids(self, n_samples: int) -> list[int]:
        """The sample ids as integers; there must be one per sample."""
        ids = [int(i) for i in self.sample_ids]
        if len(ids) != n_samples:
            raise ValueError(f"generator.sample_ids must hold one id per sample, {n_samples}, got {len(ids)}")
        return ids

    def generator(self, *key: int | str, device: torch.device | str = "cpu") -> torch.Generator:
        """A generator seeded by the run seed and ``key``."""
        label = repr((int(self.run_seed), *key)).encode()
        generator = torch.Generator(device)
        if generator.device.type != "cpu":
            digest = hashlib.blake2b(label, digest_size=8).digest()
            return generator.manual_seed(int.from_bytes(digest, "little") >> 1)
        # The generator of the CPU takes 32 bits of a seed, and among some 10^5 keys two would agree. Its state has 624
        # such words, which the hash fills.
        state = generator.manual_seed(0).get_state()
        words = bytearray(hashlib.shake_128(label).digest(4 * WORDS))
        fresh = torch.frombuffer(words, dtype=torch.int32).to(torch.int64) & 0xFFFFFFFF
        state[STATE_START : STATE_START + 8 * WORDS] = fresh.view(torch.uint8)
        return generator.set_state(state)


Randomness: TypeAlias = "torch.Generator | SampleKeys | None"
"""Where random numbers come from: torch's global generator (None), a generator, or keys."""


def draw_seeds(sample_z: SampleZ, y: Tensor, n_seeds: int, generator: Randomness, *, first_seed: int = 0) -> Tree:
    """Draw ``n_seeds`` seeds for each sample of y.

    Args:
        sample_z: ``sample_z(y, generator) -> z``; gets the expanded (B * n_seeds, ...) batch, or with
            :class:`SampleKeys` one row at a time.
        y: (B, ...) inputs.
        n_seeds: seeds per sample, at least 1.
        generator: see :data:`Randomness`.
        first_seed: with keys, the id of the first seed; a multiple of ``n_seeds`` gives seeds not used before.

    Returns:
        z, a tree of (B * n_seeds, ...) tensors, sample-major.

    Raises:
        ValueError: if a tensor of z has another number of rows.

    Example:
        >>> import torch
        >>> sample_z = lambda y, generator: torch.randn(len(y), 2, generator=generator)
        >>> draw_seeds(sample_z, torch.zeros(3, 4), 5, torch.Generator().manual_seed(0)).shape
        torch.Size([15, 2])
    """
    if not callable(sample_z):
        raise TypeError(f"sample_z must be callable, got {describe(sample_z)}")
    check_tensor("y", y, min_ndim=1)
    check_count("n_seeds", n_seeds)
    check_count("first_seed", first_seed, minimum=0)
    check_generator(generator)
    if isinstance(generator, SampleKeys):
        keys = [(i, s) for i in range(len(y)) for s in range(first_seed, first_seed + n_seeds)]
        ids = generator.ids(len(y))
        z = tree_stack(
            [sampled(sample_z, y[i : i + 1], generator.generator(ids[i], s, device=y.device)) for i, s in keys]
        )
    else:
        z = sampled(sample_z, repeat(y, n_seeds), generator)
    check_seeds("what sample_z(y, generator) returns", () if z is None else z)
    check_rows("sample_z(y, generator)", z, len(y) * n_seeds, "samples x n_seeds", y.device)
    return z


def draw_like(y: Tensor, generator: Randomness, purpose: str, *, uniform: bool = False) -> Tensor:
    """Standard normal (or uniform on [0, 1)) numbers in y's shape, dtype and device."""
    law = torch.rand if uniform else torch.randn
    if isinstance(generator, SampleKeys):
        streams = (generator.generator(i, purpose, device=y.device) for i in generator.ids(len(y)))
        rows = [law(y.shape[1:], dtype=y.dtype, device=y.device, generator=stream) for stream in streams]
        return torch.stack(rows)
    device = y.device if generator is None else generator.device
    return law(y.shape, dtype=y.dtype, device=device, generator=generator).to(y.device)


def draw_seed(generator: Randomness, n_samples: int, first_seed: int) -> int:
    """One integer to seed the noise that an estimator draws inside; with keys, that of the whole batch."""
    if isinstance(generator, SampleKeys):
        generator = generator.generator("inside", first_seed, *generator.ids(n_samples))
    device = torch.device("cpu") if generator is None else generator.device
    return int(torch.randint(2**62, (), device=device, generator=generator))
