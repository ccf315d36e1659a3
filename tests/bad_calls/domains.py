"""What an argument can be, told by values that it cannot: every one of them must be refused, by the argument's name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn

from stochrobust import L2, PGD, BlockAverageProjector, InpaintingProjector, LinearProjector, Linf

ONES = torch.ones(4, 3)
ANY: dict[str, Any] = {
    "None": None,
    "string": "0.5",
    "empty string": "",
    "bytes": b"5",
    "truth": True,
    "falsehood": False,
    "truth of numpy": np.True_,
    "complex": 1j,
    "complex of numpy": np.complex128(1j),
    "NaN": math.nan,
    "infinity": math.inf,
    "minus infinity": -math.inf,
    "negative": -1.5,
    "fraction": 1.5,
    "integer": 3,
    "beyond double precision": 10**400,
    "empty list": [],
    "list": [0.5],
    "list of strings": ["a", "b"],
    "tuple": (0.5, 0.5, 0.5, 0.5, 0.5),
    "dict": {},
    "dict of numbers": {"a": 1.0},
    "set": {0.5},
    "object": object(),
    "class": int,
    "class of tensors": torch.Tensor,
    "function": len,
    "ellipsis": ...,
    "slice": slice(None),
    "range": range(3),
    "device": torch.device("cpu"),
    "dtype": torch.float32,
    "array": np.ones((4, 3), np.float32),
    "array of strings": np.array(["a", "b"]),
    "array of objects": np.array([object()]),
    "complex array": np.ones((4, 3), np.complex64),
    "array of integers": np.ones((4, 3), np.int64),
    "array of truths": np.ones((4, 3), bool),
    "complex tensor": ONES.to(torch.complex64),
    "tensor of integers": ONES.long(),
    "tensor of bytes": ONES.byte(),
    "tensor of truths": ONES.bool(),
    "empty tensor": torch.ones(0, 3),
    "tensor of one number": torch.tensor(0.5),
    "complex tensor of one number": torch.tensor(1j),
    "truth in a tensor": torch.tensor(True),
    "tensor with NaN": torch.full((4, 3), math.nan),
    "tensor with infinity": torch.full((4, 3), math.inf),
    "tensor elsewhere": torch.ones(4, 3, device="meta"),
    "sparse tensor": ONES.to_sparse(),
    "tensor of seven dimensions": torch.ones(1, 1, 1, 1, 1, 1, 7),
    "module": nn.Identity(),
    "class of modules": nn.Linear,
    "numpy's generator": np.random.default_rng(0),
    "class of generators": torch.Generator,
    "ball": L2(),
    "class of balls": Linf,
    "attack": PGD(2),
    "class of attacks": PGD,
    "class of projectors": BlockAverageProjector,
    "other class of projectors": InpaintingProjector,
    "third class of projectors": LinearProjector,
}
"""One value of each kind."""

SCALARS = {"NaN", "infinity", "minus infinity", "negative", "fraction", "integer", "beyond double precision"}
PLAIN_TENSORS = {"tensor of one number", "tensor of seven dimensions"}


def all_but(*names: str) -> dict[str, Any]:
    """Every kind but these."""
    unknown = set(names) - set(ANY)
    assert not unknown, unknown
    return {name: value for name, value in ANY.items() if name not in names}


def only(*names: str) -> dict[str, Any]:
    """These kinds alone."""
    return {name: ANY[name] for name in names}


# Numbers. A number in a tensor or an array is as good as a plain one where it is one: neither is among the wrong ones.
REAL = all_but("negative", "fraction", "integer", "tensor of one number") | {"array of one number": np.array([0.5])}
POSITIVE = REAL | only("negative")
EPS = {name: value for name, value in POSITIVE.items() if name != "array of one number"}
COUNT = all_but("integer") | {"zero": 0, "minus one": -1, "whole fraction": 3.0}
COUNT_OR_NONE = {name: value for name, value in COUNT.items() if name != "None"}
AT_LEAST_0 = {name: value for name, value in COUNT.items() if name != "zero"}
INTEGER = {name: value for name, value in COUNT.items() if name not in ("zero", "minus one")}
NEIGHBOURS = COUNT | {"more than there are": 10**6, "far more": 10**30, "list of zero": [0], "list of nothing": [None]}
REALS = all_but("tuple", "list", "set") | {
    "tuple of strings": ("a",),
    "tuple of truths": (True,),
    "NaN in a tuple": (math.nan,),
}
RANGE = all_but("dtype") | {
    "one number": (1.0,),
    "falling": (1.0, 0.0),
    "equal": (1.0, 1.0),
    "NaN in it": (0.0, math.nan),
    "three numbers": (0.0, 1.0, 2.0),
    "strings": ("0", "1"),
    "truths": (False, True),
}

# Tensors.
TENSOR = all_but("tensor of seven dimensions") | {"another batch": torch.ones(5, 3), "another width": torch.ones(4, 2)}
FREE_TENSOR = {name: value for name, value in TENSOR.items() if name not in ("another batch", "another width")}
OPEN_TENSOR = {name: value for name, value in FREE_TENSOR.items() if name != "tensor with infinity"}
IMAGES = FREE_TENSOR | {
    "two dimensions": ONES,
    "out of range": torch.full((4, 3, 2, 2), 2.0),
    "below": -torch.ones(4, 3, 2, 2),
}
IMAGE = all_but() | {"two dimensions": ONES}
MASK = all_but("tensor of truths", "tensor of bytes", "tensor of integers", "truth in a tensor", "None") | {
    "neither 0 nor 1": ONES / 2,
    "half of them": torch.tensor([0.5, 1.0, 0.0]),
    "minus one": -ONES,
}
FEATURES = all_but("array") | {
    "one dimension": torch.ones(4),
    "three dimensions": torch.ones(4, 3, 2),
    "list of integers": [1, 2],
    "list of None": [None],
    "list of a string's tensors": [torch.ones(4, 3), "x"],
    "NaN in a batch": [ONES, ONES * math.nan],
    "batches of two widths": [torch.ones(4, 3), torch.ones(4, 2)],
    "one sample": torch.ones(1, 3),
}

# What is called.
RETURNS: dict[str, Any] = {
    "returns None": None,
    "returns a string": "x",
    "returns a number": 0.5,
    "returns a list": [ONES],
    "returns an array": np.ones((4, 3), np.float32),
    "returns a complex tensor": ONES.to(torch.complex64),
    "returns integers": ONES.long(),
    "returns one number": torch.tensor(0.5),
    "returns fewer rows": torch.ones(1, 3),
    "returns a class": torch.Tensor,
}


class Returning:
    """Called with anything, it returns that."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __call__(self, *arguments: Any, **more: Any) -> Any:
        return self.value


