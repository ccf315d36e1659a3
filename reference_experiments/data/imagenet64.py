"""ImageNet at 64 x 64 (Chrabaszcz et al., 2017): ``train_data_batch_1`` to ``10``, ``val_data``; pickles or ``.npz``.

A pickle can run any code when it is read; here it can make arrays, numbers and containers of them, and nothing else.
"""

from __future__ import annotations

import codecs
import pickle
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from reference_experiments.data.arrays import Part, Pixels, Source
from reference_experiments.data.files import as_published, fingerprint
from stochrobust.cli import opened

SIDE = 64
FILES: dict[Part, list[str]] = {
    "train": [f"train_data_batch_{i}" for i in range(1, 11)],
    "validation": ["val_data"],
}
PUBLISHED: dict[Part, int] = {"train": 1_281_167, "validation": 50_000}

ADMITTED: dict[str, Any] = {
    "ndarray": np.ndarray,
    "dtype": np.dtype,
    "_reconstruct": np.empty(0).__reduce__()[0],
    "_frombuffer": np.empty(0).__reduce_ex__(5)[0],
    "scalar": np.float64().__reduce__()[0],
}
"""What pickles make arrays and numbers with, whichever module of numpy's it was in when they were written."""


def source(path: Path, any_count: bool) -> Source:
    """Both parts, one file after another; each is read into memory as a whole (1.6 GB).

    Args:
        path: a folder that the files are in or below.
        any_count: accept other numbers of files and images than the published ones.

    Raises:
        FileNotFoundError: if files are missing.
    """
    files = {part: _located(path, part, any_count) for part in FILES}
    names = [str(file.relative_to(path)) for found in files.values() for file in found]
    return Source(
        {
            part: (None if any_count else PUBLISHED[part], _images(found, part, any_count))
            for part, found in files.items()
        },
        {"files": fingerprint(path, names), "division": "official"},
    )


def _located(path: Path, part: Part, any_count: bool) -> list[Path]:
    if not path.is_dir():
        raise FileNotFoundError(f"{path} is not a folder, which should hold {FILES['train'][0]} to 10 and val_data")
    with opened(path) as files:
        by_stem = {Path(name).name.removesuffix(".npz"): path / name for name in files.names}
    found = [by_stem[name] for name in FILES[part] if name in by_stem]
    missing = [name for name in FILES[part] if name not in by_stem]
    if missing and not (any_count and found):
        raise FileNotFoundError(f"{path} lacks {', '.join(missing)} (pickled, or .npz)")
    return found


def _images(files: list[Path], part: Part, any_count: bool) -> Iterator[Pixels]:
    count = 0
    for file in files:
        images = batch(file)
        count += len(images)
        yield from images
        del images  # before the next file is read
    as_published(f"{part} images", count, PUBLISHED[part], any_count)


def batch(file: Path) -> Pixels:
    """(N, 3, 64, 64): all images of one file; a row of it is the plane of reds, then of greens, then of blues.

    Raises:
        ValueError: if the file is damaged, holds anything but arrays, or images of another size.
    """
    load = _load_npz if file.suffix == ".npz" else _load_pickle
    try:
        pixels = load(file)
    except (pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, TypeError,
            AttributeError, IndexError, UnicodeError) as error:  # fmt: skip
        raise ValueError(f"cannot read {file}: {type(error).__name__}: {error}") from error
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (3 * SIDE**2,):
        got = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise ValueError(f"{file}: expected uint8 images of 3 x {SIDE} x {SIDE}, (N, {3 * SIDE**2}), got {got}")
    return pixels.reshape(-1, 3, SIDE, SIDE)


def _load_npz(file: Path) -> Any:
    with file.open("rb") as content, np.load(content, allow_pickle=False) as arrays:
        return arrays["data"]


def _load_pickle(file: Path) -> Any:
    with file.open("rb") as content:
        return ArrayUnpickler(content, encoding="latin1").load()["data"]  # keys and bytes of Python 2, too


class ArrayUnpickler(pickle.Unpickler):
    """Reads dictionaries, lists, numbers and arrays, and refuses whatever could run code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):  # how protocols before 3 write bytes
            return _as_bytes
        if module.partition(".")[0] != "numpy" or name not in ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, and only arrays and numbers are admitted")
        return ADMITTED[name]


def _as_bytes(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}")
    return codecs.encode(text, "latin1")
