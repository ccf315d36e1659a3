"""The estimator contract ``G(y, z) -> x_hat``: any callable; how its seeds and its module are found.

* ``G(y, z)``, or ``G(y, z, cond)`` with further inputs: z comes from ``z=``, from ``sample_z=`` or from ``G.sample_z``.
* ``G(y)``, or ``G(y, cond)``: deterministic, or drawing its noise inside from torch's global generator.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from stochrobust.estimators.seeds import SampleZ

Estimator: TypeAlias = (
    Callable[[Tensor], Tensor] | Callable[[Tensor, Any], Tensor] | Callable[[Tensor, Any, Any], Tensor]
)
"""``G(y)``, ``G(y, z)`` or ``G(y, cond)``, ``G(y, z, cond)``. A union of callables, not protocols: a type checker's
message then shows this contract, and not names that stand for it."""
NormStatistics: TypeAlias = Literal["batch", "running"]
"""Which statistics a normalisation layer in train mode uses in our passes: the batch's, or its running ones."""
NORM_STATISTICS = ("batch", "running")


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
            seen = getattr(seen, "__wrapped__", None)  # what functools.wraps left, as autocast's decorator does


def sampler_of(G: Estimator) -> SampleZ | None:
    """``G.sample_z``, also of what a partial, a bound method or a parallel wrapper holds.

    Args:
        G: any estimator, see :mod:`stochrobust.estimators`.

    Returns:
        The sampler ``sample_z(y, generator) -> z``; None if there is none, as for a deterministic estimator.

    Raises:
        Nothing: whatever G is, it has a sampler or not.

    Example:
        >>> import functools
        >>> import torch
        >>> class Restorer(torch.nn.Module):
        ...     def sample_z(self, y, generator=None):
        ...         return torch.randn(len(y), 2, generator=generator)
        >>> sampler_of(functools.partial(Restorer()))(torch.zeros(3, 4), None).shape
        torch.Size([3, 2])
        >>> sampler_of(torch.nn.Identity()) is None
        True
    """
    for layer in _unwrapped(G):
        sample_z: SampleZ | None = getattr(layer, "sample_z", None)
        if callable(sample_z):
            return sample_z
    return None


def module_of(G: Estimator) -> nn.Module | None:
    """The module whose state a call of G could change.

    Args:
        G: any estimator, see :mod:`stochrobust.estimators`.

    Returns:
        The ``nn.Module`` that G is, or that a partial, a bound method, a decorator or a parallel wrapper holds; None
        for a plain function, also for a closure over a module (which measurements leave as it was all the same).

    Raises:
        Nothing: whatever G is, it has a module or not.

    Example:
        >>> import torch
        >>> net = torch.nn.Linear(2, 2)
        >>> module_of(net.forward) is net, module_of(lambda y: net(y)) is None
        (True, True)
    """
    return next((layer for layer in _unwrapped(G) if isinstance(layer, nn.Module)), None)
