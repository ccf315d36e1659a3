"""The pictures' files: those below a folder, or those in a zip archive."""

from __future__ import annotations

import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MOST_RATIO = 100
"""How many times larger than an archive its files may be in all, if they are larger than one file may be."""


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
def opened(path: Path, most_bytes: int | None = None) -> Iterator[Files]:
    """The files at ``path``, a folder or a zip archive; what systems leave beside them is left out.

    A link to a folder is followed, unless it leads back to a folder that it lies in.

    Args:
        path: of the folder or archive.
        most_bytes: the most that a file in an archive may unpack to; None: any number.

    Raises:
        FileNotFoundError: if there is nothing at ``path``.
        ValueError: if it is a file and no zip archive; if the archive holds two files of one name, or would unpack to
            more than is allowed or far more than it is; or, from ``read``, if a file in it is damaged.
    """
    if path.is_dir():
        names = (found.relative_to(path).as_posix() for found in _below(path, ()))
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
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        _check_names(path, entries)
        if most_bytes is not None:
            _check_sizes(path, entries, most_bytes)
        yield Files(path, _kept(entry.filename for entry in entries), read)


def _below(folder: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    """The files at all depths; ``above`` are the real places of the folders that lead here."""
    place = folder.resolve()
    if any(place == one or place in one.parents for one in above):
        return
    for found in folder.iterdir():
        if found.is_dir():
            yield from _below(found, (*above, place))
        else:
            yield found


def _check_names(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    names = Counter(entry.filename for entry in entries)
    if twice := [name for name, times in names.items() if times > 1]:
        raise ValueError(f"{path} holds several files of one name, {twice[0]}")


def _check_sizes(path: Path, entries: list[zipfile.ZipInfo], most_bytes: int) -> None:
    for entry in entries:
        if entry.file_size > most_bytes:
            raise ValueError(f"{entry.filename} in {path} would unpack to {entry.file_size} bytes, over {most_bytes}")
    whole, packed = sum(entry.file_size for entry in entries), path.stat().st_size
    if whole > max(most_bytes, MOST_RATIO * packed):
        raise ValueError(f"{path} has {packed} bytes and would unpack to {whole}, over {MOST_RATIO} times as many")


def _kept(names: Iterator[str]) -> tuple[str, ...]:
    return tuple(
        sorted(name for name in names if not any(p[0] == "." or p == "__MACOSX" for p in name.split("/") if p))
    )


def with_suffix(names: tuple[str, ...], suffixes: tuple[str, ...]) -> list[str]:
    """The names that end so, in either case."""
    return [name for name in names if PurePosixPath(name).suffix.lower() in suffixes]
