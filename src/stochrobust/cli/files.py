"""The pictures' files: those below a folder, or those in a zip archive."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class Files:
    """Files by name.

    Attributes:
        path: of the folder or archive.
        names: of all files relative to it, with slashes, in order.
        read: the content of the file of that name.
    """

    path: Path
    names: tuple[str, ...]
    read: Callable[[str], bytes]


@contextmanager
def opened(path: Path) -> Iterator[Files]:
    """The files at ``path``, a folder or a zip archive; what systems leave beside them is left out.

    Raises:
        FileNotFoundError: if there is nothing at ``path``.
        ValueError: if it is a file and no zip archive, or, from ``read``, if a file in it is damaged.
    """
    if path.is_dir():
        below = (Path(folder, name) for folder, _, names in os.walk(path, followlinks=True) for name in names)
        names = (found.relative_to(path).as_posix() for found in below)
        yield Files(path, _kept(names), lambda name: (path / name).read_bytes())
        return
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is neither a folder nor a whole zip archive: {error}") from error

    def read(name: str) -> bytes:
        try:
            return archive.read(name)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise ValueError(f"{name} in {path} is damaged: {error}") from error

    with archive:
        yield Files(path, _kept(entry.filename for entry in archive.infolist() if not entry.is_dir()), read)


def _kept(names: Iterator[str]) -> tuple[str, ...]:
    return tuple(
        sorted(name for name in names if not any(p[0] == "." or p == "__MACOSX" for p in name.split("/") if p))
    )


def with_suffix(names: tuple[str, ...], suffixes: tuple[str, ...]) -> list[str]:
    """The names that end so, in either case."""
    return [name for name in names if PurePosixPath(name).suffix.lower() in suffixes]
