"""Fashion-MNIST: ``train-images-idx3-ubyte`` and ``t10k-images-idx3-ubyte``, gzipped or not, padded to 32 x 32."""

from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np

from reference_experiments.data.arrays import Part, Pixels, Source
from reference_experiments.data.files import as_published

SIDE = 32
FILES: dict[Part, str] = {"train": "train-images-idx3-ubyte", "validation": "t10k-images-idx3-ubyte"}
PUBLISHED: dict[Part, int] = {"train": 60_000, "validation": 10_000}
SHA256: dict[Part, str] = {  # of the unpacked files: distributors pack them anew
    "train": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "validation": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
}
MAGIC = 0x803
"""An idx file of unsigned bytes with three dimensions."""


def source(path: Path, any_count: bool) -> Source:
    """Both parts, the official test part for validation, (1, 32, 32) each.

    Args:
        path: the folder of the files.
        any_count: accept other counts and checksums than the published ones.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if one is damaged, or is not the published one.
    """
    parts: dict[Part, tuple[int | None, Pixels]] = {}
    files = {}
    for part, name in FILES.items():
        content = _unpacked(path / name)
        images = padded(parsed(content, path / name))
        as_published(f"{part} images", len(images), PUBLISHED[part], any_count)
        files[name] = hashlib.sha256(content).hexdigest()
        as_published(f"SHA-256 of the unpacked {name}", files[name], SHA256[part], any_count)
        parts[part] = (len(images), images)
    return Source(dict(parts), {"files": files, "division": "official"})


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
