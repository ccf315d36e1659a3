"""CelebA, aligned and cropped, at 64 x 64, divided as in the paper (App. E.2.1).

A folder in the official layout (``img_align_celeba/*.jpg`` or ``img_align_celeba.zip``, and
``list_eval_partition.txt``), or in Kaggle's (``list_eval_partition.csv``), or either as one archive.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np

from reference_experiments.data.arrays import Part, Source
from reference_experiments.data.files import as_published, file_digest, fingerprint
from reference_experiments.data.pictures import Recipe, pictures
from stochrobust.cli import opened, with_suffix

RECIPE = Recipe(size=(178, 218), resize=102, crop=64)
"""The published one: the aligned image is squeezed to a square, whose middle is cut out at offset 19."""
PUBLISHED = (162_770, 19_867, 19_962)
"""Images of the official training, validation and test parts."""
IMAGES, PARTITIONS = "img_align_celeba", ("list_eval_partition.txt", "list_eval_partition.csv")
ARCHIVE_MD5 = "00d2c5bc6d35e252742224ab0c1e8fcb"
TRAIN_SHARE = (4, 5)


def source(path: Path, seed: int, any_count: bool) -> Source:
    """Both parts; a fifth of the official training part, drawn at random, goes to validation, with the official one.

    Args:
        path: of the folder or archive.
        seed: of the draw; the paper's is not known.
        any_count: accept other counts and another archive than the published ones.

    Raises:
        FileNotFoundError: if the images, the partition file or some images that it names are missing.
        ValueError: if counts or checksum are not the published ones, or the partition file cannot be understood.
    """
    official = partition(*_partition_file(path))
    as_published("images (train, validation, test)", tuple(map(len, official)), PUBLISHED, any_count)
    root, files = _images(path)
    if missing := [name for names in official for name in names if name not in files]:
        raise FileNotFoundError(f"{root} lacks {len(missing)} images of the partition file, the first {missing[0]}")
    if root.name == f"{IMAGES}.zip":
        as_published(f"MD5 of {root}", file_digest(root, "md5"), ARCHIVE_MD5, any_count)
    parts = divided(official[0], official[1], seed)
    n_train, of_train = len(parts["train"]), len(official[0])
    record = {
        "files": fingerprint(root, [files[name] for names in official for name in names]),
        "division": f"official, but {of_train - n_train} of the training part are for validation, seed {seed}",
    }
    return Source(
        {part: (len(names), pictures(root, [files[n] for n in names], RECIPE)) for part, names in parts.items()}, record
    )


def divided(train: list[str], validation: list[str], seed: int) -> dict[Part, list[str]]:
    """Of the official training part 4/5 stay for training; the others come before the official validation part."""
    n_train = len(train) * TRAIN_SHARE[0] // TRAIN_SHARE[1]
    order = np.random.default_rng(seed).permutation(len(train))
    kept, moved = (sorted(train[i] for i in chosen) for chosen in (order[:n_train], order[n_train:]))
    return {"train": kept, "validation": moved + validation}


def partition(name: str, content: str) -> tuple[list[str], list[str], list[str]]:
    """Names of the images of the official training, validation and test parts, from either form of the file."""
    parts: tuple[list[str], list[str], list[str]] = ([], [], [])
    for number, line in enumerate(content.splitlines(), 1):
        fields = line.replace(",", " ").split()
        if not fields or fields == ["image_id", "partition"]:
            continue
        if len(fields) != 2 or fields[1] not in ("0", "1", "2"):
            raise ValueError(f"{name}, line {number}: expected an image's name and 0, 1 or 2, got {line!r}")
        parts[int(fields[1])].append(fields[0])
    return parts


def _partition_file(path: Path) -> tuple[str, str]:
    """Name and content."""
    with opened(path) as files:
        for name in files.names:
            if PurePosixPath(name).name in PARTITIONS:
                return f"{name} in {path}", files.read(name).decode()
    for beside in (path.parent / name for name in PARTITIONS):
        if beside.is_file():
            return str(beside), beside.read_text()
    raise FileNotFoundError(f"neither {' nor '.join(PARTITIONS)} is in {path} or beside it")


def _images(path: Path) -> tuple[Path, dict[str, str]]:
    """The folder or archive of the images, and where each is in it."""
    with opened(path) as files:
        named = [(PurePosixPath(name), name) for name in with_suffix(files.names, (".jpg",))]
        found = {short.name: name for short, name in named if IMAGES in (path.stem, *short.parts[:-1])}
        archives = [name for name in files.names if PurePosixPath(name).name == f"{IMAGES}.zip"]
    if found:
        return path, found
    if path.is_dir() and archives:
        return _images(path / archives[0])
    raise FileNotFoundError(f"{path} holds neither {IMAGES}/*.jpg nor {IMAGES}.zip")
