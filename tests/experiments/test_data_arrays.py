"""Prepared sets on disk: whole or absent, and never taken for what they are not."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reference_experiments.data import arrays
from reference_experiments.data.arrays import Part, Pixels, open_set, verify_set, write_set


def some_images(n: int, side: int = 4, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (n, 3, side, side), dtype=np.uint8)


def parts(**images: Pixels) -> Any:
    return {part: (len(some), some) for part, some in images.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A set of 7 and 3 images."""
    write_set(tmp_path / "set", "thing", parts(train=some_images(7), validation=some_images(3, seed=1)), {"from": "a"})
    return tmp_path / "set"


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_written_is_read(folder: Path) -> None:
    both: tuple[tuple[Part, Pixels], ...] = (("train", some_images(7)), ("validation", some_images(3, seed=1)))
    for part, expected in both:
        found = open_set(folder, part)
        assert isinstance(found.images, np.memmap)
        assert np.array_equal(found.images, expected)
        assert (found.name, found.part, len(found)) == ("thing", part, len(expected))
        assert found.sha256 == hashlib.sha256(expected.tobytes()).hexdigest()
    assert np.array_equal(np.load(folder / "train.npy"), some_images(7))  # an ordinary file, header and all
    assert json.loads((folder / "set.json").read_text())["source"] == {"from": "a"}
    assert left_in(folder.parent) == ["set"]
    verify_set(folder)


def test_images_may_come_one_by_one_in_a_number_not_known_before(tmp_path: Path) -> None:
    write_set(tmp_path / "set", "thing", {"train": (None, iter(some_images(11)))}, {})
    assert np.array_equal(open_set(tmp_path / "set", "train").images, some_images(11))


def test_images_that_are_views_are_written_in_order_of_their_pixels(tmp_path: Path) -> None:
    swapped = some_images(2).transpose(0, 3, 2, 1)
    write_set(tmp_path / "set", "thing", {"train": (2, swapped)}, {})
    assert np.array_equal(open_set(tmp_path / "set", "train").images, swapped)
    assert arrays.checksum(swapped) == open_set(tmp_path / "set", "train").sha256


def test_checksum_does_not_depend_on_how_much_is_read_at_once() -> None:
    assert arrays.checksum(some_images(7), rows=3) == arrays.checksum(some_images(7), rows=100)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"train": (8, some_images(7))}, "train: expected 8 images, got 7"),
        ({"train": (6, some_images(7))}, "train: expected 6 images, got 7"),
        ({"train": (0, some_images(7)[:0])}, "train: expected 0 images, got 0"),
        ({"train": (None, iter([]))}, "train: expected images, got 0"),
        (
            {"train": (2, [some_images(1)[0], some_images(1, 6)[0]])},
            r"image 1 is uint8 \(3, 6, 6\), expected uint8 \(3",
        ),
        ({"train": (1, some_images(1).astype(np.float32))}, "image 0 is float32"),
        (parts(train=some_images(2), validation=some_images(2, 6)), "one shape of image"),
    ],
)
def test_a_wrong_set_is_not_made(tmp_path: Path, given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_set(tmp_path / "set", "thing", given, {})
    assert left_in(tmp_path) == []


def test_a_set_is_not_overwritten(folder: Path) -> None:
    with pytest.raises(FileExistsError, match="exists already"):
        write_set(folder, "thing", parts(train=some_images(2)), {})
    assert len(open_set(folder, "train")) == 7
    assert left_in(folder.parent) == ["set"]


class FullDisk:
    """A file that takes so many writes."""

    def __init__(self, file: Any, writes: int) -> None:
        self.file, self.left = file, writes

    def write(self, content: bytes) -> int:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return int(self.file.write(content))

    def __enter__(self) -> FullDisk:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@pytest.mark.parametrize("writes", [0, 1, 5, 8])  # at the header, the first image, in the middle, at the last header
def test_a_full_disk_is_named_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int) -> None:
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda path, mode: FullDisk(opened(path, mode), writes))
    with pytest.raises(OSError, match=r"no room on the disk of .* for the set 'thing'") as caught:
        write_set(tmp_path / "set", "thing", parts(train=some_images(7)), {})
    assert caught.value.errno == errno.ENOSPC
    assert left_in(tmp_path) == []


def test_a_disk_that_is_full_for_the_description_counts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="no room on the disk"):
        write_set(tmp_path / "set", "thing", parts(train=some_images(7)), {})
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.EIO, "Input/output error"), ValueError("bad")])
def test_nothing_is_left_where_the_images_fail(tmp_path: Path, error: BaseException) -> None:
    def images() -> Iterator[Pixels]:
        yield some_images(1)[0]
        raise error

    with pytest.raises(type(error)) as caught:
        write_set(tmp_path / "set", "thing", {"train": (2, images())}, {})
    assert caught.value is error
    assert left_in(tmp_path) == []


