"""What all metric classes have in common."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor
from torchmetrics import Metric

_instances = itertools.count()


class Base(Metric):
    """A metric that keeps its dtype and, whatever is raised, its samples.

    Its states are never taken for another's by a ``MetricCollection`` because their numbers are close.
    """

    full_state_update = False
    is_differentiable = False

    def __init__(self, dtype: torch.dtype, *, shares_states: bool = False, **kwargs: Any) -> None:
        """``dtype`` of what is kept: a process without data must send an empty tensor of the others' dtype."""
        super().__init__(**kwargs)
        self.set_dtype(dtype)
        mark = 0.0 if shares_states else 2.0 ** (next(_instances) % 100)  # a collection compares by allclose
        self.add_state("mark", torch.tensor(mark, dtype=dtype), dist_reduce_fx="max")

    def plot(self, val: Any = None, ax: Any = None) -> Any:
        """The value, or several, as a figure (needs matplotlib)."""
        return self._plot(val, ax)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """:meth:`update`, and the value of these samples alone; what is refused changes nothing."""
        before = {name: list(value) if isinstance(value, list) else value for name, value in vars(self).items()}
        try:
            return super().forward(*args, **kwargs)
        except BaseException:
            vars(self).update(before)
            raise

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Any = "") -> Self:
        """Moves what is kept; only ``set_dtype`` casts it, not a cast of the module that the metric is part of."""
        if self._dtype_convert:
            return super()._apply(fn, exclude_state)  # type: ignore[return-value]
        dtype = self._dtype
        super()._apply(_without_cast(fn), exclude_state)
        self._dtype = dtype  # torchmetrics takes it from a float32 tensor that it moves along
        return self

    def merge_state(self, incoming_state: dict[str, Any] | Metric) -> None:
        """Take in the samples of another such metric."""
        super().merge_state(incoming_state)
        self._changed()

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        for name in self._defaults:
            value = getattr(self, name)
            setattr(self, name, list(value) if isinstance(value, list) else value)  # a reset clears lists in place
        self._changed()

    def _changed(self) -> None:
        """The value that was computed before is stale, and there are samples without an ``update``."""
        self._computed = None
        if any(isinstance(value := getattr(self, name), list) and value for name in self._defaults):
            self._update_count = max(self._update_count, 1)


def _without_cast(fn: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The function if it leaves dtypes alone, else its move to another device alone."""

    def moved(tensor: Tensor) -> Tensor:
        probe = fn(tensor.new_empty(0))
        return fn(tensor) if probe.dtype == tensor.dtype else tensor.to(probe.device)

    return moved
