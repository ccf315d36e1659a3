"""From the files of a data set to arrays that training maps into memory: once, whole or not at all."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from reference_experiments.data import celeba, digits, fashion, folder, imagenet64
from reference_experiments.data.arrays import (
    DESCRIPTION,
    PARTS,
    Pixels,
    Source,
    describe,
    open_set,
    verify_set,
    write_set,
)
from reference_experiments.data.files import as_published
from reference_experiments.data.images64 import FOLDER_VARIABLE
from reference_experiments.data.pictures import Recipe

DATA = Path("runs/data")
UNCHANGED = Recipe()
FACES = (9891, 2485)


@dataclass(frozen=True)
class Choices:
    """What may be chosen when a set is prepared.

    Attributes:
        seed: of the random division of the images, where the source leaves it open.
        any_count: accept other counts and checksums than the published ones.
        recipe: what is done to the images of a set that has no name of its own here.
    """

    seed: int = 0
    any_count: bool = False
    recipe: Recipe = UNCHANGED


USUAL = Choices()


def _pictures(recipe: Recipe, published: tuple[int, int] | None = None) -> Callable[[Path, Choices], Source]:
    def read(path: Path, choices: Choices) -> Source:
        found = folder.source(path, recipe, choices.seed)
        if published is not None:
            counts = tuple(found.parts[part][0] for part in PARTS)
            as_published(f"images in {path} (train, validation)", counts, published, choices.any_count)
        return found

    return read


SETS: dict[str, tuple[str | None, Callable[[Path, Choices], Source]]] = {
    "celeba64": ("celeba", lambda path, choices: celeba.source(path, choices.seed, choices.any_count)),
    "imagenet64": ("imagenet64", lambda path, choices: imagenet64.source(path, choices.any_count)),
    "faces64": ("faces64", _pictures(Recipe(size=(64, 64)), FACES)),
    "faces32": ("faces64", _pictures(Recipe(size=(64, 64), halve=True), FACES)),
    "natural64": ("natural64", _pictures(Recipe(size=(64, 64)), (1200, 1200))),
    "fashion32": ("fashion-mnist", lambda path, choices: fashion.source(path, choices.any_count)),
    "digits32": (None, lambda path, choices: digits.source()),
}
"""Of each set the folder that its files are looked for in (None: they come with a package), and how they are read."""


def prepare(
    name: str, source: Path | None, out: Path = DATA, choices: Choices = USUAL, *, verify: bool = False
) -> Path:
    """Prepare the set ``name`` in ``out / name``, unless it is there.

    Args:
        name: one of :data:`SETS`, or a new one, of a folder or archive of images.
        source: the folder or file that the images are in; by default looked for in ``$STOCHROBUST_DATA``.
        out: the folder of all prepared sets.
        choices: what is left open.
        verify: read a set that is there, and compare its checksums.

    Returns:
        The folder of the set.

    Raises:
        FileNotFoundError: if there is no source.
        FileExistsError: if something else is in the place of the set.
        ValueError: if a file of it is faulty, or if the set is there and is damaged or was prepared with other choices.
        OSError: if the disk is full; nothing is left behind then, nor after an interruption.
    """
    if name in SETS and choices.recipe != UNCHANGED:
        raise ValueError(f"{name} is prepared in its own way, without {choices.recipe}: give another name")
    target = out / name
    if target.exists():
        _check(target, choices, verify)
        return target
    read = SETS[name][1] if name in SETS else _pictures(choices.recipe)
    found = read(_where(name, source), choices)
    parts = {part: (n, _shown(images, n, f"{name}, {part}")) for part, (n, images) in found.parts.items()}
    write_set(target, name, parts, found.record | {"choices": _recorded(choices)})
    return target


def _shown(images: Iterable[Pixels], n: int | None, title: str) -> Iterable[Pixels]:
    shown: Iterable[Pixels] = tqdm(images, title, total=n, unit="image", disable=None)
    return shown


def _where(name: str, source: Path | None) -> Path:
    usual = SETS[name][0] if name in SETS else name
    if source is not None:
        return source
    if usual is None:
        return Path()
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named) / usual
    raise FileNotFoundError(f"no source of {name} given: pass --source, or set {FOLDER_VARIABLE}")


def _recorded(choices: Choices) -> dict[str, object]:
    recipe = {name: value for name, value in asdict(choices.recipe).items() if value}
    return {"seed": choices.seed, "recipe": recipe}


def _check(target: Path, choices: Choices, verify: bool) -> None:
    """The set is whole by its sizes, and by its checksums if those are asked for; and it is the one asked for."""
    if not (target / DESCRIPTION).exists():
        raise FileExistsError(f"{target} exists and is no prepared set: give another --out, or delete it")
    for part in PARTS:
        open_set(target, part)
    theirs = describe(target).get("source", {}).get("choices")
    if theirs != (mine := _recorded(choices)):
        raise ValueError(
            f"{target} was prepared with {theirs}, and {mine} is asked for: give another --out, or delete {target}"
        )
    if verify:
        verify_set(target)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command ``prepare``."""
    parser.add_argument("set", help=f"{', '.join(SETS)}, or a new name for a folder or archive of images")
    parser.add_argument("--source", type=Path, help=f"folder or file of the images (default: in ${FOLDER_VARIABLE})")
    parser.add_argument("--out", type=Path, default=DATA, help=f"folder of the prepared sets (default: {DATA})")
    parser.add_argument("--seed", type=int, default=0, help="of the random division, where the source has none")
    parser.add_argument("--any-count", action="store_true", help="accept other counts than the published ones")
    parser.add_argument("--verify", action="store_true", help="read a set that is there, and compare its checksums")
    of_new = parser.add_argument_group("sets with a new name, in this order")
    of_new.add_argument("--resize", type=int, metavar="SIDE", help="to a square, bilinear, antialiased")
    of_new.add_argument("--crop", type=int, metavar="SIDE", help="the square in the middle")
    of_new.add_argument("--halve", action="store_true", help="means of 2 x 2 pixels")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    try:
        recipe = Recipe(resize=options.resize, crop=options.crop, halve=options.halve)
        choices = Choices(options.seed, options.any_count, recipe)
        target = prepare(options.set, options.source, options.out, choices, verify=options.verify)
    except (ValueError, OSError) as error:  # of the files, not of this program: a trace would hide the message
        raise SystemExit(f"prepare {options.set}: {error}") from error
    sets = [open_set(target, part) for part in PARTS]
    print(f"{target}: " + ", ".join(f"{len(s)} {s.part}" for s in sets) + f", {sets[0].images.shape[1:]}")
