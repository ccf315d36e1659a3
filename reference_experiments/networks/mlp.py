"""The toy study's fully connected network (Table 2), as many independent copies of it as there are training seeds."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn


class MLPs(nn.Module):
    """``n_models`` copies of one multilayer perceptron with ReLU, with nothing in common but the call.

    Losses summed over the copies train each as if it were alone (Adam works element by element), at a fraction of
    the calls.

    Args:
        n_models: independent copies, E.
        widths: of the layers, input first; Table 2 is ``(2, 512, 512, 512, 512, 1)``.
    """

    def __init__(self, n_models: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.n_models = n_models
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for fan_in, fan_out in itertools.pairwise(widths):
            bound = 1 / math.sqrt(fan_in)  # nn.Linear's own initial law
            self.weights.append(nn.Parameter(torch.empty(n_models, fan_in, fan_out).uniform_(-bound, bound)))
            self.biases.append(nn.Parameter(torch.empty(n_models, 1, fan_out).uniform_(-bound, bound)))

    def forward(self, inputs: Tensor) -> Tensor:
        """(E * n, in) rows, the first n for the first copy and so on -> (E * n, out)."""
        hidden = inputs.reshape(self.n_models, -1, inputs.shape[-1])
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = torch.baddbmm(bias, hidden, weight)
            if layer < last:
                hidden = hidden.relu()
        return hidden.reshape(len(inputs), -1)
