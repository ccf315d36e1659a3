"""Table 1's and Figure 3's row of one model on a prepared set: restartable, on any number of processes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from reference_experiments.data.arrays import Part
from reference_experiments.images.jobs import Drawn, Jobs, features_of, opened, planned
from reference_experiments.images.measuring import Measuring
from reference_experiments.images.numbers import per_image, realism
from reference_experiments.images.per_image import ATTACKS
from reference_experiments.images.restorer import Restorer
from reference_experiments.images.shards import wait, work
from reference_experiments.runs import Record
from stochrobust import FeatureExtractor, Protocol, psnr_from_eps

CONVENTIONS = (
    "FID, precision, recall and distortion are of outputs clamped to [0, 1]; per-pixel std, robustness and consistency "
    "of outputs as they are. Robustness is on seeds that did not choose the attack."
)


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
    sets = opened(data, measuring, device)
    extractor = measuring.features(sets["train"].of.images.shape[1], device)
    jobs = planned(restorer, sets, measuring, extractor, folder / "parts", cache or folder / "parts")
    with restorer.evaluating():
        work(jobs.all, rank, world)
    if rank:
        return None
    wait(jobs.all)
    return row(restorer, sets, measuring, extractor, jobs, record)


def reference(
    data: Path, measuring: Measuring, cache: Path, *, record: Record, device: torch.device | str = "cpu"
) -> dict[str, Any]:
    """The row of the validation images themselves: what a perfect model has in FID, precision and recall.

    Args:
        data, measuring, cache, record, device: as in :func:`evaluate`.
    """
    sets = opened(data, measuring, device)
    extractor = measuring.features(sets["train"].of.images.shape[1], device)
    jobs = [features_of(drawn, measuring, extractor, cache) for drawn in sets.values()]
    work(jobs)
    real, validation = (job.merged()["features"] for job in jobs)
    numbers, protocol = realism(
        real, [validation], features=extractor.protocol, k=measuring.k, n_splits=measuring.n_splits, seed=measuring.seed
    )
    return {
        "protocol": {"set": sets["train"].of.name, "features": asdict(protocol)},
        "values": {name: asdict(number) for name, number in numbers.items()},
        "record": record.finished(device),
    }


def row(
    restorer: Restorer,
    sets: dict[Part, Drawn],
    measuring: Measuring,
    extractor: FeatureExtractor,
    jobs: Jobs,
    record: Record,
) -> dict[str, Any]:
    """The row, of numbers that are all on disk."""
    real, outputs, attacks = (job.merged() for job in (jobs.real, jobs.outputs, jobs.attacks))
    seconds = sum(float(numbers.pop("seconds").sum()) for numbers in (real, outputs, attacks))
    draws = list(outputs.pop("features").unbind(1))
    realistic, protocol = realism(
        real["features"], draws, features=extractor.protocol, k=measuring.k, n_splits=measuring.n_splits,
        seed=measuring.seed,
    )  # fmt: skip
    numbers = realistic | {name: per_image(values) for name, values in (outputs | attacks).items()}
    model = {"description": restorer.description, "weights": restorer.identity, "stochastic": restorer.stochastic}
    return {
        "model": model,
        "protocol": conditions(restorer, sets, measuring, protocol),
        "values": {name: asdict(number) for name, number in numbers.items()},
        "record": record.finished(sets["train"].device, seconds_of_all_shards=round(seconds, 1)),
    }


def conditions(restorer: Restorer, sets: dict[Part, Drawn], measuring: Measuring, features: Protocol) -> dict[str, Any]:
    """All that the numbers depend on, save the model: what must agree for two rows to be compared."""
    validation = sets["validation"]
    y = restorer.projector.D(validation.images([0]))
    settings = {name: value for name, value in asdict(measuring).items() if name not in ("batch", "shard", "weights")}
    return {
        **settings,
        "set": validation.of.name,
        "sha256": {part: drawn.of.sha256 for part, drawn in sets.items()},
        "features": asdict(features) | {"metric": "Frechet distance, precision, recall"},
        "attacks": {name: repr(attack) for name, attack in ATTACKS.items()},
        "eps": restorer.eps,
        "eps_in_db": psnr_from_eps(restorer.eps, y.numel()),
        "dtype": str(y.dtype).removeprefix("torch."),
        "conventions": CONVENTIONS,
    }
