"""What is measured, of what and how: all that the numbers of a batch depend on, save the batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from stochrobust._arguments import check_tensor, describe
from stochrobust._files import Digest, module_digest
from stochrobust._tensors import working
from stochrobust.attacks.ascent import Method
from stochrobust.attacks.balls import L2, Ball
from stochrobust.auditing.data import UNIT, Batch
from stochrobust.auditing.pixels import PixelRange
from stochrobust.auditing.quality import feature_rows
from stochrobust.auditing.settings import AuditSettings
from stochrobust.consistency.projector import Projector
from stochrobust.estimators.contract import Estimator, module_of, sampler_of
from stochrobust.estimators.gradients import NoGradientError
from stochrobust.estimators.same_seed import SameSeed
from stochrobust.estimators.seeds import SampleKeys, SampleZ, draw_like
from stochrobust.metrics.extractors import FeatureExtractor

Noise: TypeAlias = float | Tensor | Callable[[Tensor], Tensor]
"""Standard deviation of the noise in y: a number, a tensor that broadcasts to y, or what makes one of D(x)."""
OF_BATCHES = ("n_seeds", "n_attacked", "attack_seeds", "radii", "n_examples", "seed")
"""Settings that a batch's numbers depend on; the others come in when all batches are there."""


@dataclass(frozen=True, eq=False)
class Plan:
    """An estimator, what is asked about it, and how.

    Attributes:
        G, sample_z, module, projector, extractor, eps, settings, ball, noise: as in :func:`stochrobust.audit`.
        max_batch: the most rows of a call of G.
        attacks: "strong", and "paper" where G has a gradient.
        pixels: the range of x and of the outputs.
        stochastic: whether two seeds give different outputs.
    """

    G: Estimator
    eps: float
    extractor: FeatureExtractor
    settings: AuditSettings
    max_batch: int
    attacks: Mapping[str, Method]
    projector: Projector | None = None
    sample_z: SampleZ | None = None
    module: nn.Module | None = None
    stochastic: bool = True
    pixels: PixelRange = UNIT
    ball: Ball = L2()  # noqa: RUF009 (a frozen value)
    noise: Noise | None = None

    @property
    def takes_seeds(self) -> bool:
        """Whether G is given seeds z."""
        return (self.sample_z or sampler_of(self.G)) is not None

    @property
    def n_seeds(self) -> int:
        """Outputs of each input."""
        return self.settings.n_seeds if self.stochastic else 1

    @property
    def attack_seeds(self) -> int:
        """Seeds that choose an attack."""
        return self.settings.attack_seeds if self.stochastic else 1

    @property
    def weights(self) -> str:
        """SHA-256 of the weights of G's module; empty if none is known."""
        module = self.module or module_of(self.G)
        return "" if module is None else module_digest(module)

    def keys(self, batch: Batch) -> SampleKeys:
        """The random numbers of the batch's inputs."""
        return SampleKeys(batch.ids, self.settings.seed)

    def held(self, batch: Batch, n_seeds: int, first_seed: int = 0) -> SameSeed:
        """G at the inputs of a batch, at seeds ``first_seed`` and on of each."""
        return SameSeed(
            self.G, batch.y, n_seeds, sample_z=self.sample_z, cond=batch.cond, module=self.module,
            generator=self.keys(batch), max_batch=self.max_batch, first_seed=first_seed,
        )  # fmt: skip

    def groups(self, batch: Batch, n_seeds: int) -> list[Batch]:
        """The batch in parts whose outputs for so many seeds are one call of G, or those of one input."""
        return list(batch.groups(self.max_batch // n_seeds))

    def identity(self, batch: Batch, outputs: Tensor) -> dict[str, Any]:
        """What tells this plan from others, JSON-ready: what it says of itself, and what it does to the first inputs.

        Outputs tell estimators apart that look alike, such as two closures, and features tell extractors apart; where
        rounding changes them, a batch is measured again. ``outputs`` are those of :meth:`probe`.
        """
        from stochrobust import __version__

        module, group = self.module or module_of(self.G), self.groups(batch, 2)[0]
        settings = asdict(self.settings)
        return {
            "version": __version__,
            "weights": self.weights,
            "module": repr(module),
            "training": [] if module is None else [name for name, layer in module.named_modules() if layer.training],
            "outputs": Digest.of(outputs),
            "projector": None if self.projector is None else Digest.of(self.projected(group)),
            "extractor": asdict(self.extractor.protocol),
            "features": Digest.of(self.features(self.pixels.unit(group.x))),
            "settings": {name: settings[name] for name in OF_BATCHES},
            "eps": self.eps,
            "max_batch": self.max_batch,
            "attacks": {name: repr(attack) for name, attack in self.attacks.items()},
            "ball": self.described_ball(),
            "pixel_range": [self.pixels.low, self.pixels.high],
            "noise": self.described_noise(group),
        }

    def described_ball(self) -> str:
        """The ball, its tensors by their digests."""
        parts = (f"{name}={_described(part)}" for name, part in vars(self.ball).items())
        return f"{type(self.ball).__name__}({', '.join(parts)})"

    def described_noise(self, batch: Batch) -> float | str | None:
        """The noise of the measurement: a number, or what tells the callable from others."""
        if self.noise is None or isinstance(self.noise, int | float):
            return self.noise
        sigma = self.noise(batch.y) if callable(self.noise) else self.noise
        return f"{type(self.noise).__name__} {Digest.of(torch.atleast_1d(sigma))[:16]}"

    def has_gradient(self, batch: Batch) -> bool:
        """Whether a change of the input reaches the output by gradients, of a G whose output it changes at all."""
        group = batch.part(0, 1)
        held, step = self.held(group, 1), draw_like(group.y, self.keys(group), "gradient")
        chunk, step = held.chunks[0], 0.1 * self.eps * step / step.norm()
        try:
            with torch.enable_grad():
                if held.rows(torch.zeros_like(step, requires_grad=True), chunk).requires_grad:
                    return True
        except (NoGradientError, RuntimeError):  # of a G through numpy, and of others that torch cannot follow
            pass
        with torch.no_grad():
            return torch.equal(held.rows(None, chunk), held.rows(step, chunk))

    def observed(self, batch: Batch) -> Tensor | None:
        """(B, ...) the elements of y that D observes; None if they all are, or without a projector."""
        if self.projector is None:
            return None
        found = self.projector.residual(torch.zeros_like(batch.x), torch.ones_like(batch.y)) != 0
        return None if bool(found.all()) else found

    @torch.no_grad()
    def projected(self, batch: Batch) -> Tensor:
        """What the projector makes of noise: images that are consistent with y, if it does what it should."""
        assert self.projector is not None  # the caller has looked
        noise = draw_like(batch.x, self.keys(batch), "projected", uniform=True)
        return self.projector.project(noise, batch.y)

    def features(self, images: Tensor) -> Tensor:
        """What the extractor makes of images in [0, 1]."""
        return feature_rows(images, self.extractor, self.max_batch)

    def probe(self, batch: Batch) -> tuple[SameSeed, Tensor]:
        """The first inputs with two seeds, and their outputs."""
        held = self.held(self.groups(batch, 2)[0], 2)
        with torch.no_grad():
            return held, self.checked(held.outputs(), batch, 2)

    def checked(self, outputs: Tensor, batch: Batch, n_seeds: int) -> Tensor:
        """Outputs at the first inputs of a batch, in float32 or better, of the shape of x and finite."""
        check_tensor("G's output", outputs)
        if outputs.shape[1:] != batch.x.shape[1:]:
            raise ValueError(
                f"G's output must have the shape of one x, {tuple(batch.x.shape[1:])}, got {describe(outputs)}"
            )
        finite = outputs.flatten(1).isfinite().all(1)
        if not bool(finite.all()):
            bad = batch.first + int((~finite).nonzero()[0, 0]) // n_seeds
            raise ValueError(f"G's output must be finite, got NaN or infinity at input {bad} of the data")
        return working(outputs)


def _described(part: object) -> str:
    if isinstance(part, tuple):
        return f"({', '.join(map(_described, part))})"
    return f"Tensor {Digest.of(part)[:16]}" if isinstance(part, Tensor) else repr(part)
