"""scikit-learn's 8 x 8 digits, divided as in the other studies of them, as a set to try things out with."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from reference_experiments.data.arrays import Pixels, Source
from reference_experiments.digits.data import SIDE, load_digits

ENLARGED = 4


def source() -> Source:
    """Both parts, (1, 32, 32) each."""
    digits = load_digits()
    parts = {"train": enlarged(digits.train), "validation": enlarged(digits.validation)}
    return Source(
        {"train": (len(parts["train"]), parts["train"]), "validation": (len(parts["validation"]), parts["validation"])},
        {"files": "sklearn.datasets.load_digits", "division": "as in reference_experiments.digits.data"},
    )


def enlarged(digits: Tensor) -> Pixels:
    """(N, 64) in [0, 1] -> (N, 1, 32, 32) in 0..255: every pixel becomes a block."""
    levels = np.rint(digits.numpy().astype(np.float64) * 255).astype(np.uint8)
    return levels.reshape(-1, 1, SIDE, SIDE).repeat(ENLARGED, axis=2).repeat(ENLARGED, axis=3)
