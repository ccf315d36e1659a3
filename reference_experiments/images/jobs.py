"""The work of an evaluation, each kind kept under all that its numbers depend on, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import stochrobust
from reference_experiments.data.arrays import PARTS, ImageSet, Part, open_set
from reference_experiments.images.measuring import Measuring
from reference_experiments.images.per_image import ATTACKS, Numbers, attacks_on, feature_rows, of_attacks, of_outputs
from reference_experiments.images.restorer import Restorer
from reference_experiments.images.shards import Job, digest
from reference_experiments.images.training import as_images
from stochrobust import FeatureExtractor, SampleKeys


@dataclass(frozen=True)
class Drawn:
    """Images of a set in a random order that depends on the seed alone.

    Args:
        of: the set.
        seed: of the order.
        device: where the images are to be.
    """

    of: ImageSet
    seed: int
    device: torch.device

    def ids(self, shard: slice) -> list[int]:
        """Which images of the set are at these places."""
        generator = SampleKeys((), self.seed).generator("order", self.of.part)
        ids: list[int] = torch.randperm(len(self.of), generator=generator)[shard].tolist()
        return ids

    def images(self, ids: list[int]) -> Tensor:
        """(B, C, H, W) float32 in [0, 1]."""
        return as_images(torch.from_numpy(self.of.images[ids]), self.device)


@dataclass(frozen=True)
class Jobs:
    """All work of one evaluation: features of real images, numbers of the outputs, numbers of the attacks."""

    real: Job
    outputs: Job
    attacks: Job

    @property
    def all(self) -> list[Job]:
        """The attacks first: their shards cost most, and the processes end together."""
        return [self.attacks, self.outputs, self.real]


def opened(data: Path, measuring: Measuring, device: torch.device | str) -> dict[Part, Drawn]:
    """Both parts of a set, which must have as many images as are asked for."""
    sets = {part: Drawn(open_set(data, part), measuring.seed, torch.device(device)) for part in PARTS}
    for part, drawn in sets.items():
        if measuring.n_real > len(drawn.of):
            raise ValueError(f"n_real must be at most the {len(drawn.of)} images of {part}, got {measuring.n_real}")
    return sets


def planned(
    restorer: Restorer,
    sets: dict[Part, Drawn],
    measuring: Measuring,
    extractor: FeatureExtractor,
    folder: Path,
    cache: Path,
) -> Jobs:
    """The work, each kind under what its numbers depend on, and nothing else."""
    validation = sets["validation"]
    features = {"features": asdict(extractor.protocol)}
    model = {"seed": measuring.seed, "stochrobust": stochrobust.__version__, **identity(restorer, validation)}
    many = restorer.stochastic  # of a deterministic model, more samples and seeds are the same again
    drawn = {"n_samples": measuring.n_samples, "n_draws": measuring.n_draws} if many else {}
    attacked: dict[str, Any] = {"attacks": [repr(ATTACKS), *attacks_on(restorer.projector)]}
    attacked |= {"n_seeds": measuring.n_seeds} if many else {}
    attack_batch = max(1, measuring.batch // (measuring.n_seeds if many else 1))

    def of_restored(shard: slice) -> Numbers:
        return _in_batches(validation.ids(shard), measuring.batch, lambda some: of_outputs(
            restorer, validation.images(some), some, measuring, extractor
        ))  # fmt: skip

    def of_attacked(shard: slice) -> Numbers:
        return _in_batches(validation.ids(shard), attack_batch, lambda some: of_attacks(
            restorer, validation.images(some), some, measuring
        ))  # fmt: skip

    to_outputs = folder / f"outputs-{digest({**model, **features, **drawn})}"
    to_attacks = folder / f"attacks-{digest({**model, **attacked})}"
    return Jobs(
        features_of(sets["train"], measuring, extractor, cache),
        Job(to_outputs, measuring.n_real, measuring.shard, of_restored),
        Job(to_attacks, measuring.n_attacked, measuring.shard, of_attacked),
    )


def features_of(drawn: Drawn, measuring: Measuring, extractor: FeatureExtractor, cache: Path) -> Job:
    """Features of real images: computed once for all models."""

    def compute(shard: slice) -> Numbers:
        return _in_batches(drawn.ids(shard), measuring.batch, lambda some: {
            "features": feature_rows(drawn.images(some), measuring, extractor)
        })  # fmt: skip

    depends_on = {
        "features": asdict(extractor.protocol),
        "seed": measuring.seed,
        "set": drawn.of.sha256,
        "stochrobust": stochrobust.__version__,
    }
    return Job(cache / f"real-{digest(depends_on)}", measuring.n_real, measuring.shard, compute)


def identity(restorer: Restorer, validation: Drawn) -> dict[str, Any]:
    """What tells a model with its degradation and its images from another."""
    y = restorer.projector.D(validation.images([0]))
    return {
        "model": [restorer.identity, restorer.description, restorer.stochastic, restorer.eps],
        "degraded": hashlib.sha256(y.cpu().numpy().tobytes()).hexdigest(),
        "set": validation.of.sha256,
    }


def _in_batches(ids: list[int], size: int, compute: Callable[[list[int]], Numbers]) -> Numbers:
    parts = [compute(ids[start : start + size]) for start in range(0, len(ids), size)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
