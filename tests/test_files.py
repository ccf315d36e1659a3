"""Files are whole or not there, keep what they were, and an error of the disk names them."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from stochrobust._files import write_whole


def broken_off() -> Iterator[bytes]:
    yield b"half"
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), OSError("odd")])
def test_an_error_names_the_file_and_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    path = tmp_path / "report.json"
    write_whole(path, [b"old"])

    def fail(descriptor: int) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match=r"report\.json") as raised:
            write_whole(path, [b"new"])
    assert raised.value.errno == error.errno
    with pytest.raises(OSError, match=r"No space left on device: .*report.json"):
        write_whole(path, broken_off())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path], "nothing is left beside it"
    with pytest.raises(FileNotFoundError, match=r"nowhere/report\.json"):
        write_whole(tmp_path / "nowhere/report.json", [b"new"])


def test_an_interruption_leaves_the_old_file(tmp_path: Path) -> None:
    def interrupted() -> Iterator[bytes]:
        yield b"half"
        raise KeyboardInterrupt

    path = tmp_path / "report.json"
    write_whole(path, [b"old"])
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, interrupted())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link_and_permissions_stay(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    target, link = tmp_path / "kept/a.json", tmp_path / "link.json"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target)
    write_whole(link, [b"new ", b"content"])
    assert link.is_symlink()
    assert target.read_bytes() == b"new content"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 250 + ".json")
    write_whole(path, [b"content"])
    assert path.read_bytes() == b"content"


def test_what_is_no_file_is_written_to(tmp_path: Path) -> None:
    write_whole(Path("/dev/null"), [b"content"])
    assert not Path("/dev/null").is_file()
