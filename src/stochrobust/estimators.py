"""The estimator contract ``G(y, z) -> x_hat``: any callable; how its seeds and its module are found, how it is left.

* ``G(y, z)``, or ``G(y, z, cond)`` with further inputs: z comes from ``z=``, from ``sample_z=`` or from ``G.sample_z``.
* ``G(y)``, or ``G(y, cond)``: deterministic, or drawing its noise inside from torch's global generator.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.optim.swa_utils import AveragedModel
from torch.utils.hooks import RemovableHandle

from stochrobust.consistency.projector import Projector
from stochrobust.seeds import SampleZ

Estimator: TypeAlias = (
    Callable[[Tensor], Tensor] | Callable[[Tensor, Any], Tensor] | Callable[[Tensor, Any, Any], Tensor]
)
"""``G(y)``, ``G(y, z)`` or ``G(y, cond)``, ``G(y, z, cond)``. A union of callables, not protocols: a type checker's
message then shows this contract, and not names that stand for it."""
NormStatistics: TypeAlias = Literal["batch", "running"]
"""Which statistics a normalisation layer in train mode uses in our passes: the batch's, or its running ones."""
NORM_STATISTICS = ("batch", "running")


class Consistent(nn.Module):
    """A consistent estimator: ``project(G(y, z), y)``, so that ``D(x_hat) = y``.

    Under an attack the output is made consistent with the attacked input, as in the paper.

    Args:
        G: any estimator; it is a submodule if it is an ``nn.Module``.
        projector: one of :mod:`stochrobust.consistency`.

    Example:
        >>> import torch
        >>> from stochrobust import BlockAverageProjector
        >>> G = Consistent(lambda y, z: z, BlockAverageProjector(2))
        >>> x_hat = G(torch.ones(1, 1, 1, 1), torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]]))
        >>> x_hat.mean().item()
        1.0

    Source: sections 2.2 and 6.1.1 of the paper.
    """

    def __init__(self, G: Estimator, projector: Projector) -> None:
        super().__init__()
        self.G = G
        self.projector = projector
        sample_z = sampler_of(G)
        if sample_z is not None:
            self.sample_z = sample_z

    def forward(self, y: Tensor, *inputs: Any) -> Tensor:
        """``project(G(y, *inputs), y)``."""
        return self.projector.project(self.G(y, *inputs), y)


def _unwrapped(G: object) -> Iterator[object]:
    """G and what it wraps: a partial's function, a bound method's object, a wrapper's module."""
    seen: object | None = G
    while seen is not None:
        yield seen
        if isinstance(seen, functools.partial):
            seen = seen.func
        elif hasattr(seen, "__self__") and not isinstance(seen, nn.Module):
            seen = seen.__self__
        elif isinstance(seen, DistributedDataParallel | nn.DataParallel | AveragedModel):
            seen = seen.module
        elif isinstance(seen, nn.Module):
            seen = getattr(seen, "_orig_mod", None)  # what torch.compile wraps
        else:
            seen = None


def sampler_of(G: Estimator) -> SampleZ | None:
    """``G.sample_z``, also of what a partial, a bound method or a parallel wrapper holds; None if there is none."""
    for layer in _unwrapped(G):
        sample_z: SampleZ | None = getattr(layer, "sample_z", None)
        if callable(sample_z):
            return sample_z
    return None


def module_of(G: Estimator) -> nn.Module | None:
    """The module whose state a call of G could change; None for a plain function (a closure hides its module)."""
    return next((layer for layer in _unwrapped(G) if isinstance(layer, nn.Module)), None)


@contextmanager
def undisturbed(module: nn.Module | None, norm_statistics: NormStatistics = "batch") -> Iterator[None]:
    """Within, forward passes leave the module as they found it.

    Normalisation layers in train mode use the batch's statistics and record them in copies that are thrown away:
    writing into their own buffers, or writing back, would break a pending graph of the caller's, and switching the
    recording off would break the recomputation of a checkpointed layer. With ``"running"`` they use their running
    statistics, where they keep any. Spectral norms do not iterate. Distributed wrappers do not broadcast buffers, and
    what our graph needs of them is in copies that the caller's next forward, which does, cannot overwrite.
    """
    layers = [] if module is None else list(module.modules())
    distributed = any(isinstance(layer, DistributedDataParallel) for layer in layers)
    changed: list[tuple[dict[str, Any], str, Any]] = []
    guards: list[RemovableHandle] = []

    def change(owner: dict[str, Any], name: str, value: object) -> None:
        changed.append((owner, name, owner[name]))
        owner[name] = value

    try:
        for layer in layers:
            if isinstance(layer, _NormBase) and layer.track_running_stats and (layer.training or distributed):
                for name, buffer in layer._buffers.items():
                    change(layer._buffers, name, None if buffer is None else buffer.clone())
                if norm_statistics == "running" and layer.training and layer.running_mean is not None:
                    change(layer.__dict__, "training", False)
                    guards.append(layer.register_forward_pre_hook(_refuse_recomputation))
            elif layer.training and _iterates(layer):
                change(layer.__dict__, "training", False)
            elif isinstance(layer, DistributedDataParallel):
                change(layer.__dict__, "require_forward_param_sync", False)
        yield
    finally:
        for guard in guards:
            guard.remove()
        for owner, name, value in reversed(changed):
            owner[name] = value


