"""Layers that learn their shapes from the first pass (``nn.LazyLinear``, ``nn.LazyBatchNorm2d``)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy


def has_lazy_layers(module: nn.Module) -> bool:
    """Whether a layer waits for its first pass."""
    return bool(_lazy(module))


@contextmanager
def initialising(module: nn.Module) -> Iterator[None]:
    """Within, a pass gives lazy layers their shapes and initial weights; what buffers hold is as without it."""
    lazy = _lazy(module)
    kept = [(buffer, buffer.clone()) for buffer in module.buffers() if not is_lazy(buffer)]
    yield
    for buffer, value in kept:
        buffer.copy_(value)
    for layer in lazy:
        if isinstance(layer, _NormBase):
            layer.reset_running_stats()


def _lazy(module: nn.Module) -> list[nn.Module]:
    return [
        layer for layer in module.modules() if isinstance(layer, LazyModuleMixin) and layer.has_uninitialized_params()
    ]
