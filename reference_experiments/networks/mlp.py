"""The toy study's fully connected network (Table 2), as many independent copies of it as there are training seeds."""

from __future__ import annotations

import itertools
import math
from typing import Literal

import torch
from torch import Tensor, nn

Products = Literal["float32", "bfloat16"]
"""Precision of the products between hidden layers; all else is float32, the sums inside a product included."""


class MLPs(nn.Module):
    """``n_models`` copies of one multilayer perceptron with ReLU, with nothing in common but the call.

    Losses summed over the copies train each as if it were alone (Adam works element by element), at a fraction of
    the calls.

    Args:
        n_models: independent copies, E.
        widths: of the layers, input first; Table 2 is ``(2, 512, 512, 512, 512, 1)``.
        products: precision of the products between hidden layers, which are nearly all of the work.
    """

    def __init__(self, n_models: int, widths: tuple[int, ...], products: Products = "float32") -> None:
        super().__init__()
        self.n_models, self.products = n_models, products
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for fan_in, fan_out in itertools.pairwise(widths):
            bound = 1 / math.sqrt(fan_in)  # nn.Linear's own initial law
            self.weights.append(nn.Parameter(torch.empty(n_models, fan_in, fan_out).uniform_(-bound, bound)))
            self.biases.append(nn.Parameter(torch.empty(n_models, 1, fan_out).uniform_(-bound, bound)))

    def forward(self, inputs: Tensor) -> Tensor:
        """(E * n, in) rows, the first n for the first copy and so on -> (E * n, out)."""
        return self.outputs(self.layers(inputs)[-1])

    def layers(self, inputs: Tensor) -> list[Tensor]:
        """What each layer makes of the rows before the ReLU, (E, n, width) each; the output last."""
        made = [torch.baddbmm(self.biases[0], self._by_copy(inputs), self.weights[0])]
        for layer in range(1, len(self.weights)):
            made.append(self._product(made[-1].relu(), layer, bias=True))
        return made

    def change(self, clean: list[Tensor], change: Tensor) -> Tensor:
        """How the output changes with the inputs, (E * n, in) -> (E * n, out), from what ``layers`` made of them.

        Changes are carried from layer to layer in place of changed activations: a product of low precision then rounds
        the change by a share of itself, and not by a share of what it is a small difference of.
        """
        moved = self._by_copy(change) @ self.weights[0]
        for layer, before in enumerate(clean[:-1], start=1):
            moved = self._product((before + moved).relu() - before.relu(), layer, bias=False)
        return self.outputs(moved)

    def outputs(self, last: Tensor) -> Tensor:
        """(E, n, out) -> (E * n, out)."""
        return last.reshape(-1, last.shape[-1])

    def _by_copy(self, rows: Tensor) -> Tensor:
        return rows.reshape(self.n_models, -1, rows.shape[-1])

    def _product(self, hidden: Tensor, layer: int, *, bias: bool) -> Tensor:
        weight = self.weights[layer]
        if self.products == "bfloat16" and layer < len(self.weights) - 1:
            product = torch.bmm(hidden.bfloat16(), weight.bfloat16()).float()
            return product + self.biases[layer] if bias else product
        return torch.baddbmm(self.biases[layer], hidden, weight) if bias else torch.bmm(hidden, weight)
