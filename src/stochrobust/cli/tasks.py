"""Degradations by name, as a command line gives them: ``inpainting:top=0.75``, ``block-average:scale=4``, ..."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from stochrobust.consistency import (
    BlockAverageProjector,
    CEMProjector,
    InpaintingProjector,
    Projector,
    SeparableProjector,
)

SIDES = ("top", "bottom", "left", "right")


def parse_task(spec: str) -> Callable[[int, int], Projector]:
    """The degradation that ``spec`` names, as a function of the images' size.

    Args:
        spec: ``NAME:OPTION=VALUE,...``, of :data:`TASKS`.

    Returns:
        ``make(height, width)``, the projector for images of that size.

    Raises:
        ValueError: there is no such task or option, or its value cannot be; the message lists what there is. From
            ``make``: the task is not one for images of that size.

    Example:
        >>> make = parse_task("inpainting:top=0.75")
        >>> make(4, 2).D(torch.ones(1, 1, 4, 2))[0, 0]
        tensor([[0., 0.],
                [0., 0.],
                [0., 0.],
                [1., 1.]])

    Source: section 6.1.1 of the paper.
    """
    name, _, rest = spec.partition(":")
    if name not in TASKS:
        raise ValueError(f"task must be one of {_listed()}, got {spec!r}")
    task = TASKS[name]
    options: dict[str, float] = {}
    for part in filter(None, rest.split(",")):
        option, _, value = part.partition("=")
        if option not in task.options or option in options:
            _refuse(spec, f"{name} takes {', '.join(task.options)}, each once, got {part!r}")
        options[option] = _number(spec, option, value)
    if not options:
        _refuse(spec, f"{name} needs {' or '.join(task.options)}, such as {task.example}")
    try:
        task.check(options)
    except ValueError as error:
        _refuse(spec, str(error))
    return lambda height, width: task.make(options, height, width)


@dataclass(frozen=True)
class Task:
    """A kind of degradation.

    Attributes:
        options: their names.
        example: how it is asked for.
        about: for the help.
        check: raises ValueError where the options cannot be.
        make: the projector, of the options, the height and the width of the images.
    """

    options: tuple[str, ...]
    example: str
    about: str
    check: Callable[[Mapping[str, float]], object]
    make: Callable[[Mapping[str, float], int, int], Projector]


def hidden(options: Mapping[str, float], height: int, width: int) -> Tensor:
    """(height, width) bool: the pixels that are missing.

    Each side's share is counted from that side and rounded to whole pixels; ``box`` is the share of each side that a
    rectangle in the middle covers. Several are missing together.
    """
    missing = torch.zeros(height, width, dtype=torch.bool)
    for option, share in options.items():
        rows, columns = round(share * height), round(share * width)
        if option == "box":
            top, left = (height - rows) // 2, (width - columns) // 2
            missing[top : top + rows, left : left + columns] = True
        elif option in ("top", "bottom"):
            missing.narrow(0, 0 if option == "top" else height - rows, rows).fill_(True)
        else:
            missing.narrow(1, 0 if option == "left" else width - columns, columns).fill_(True)
    if missing.all() or not missing.any():
        wanted = ", ".join(f"{option}={share:g}" for option, share in options.items())
        what = "all" if missing.all() else "none"
        raise ValueError(f"inpainting:{wanted} hides {what} of the pixels of images of {height} x {width}")
    return missing


def bicubic_kernel(scale: int) -> Tensor:
    """Keys' cubic kernel (a = -1/2), as much wider as the image gets smaller: (k, k) float64, of sum 1.

    Args:
        scale: the subsampling factor, at least 2.

    Returns:
        4 scale taps a side, or one fewer where that would not be centred on a block of ``scale`` pixels.

    Source: R. Keys, "Cubic convolution interpolation", 1981; the antialiased bicubic of Matlab, Pillow and PyTorch.
    """
    taps = 4 * scale - scale % 2
    t = ((torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2) / scale).abs()
    line = torch.where(t <= 1, 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2)
    line = line / line.sum()
    return torch.outer(line, line)


def _bicubic(scale: int, height: int, width: int) -> SeparableProjector:
    def matrix(side: int) -> Tensor:
        identity = torch.eye(side, dtype=torch.float64)[None, None]
        return interpolate(identity, (side // scale, side), mode="bicubic", antialias=True)[0, 0]

    if height % scale or width % scale:
        raise ValueError(f"bicubic:scale={scale} needs sides divisible by {scale}, got images of {height} x {width}")
    return SeparableProjector(height=matrix(height), width=matrix(width))


def _check_shares(options: Mapping[str, float]) -> None:
    for option, share in options.items():
        if not 0 < share < 1:
            raise ValueError(f"{option} is the hidden share, between 0 and 1, got {share:g}")


def _check_scale(options: Mapping[str, float]) -> None:
    if options["scale"] < 2 or options["scale"] % 1:
        raise ValueError(f"scale must be an integer of at least 2, got {options['scale']:g}")


def _scaled(example: str, about: str, make: Callable[[int, int, int], Projector]) -> Task:
    return Task(("scale",), example, about, _check_scale, lambda options, *size: make(int(options["scale"]), *size))


TASKS: dict[str, Task] = {
    "inpainting": Task(
        (*SIDES, "box"),
        "inpainting:top=0.75",
        "that share is hidden, from a side or (box) of each side in the middle",
        _check_shares,
        lambda options, height, width: InpaintingProjector(~hidden(options, height, width)),
    ),
    "block-average": _scaled(
        "block-average:scale=4", "means of blocks of pixels", lambda scale, *_: BlockAverageProjector(scale)
    ),
    "bicubic": _scaled("bicubic:scale=4", "antialiased, as PyTorch and Pillow resize", _bicubic),
    "cem": _scaled(
        "cem:scale=4",
        "bicubic of images taken as periodic",
        lambda scale, *_: CEMProjector(bicubic_kernel(scale), scale),
    ),
}
"""Every task by its name."""


def _number(spec: str, option: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        _refuse(spec, f"{option} must be a number, got {value!r}")


def _listed() -> str:
    return ", ".join(task.example for task in TASKS.values())


def _refuse(spec: str, why: str) -> NoReturn:
    raise ValueError(f"task {spec!r}: {why}")
