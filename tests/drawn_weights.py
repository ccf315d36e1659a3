"""Weights that a seed and the tensors' names determine, for numbers that other implementations gave with the same."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor


def drawn_weights(like: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Float64 tensors of these names and shapes, from one numpy stream in alphabetical order.

    The sizes keep a deep flow within reach of float32: rotations near the identity, weak last layers of couplings,
    and ActNorms that make up for the couplings' shrinking.
    """
    rng = np.random.default_rng(seed)
    weights = {}
    for name in sorted(like):
        shape = tuple(like[name].shape)
        values = rng.standard_normal(shape)
        if name.endswith("invconv.weight"):
            values = np.eye(shape[0]) + 0.1 * values / np.sqrt(shape[0])
        elif len(shape) == 4 and shape[0] > 1:  # a convolution's
            values = values * ((0.1 if name.endswith(".4.weight") else 0.3) / np.sqrt(np.prod(shape[1:])))
        else:
            values = 0.1 * values
            if name.endswith("actnorm.logs") and ".affine." not in name:
                values = values + 0.25
        weights[name] = torch.from_numpy(values)
    return weights
