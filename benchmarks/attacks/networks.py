"""The suite itself: ten problems, that is networks with the inputs, radii and seeds with which each is attacked.

    from benchmarks.attacks.networks import problems
    for problem in problems(data=Path("data"), cache=Path("runs/attacks")):
        sensitivity(problem.G, problem.y, problem.eps[0], problem.n_seeds)

Training all networks takes some minutes on one core, once: the cache keeps one file for each.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.attacks.training import (
    InpaintingTraining,
    SuperResolutionTraining,
    bottom_quarter,
    cached,
    inpainter,
    super_resolver,
    train_inpainter,
    train_super_resolver,
)
from reference_experiments.arms import Arm
from reference_experiments.data.images64 import images64
from reference_experiments.data.sr_benchmarks import SCALE, sr_pairs
from reference_experiments.digits.data import load_digits, observed
from reference_experiments.digits.training import DigitTraining, build_estimator
from reference_experiments.digits.training import train as train_digits
from reference_experiments.networks.carn_m import load_carn_m
from reference_experiments.toy.data import disk
from reference_experiments.toy.training import ToyEstimator, ToyTraining
from reference_experiments.toy.training import train as train_toy
from stochrobust import BlockAverageProjector

BATCH = 8


@dataclass(frozen=True)
class Problem:
    """A network to attack.

    Attributes:
        name: unique in the suite.
        G: the estimator, in the mode it is to be attacked in; it has ``sample_z`` if it is stochastic.
        y: (B, ...) inputs that it was not trained on.
        eps: radii to attack with.
        n_seeds: seeds per input; 1 for a deterministic G.
        what: a line about it.
        batch_norm: whether it has batch normalisations.
        train_mode: whether those are in train mode, where the samples of a batch depend on each other.
    """

    name: str
    G: Callable[..., Tensor]
    y: Tensor
    eps: tuple[float, ...]
    n_seeds: int
    what: str
    batch_norm: bool = False
    train_mode: bool = False


@dataclass(frozen=True)
class Settings:
    """How each network is trained.

    Attributes:
        toy: of both toy GANs, the stochastic one with the weight ``toy_weight``.
        toy_weight: lambda_R of the robust toy GAN, as in the toy study.
        digits, inpainting, robust_inpainting, super_resolution: of the others.
    """

    toy: ToyTraining
    toy_weight: float
    digits: DigitTraining
    inpainting: InpaintingTraining
    robust_inpainting: InpaintingTraining
    super_resolution: SuperResolutionTraining


SUITE = Settings(
    toy=ToyTraining(stochastic=False, steps=3000, n_models=1, n_seeds=4, lr=3e-4, width=128, batch=256),
    toy_weight=1e-3,
    digits=DigitTraining(steps=3000),
    inpainting=InpaintingTraining(steps=500),
    robust_inpainting=InpaintingTraining(steps=300, robust_steps=200),
    super_resolution=SuperResolutionTraining(steps=400, lr=2e-3),
)
"""The suite's own trainings."""


def problems(
    data: Path | None,
    cache: Path,
    settings: Settings = SUITE,
    progress: Callable[[str], None] = lambda line: None,
) -> list[Problem]:
    """The networks that can be had, trained where the cache has not got them.

    Args:
        data: folder with ``faces64/``, ``natural64/``, ``carn_m/`` and ``sr_benchmarks/``. What needs one that is not
            there is left out, see :func:`left_out`.
        cache: folder of the trained weights.
        settings: of the trainings.
        progress: called with a line for each network made or left out.

    Returns:
        The problems, the smallest networks first.
    """
    found = []
    for line in left_out(data):
        progress(line)
    for name, source in SOURCES.items():
        if not _missing(source, data):
            begun = time.monotonic()
            found.append(source.make(Request(name, settings, cache, data or Path())))
            progress(f"{name}: ready after {time.monotonic() - begun:.1f} s")
    return found


def left_out(data: Path | None) -> list[str]:
    """A line for each problem that this data folder cannot give, with what is missing."""
    missing = {name: _missing(source, data) for name, source in SOURCES.items()}
    return [f"{name}: left out, needs {' and '.join(needs)}" for name, needs in missing.items() if needs]


class Request(NamedTuple):
    """What the makers of problems get: the problem's name, how to train, and the two folders."""

    name: str
    settings: Settings
    cache: Path
    data: Path


class Source(NamedTuple):
    """How a problem is made, and what that needs in the data folder."""

    make: Callable[[Request], Problem]
    needs: tuple[str, ...] = ()


