"""What is measured, of what and how: all that the numbers of a batch depend on, save the batch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stochrobust._arguments import check_tensor, describe
from stochrobust._files import Digest, module_digest
from stochrobust._tensors import working
from stochrobust.auditing.data import Batch
from stochrobust.auditing.quality import feature_rows
from stochrobust.auditing.settings import AuditSettings
from stochrobust.consistency.projector import Projector
from stochrobust.estimators.contract import Estimator, module_of, sampler_of
from stochrobust.estimators.diagnosis import ignores_seed
from stochrobust.estimators.same_seed import SameSeed
from stochrobust.estimators.seeds import SampleKeys, SampleZ, draw_like
from stochrobust.metrics.extractors import FeatureExtractor

OF_BATCHES = ("n_seeds", "n_attacked", "attack_seeds", "radii", "n_examples", "seed")
"""Settings that a batch's numbers depend on; the others come in when all batches are there."""


@dataclass(frozen=True, eq=False)
class Plan:
    """An estimator, what is asked about it, and how.

    Attributes:
        G, sample_z, module, projector, extractor, eps, settings: as in :func:`stochrobust.audit`.
        max_batch: the most rows of a call of G.
        stochastic: whether two seeds give different outputs.
    """

    G: Estimator
    eps: float
    extractor: FeatureExtractor
    settings: AuditSettings
    max_batch: int
    projector: Projector | None = None
    sample_z: SampleZ | None = None
    module: nn.Module | None = None
    stochastic: bool = True

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
            self.G, batch.y, n_seeds, sample_z=self.sample_z, module=self.module, generator=self.keys(batch),
            max_batch=self.max_batch, first_seed=first_seed,
        )  # fmt: skip

    def groups(self, batch: Batch, n_seeds: int) -> list[Batch]:
        """The batch in parts whose outputs for so many seeds are one call of G, or those of one input."""
        return list(batch.groups(self.max_batch // n_seeds))

    def is_stochastic(self, batch: Batch) -> bool:
        """Whether two seeds of the first inputs give different outputs."""
        return ignores_seed(*self._probe(batch)) is None

    def identity(self, batch: Batch) -> dict[str, Any]:
        """What tells this plan from others, JSON-ready: what it says of itself, and what it does to the first inputs.

        Outputs tell estimators apart that look alike, such as two closures, and features tell extractors apart; where
        rounding changes them, a batch is measured again.
        """
        from stochrobust import __version__

        module, group = self.module or module_of(self.G), self.groups(batch, 2)[0]
        settings = asdict(self.settings)
        return {
            "version": __version__,
            "weights": self.weights,
            "module": repr(module),
            "training": [] if module is None else [name for name, layer in module.named_modules() if layer.training],
            "outputs": Digest.of(self._probe(batch)[1]),
            "projector": None if self.projector is None else Digest.of(self.projected(group)),
            "extractor": asdict(self.extractor.protocol),
            "features": Digest.of(self.features(group.x)),
            "settings": {name: settings[name] for name in OF_BATCHES},
            "eps": self.eps,
            "max_batch": self.max_batch,
        }

    @torch.no_grad()
    def projected(self, batch: Batch) -> Tensor:
        """What the projector makes of noise: images that are consistent with y, if it does what it should."""
        assert self.projector is not None  # the caller has looked
        noise = draw_like(batch.x, self.keys(batch), "projected", uniform=True)
        return self.projector.project(noise, batch.y)

    def features(self, images: Tensor) -> Tensor:
        """What the extractor makes of images in [0, 1]."""
        return feature_rows(images, self.extractor, self.max_batch)

    def _probe(self, batch: Batch) -> tuple[SameSeed, Tensor]:
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