KILLED = """
import json, os, signal, sys
from pathlib import Path
import numpy as np
from reference_experiments.data import arrays

def die(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)

def images(n, last):
    for i in range(n):
        if i == last:
            die()
        yield np.full((3, 4, 4), i, np.uint8)

out = Path(sys.argv[1])
stages = {"first": 0, "images": 3, "validation": None, "description": None, "rename": None}
for stage, at in stages.items():
    child = os.fork()
    if not child:
        if stage == "description":
            arrays.write_json = die
        if stage == "rename":
            Path.rename = die
        arrays.write_set(out / stage, stage, {
            "train": (5, images(5, at)), "validation": (2, images(2, 1 if stage == "validation" else None))}, {})
        os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1]), stage
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
def test_a_killed_preparation_leaves_nothing_that_looks_finished_and_can_be_done_again(tmp_path: Path) -> None:
    stages = ["description", "first", "images", "rename", "validation"]
    other = tmp_path / ".images.elsewhere.1.part"  # of another machine, which may be at work
    other.mkdir()
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=True, timeout=120)
    left = left_in(tmp_path)
    assert len(left) == len(stages) + 1
    assert all(name.startswith(".") and name.endswith(".part") for name in left)
    for stage in stages:
        with pytest.raises(FileNotFoundError, match="prepare the set first"):
            open_set(tmp_path / stage, "train")
        write_set(tmp_path / stage, stage, parts(train=some_images(7), validation=some_images(3)), {})
        verify_set(tmp_path / stage)
    assert left_in(tmp_path) == sorted([*stages, other.name])


def test_what_a_living_process_writes_is_left_alone(tmp_path: Path) -> None:
    def images() -> Iterator[Pixels]:
        yield from some_images(2)
        arrays._remove_leftovers(tmp_path / "set")
        yield from some_images(2)

    write_set(tmp_path / "set", "thing", {"train": (4, images())}, {})
    assert len(open_set(tmp_path / "set", "train")) == 4


def test_a_changed_pixel_is_found_by_its_checksum(folder: Path) -> None:
    for part in ("validation", "train"):
        array = np.load(folder / f"{part}.npy", mmap_mode="r+")
        array[2, 1, 3, 0] ^= 1
        array.flush()
        with pytest.raises(ValueError, match=rf"{part}.npy has SHA-256 .*delete .*set and prepare it again"):
            verify_set(folder)
        array[2, 1, 3, 0] ^= 1
        array.flush()


def test_a_truncated_or_foreign_array_is_refused_at_once(folder: Path) -> None:
    whole = (folder / "train.npy").read_bytes()
    for content in (whole[:-1], whole[:50], b""):
        (folder / "train.npy").write_bytes(content)
        with pytest.raises(ValueError, match=r"cannot read .*train.npy: .*delete .*set and prepare it again"):
            open_set(folder, "train")
    np.save(folder / "train.npy", some_images(6))
    with pytest.raises(ValueError, match=r"holds uint8 \(6, 3, 4, 4\), and .*set.json says uint8 \(7, 3, 4, 4\)"):
        open_set(folder, "train")
    np.save(folder / "train.npy", some_images(7).astype(np.float32))
    with pytest.raises(ValueError, match="holds float32"):
        open_set(folder, "train")
    (folder / "train.npy").unlink()
    with pytest.raises(ValueError, match="cannot read"):
        open_set(folder, "train")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot read"),
        (b'{"name": "thi', "cannot read"),
        (b"\xff\xfe\x00", "cannot read"),
        (b"[1]", "does not describe a set; "),
        (b"{}", r"does not describe a set, KeyError\('name'\)"),
        (b'{"name": "x", "parts": {"train": {"shape": [7, 3, 4, 4]}}}', "'sha256'"),
        (b'{"name": "x", "parts": {"validation": {}}}', "'train'"),
        (b'{"name": "x", "parts": [1]}', "does not describe a set, TypeError"),
    ],
)
def test_an_unreadable_description_is_named(folder: Path, content: bytes, message: str) -> None:
    (folder / "set.json").write_bytes(content)
    with pytest.raises(ValueError, match=rf"(?s){message}.*prepare it again") as caught:
        open_set(folder, "train")
    assert str(folder / "set.json") in str(caught.value)


def test_where_nothing_was_prepared_the_command_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="reference_experiments prepare"):
        open_set(tmp_path / "none", "train")
