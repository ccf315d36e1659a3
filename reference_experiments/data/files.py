"""What tells the files of a source from others: checksums, and counts that were published."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm


def fingerprint(path: Path, names: list[str] | None = None) -> dict[str, Any]:
    """What tells these files from others: name and SHA-256 of an archive or file, or of a folder's files in one.

    Args:
        path: of a folder, an archive or another file.
        names: of the files that count, if it is a folder.
    """
    if path.is_file():
        return {"file": path.name, "sha256": file_digest(path, "sha256")}
    digest = hashlib.sha256()
    for name in tqdm(names or [], "checksum", unit="file", disable=None, leave=False):
        digest.update(f"{name} {file_digest(path / name, 'sha256')}\n".encode())
    return {"folder": path.name, "files": len(names or []), "sha256": digest.hexdigest()}


def file_digest(path: Path, algorithm: Literal["md5", "sha256"]) -> str:
    """The checksum of a file, which is not read into memory as a whole."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def as_published(what: str, found: object, published: object, any_count: bool) -> None:
    """An error where what was found is not what was published, unless that is accepted."""
    if found != published and not any_count:
        raise ValueError(f"{what}: expected {published}, as published, got {found}; --any-count accepts it")
