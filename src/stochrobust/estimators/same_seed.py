"""An estimator with its seeds held: what is left is a function of the input, evaluated whole or in chunks of rows."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from stochrobust._arguments import (
    check_callable_or_none,
    check_choice,
    check_count,
    check_module_or_none,
    check_tensor,
    describe,
)
from stochrobust._tensors import Tree, repeat, squared_change, tree_map, tree_rows, working
from stochrobust.estimators.calling import called
from stochrobust.estimators.contract import NORM_STATISTICS, Estimator, NormStatistics, sampler_of
from stochrobust.estimators.gradients import gradient_of, telling_of_numpy
from stochrobust.estimators.hidden_noise import held_generators, named_generators, no_draws_from
from stochrobust.estimators.kept_state import per_sample_buffers, rows_of_their_samples
from stochrobust.estimators.lazy_layers import has_lazy_layers, initialising
from stochrobust.estimators.left_as_found import (
    held_noise,
    noise_devices,
    out_of_inference,
    undisturbed,
    unsynchronised,
)
from stochrobust.estimators.modules_behind import module_behind
from stochrobust.estimators.seeds import (
    Randomness,
    SampleZ,
    check_generator,
    check_rows,
    check_seeds,
    draw_seed,
    draw_seeds,
)

Pairing = Callable[[Tensor, Tensor], Tensor]
"""``pair(clean, attacked) -> reference``: which clean output row each attacked row is compared with."""


class SameSeed:
    """``delta -> G(y + delta, z)`` for one batch y and seeds z that stay as they are, hidden noise included.

    What every loss and measurement of this library is built on, and what a loss of your own can be: the seeds are drawn
    once, every pass sees the same ones, and the module is left as it was found (its normalisation statistics, its mode,
    the global generators). Rows are sample-major: row ``b * n_seeds + s``.

    Args:
        G: the estimator, ``G(y, z)`` or ``G(y)``, see :mod:`stochrobust.estimators`.
        y: (B, ...) degraded inputs, floating point.
        n_seeds: seeds per input, S.
        z: seeds to use, rows (B * S, ...); None: drawn by ``sample_z`` or ``G.sample_z``.
        sample_z: ``sample_z(y, generator) -> z`` for the expanded batch, where G has no such method.
        cond: further inputs, batch first, passed on as ``G(y, z, cond)``.
        module: the module to leave as it was, where G is a closure over it.
        generator: source of the seeds: a ``torch.Generator``, :class:`~stochrobust.SampleKeys`, or None.
        max_batch: the most rows one call of G may get; None: all.
        first_seed: with :class:`~stochrobust.SampleKeys`, the number of the first seed.
        norm_statistics: as in :func:`~stochrobust.robustness_loss`.

    Attributes:
        chunks: slices of the B * S rows, one for each call of G.

    Raises:
        TypeError, ValueError: for arguments of a wrong kind or shape, naming them.

    Example:
        The mean absolute change under a perturbation of your own, as a loss:

        >>> import torch
        >>> net = torch.nn.Linear(2, 2)
        >>> sample_z = lambda y, generator: torch.randn(len(y), 2, generator=generator)
        >>> y = torch.rand(8, 2)
        >>> held = SameSeed(lambda y, z: net(y) + z, y, n_seeds=4, sample_z=sample_z, module=net)
        >>> delta = 0.1 * torch.randn_like(y)
        >>> loss = (held.outputs(delta) - held.outputs()).abs().mean()  # (32, 2) each; z cancels
        >>> loss.backward()
        >>> net.weight.grad is not None, held.change(delta).shape  # and Eq. 6's objective at delta
        (True, torch.Size([8]))

    Source: Eq. 6 of the paper, before its maximum.
    """

    def __init__(
        self,
        G: Estimator,
        y: Tensor,
        n_seeds: int,
        *,
        z: Tree = None,
        sample_z: SampleZ | None = None,
        cond: Tree = None,
        module: nn.Module | None = None,
        generator: Randomness = None,
        max_batch: int | None = None,
        first_seed: int = 0,
        norm_statistics: NormStatistics = "batch",
    ) -> None:
        if not callable(G):
            raise TypeError(f"G must be callable as G(y, z) or G(y), got {describe(G)}")
        self.y = out_of_inference(check_tensor("y", y, min_ndim=1))
        self.n_seeds = check_count("n_seeds", n_seeds)
        check_generator(generator)
        check_callable_or_none("sample_z", sample_z)
        check_module_or_none("module", module)
        check_count("first_seed", first_seed, minimum=0)
        self.G, self.module = G, module if module is not None else module_behind(G)
        check_rows("cond", cond, len(y), "one per sample", y.device)
        self.cond = out_of_inference(cond)
        sample_z = sampler_of(G) if sample_z is None else sample_z
        self.draws_seeds = z is None
        if z is None and sample_z is not None:
            z = draw_seeds(sample_z, self.y.detach(), n_seeds, generator, first_seed=first_seed)
        check_seeds("z", z)
        check_rows("z", z, len(y) * n_seeds, "samples x n_seeds, sample-major", y.device)
        self.z = out_of_inference(z)
        self._noise = draw_seed(generator, len(y), first_seed), noise_devices(self.module, y)
        self.generators = named_generators(G, self.module)
        rows = len(y) * n_seeds
        step = rows if max_batch is None else check_count("max_batch", max_batch)
        check_choice("norm_statistics", norm_statistics, NORM_STATISTICS)
        self.norm_statistics: NormStatistics = norm_statistics
        self.chunks = [slice(start, min(start + step, rows)) for start in range(0, rows, step)]
        self._samples = torch.arange(rows) // n_seeds  # which sample each row belongs to
        self._per_sample = per_sample_buffers(self.module, y)
        self._initialise()

    def draw_other_noise(self) -> None:
        """Hold other noise, of what G draws by itself, than before."""
        seed, devices = self._noise
        self._noise = seed + 1, devices

    def rows(self, delta: Tensor | None, chunk: slice) -> Tensor:
        """The outputs G(y + delta, z) of a chunk of rows.

        G gets copies, so that one that works in place (``nn.ReLU(inplace=True)``) changes nothing of the caller's.
        """
        inputs = self._inputs(self.y if delta is None else (working(self.y) + delta).to(self.y.dtype), chunk)
        # The chunk's own stream: a pass over it sees the same noise however often and in whatever order it is made.
        seed, devices = self._noise
        seed += chunk.start
        with (
            self._undisturbed(), rows_of_their_samples(self._per_sample, self._samples[chunk]),
            held_noise(seed, devices), held_generators(seed, self.generators), telling_of_numpy(),
        ):  # fmt: skip
            outputs: Tensor = called(self.G, inputs)
        self._check(outputs, chunk)
        return outputs

    def outputs(self, delta: Tensor | None = None) -> Tensor:
        """All outputs, (B * n_seeds, ...), in memory that a later pass does not write to."""
        # A G that returns one buffer in every call (a replayed graph) would overwrite what a later pass is compared to.
        chunks = [self.rows(delta, chunk).clone() for chunk in self.chunks]
        return chunks[0] if len(chunks) == 1 else torch.cat(chunks)

    def reference(self, *, recording: bool) -> Tensor:
        """The outputs at y, detached, by the kernels of passes with (or without) gradients.

        Some layers have others without: ``nn.TransformerEncoder`` in eval mode then returns zeros at padded places.
        What an attack by gradients compares with is made in its own mode.
        """
        with torch.set_grad_enabled(recording):
            nowhere = torch.zeros_like(working(self.y)).requires_grad_(recording)
            chunks = [self.rows(nowhere, chunk).detach().clone() for chunk in self.chunks]
        return chunks[0] if len(chunks) == 1 else torch.cat(chunks)

    def _initialise(self) -> None:
        """Lazy layers get their shapes by a pass, as by the caller's own first one; it records no statistics."""
        if self.module is not None and has_lazy_layers(self.module):
            seed, devices = self._noise
            with torch.no_grad(), held_noise(seed, devices), initialising(self.module):
                called(self.G, self._inputs(self.y, self.chunks[0]))

    def change(self, delta: Tensor, reference: Tensor | None = None) -> Tensor:
        """``E_z ||G(y, z) - G(y + delta, z)||^2`` per sample, (B,), differentiable.

        ``reference`` is the clean output where it is at hand. Without it each chunk is recomputed in the backward
        pass, so that memory is that of one chunk.
        """
        if reference is not None:
            return self.mean_over_seeds(squared_change(reference, self.outputs(delta)))
        return self.mean_over_seeds(
            self.recomputed(lambda chunk: squared_change(self.rows(None, chunk).clone(), self.rows(delta, chunk)))
        )

    def evaluate(
        self,
        delta: Tensor,
        clean: Tensor,
        pair: Pairing | None = None,
        *,
        with_gradient: bool,
        recording: bool | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """The change at delta, (B,), and the gradient of its sum with respect to delta; no other gradient is made.

        ``recording`` passes are made by the kernels that a gradient needs, also where none is asked for.
        """
        recording = with_gradient if recording is None else recording
        whole = len(self.chunks) == 1
        reference = clean
        if pair is not None and not whole:
            with torch.no_grad():
                reference = pair(clean, self.outputs(delta))
        gradient = torch.zeros_like(delta)

        def change_of(leaf: Tensor, chunk: slice) -> Tensor:
            attacked = self.rows(leaf, chunk)
            to = pair(clean, attacked.detach()) if pair is not None and whole else reference
            return squared_change(to if whole else to[chunk], attacked)

        def of_chunk(chunk: slice) -> Tensor:
            """The change of a chunk; what its graph holds is let go of here, before the next one's is made."""
            # The gradient is taken in here too: it may recompute a checkpointed layer.
            with (
                torch.set_grad_enabled(recording), unsynchronised(self.module), self._undisturbed(),
                no_draws_from(self.generators),
            ):  # fmt: skip
                leaf = delta.detach().requires_grad_(recording)
                change = change_of(leaf, chunk)
                if with_gradient:
                    gradient.add_(gradient_of(change, leaf, functools.partial(change_of, chunk=chunk), self.module))
            return change.detach()

        changes = [of_chunk(chunk) for chunk in self.chunks]
        value = self.mean_over_seeds(torch.cat(changes))
        return value, gradient / self.n_seeds if with_gradient else None

    def recomputed(self, of_chunk: Callable[[slice], Tensor]) -> Tensor:
        """A function of each chunk's passes, joined; they are made again in the backward pass, not kept for it."""
        from torch.utils.checkpoint import checkpoint  # of torch 2.4, takes longer to import than all of this package

        def now(chunk: slice) -> Tensor:
            # Weights that autocast has cast and kept are not cast again: the recomputation would differ from this.
            torch.clear_autocast_cache()
            return of_chunk(chunk)

        return torch.cat([checkpoint(now, c, use_reentrant=False, preserve_rng_state=False) for c in self.chunks])

    def mean_over_seeds(self, rows: Tensor) -> Tensor:
        """(B * n_seeds,) -> (B,)."""
        return rows.reshape(-1, self.n_seeds).mean(1)

    def _undisturbed(self) -> AbstractContextManager[None]:
        return undisturbed(self.module, self.norm_statistics)

    def _inputs(self, y: Tensor, chunk: slice) -> list[Any]:
        inputs: list[Any] = [self._expanded(y, chunk)]
        if self.z is not None:
            inputs.append(tree_map(torch.clone, tree_rows(self.z, chunk)))
        if self.cond is not None:
            inputs.append(tree_map(lambda leaf: self._expanded(leaf, chunk), self.cond))
        return inputs

    def _expanded(self, tensor: Tensor, chunk: slice) -> Tensor:
        """The rows of ``repeat(tensor, n_seeds)`` in the chunk, without making the others; a copy."""
        if len(self.chunks) == 1:
            expanded: Tensor = repeat(tensor, self.n_seeds) if self.n_seeds > 1 else tensor.clone()
        else:
            rows = torch.arange(chunk.start, chunk.stop, device=tensor.device)
            expanded = tensor[rows // self.n_seeds]
        for ndim, memory_format in ((4, torch.channels_last), (5, torch.channels_last_3d)):
            if tensor.ndim == ndim and tensor.is_contiguous(memory_format=memory_format):
                return expanded.contiguous(memory_format=memory_format)
        return expanded

    def _check(self, outputs: object, chunk: slice) -> None:
        n_rows = chunk.stop - chunk.start
        if not isinstance(outputs, Tensor) or not outputs.is_floating_point():
            raise TypeError(f"G must return a floating-point tensor, got {describe(outputs)}")
        if outputs.ndim == 0 or len(outputs) != n_rows:
            raise ValueError(f"G must return one output per row, {n_rows} of them, got {describe(outputs)}")
        shape = self.__dict__.setdefault("_shape", outputs.shape[1:])
        if outputs.shape[1:] != shape:
            raise ValueError(f"G must return outputs of one shape, first {tuple(shape)}, then {describe(outputs)}")


def check_delta(delta: Tensor, y: Tensor) -> Tensor:
    """A given perturbation: y's shape and device, in the working precision."""
    check_tensor("delta", delta)
    if delta.shape != y.shape or delta.device != y.device:
        raise ValueError(f"delta must have the shape and device of y, {describe(y)}, got {describe(delta)}")
    return delta.to(working(y).dtype)
