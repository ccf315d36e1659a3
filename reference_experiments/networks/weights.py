"""Weights as others publish them: files of named tensors, read without running any code, put strictly into a model."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)

WRAPPERS = ("params_ema", "params", "state_dict")
"""Keys under which training frameworks put the tensors, in order of preference."""


def read_weights(path: Path, what: str) -> dict[str, Tensor]:
    """The named tensors of a file that ``torch.save`` wrote, on the CPU, without ``module.`` before their names.

    A mapping of tensors, or one that holds it under one of :data:`WRAPPERS`. A name that ends in a hyphen and eight
    hexadecimal digits, as torch.hub gives it, promises the first digits of the file's SHA-256, and is held to it.

    Args:
        path: the file.
        what: what it should be, for the errors.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not such a file, or not the one that its name promises.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file: it should be {what}")
    check_promised_digest(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises what its parts raise: pickle, zipfile, struct, RuntimeError
        raise ValueError(f"{path} should be {what}, and cannot be read: {error}") from error
    for name in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"{path} should be {what}: a mapping of names to tensors, got {type(content).__name__}")
    return {str(name).removeprefix("module."): tensor for name, tensor in content.items()}


def check_promised_digest(path: Path) -> None:
    """ValueError if the file's name ends in ``-xxxxxxxx`` and its SHA-256 does not begin so."""
    promised = re.search(r"-([0-9a-f]{8})$", path.stem)
    if promised is None:
        return
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if not found.startswith(promised[1]):
        raise ValueError(f"{path} must have a SHA-256 that begins with {promised[1]}, as its name says, got {found}")


def with_weights(model: Model, weights: Mapping[str, Tensor], what: str, origin: str) -> Model:
    """The model with all its tensors taken from ``weights``, which holds these and no others, in eval mode.

    Args:
        model: keeps its dtype and device.
        weights: its ``state_dict()``.
        what: whose weights they should be, for the error.
        origin: where they come from, for the error.

    Raises:
        ValueError: naming every tensor that is missing, unknown, of another shape or not finite.
    """
    own = model.state_dict()
    wrong = [f"{name} is missing" for name in own.keys() - weights.keys()]
    wrong += [f"{name} is unknown" for name in weights.keys() - own.keys()]
    for name in own.keys() & weights.keys():
        if own[name].shape != weights[name].shape:
            wrong.append(f"{name} must be {tuple(own[name].shape)}, got {tuple(weights[name].shape)}")
        elif not bool(weights[name].isfinite().all()):
            wrong.append(f"{name} is not finite")
    if wrong:
        raise ValueError(f"{origin} does not hold {what}'s weights: {listed(sorted(wrong))}")
    model.load_state_dict(weights)
    return model.eval()


def listed(items: list[str], at_most: int = 12) -> str:
    """The items, of very many only the first."""
    rest = len(items) - at_most
    return "; ".join(items if rest <= 0 else [*items[:at_most], f"and {rest} more"])
