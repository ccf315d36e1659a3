"""How an estimator is left: its buffers, its wrappers, and the noise that it draws inside."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.utils.hooks import RemovableHandle

from stochrobust._tensors import Tree, tree_map
from stochrobust.estimators.contract import NormStatistics
from stochrobust.estimators.kept_state import state_kept


@contextmanager
def undisturbed(module: nn.Module | None, norm_statistics: NormStatistics = "batch") -> Iterator[None]:
    """Within, forward passes leave the module as they found it.

    What it keeps is in copies (:mod:`.kept_state`): normalisation layers in train mode use the batch's statistics and
    record them there; switching the recording off would break the recomputation of a checkpointed layer. With
    ``"running"`` they use their running statistics, where they keep any. Spectral norms do not iterate. Distributed
    wrappers do not broadcast buffers, and what our graph needs of them is in copies that the caller's next forward,
    which does, cannot overwrite.
    """
    layers = [] if module is None else list(module.modules())
    changed: list[tuple[dict[str, Any], str, Any]] = []
    guards: list[RemovableHandle] = []

    def change(owner: dict[str, Any], name: str, value: object) -> None:
        changed.append((owner, name, owner[name]))
        owner[name] = value

    with state_kept(module):
        try:
            for layer in layers:
                if norm_statistics == "running" and layer.training and isinstance(layer, torch.jit.ScriptModule):
                    raise ValueError("norm_statistics='running' does not reach a TorchScript module in train mode")
                if isinstance(layer, _NormBase):
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
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__package__") != __package__:  # a pass of ours
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


@contextmanager
def autograd_possible() -> Iterator[None]:
    """Leaves inference mode, in which no gradient can be asked for, without turning gradients on."""
    recording = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.set_grad_enabled(recording):
        yield


def out_of_inference(tree: Tree) -> Tree:
    """The tree with tensors made under inference mode replaced by copies that autograd accepts."""
    return tree_map(lambda leaf: leaf.clone() if leaf.is_inference() else leaf, tree)
