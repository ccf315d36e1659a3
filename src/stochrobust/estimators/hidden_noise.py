"""Noise that an estimator draws inside from generators of its own: named, held at one seed, left as it was found.

Noise from torch's global generators needs nothing of this: it is held for every estimator.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from stochrobust._arguments import describe
from stochrobust.estimators.calling import called
from stochrobust.estimators.contract import Estimator, module_of, sampler_of
from stochrobust.estimators.modules_behind import module_behind


class HiddenNoise(nn.Module):
    """An estimator that draws its noise inside, from ``torch.Generator`` objects of its own.

    ``G(y)``, with Z drawn within: Eq. 6 compares passes with one Z. Wherever the library compares outputs of this
    module, it puts the generators to a held seed before each pass and afterwards back to where they were. Otherwise
    the module is G. Each chunk of ``max_batch`` rows has its own noise, and with :class:`~stochrobust.SampleKeys` the
    noise belongs to the batch, as it is with noise from torch's global generators (``dropout``, ``torch.randn``),
    which is held without this module. numpy's and Python's random numbers are not: draw from torch, or pass them
    as ``z``.

    A sampler of T steps has a graph of T network passes. ``torch.utils.checkpoint.checkpoint(step, x, noise,
    use_reentrant=False)`` keeps only what goes into each step, and the passes of one step at a time. It computes the
    step again in the backward pass, and draws again what torch's global generators drew in it, but not what other
    generators did: draw from those outside the step, and pass the noise as its argument. Attacks refuse a step that
    draws from them; a backward pass of your own, with ``delta=`` given, is not watched.

    A deep copy, such as an averaged model, holds copies of the generators, which the original's G does not draw from:
    make the copy's wrapper anew where G is a closure over a generator.

    Args:
        G: any estimator; a submodule if it is an ``nn.Module``, and so is the module of a bound method or a partial.
        generators: those that G draws from, besides torch's global ones; at least one.

    Raises:
        TypeError: G is not callable, or a generator not a ``torch.Generator``.
        ValueError: no generator is given.

    Example:
        >>> import torch
        >>> from stochrobust import HiddenNoise, same_seed_change
        >>> own = torch.Generator().manual_seed(0)
        >>> def sampler(y):
        ...     return 3 * y + torch.randn(y.shape, generator=own)
        >>> y, delta = torch.zeros(1, 2), torch.ones(1, 2)
        >>> round(same_seed_change(HiddenNoise(sampler, own), y, delta).item(), 4)
        18.0
        >>> bool(same_seed_change(sampler, y, delta, check=False) == 18.0)  # other noise for y + delta than for y
        False

    Source: Eq. 6 and App. F of the paper; Chen et al., "Training deep nets with sublinear memory cost", 2016.
    """

    def __init__(self, G: Estimator, *generators: torch.Generator) -> None:
        super().__init__()
        if not callable(G):
            raise TypeError(f"G must be callable as G(y, z) or G(y), got {describe(G)}")
        if not generators:
            raise ValueError("generators must hold at least one torch.Generator, got none")
        for generator in generators:
            if not isinstance(generator, torch.Generator):
                raise TypeError(f"generators must be torch.Generator objects, got {describe(generator)}")
        self.G = G
        self.owner = None if isinstance(G, nn.Module) else module_of(G)
        self.generators = generators
        sample_z = sampler_of(G)
        if sample_z is not None:
            self.sample_z = sample_z

    def forward(self, y: Tensor, *inputs: Any) -> Tensor:
        """``G(y, *inputs)``."""
        output: Tensor = called(self.G, [y, *inputs])
        return output


def named_generators(G: Estimator, module: nn.Module | None) -> tuple[torch.Generator, ...]:
    """The generators of every :class:`HiddenNoise` in G or in its module, each once."""
    found: dict[int, torch.Generator] = {}
    for root in (module, module_behind(G)):
        for layer in () if root is None else root.modules():
            if isinstance(layer, HiddenNoise):
                found |= {id(generator): generator for generator in layer.generators}
    return tuple(found.values())


@contextmanager
def held_generators(seed: int, generators: tuple[torch.Generator, ...]) -> Iterator[None]:
    """Within, the generators start from seeds made of ``seed``; afterwards they are where they were.

    No two start alike, nor like torch's global generator at ``seed``: their noise would be the same numbers.
    """
    before = [generator.get_state() for generator in generators]
    try:
        if generators:
            seeder = torch.Generator("cpu").manual_seed(seed)
            seeds = torch.randint(2**62, (len(generators),), device="cpu", generator=seeder)
            for generator, own_seed in zip(generators, seeds.tolist(), strict=True):
                generator.manual_seed(own_seed)
        yield
    finally:
        for generator, state in zip(generators, before, strict=True):
            generator.set_state(state)


@contextmanager
def no_draws_from(generators: tuple[torch.Generator, ...]) -> Iterator[None]:
    """Raises if what runs within draws from a generator: in a backward pass that is noise which is not replayed."""
    before = [generator.get_state() for generator in generators]
    try:
        yield
        moved = any(
            not torch.equal(generator.get_state(), state) for generator, state in zip(generators, before, strict=True)
        )
    finally:
        for generator, state in zip(generators, before, strict=True):
            generator.set_state(state)
    if moved:
        raise ValueError(
            "G must not draw from a generator of HiddenNoise inside a checkpointed part, which would see other noise "
            "when it is computed again: draw outside, and pass the noise as an argument"
        )
