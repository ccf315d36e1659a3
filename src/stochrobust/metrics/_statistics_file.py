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

from stochrobust._arguments import check_count, check_finite, describe
from stochrobust._files import read_checked, write_checked
from stochrobust.metrics._scatter import check_packed
from stochrobust.metrics.protocol import Protocol

# The kind of a checked file whose body is a line of JSON, and the numbers, row by row.
_MAGIC = b"stochrobust statistics "
_VERSION = b"1"
DTYPES = ("float16", "bfloat16", "float32", "float64")
"""Of features."""


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
    try:
        return _content(json.loads(line), numbers)
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
    ) as error:  # a right checksum of something else
        told = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"path must hold what FrechetStatistics.save writes, got other fields: {path}: {told}"
        ) from error


def _content(header: dict[str, Any], numbers: bytes) -> tuple[Tensor, Protocol, bool]:
    """The three parts, each checked."""
    (n_rows, n_columns), is_packed = header["shape"], header["is_packed"]
    check_count("rows", n_rows)
    check_count("columns", n_columns)
    if not isinstance(is_packed, bool):
        raise TypeError(f"is_packed must be true or false, got {describe(is_packed)}")
    values = torch.from_numpy(np.frombuffer(numbers, "<f8").reshape(n_rows, n_columns).astype(np.float64))
    check_finite("numbers", values)
    if is_packed:
        check_packed(values)
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in header["protocol"].items()
    }
    protocol = Protocol(**fields)
    if protocol.dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {protocol.dtype!r}")
    return values, protocol, is_packed
