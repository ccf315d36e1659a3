"""I-FGSM on one image: the perturbation found, and what it does to the output, in numbers (section 6.2)."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from reference_experiments.data.sr_benchmarks import Pair
from reference_experiments.networks.flow_network import ExplodedInverse
from reference_experiments.networks.rrdb import SCALE
from reference_experiments.psnr_convention import BENCHMARK, PLAIN, SRFLOW, PSNRConvention
from reference_experiments.srflow.models import Subject
from reference_experiments.srflow.sharpness import sharpness
from reference_experiments.srflow.tiles import LEAST_SIDE, Box, cut, cut_in_the_middle, joined, tiles
from stochrobust import IFGSM, PGD, AttackWarning, Linf, SameSeed, SampleKeys, sensitivity

CONVENTIONS: dict[str, PSNRConvention] = {"rgb": PLAIN, "y": BENCHMARK, "srflow": SRFLOW}
"""What PSNR means; the numbers of each are kept under ``name:``."""
NOT_FINITE = re.compile(r"(G's output|the gradient of G)\b.*must be finite")
"""The library's words."""


@dataclass(frozen=True)
class Attack:
    """What decides the numbers of an image, beside the model and alpha. The defaults are the paper's, where it says.

    Attributes:
        steps: T; each moves every pixel by alpha / T.
        n_seeds: of a stochastic model; a deterministic one has one outcome.
        start: a "uniform" random point of the ball, or "zero", where only a "truth" is not a stationary point.
        reference: what the outputs are driven away from: the model's own "clean" ones (Choi et al.'s paper), or the
            "truth", the source x (their code, with the start at "zero").
        crop: side, in pixels of y, of the square in the middle that is attacked; 0 for whole images.
        tile: largest side of the tiles that are attacked one by one and joined again; 0 for no tiles.
        seed: of the seeds and starts.

    Raises:
        ValueError: naming the argument.
    """

    steps: int = IFGSM.steps
    n_seeds: int = 10
    start: Literal["uniform", "zero"] = "uniform"
    reference: Literal["clean", "truth"] = "clean"
    crop: int = 0
    tile: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.start not in ("uniform", "zero"):
            raise ValueError(f'start must be "uniform" or "zero", got {self.start!r}')
        if self.reference not in ("clean", "truth"):
            raise ValueError(f'reference must be "clean" or "truth", got {self.reference!r}')
        if (self.start, self.reference) == ("zero", "clean"):
            raise ValueError('start must be "uniform" for the reference "clean": at zero the gradient from it vanishes')
        for name in ("crop", "tile"):
            if getattr(self, name) != 0 and getattr(self, name) < LEAST_SIDE:
                raise ValueError(f"{name} must be 0 or at least {LEAST_SIDE}, got {getattr(self, name)}")
        for name in ("steps", "n_seeds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    @property
    def method(self) -> PGD:
        """The library's preset with these steps and this start."""
        start: Literal["ball", "zero"] = "ball" if self.start == "uniform" else "zero"
        return replace(IFGSM, steps=self.steps, step=1 / self.steps, start=start)


class Attacked(NamedTuple):
    """Of one image or tile: y and y + delta, (1, 3, h, w), and the outputs, (S, 3, 4h, 4w), S seeds in order.

    ``clean`` and ``attacked`` have the seeds that chose delta, ``fresh_clean`` and ``fresh_attacked`` others.
    """

    y: Tensor
    y_attacked: Tensor
    clean: Tensor
    attacked: Tensor
    fresh_clean: Tensor
    fresh_attacked: Tensor


Numbers = dict[str, float]


class Measured(NamedTuple):
    """Numbers of an image, or why there are none; the library's doubts about them."""

    numbers: Numbers
    exploded: str | None
    concerns: list[str]
    tiles: int


def measured(
    subject: Subject, pair: Pair, alpha: float, attack: Attack, number: int, max_batch: int | None = None
) -> Measured:
    """Attack an image and say how far its output moved.

    Args:
        subject: the model.
        pair: the image and its input, on the model's device.
        alpha: radius of the L-infinity ball, in units of y in [0, 1].
        attack: settings.
        number: of the image in its set: its seeds and starts belong to it.
        max_batch: the most rows one call of the model may get.

    Returns:
        For each of :data:`CONVENTIONS`, under ``name:``, in dB: ``input``, PSNR of y and y + delta; ``output``, that of
        the clean and the attacked outputs, the mean over the seeds that chose delta; ``output_fresh``, over others;
        ``truth_clean`` and ``truth_attacked``, of the outputs and x. Besides ``sharpness_clean`` and
        ``sharpness_attacked``, relative to x.

    Raises:
        ValueError: if the model's outputs have a wrong shape.
    """
    x, y = cut_in_the_middle(pair, attack.crop)
    boxes = tiles(y.shape[-2], y.shape[-1], attack.tile)
    concerns: list[str] = []
    parts = []
    try:
        for i, box in enumerate(boxes):
            keys = SampleKeys([number * 10**6 + i], attack.seed)
            parts.append(attacked(subject, cut(Pair(x, y), box), alpha, attack, keys, max_batch, concerns))
    except ValueError as error:
        if not exploded(error):
            raise
        return Measured({}, str(error), sorted(set(concerns)), len(boxes))
    whole = assembled(parts, boxes)
    return Measured(numbers_of(whole, x[None]), None, sorted(set(concerns)), len(boxes))


def attacked(
    subject: Subject, pair: Pair, alpha: float, attack: Attack, keys: SampleKeys, max_batch: int | None,
    concerns: list[str],
) -> Attacked:  # fmt: skip
    """One image or tile; the library's doubts are added to ``concerns``."""
    x, y = pair.x[None], pair.y[None]
    G, n_seeds = subject.of_one_input, attack.n_seeds if subject.stochastic else 1
    with warnings.catch_warnings():  # they are in the result
        warnings.simplefilter("ignore", AttackWarning)
        found = sensitivity(
            G, y, alpha, n_seeds, attack=attack.method, ball=Linf(box=(0.0, 1.0)),
            reference=x if attack.reference == "truth" else None, generator=keys, max_batch=max_batch,
        )  # fmt: skip
    concerns.extend(found.concerns)
    with torch.no_grad():
        outputs = []
        for first in (0, n_seeds) if subject.stochastic else (0,):
            held = SameSeed(G, y, n_seeds, generator=keys, first_seed=first, max_batch=max_batch)
            outputs += [held.outputs(), held.outputs(found.delta)]
    return Attacked(y, y + found.delta, *outputs, *(outputs if len(outputs) == 2 else ()))


def exploded(error: ValueError) -> bool:
    """Whether it says that a model's output, or its gradient, left the floating-point numbers."""
    return isinstance(error, ExplodedInverse) or NOT_FINITE.match(str(error)) is not None


def assembled(parts: list[Attacked], boxes: list[Box]) -> Attacked:
    """The whole image of its tiles."""
    images, outputs = [(part.y, part.y_attacked) for part in parts], [part[2:] for part in parts]
    joined_images = [joined(list(of_all), boxes, 1) for of_all in zip(*images, strict=True)]
    joined_outputs = [joined(list(of_all), boxes, SCALE) for of_all in zip(*outputs, strict=True)]
    return Attacked(*joined_images, *joined_outputs)


def numbers_of(found: Attacked, x: Tensor) -> Numbers:
    """See :func:`measured`; x is (1, 3, H, W)."""
    numbers: Numbers = {}
    truth = x.expand_as(found.clean)
    for name, convention in CONVENTIONS.items():
        of_input = replace(convention, shave=convention.shave // SCALE)
        numbers |= {
            f"{name}:input": mean(of_input, found.y, found.y_attacked),
            f"{name}:output": mean(convention, found.clean, found.attacked),
            f"{name}:output_fresh": mean(convention, found.fresh_clean, found.fresh_attacked),
            f"{name}:truth_clean": mean(convention, truth, found.clean),
            f"{name}:truth_attacked": mean(convention, truth, found.attacked),
        }
    return numbers | {
        "sharpness_clean": float(sharpness(found.clean, truth).mean()),
        "sharpness_attacked": float(sharpness(found.attacked, truth).mean()),
    }


def mean(convention: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> float:
    """Of the decibels of all rows; infinite if one row did not change."""
    return float(convention(a, b).mean())
