"""Files of statistics: numbers and their protocol under a checksum, in a format that nothing is executed from."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stochrobust._files import read_checked, write_checked
from stochrobust.metrics.protocol import Protocol

# The kind of a checked file whose body is a line of JSON, and the numbers, row by row.
_MAGIC = b"stochrobust statistics "
_VERSION = b"1"


def write_statistics(path: str | os.PathLike[str], values: Tensor, protocol: Protocol, *, is_packed: bool) -> None:
    """Write a float64 matrix and its protocol, all or nothing."""
    header = {"protocol": asdict(protocol), "shape": list(values.shape), "is_packed": is_packed}
    body = [json.dumps(header).encode() + b"\n", values.cpu().numpy().astype("<f8").tobytes()]
    write_checked(Path(path), _MAGIC + _VERSION, body)


def read_statistics(path: str | os.PathLike[str]) -> tuple[Tensor, Protocol, bool]:
    """What :func:`write_statistics` was given."""
    magic, body = read_checked(Path(path))
    if not magic.startswith(_MAGIC):
        raise ValueError(f"path must be a file that FrechetStatistics.save wrote, got another kind of file: {path}")
    if magic != _MAGIC + _VERSION:
        version = magic.removeprefix(_MAGIC)[:20].decode(errors="replace")
        raise ValueError(f"path must be a statistics file of version 1, got version {version!r}: {path}")
    if body is None:
        raise ValueError(f"path must be a whole statistics file, got a truncated or damaged one: {path}")
    line, _, numbers = body.partition(b"\n")
    header = json.loads(line)
    values = np.frombuffer(numbers, "<f8").reshape(header["shape"]).astype(np.float64)
    return torch.from_numpy(values), _as_protocol(header["protocol"], path), header["is_packed"]


def _as_protocol(fields: dict[str, Any], path: str | os.PathLike[str]) -> Protocol:
    known: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    try:
        return Protocol(**known)
    except TypeError as error:
        raise ValueError(f"path must hold a protocol that this version knows: {path}: {error}") from error
