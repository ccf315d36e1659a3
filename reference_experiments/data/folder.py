"""Any folder or zip archive of JPEG and PNG files, such as ``faces64`` and ``natural64``."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np

from reference_experiments.data.arrays import Part, Source
from reference_experiments.data.files import fingerprint
from reference_experiments.data.pictures import SUFFIXES, Recipe, pictures
from stochrobust.cli import opened, with_suffix

FOLDERS: dict[str, Part] = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation"}
VALIDATION_SHARE = 0.2


def source(path: Path, recipe: Recipe, seed: int) -> Source:
    """Both parts: the files in folders ``train`` and ``val`` if there are both, else a random fifth is set aside.

    Args:
        path: a folder of images or a zip archive, or a folder with one archive and no images.
        recipe: what is done to each image.
        seed: of the random division, if one is needed.

    Raises:
        FileNotFoundError: if there are no images.
    """
    path, names = _images(path)
    parts = given_parts(names)
    how = "by its folders"
    if parts is None:
        parts = random_parts(names, seed)
        how = f"at random, seed {seed}"
    record = {"files": fingerprint(path, names), "division": how}
    return Source({part: (len(names), pictures(path, names, recipe)) for part, names in parts.items()}, record)


def _images(path: Path) -> tuple[Path, list[str]]:
    """Where the images are, and their names."""
    with opened(path) as files:
        if names := with_suffix(files.names, SUFFIXES):
            return path, names
        archives = with_suffix(files.names, (".zip",))
    if path.is_dir() and len(archives) == 1:
        return _images(path / archives[0])
    raise FileNotFoundError(f"{path} holds no {', '.join(SUFFIXES)} file" + (", and several archives" * bool(archives)))


def given_parts(names: list[str]) -> dict[Part, list[str]] | None:
    """The files by the folder that they are in, the first in which they differ; None if it does not say ``train``."""
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    depth = next((i for i, level in enumerate(zip(*folders, strict=False)) if len(set(level)) > 1), None)
    if depth is None:
        return None
    parts: dict[Part, list[str]] = {"train": [], "validation": []}
    for name, folder in zip(names, folders, strict=True):
        if part := FOLDERS.get(folder[depth].lower()):
            parts[part].append(name)
    return parts if all(parts.values()) else None


def random_parts(names: list[str], seed: int) -> dict[Part, list[str]]:
    """A fifth of the files, at least one, is drawn for validation; each part stays in order of name."""
    if len(names) < 2:
        raise ValueError(f"at least 2 images are needed to divide them, got {len(names)}")
    order = np.random.default_rng(seed).permutation(len(names))
    n_validation = max(1, round(VALIDATION_SHARE * len(names)))
    chosen = {"validation": np.sort(order[:n_validation]), "train": np.sort(order[n_validation:])}
    return {"train": [names[i] for i in chosen["train"]], "validation": [names[i] for i in chosen["validation"]]}