CALLABLES = {
    "class",
    "class of tensors",
    "function",
    "module",
    "class of modules",
    "class of generators",
    "class of balls",
    "class of attacks",
    "class of projectors",
    "other class of projectors",
    "third class of projectors",
    "dtype",
}
CALLABLE = {name: value for name, value in ANY.items() if name not in CALLABLES} | {
    name: Returning(value) for name, value in RETURNS.items()
}
SAMPLER = {
    name: value
    for name, value in CALLABLE.items()
    if name not in ("None", "returns a complex tensor", "returns integers")
}
CALLS_OF_NONE = CALLABLE | only("class of modules", "class of balls", "class of generators")
SEEDS = only(
    "string", "bytes", "truth", "fraction", "integer", "object", "class", "function", "complex", "NaN", "array", "set"
) | {
    "another batch": torch.ones(5, 3),
    "tensor elsewhere": ANY["tensor elsewhere"],
    "one number": torch.tensor(0.5),
    "batches of another": [torch.ones(5, 3)],
    "string inside": {"a": "x"},
    "empty list": [],
}
COND = {"another batch": torch.ones(5, 3), "tensor elsewhere": ANY["tensor elsewhere"], "one number": torch.tensor(0.5)}
MODULE = all_but("None", "module")
GENERATOR = all_but("None")
REQUIRED_GENERATOR = all_but()
BALL = all_but("ball")
ATTACK = all_but("attack")
PROJECTOR = all_but()
PROJECTOR_OR_NONE = all_but("None")

# Words.
CHOICE = all_but() | {"another word": "other", "in capitals": "MEAN"}
TEXT = all_but("string", "empty string")
TRUTH = all_but("truth", "falsehood")
RECORD = all_but()
