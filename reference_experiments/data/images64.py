"""Archives of 64 x 64 colour images: ``FOLDER/NAME/NAME.zip`` with JPEG files ``train/*.jpg`` and ``val/*.jpg``.

``faces64`` (aligned faces, from Labeled Faces in the Wild) and ``natural64`` (tiles of BSDS500) have this form; any
archive of such a form does.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from reference_experiments.data.pictures import Recipe, pictures
from stochrobust.cli import opened

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
    path = folder / name / f"{name}.zip"
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: it should hold {part}/*.jpg, 64 x 64")
    with opened(path) as files:
        names = [entry for entry in files.names if entry.startswith(f"{part}/") and entry.endswith(".jpg")]
    if n is not None:
        if n > len(names):
            raise ValueError(f"{path} has {len(names)} images in {part}/, {n} were asked for")
        order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
        names = [names[i] for i in order[:n].tolist()]
    return torch.from_numpy(np.stack(list(pictures(path, names, Recipe())))).float() / 255
