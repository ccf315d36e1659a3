"""Files that are there whole or not at all, files held to a checksum, and digests of what numbers depend on."""

from __future__ import annotations

import hashlib
import os
import stat
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def write_whole(path: Path, parts: Iterable[bytes]) -> None:
    """Write to another name first: no reader ever sees half a file, and an interruption leaves the old one.

    A link stays one, and a file keeps its permissions; to what is no file, such as ``/dev/stdout``, is simply written.

    Raises:
        OSError: naming the path, whatever part of the work failed.
    """
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as stream:
                stream.writelines(parts)
        else:
            _write_beside(path.resolve(), parts)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _write_beside(path: Path, parts: Iterable[bytes]) -> None:
    beside = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with beside.open("xb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            beside.chmod(stat.S_IMODE(path.stat().st_mode))
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


def load_verified(path: Path, digest: str) -> dict[str, Any]:
    """The state dict in a file whose SHA-256 is ``digest``."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != digest:
        raise ValueError(f"weights must have the SHA-256 {digest}, got {found}: {path}")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def module_digest(module: nn.Module) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of parameters and buffers, also those that no file would hold."""
    tensors = dict(module.named_parameters(remove_duplicate=False)) | dict(module.named_buffers(remove_duplicate=False))
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


class Digest:
    """SHA-256 over pixels, whatever batches they come in.

    Example:
        >>> import torch
        >>> whole, parts, x = Digest(), Digest(), torch.rand(5, 1, 2, 2)
        >>> whole.update(x), parts.update(x[:2]), parts.update(x[2:])
        (None, None, None)
        >>> whole.hex() == parts.hex()
        True
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._n = 0

    def update(self, images: Tensor) -> None:
        """Take in more of them."""
        if not self._n:
            self._hash.update(f"{images.dtype} {tuple(images.shape[1:])}\n".encode())
        self._n += len(images)
        self._hash.update(images.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)

    def hex(self) -> str:
        """The hex digest so far."""
        return self._hash.hexdigest()

    @classmethod
    def of(cls, *tensors: Tensor) -> str:
        """Of some tensors."""
        digest = cls()
        for tensor in tensors:
            digest.update(tensor)
        return digest.hex()
