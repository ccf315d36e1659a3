"""What all metric classes have in common."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torchmetrics import Metric

_instances = itertools.count()


class Base(Metric):
    """A metric whose states a ``MetricCollection`` never takes for another's because their numbers are close."""

    full_state_update = False
    is_differentiable = False

    def __init__(self, dtype: torch.dtype, **kwargs: Any) -> None:
        """``dtype`` of what is kept: a process without data must send an empty tensor of the others' dtype."""
        super().__init__(**kwargs)
        self.set_dtype(dtype)
        mark = torch.tensor(2.0 ** (next(_instances) % 100), dtype=dtype)  # a collection compares by allclose
        self.add_state("mark", mark, dist_reduce_fx="max")

    def plot(self, val: Any = None, ax: Any = None) -> Any:
        """The value, or several, as a figure (needs matplotlib)."""
        return self._plot(val, ax)
