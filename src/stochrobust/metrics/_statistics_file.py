"""Files of statistics: numbers and their protocol under a checksum, in a format that nothing is executed from."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stochrobust.metrics.protocol import Protocol

# A file is this line, the SHA-256 of all that follows in hexadecimal, a line of JSON, and the numbers, row by row.
_MAGIC = b"stochrobust statistics "
_VERSION = b"1"


def write_statistics(path: str | os.PathLike[str], values: Tensor, protocol: Protocol, *, is_packed: bool) -> None:
    """Write a float64 matrix and its protocol, to another name first: no reader ever sees half a file."""
    header = {"protocol": asdict(protocol), "shape": list(values.shape), "is_packed": is_packed}
    parts = [json.dumps(header).encode() + b"\n", values.cpu().numpy().astype("<f8").tobytes()]
    checksum = hashlib.sha256()
    for part in parts:
        checksum.update(part)
    target = Path(path)
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with beside.open("xb") as file:
            file.write(_MAGIC + _VERSION + b"\n" + checksum.hexdigest().encode() + b"\n")
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def read_statistics(path: str | os.PathLike[str]) -> tuple[Tensor, Protocol, bool]:
    """What :func:`write_statistics` was given."""
    magic, _, rest = Path(path).read_bytes().partition(b"\n")
    if not magic.startswith(_MAGIC):
        raise ValueError(f"path must be a file that FrechetStatistics.save wrote, got another kind of file: {path}")
    if magic != _MAGIC + _VERSION:
        version = magic.removeprefix(_MAGIC)[:20].decode(errors="replace")
        raise ValueError(f"path must be a statistics file of version 1, got version {version!r}: {path}")
    checksum, _, body = rest.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != checksum:
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
