"""Files that are there whole or not at all, and files whose content is held to a checksum."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterable
from pathlib import Path


def write_whole(path: Path, parts: Iterable[bytes]) -> None:
    """Write to another name first: no reader ever sees half a file, and an interruption leaves the old one."""
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with beside.open("xb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_checked(path: Path, kind: bytes, body: list[bytes]) -> None:
    """Write a line that names the kind of file, the SHA-256 of the body in hexadecimal, and the body."""
    checksum = hashlib.sha256()
    for part in body:
        checksum.update(part)
    write_whole(path, [kind + b"\n", checksum.hexdigest().encode() + b"\n", *body])


def read_checked(path: Path) -> tuple[bytes, bytes | None]:
    """The first line of a file, and its body; None if that is not what its checksum was made of."""
    kind, _, rest = path.read_bytes().partition(b"\n")
    checksum, _, body = rest.partition(b"\n")
    return kind, body if hashlib.sha256(body).hexdigest().encode() == checksum else None
