"""The 1,797 hand-written digits that come with scikit-learn, 8 x 8 pixels, and the mask that hides most of each."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

SIDE = 8
N_PIXELS = SIDE * SIDE
N_VALIDATION = 500
SPLIT_SEED = 20230


class Digits(NamedTuple):
    """Disjoint sets of digits, (N, 64) in [0, 1], row by row of the image."""

    train: Tensor
    validation: Tensor


def load_digits() -> Digits:
    """All digits, shuffled once and for all, and split."""
    from sklearn import datasets

    pixels = torch.from_numpy(datasets.load_digits().data).float() / 16
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(SPLIT_SEED))
    return Digits(train=pixels[order[N_VALIDATION:]], validation=pixels[order[:N_VALIDATION]])


def observed() -> Tensor:
    """(64,) bool: the bottom quarter, two rows, is known; the upper three quarters are missing (section 6.1.1)."""
    return torch.arange(N_PIXELS) >= N_PIXELS * 3 // 4


def validation_images() -> Tensor:
    """(500, 1, 8, 8) in [0, 1]: the validation digits as images."""
    return load_digits().validation.reshape(-1, 1, SIDE, SIDE)