def _missing(source: Source, data: Path | None) -> list[str]:
    if data is None:
        return [f"{need} of a data folder" for need in source.needs]
    return [str(data / need) for need in source.needs if not (data / need).is_dir()]


def _toy(request: Request, *, robust: bool) -> Problem:
    config = replace(request.settings.toy, stochastic=robust, weight=request.settings.toy_weight if robust else 0.0)
    G = cached(request.cache, request.name, config, lambda: ToyEstimator(config), lambda: train_toy(config))
    y = disk(BATCH, torch.Generator().manual_seed(1))[:, :1]
    what = f"MLP, {'robust stochastic' if robust else 'erratic deterministic'} GAN on the disk; y is a number"
    return Problem(request.name, G, y, (1e-3, 1e-1), 4 if robust else 1, what)


def _digits(request: Request, *, arm: Arm) -> Problem:
    config, digits = request.settings.digits, load_digits()

    def train() -> torch.nn.Module:
        return train_digits(config, arm, digits.train, seed=0)

    G = cached(request.cache, request.name, config, lambda: build_estimator(config, arm), train)
    y = digits.validation[:BATCH].where(observed(), 0)
    eps = (0.05, round(config.eps, 3), 1.0)
    what = f"MLP that completes 8 x 8 digits: GAN, {arm.name}"
    return Problem(request.name, G, y, eps, 4 if arm.stochastic else 1, what)


def _faces(request: Request, *, robust: bool, train_mode: bool) -> Problem:
    config = request.settings.robust_inpainting if robust else request.settings.inpainting

    def train() -> torch.nn.Module:
        return train_inpainter(config, images64(request.data, "faces64", "train", config.n_images))

    G = cached(request.cache, f"faces-unet{'-robust' if robust else ''}", config, lambda: inpainter(config.s), train)
    y = images64(request.data, "faces64", "val", BATCH).where(bottom_quarter(), 0)
    eps = (0.5, 2.5) if robust else (0.01, 0.5, 2.5)
    kind, mode = "robust" if robust else "erratic", "train" if train_mode else "eval"
    what = f"U-Net that completes 64 x 64 faces: {kind} stochastic GAN, BatchNorm in {mode} mode"
    return Problem(request.name, G.train(train_mode), y, eps, 2, what, batch_norm=True, train_mode=train_mode)


def _natural(request: Request) -> Problem:
    config = request.settings.super_resolution

    def train() -> torch.nn.Module:
        return train_super_resolver(config, images64(request.data, "natural64", "train", config.n_images))

    G = cached(request.cache, request.name, config, lambda: super_resolver(config.s), train)
    y = BlockAverageProjector(SCALE).D(images64(request.data, "natural64", "val", BATCH))
    what = "U-Net for x4 super-resolution of natural images: L1, deterministic, no normalisation"
    return Problem(request.name, G, y, (0.01, 0.138, 0.553, 2.0), 1, what)


def _carn_m(request: Request) -> Problem:
    side, n = 24, 2
    images = [pair.y for benchmark in ("Set5", "Set14") for pair in sr_pairs(request.data, benchmark)[:n]]
    corners = [((image.shape[1] - side) // 2, (image.shape[2] - side) // 2) for image in images]
    y = torch.stack([image[:, i : i + side, j : j + side] for image, (i, j) in zip(images, corners, strict=True)])
    G = load_carn_m(request.data / "carn_m" / "carn_m.pth", SCALE)
    what = "CARN-M x4 with its published weights, on crops of Set5 and Set14"
    return Problem(request.name, G, y, (0.01, 0.1, 1.0, 10.0), 1, what)


SOURCES = {
    "toy": Source(partial(_toy, robust=False)),
    "toy-robust": Source(partial(_toy, robust=True)),
    "digits-deterministic": Source(partial(_digits, arm=Arm(stochastic=False, robust=False))),
    "digits-stochastic": Source(partial(_digits, arm=Arm(stochastic=True, robust=False))),
    "digits-robust": Source(partial(_digits, arm=Arm(stochastic=True, robust=True))),
    "faces-unet": Source(partial(_faces, robust=False, train_mode=False), ("faces64",)),
    "faces-unet-train-mode": Source(partial(_faces, robust=False, train_mode=True), ("faces64",)),
    "faces-unet-robust": Source(partial(_faces, robust=True, train_mode=False), ("faces64",)),
    "natural-unet-x4": Source(_natural, ("natural64",)),
    "carn-m-x4": Source(_carn_m, ("carn_m", "sr_benchmarks")),
}
"""Name of a problem -> how it is made."""
