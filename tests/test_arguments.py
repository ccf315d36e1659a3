"""What errors say of what came, and the one check of finiteness."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from stochrobust import PGD
from stochrobust._arguments import check_finite, check_tensor, describe
from stochrobust.metrics.features import Features


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (3, "3 (int)"),
        ("L2", "'L2' (str)"),
        (None, "None (NoneType)"),
        (torch.float16, "torch.float16 (dtype)"),
        ((0, 1.5), "(0, 1.5) (tuple)"),
        (torch.zeros(2, 3), "a torch.float32 tensor of shape (2, 3) on cpu"),
        (np.zeros((2, 3), np.int16), "a int16 array of shape (2, 3)"),
        ([0.25] * 5, "a list of length 5"),
        ([torch.zeros(2)], "a list of length 1"),
        ({"a": 0.25}, "a dict of length 1"),
        (Features(torch.full((5, 1), 0.25)), "a Features of length 5"),
        (PGD(steps=2), f"{PGD(steps=2)!r} (PGD)"),
        (describe, "a function"),
        (torch.nn.Linear(2, 2), "a Linear"),
    ],
)
def test_settings_are_repeated_and_data_are_not(value: object, words: str) -> None:
    assert describe(value) == words


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_finiteness(dtype: torch.dtype) -> None:
    limit = torch.finfo(dtype).max
    check_finite("x", torch.tensor([-limit, limit, 0.0], dtype=dtype))
    check_finite("x", torch.empty(0, dtype=dtype))
    for bad in (math.nan, math.inf, -math.inf):
        for place in (0, 500, 999):
            x = torch.zeros(1000, dtype=dtype)
            x[place] = bad
            with pytest.raises(ValueError, match=r"^x must be finite, got 1 NaN or infinite value\(s\) among 1000$"):
                check_finite("x", x)


def test_finiteness_needs_no_gradient_and_no_floats() -> None:
    x: Tensor = torch.ones(3, requires_grad=True)
    check_finite("x", x)
    check_finite("x", torch.tensor([True, False]))


def test_arrays_and_images_of_8_bits_are_told_the_way_in() -> None:
    array = np.zeros((2, 3), np.float32)
    with pytest.raises(
        TypeError, match=r"y must be a torch.Tensor, got a float32 array .*: torch.from_dlpack\(y\) is one"
    ):
        check_tensor("y", array)
    assert check_tensor("y", torch.from_numpy(array)).shape == (2, 3)
    with pytest.raises(TypeError, match=r"dtype, got a torch.uint8 .*: of 8-bit images, take y / 255"):
        check_tensor("y", torch.zeros(2, 3, dtype=torch.uint8))
    assert check_tensor("y", torch.full((2, 3), 255, dtype=torch.uint8) / 255).max() == 1
    for value in ([1.0], torch.zeros(2, dtype=torch.int64)):
        with pytest.raises(TypeError) as error:
            check_tensor("y", value)
        assert str(error.value).endswith(describe(value))
