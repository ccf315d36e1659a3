"""Archives of 64 x 64 colour images: ``FOLDER/NAME/NAME.zip`` with JPEG files ``train/*.jpg`` and ``val/*.jpg``.

``faces64`` (aligned faces, from Labeled Faces in the Wild) and ``natural64`` (tiles of BSDS500) have this form; any
archive of such a form does.
"""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

FOLDER_VARIABLE = "STOCHROBUST_DATA"


def data_folder(folder: Path | None = None) -> Path:
    """The given folder, or the one that the environment variable names."""
    if folder is not None:
        return folder
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named)
    raise ValueError(f"no folder of image archives given: pass --data, or set {FOLDER_VARIABLE}")


def images64(folder: Path, name: str, part: Literal["train", "val"], n: int | None = None, seed: int = 0) -> Tensor:
    """``(n, 3, 64, 64)`` float32 images in [0, 1]: all of a part in order of name, or n drawn without replacement."""
    from PIL import Image

    path = folder / name / f"{name}.zip"
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: it should hold {part}/*.jpg, 64 x 64")
    with zipfile.ZipFile(path) as archive:
        names = sorted(entry for entry in archive.namelist() if entry.startswith(f"{part}/") and entry.endswith(".jpg"))
        if n is not None:
            if n > len(names):
                raise ValueError(f"{path} has {len(names)} images in {part}/, {n} were asked for")
            order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
            names = [names[i] for i in order[:n].tolist()]
        pixels = [np.asarray(Image.open(io.BytesIO(archive.read(entry))).convert("RGB")) for entry in names]
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255
