"""Numbers of batches on disk: a file each, whole or not at all, under a name that says what it was measured of."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stochrobust._arguments import describe
from stochrobust._files import read_checked, write_checked
from stochrobust.auditing.findings import Example
from stochrobust.auditing.measure import Measured
from stochrobust.auditing.pictures import Pictures
from stochrobust.estimators.diagnosis import Concern

# The kind of a checked file whose body is a line of JSON, the digest of its key among it, and the tensors' bytes.
_MAGIC = b"stochrobust audit 3"


class Store:
    """Files in a folder; without a folder nothing is kept.

    Args:
        folder: made if it is not there.

    Raises:
        ValueError: if it is a file.
    """

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        if not (folder is None or isinstance(folder, str | os.PathLike)):
            raise TypeError(f"cache must be the path of a folder, got {describe(folder)}")
        self.folder = None if folder is None else Path(folder)
        if self.folder is not None and self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"cache must be a folder, got a file: {self.folder}")

    def recall(self, key: dict[str, Any], measure: Callable[[], Measured]) -> Measured:
        """What was measured under this key; measured now where there is no file, or a damaged one.

        Args:
            key: JSON-ready, all that the numbers depend on.
            measure: makes them.
        """
        if self.folder is None:
            return measure()
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        path = self.folder / f"{digest[:32]}.audit"
        found = _read(path, digest)
        if found is None:
            found = measure()
            _write(path, digest, found)
        return found


def _write(path: Path, key: str, measured: Measured) -> None:
    """All or nothing."""
    tensors = dict(measured.numbers)
    examples = {
        "first": [_packed(example, f"first {i}", tensors) for i, example in enumerate(measured.pictures.first)],
        "moved": [_packed(example, f"moved {i}", tensors) for i, (_, example) in enumerate(measured.pictures.moved)],
        "changes": [change for change, _ in measured.pictures.moved],
    }
    arrays = {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in tensors.items()}
    shapes = [[name, array.dtype.str, array.shape] for name, array in arrays.items()]
    concerns = [[concern, concern.code] for concern in measured.concerns]
    header = {"key": key, "arrays": shapes, "concerns": concerns, "examples": examples}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_checked(path, _MAGIC, [json.dumps(header).encode() + b"\n", *(array.tobytes() for array in arrays.values())])


def _read(path: Path, key: str) -> Measured | None:
    """What :func:`_write` was given; None if the file is not there, not whole, or of another key."""
    try:
        magic, body = read_checked(path)
    except FileNotFoundError:
        return None
    if magic != _MAGIC or body is None:
        return None
    line, _, content = body.partition(b"\n")
    try:
        header = json.loads(line)
        return _unpack(header, content) if header["key"] == key else None
    except (ValueError, KeyError, TypeError):  # a right checksum of something else
        return None


def _unpack(header: dict[str, Any], content: bytes) -> Measured:
    tensors, start = {}, 0
    for name, dtype, shape in header["arrays"]:
        array = np.frombuffer(content, dtype, math.prod(shape), start).reshape(shape)
        tensors[name], start = torch.from_numpy(array.copy()), start + array.nbytes
    examples = header["examples"]
    first = tuple(_unpacked(fixed, f"first {i}", tensors) for i, fixed in enumerate(examples["first"]))
    moved = [_unpacked(fixed, f"moved {i}", tensors) for i, fixed in enumerate(examples["moved"])]
    concerns = tuple(Concern(*parts) for parts in header["concerns"])
    return Measured(tensors, concerns, Pictures(first, tuple(zip(examples["changes"], moved, strict=True))))


def _packed(example: Example, prefix: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """What of an example is no tensor; its tensors are put among the others."""
    values = {part.name: getattr(example, part.name) for part in fields(example)}
    tensors |= {f"{prefix} {name}": value for name, value in values.items() if isinstance(value, Tensor)}
    return {name: value for name, value in values.items() if not isinstance(value, Tensor)}


def _unpacked(fixed: dict[str, Any], prefix: str, tensors: dict[str, Tensor]) -> Example:
    names = [part.name for part in fields(Example) if f"{prefix} {part.name}" in tensors]
    pictures: dict[str, Any] = {name: tensors.pop(f"{prefix} {name}") for name in names}
    return Example(**fixed, **pictures)
