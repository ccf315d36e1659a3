"""Pictures of inputs and of what the estimator makes of them, with captions and with words for who cannot see them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from stochrobust.auditing.findings import Example
from stochrobust.auditing.numbers import number, quantity
from stochrobust.auditing.page import pictures as png

N_SAMPLES = 6  # outputs shown of one input
N_SEEDS = 2  # seeds shown of one attacked input


@dataclass(frozen=True)
class Picture:
    """One picture of the page.

    Attributes:
        uri: the PNG itself.
        caption: what it is.
        alt: what is seen.
        width, height: of the PNG, in pixels.
        kind: "image", or "map" for one in the colours of the scale.
    """

    uri: str
    caption: str
    alt: str
    width: int
    height: int
    kind: str = "image"


@dataclass(frozen=True)
class Plate:
    """The pictures of one input, in rows.

    Attributes:
        number: of the input.
        note: a figure for its heading, or empty.
        rows: of pictures; the first holds the input.
    """

    number: int
    note: str
    rows: tuple[tuple[Picture, ...], ...]


def sample_plates(examples: Sequence[Example]) -> tuple[list[Plate], float]:
    """Source, input, outputs, their mean and spread of each example; and the top of the scale of the spreads.

    The scale reaches to the largest error, so that a spread that is small beside it looks small.
    """
    spreads = [float(_size(e.std).max()) for e in examples if e.std is not None]
    top = max([*spreads, *map(_error, examples)]) if spreads else 0.0
    return [_sample_plate(example, top) for example in examples], top


def worst_plates(examples: Sequence[Example]) -> tuple[list[Plate], float]:
    """Input, perturbation and what it does to outputs; and the top of the scale, to the largest error, as above."""
    changes = [float(_size(a - c).max()) for e in examples for _, a, c in _seeds(e)]
    top = max([*changes, *map(_error, examples)]) if changes else 0.0
    return [_worst_plate(e, e.y_attacked - e.y, top) for e in examples if e.y_attacked is not None], top


def _error(example: Example) -> float:
    """The largest error of the mean output."""
    mean = example.samples[0] if example.mean is None else example.mean
    return float(_size(mean - example.x).max())


def _sample_plate(example: Example, top: float) -> Plate:
    of = f"input {example.number}"
    outputs = [
        _image(output, "output" if len(example.samples) == 1 else f"output {i}", f"output {i} at {of}")
        for i, output in enumerate(example.samples[:N_SAMPLES], start=1)
    ]
    row = [
        _image(example.x, "source x", f"source of {of}"),
        _image(example.y, "input y", f"{of} as the estimator gets it"),
    ]
    row += outputs
    if example.mean is not None:
        row.append(_image(example.mean, "mean of all", f"mean of all outputs at {of}"))
    if example.std is not None:
        row.append(_map(example.std, top, "spread", f"standard deviation of the outputs at {of}"))
    return Plate(example.number, "", (tuple(row),))


def _worst_plate(example: Example, delta: Tensor, top: float) -> Plate:
    gain = _gain(delta)
    of = f"input {example.number}"
    length = f"length {number(float(delta.norm()))}"
    perturbation = Picture(
        png.signed(delta, gain),
        f"δ, {gain:g} times",
        f"perturbation of {of}, amplified around grey; {length}, largest {_place(_size(delta))}",
        *_shown_size(delta),
    )
    inputs = (
        _image(example.y, "input y", f"{of} before the attack"),
        perturbation,
        _image(example.y + delta, "y + δ", f"{of} under attack"),
    )
    rows = [_seed_row(a, c, of, top, seed) for seed, a, c in _seeds(example)]
    note = "" if example.robustness is None else f"robustness {quantity(example.robustness, 'dB')}"
    return Plate(example.number, note, (inputs, *rows))


def _seed_row(attacked: Tensor, clean: Tensor, of: str, top: float, seed: int | None) -> tuple[Picture, ...]:
    change = attacked - clean
    rms = number(float(change.square().mean().sqrt()))
    which = "" if seed is None else f", seed {seed}"
    return (
        _image(clean, "output at y" if seed is None else f"at y{which}", f"output at {of}{which}, before the attack"),
        _image(attacked, "at y + δ", f"output at {of}{which}, under attack, root mean square change {rms}"),
        _map(change, top, "difference", f"size of the change of the output at {of}{which}"),
    )


def _seeds(example: Example) -> list[tuple[int | None, Tensor, Tensor]]:
    """Attacked and clean output of each seed shown, with its count from 1, or None where there is but one."""
    if example.attacked is None or example.clean is None:
        return []
    pairs = list(zip(example.attacked, example.clean, strict=True))
    return [(seed if len(pairs) > 1 else None, *pair) for seed, pair in enumerate(pairs[:N_SEEDS], start=1)]


def _image(image: Tensor, caption: str, subject: str) -> Picture:
    height, width = image.shape[-2:]
    light = float(image.float().clamp(0, 1).nan_to_num(0.0).mean())
    alt = f"{subject}, {width} by {height} pixels, {_tone(light)}"
    return Picture(png.picture(image), caption, alt[0].upper() + alt[1:], *_shown_size(image))


def _map(values: Tensor, top: float, caption: str, subject: str) -> Picture:
    size = _size(values)
    if not bool(size.any()):
        seen = "zero everywhere"
    else:
        seen = f"mean {number(float(size.mean()))}, at most {number(float(size.max()))}, largest {_place(size)}"
    alt = f"{subject}: {seen}"
    return Picture(png.heat(size, top), caption, alt[0].upper() + alt[1:], *_shown_size(values), kind="map")


def _shown_size(image: Tensor) -> tuple[int, int]:
    factor = png.reduction(image)
    height, width = image.shape[-2:]
    return -(-width // factor), -(-height // factor)


def _size(image: Tensor) -> Tensor:
    """(H, W): root mean square over the channels."""
    return image.detach().float().nan_to_num(0.0).square().mean(dim=0).sqrt()


def _gain(delta: Tensor) -> float:
    """A round factor, a power of two, under which the largest element comes near to white or black."""
    largest = float(delta.abs().max())
    return 2.0 ** math.floor(math.log2(0.5 / largest)) if largest > 0 else 1.0


def _tone(light: float) -> str:
    return "black" if light == 0 else "dark" if light < 0.25 else "bright" if light > 0.75 else "of middle brightness"


def _place(size: Tensor) -> str:
    """Which ninth of a map, (H, W), holds most of it, in words."""
    rows, columns = (part.tensor_split(3, dim=axis) for axis, part in enumerate((size, size)))
    vertical = _largest(
        [float(part.mean()) for part in rows if part.numel()], ("at the top", "in the middle", "at the bottom")
    )
    horizontal = _largest([float(part.mean()) for part in columns if part.numel()], ("on the left", "", "on the right"))
    return f"{vertical} {horizontal}".strip()


def _largest(means: list[float], words: tuple[str, str, str]) -> str:
    return words[max(range(len(means)), key=means.__getitem__)]
