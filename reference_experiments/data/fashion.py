"""Fashion-MNIST: ``train-images-idx3-ubyte`` and ``t10k-images-idx3-ubyte``, gzipped or not, padded to 32 x 32.

Debian's package ``dataset-fashion-mnist`` puts them into ``/usr/share/datasets/fashion-mnist``.
"""

from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reference_experiments.data.arrays import Part, Pixels, Source
from reference_experiments.data.files import as_published

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
SIDE = 32
FILES: dict[Part, str] = {"train": "train-images-idx3-ubyte", "validation": "t10k-images-idx3-ubyte"}
PUBLISHED: dict[Part, int] = {"train": 60_000, "validation": 10_000}
SHA256: dict[Part, str] = {  # of the unpacked files: distributors pack them anew
    "train": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "validation": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
}
LABELS: dict[Part, tuple[str, str]] = {  # and the SHA-256 of the unpacked file
    "train": ("train-labels-idx1-ubyte", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
    "validation": ("t10k-labels-idx1-ubyte", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
}
MAGIC = 0x803
"""An idx file of unsigned bytes with three dimensions."""
MAGIC_OF_LABELS = 0x801
"""An idx file of unsigned bytes with one dimension."""


def source(path: Path, any_count: bool) -> Source:
    """Both parts, the official test part for validation, (1, 32, 32) each.

    Args:
        path: the folder of the files.
        any_count: accept other counts and checksums than the published ones.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if one is damaged, or is not the published one.
    """
    parts = {part: images(path, part, any_count) for part in FILES}
    files = {FILES[part]: digest for part, (_, digest) in parts.items()}
    return Source(
        {part: (len(of), of) for part, (of, _) in parts.items()}, {"files": files, "division": "official"}
    )  # fmt: skip


def images(path: Path, part: Part, any_count: bool = False) -> tuple[Pixels, str]:
    """(N, 1, 32, 32): the images of a part, and the SHA-256 of the unpacked file.

    Args, Raises: as for :func:`source`.
    """
    name = FILES[part]
    content = _unpacked(path / name)
    found = padded(parsed(content, path / name))
    as_published(f"{part} images", len(found), PUBLISHED[part], any_count)
    digest = hashlib.sha256(content).hexdigest()
    as_published(f"SHA-256 of the unpacked {name}", digest, SHA256[part], any_count)
    return found, digest


def labels(path: Path, part: Part, any_count: bool = False) -> NDArray[np.uint8]:
    """(N,): the classes, 0 to 9, of the images of a part.

    Args:
        path: the folder of the files.
        part: which.
        any_count: accept another checksum than the published one.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is damaged, or is not the published one.
    """
    name, sha256 = LABELS[part]
    content = _unpacked(path / name)
    as_published(f"SHA-256 of the unpacked {name}", hashlib.sha256(content).hexdigest(), sha256, any_count)
    if len(content) < 8 or struct.unpack(">2I", content[:8]) != (MAGIC_OF_LABELS, len(content) - 8):
        raise ValueError(f"{path / name} is not an idx file of as many labels as it holds bytes after the head")
    return np.frombuffer(content, np.uint8, offset=8)


def _unpacked(path: Path) -> bytes:
    packed = path.with_name(f"{path.name}.gz")
    if path.exists():
        return path.read_bytes()
    if not packed.exists():
        raise FileNotFoundError(f"neither {path} nor {packed} exists")
    try:
        return gzip.decompress(packed.read_bytes())
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{packed} is damaged: {error}") from error


def parsed(content: bytes, path: Path) -> Pixels:
    """(N, H, W): the images of an idx file's content."""
    if len(content) < 16 or struct.unpack(">I", content[:4]) != (MAGIC,):
        raise ValueError(f"{path} is not an idx file of 8-bit images")
    n, height, width = struct.unpack(">3I", content[4:16])
    if len(content) != 16 + n * height * width:
        raise ValueError(f"{path} announces {n} images of {width} x {height}, and holds {len(content) - 16} bytes")
    return np.frombuffer(content, np.uint8, offset=16).reshape(n, height, width)


def padded(images: Pixels) -> Pixels:
    """(N, H, W) -> (N, 1, 32, 32): zeros around, the odd one at the bottom and right."""
    missing = [SIDE - side for side in images.shape[1:]]
    if min(missing) < 0:
        raise ValueError(f"expected images of at most {SIDE} x {SIDE}, got {images.shape[2]} x {images.shape[1]}")
    margins = [(0, 0), *((m // 2, m - m // 2) for m in missing)]
    return np.pad(images, margins)[:, None]
