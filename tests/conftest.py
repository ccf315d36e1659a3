"""What every test gets: seeded generators, repeatable Hypothesis examples, and no GPU test without a GPU."""

from __future__ import annotations

import random

import hypothesis
import numpy as np
import pytest
import torch
from torch import Tensor


class TorchRandom:
    """torch's global generator in the form that Hypothesis seeds before each example and restores after it."""

    def seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def getstate(self) -> Tensor:
        return torch.get_rng_state()

    def setstate(self, state: Tensor) -> None:
        torch.set_rng_state(state)


TORCH_RANDOM = TorchRandom()  # Hypothesis keeps a weak reference only
hypothesis.register_random(TORCH_RANDOM)
# The same examples in every run: a failure in CI is a failure here. No deadline: first calls into torch are slow.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """The global generators start every test in one state, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    torch.set_num_threads(1)  # tensors here are small: on a busy machine two threads wait for each other


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips the tests marked `gpu` on a machine without CUDA, and says so."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs CUDA, and torch.cuda.is_available() is False here"))
