"""A file with an array of images as batches: ``.npy``, ``.npz`` or ``.pt``, 8-bit or floating-point in [0, 1]."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

SUFFIXES = (".npy", ".npz", ".pt")


@dataclass(frozen=True, eq=False)
class ArrayBatches:
    """Batches of an array, (B, C, H, W) float32 in [0, 1].

    Attributes:
        values: (N, C, H, W), a tensor or a numpy array (which may be mapped from disk), uint8 or in [0, 1].
        name: of the file or of its maker, for the errors.
        batch: most images at a time.
    """

    values: Any
    name: str
    batch: int

    def __post_init__(self) -> None:
        shape, dtype = tuple(self.values.shape), getattr(self.values.dtype, "name", str(self.values.dtype))
        dtype = dtype.removeprefix("torch.")
        if dtype != "uint8" and not dtype.startswith(("float", "bfloat")):
            raise ValueError(f"{self.name} must hold uint8 or floating-point numbers in [0, 1], got {dtype}")
        if isinstance(self.values, Tensor) and self.values.layout != torch.strided:
            raise ValueError(f"{self.name} must hold a dense array, got one of layout {self.values.layout}")
        if len(shape) != 4 or 0 in shape:
            raise ValueError(f"{self.name} must hold images (N, C, H, W), got an array of shape {shape}")
        if shape[-1] in (1, 3, 4) and shape[1] not in (1, 3, 4):
            raise ValueError(f"{self.name} must hold images (N, C, H, W), got {shape}: the channels come second")

    def __len__(self) -> int:
        return -(-len(self.values) // self.batch)

    def __iter__(self) -> Iterator[Tensor]:
        for start in range(0, len(self.values), self.batch):
            rows = self.values[start : start + self.batch]
            images = _in_unit_range(rows if isinstance(rows, Tensor) else torch.from_numpy(_native(rows)))
            self._check_values(images, start)
            yield images

    def _check_values(self, images: Tensor, first: int) -> None:
        """Numbers in [0, 1]; the first image of others is named by its place in the array."""
        wrong = ~((images >= 0) & (images <= 1)).flatten(1).all(1)  # NaN is neither
        if bool(wrong.any()):
            i = int(wrong.nonzero()[0, 0])
            low, high = float(images[i].min()), float(images[i].max())
            got = f"{low:g} to {high:g} in image {first + i}"
            raise ValueError(f"{self.name} must hold numbers in [0, 1], or uint8, got {got}")


def _in_unit_range(images: Tensor) -> Tensor:
    return images.detach().float() / 255 if images.dtype == torch.uint8 else images.detach().float()


def _native(rows: Any) -> Any:
    """A copy in this machine's order of bytes, of a dtype that torch has too."""
    return np.array(rows, np.uint8 if rows.dtype == np.uint8 else np.float32)


def read_array(path: Path) -> Any:
    """The one array in a file: a numpy array, mapped from disk if the file is a ``.npy``, or a tensor.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or does not hold one array.
    """
    try:
        if path.suffix == ".pt":
            found = torch.load(path, map_location="cpu", weights_only=True)
        else:
            found = np.load(path, mmap_mode="r" if path.suffix == ".npy" else None)
        if path.suffix == ".npz":
            names = found.files
            found = found[names[0]] if len(names) == 1 else names
    except FileNotFoundError:
        raise
    except (OSError, EOFError, ValueError, RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    if not isinstance(found, np.ndarray | Tensor):
        got = f"arrays named {', '.join(found)}" if isinstance(found, list) else type(found).__name__
        raise ValueError(f"{path} must hold one array of images, got {got}")
    return found
