"""Table 1's and Figure 3's row of one model, on the images of a prepared set: restartable, on any number of processes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import stochrobust
from reference_experiments.data.arrays import ImageSet, open_set
from reference_experiments.images.measuring import Measuring
from reference_experiments.images.numbers import per_image, realism
from reference_experiments.images.per_image import ATTACKS, Numbers, feature_rows, of_attacks, of_outputs
from reference_experiments.images.restorer import Restorer
from reference_experiments.images.shards import Job, digest, wait, work
from reference_experiments.images.training import as_images
from reference_experiments.runs import Record
from stochrobust import FeatureExtractor, SampleKeys, psnr_from_eps

CONVENTIONS = (
    "FID, precision, recall and distortion are of outputs clamped to [0, 1]; per-pixel std, robustness and consistency "
    "of outputs as they are. Robustness is on seeds that did not choose the attack."
)


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
    device: torch.device | str = "cpu"

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


def evaluate(
    restorer: Restorer,
    data: Path,
    measuring: Measuring,
    folder: Path,
    *,
    record: Record,
    cache: Path | None = None,
    device: torch.device | str = "cpu",
    rank: int = 0,
    world: int = 1,
) -> dict[str, Any] | None:
    """Measure a model, or go on with a measurement that was broken off.

    The numbers do not depend, but for rounding, on ``measuring.batch`` and ``measuring.shard``, nor on the number of
    processes, nor on whether the work was broken off in between.

    Args:
        restorer: the model.
        data: a prepared set: ``train`` are the real images, ``validation`` is degraded and restored.
        measuring: settings.
        folder: gets the shards, under ``parts/``.
        record: begun when the work was.
        cache: for the features of the real images, which models share; by default beside the shards.
        device: that G is on.
        rank, world: of this process; the first one returns the row when all have done their share.

    Returns:
        Model, protocol, values and record, as JSON; None in the other processes.

    Raises:
        ValueError: if the set has too few images, a restorer that is said to be deterministic varies, or a saved shard
            is damaged.
        TimeoutError: if another process does not finish its share.
    """
    sets = {part: Drawn(open_set(data, part), measuring.seed, device) for part in ("train", "validation")}
    for part, drawn in sets.items():
        if measuring.n_real > len(drawn.of):
            raise ValueError(f"n_real must be at most the {len(drawn.of)} images of {part}, got {measuring.n_real}")
    extractor = measuring.features(sets["train"].of.images.shape[1], device)
    jobs = planned(restorer, sets, measuring, extractor, folder / "parts", cache or folder / "parts")
    with restorer.evaluating():
        work(jobs.all, rank, world)
    if rank:
        return None
    wait(jobs.all)
    return row(restorer, sets, measuring, extractor, jobs, record)


def planned(
    restorer: Restorer,
    sets: dict[str, Drawn],
    measuring: Measuring,
    extractor: FeatureExtractor,
    folder: Path,
    cache: Path,
) -> Jobs:
    """The work, each kind under what its numbers depend on, and nothing else."""
    train, validation = sets["train"], sets["validation"]
    features = {"features": asdict(extractor.protocol)}
    common = {"seed": measuring.seed, "stochrobust": stochrobust.__version__}
    model = {**common, **identity(restorer, validation)}
    many = restorer.stochastic  # of a deterministic model, more samples and seeds are the same again
    drawn = {"n_samples": measuring.n_samples, "n_draws": measuring.n_draws} if many else {}
    attacked = {"attacks": repr(ATTACKS), **({"n_seeds": measuring.n_seeds} if many else {})}
    attack_batch = max(1, measuring.batch // (measuring.n_seeds if many else 1))

    def job(kind: str, parent: Path, n: int, depends_on: dict[str, Any], compute: Callable[[slice], Numbers]) -> Job:
        return Job(parent / f"{kind}-{digest(depends_on)}", n, measuring.shard, compute)

    def of_real(shard: slice) -> Numbers:
        ids = train.ids(shard)
        return _in_batches(ids, measuring.batch, lambda some: {
            "features": feature_rows(train.images(some), measuring, extractor)
        })  # fmt: skip

    def of_restored(shard: slice) -> Numbers:
        return _in_batches(validation.ids(shard), measuring.batch, lambda some: of_outputs(
            restorer, validation.images(some), some, measuring, extractor
        ))  # fmt: skip

    def of_attacked(shard: slice) -> Numbers:
        return _in_batches(validation.ids(shard), attack_batch, lambda some: of_attacks(
            restorer, validation.images(some), some, measuring
        ))  # fmt: skip

    return Jobs(
        job("real", cache, measuring.n_real, {**common, **features, "set": train.of.sha256}, of_real),
        job("outputs", folder, measuring.n_real, {**model, **features, **drawn}, of_restored),
        job("attacks", folder, measuring.n_attacked, {**model, **attacked}, of_attacked),
    )


def identity(restorer: Restorer, validation: Drawn) -> dict[str, Any]:
    """What tells a model with its degradation and its images from another."""
    y = restorer.projector.D(validation.images([0]))
    return {
        "model": [restorer.identity, restorer.description, restorer.stochastic, restorer.eps],
        "degraded": hashlib.sha256(y.cpu().numpy().tobytes()).hexdigest(),
        "set": validation.of.sha256,
    }


def row(
    restorer: Restorer,
    sets: dict[str, Drawn],
    measuring: Measuring,
    extractor: FeatureExtractor,
    jobs: Jobs,
    record: Record,
) -> dict[str, Any]:
    """The row, of numbers that are all on disk."""
    real, outputs, attacks = (job.merged() for job in (jobs.real, jobs.outputs, jobs.attacks))
    if not restorer.stochastic and bool(outputs["std"].any()):
        raise ValueError(f"stochastic must be True for a restorer whose outputs vary: {restorer.description}")
    seconds = sum(float(numbers.pop("seconds").sum()) for numbers in (real, outputs, attacks))
    draws = list(outputs.pop("features").unbind(1))
    realistic, protocol = realism(
        real["features"], draws, features=extractor.protocol, k=measuring.k, n_splits=measuring.n_splits,
        seed=measuring.seed,
    )  # fmt: skip
    numbers = realistic | {name: per_image(values) for name, values in (outputs | attacks).items()}
    validation = sets["validation"]
    n_elements = restorer.projector.D(validation.images([0])).numel()
    settings = {name: value for name, value in asdict(measuring).items() if name not in ("batch", "shard", "weights")}
    return {
        "model": {"description": restorer.description, "weights": restorer.identity, "stochastic": restorer.stochastic},
        "protocol": {
            **settings,
            "set": validation.of.name,
            "sha256": {part: drawn.of.sha256 for part, drawn in sets.items()},
            "features": asdict(protocol) | {"metric": "Frechet distance, precision, recall"},
            "attacks": {name: repr(attack) for name, attack in ATTACKS.items()},
            "eps": restorer.eps,
            "eps_in_db": psnr_from_eps(restorer.eps, n_elements),
            "dtype": "float32",
            "conventions": CONVENTIONS,
        },
        "values": {name: number.as_json() for name, number in numbers.items()},
        "record": record.finished(sets["train"].device, seconds_of_all_shards=round(seconds, 1)),
    }


def _in_batches(ids: list[int], size: int, compute: Callable[[list[int]], Numbers]) -> Numbers:
    parts = [compute(ids[start : start + size]) for start in range(0, len(ids), size)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
