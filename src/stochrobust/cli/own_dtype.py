"""A model of another dtype than the images': fed its own, answering in theirs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stochrobust._tensors import tree_map
from stochrobust.estimators.contract import sampler_of


def in_own_dtype(module: nn.Module) -> nn.Module:
    """The module, or a wrapper where all its weights have one floating-point dtype that is not float32.

    Example:
        >>> half = in_own_dtype(nn.Linear(2, 2).half())
        >>> half(torch.ones(1, 2)).dtype, in_own_dtype(nn.Linear(2, 2))
        (torch.float32, Linear(in_features=2, out_features=2, bias=True))
    """
    dtypes = {parameter.dtype for parameter in module.parameters() if parameter.is_floating_point()}
    if len(dtypes) != 1 or dtypes == {torch.float32}:
        return module
    kind = InOwnDtype if sampler_of(module) is None else SampledInOwnDtype
    return kind(module, dtypes.pop())


class InOwnDtype(nn.Module):
    """Calls a model with what it is given in the model's dtype, and returns its output in that of y."""

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.model, self.dtype = model, dtype

    def cast(self, value: Tensor) -> Tensor:
        """Floating-point numbers in the model's dtype, all else as it is."""
        return value.to(self.dtype) if value.is_floating_point() else value

    def forward(self, y: Tensor, *more: Any) -> Any:
        x_hat = self.model(self.cast(y), *(tree_map(self.cast, part) for part in more))
        return x_hat.to(y.dtype) if isinstance(x_hat, Tensor) and x_hat.is_floating_point() else x_hat


class SampledInOwnDtype(InOwnDtype):
    """One that draws seeds: in the dtype of the model, from what it is given in that dtype."""

    def sample_z(self, y: Tensor, generator: torch.Generator | None = None) -> Any:
        """Seeds for y."""
        sample_z = sampler_of(self.model)
        assert sample_z is not None  # the wrapper was chosen for it
        return sample_z(self.cast(y), generator)