def _refuse_recomputation(layer: nn.Module, *_: object) -> None:
    """A layer frozen for our pass may not be computed again in the caller's backward, when it is frozen no more."""
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_globals.get("__name__") != "stochrobust.same_seed":
        if frame.f_globals.get("__name__") == "torch.utils.checkpoint":
            raise ValueError(
                f"norm_statistics='running' does not reach a {type(layer).__name__} inside torch.utils.checkpoint, "
                "which backward computes again in train mode: use 'batch', or put that layer in eval mode"
            )
        frame = frame.f_back


def _iterates(layer: nn.Module) -> bool:
    """Whether a forward pass in train mode would advance a spectral norm's power iteration."""
    hooks = layer._forward_pre_hooks.values()
    return isinstance(layer, _SpectralNorm) or any(isinstance(hook, SpectralNorm) for hook in hooks)


@contextmanager
def unsynchronised(module: nn.Module | None) -> Iterator[None]:
    """Within, distributed wrappers do not reduce parameter gradients, nor prepare to: nobody asks for any.

    Under DDP the forward is that of the module inside, save for flags. Under FSDP2 the hooks must stay, since they
    gather the parameters, but gradients that the caller has accumulated are not to be sent by a backward of ours.
    """
    layers = [] if module is None else list(module.modules())
    changed: list[tuple[object, str, bool]] = []

    def change(owner: object, name: str, value: bool) -> None:
        if hasattr(owner, name):
            changed.append((owner, name, getattr(owner, name)))
            setattr(owner, name, value)

    try:
        for wrapper in layers:
            if isinstance(wrapper, DistributedDataParallel):
                change(wrapper, "require_backward_grad_sync", False)
                # A static graph sends all gradients after its first backward, which is to be the caller's.
                change(wrapper, "_static_graph_delay_allreduce_enqueued", True)
        for group in _sharded_groups(layers):
            change(group, "reduce_grads", False)
            change(group, "all_reduce_grads", False)
        yield
    finally:
        for owner, name, before in reversed(changed):
            setattr(owner, name, before)


def _sharded_groups(layers: list[nn.Module]) -> list[Any]:
    """The parameter groups of FSDP2 among the layers; its module is looked up, since importing it takes time."""
    fsdp_module = getattr(sys.modules.get("torch.distributed.fsdp"), "FSDPModule", None)
    if fsdp_module is None:
        return []
    states = [layer._get_fsdp_state() for layer in layers if isinstance(layer, fsdp_module)]
    groups = [getattr(state, "_fsdp_param_groups", None) or [state._fsdp_param_group] for state in states]
    return [group for of_state in groups for group in of_state if group is not None]


@contextmanager
def held_noise(seed: int, devices: frozenset[torch.device]) -> Iterator[None]:
    """Within, torch's global generators start from ``seed``; afterwards they are where they were."""
    generators = [torch.default_generator, *map(_global_generator, devices)]
    before = [generator.get_state() for generator in generators]
    try:
        for generator in generators:
            generator.manual_seed(seed)
        yield
    finally:
        for generator, state in zip(generators, before, strict=True):
            generator.set_state(state)


def _global_generator(device: torch.device) -> torch.Generator:
    """The global generator of an accelerator."""
    if device.type == "mps":
        return torch.mps._get_default_mps_generator()
    kind = getattr(torch, device.type)
    index = kind.current_device() if device.index is None else device.index
    generator: torch.Generator = kind.default_generators[index]
    return generator


def noise_devices(module: nn.Module | None, y: Tensor) -> frozenset[torch.device]:
    """The accelerators whose global generator a call of G could draw from."""
    parameters = () if module is None else module.parameters()
    devices = {y.device, *(parameter.device for parameter in parameters)}
    return frozenset(device for device in devices if device.type not in ("cpu", "meta"))
