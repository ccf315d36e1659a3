"""Work on many images that is cut in shards: each is saved when it is done, by any process, and done once."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from reference_experiments.runs import write_atomically

PATIENCE = 1800.0
"""Seconds that a process waits for shards of others without one being finished."""


@dataclass(frozen=True)
class Job:
    """Numbers of each of ``n`` images.

    Attributes:
        folder: gets a file for each shard; another folder for other numbers, see :func:`digest`.
        n: images.
        shard: images in each shard, the last one having what is left.
        compute: the numbers by name, (stop - start, ...) each, of the images of a slice.
    """

    folder: Path
    n: int
    shard: int
    compute: Callable[[slice], dict[str, Tensor]]

    @property
    def shards(self) -> list[slice]:
        """All of them, in order."""
        return [slice(start, min(start + self.shard, self.n)) for start in range(0, self.n, self.shard)]

    def path(self, shard: slice) -> Path:
        """Of a shard's file."""
        return self.folder / f"{shard.start:08d}-{shard.stop:08d}.safetensors"

    @property
    def missing(self) -> list[Path]:
        """Files that are yet to be."""
        return [path for path in map(self.path, self.shards) if not path.exists()]

    def finish(self, shard: slice) -> None:
        """Compute and save a shard, unless that was done."""
        from safetensors.torch import save

        if (path := self.path(shard)).exists():
            return
        start = time.monotonic()
        numbers = {name: values.cpu().contiguous() for name, values in self.compute(shard).items()}
        numbers["seconds"] = torch.tensor([time.monotonic() - start])
        write_atomically(path, save(numbers))

    def merged(self) -> dict[str, Tensor]:
        """The numbers of all images in order, and under ``seconds`` those of every shard.

        Raises:
            ValueError: if a file is damaged, naming it.
        """
        parts = [_read(self.path(shard)) for shard in self.shards]
        return {name: torch.cat([part[name] for part in parts]) for name in sorted(parts[0])}


def work(jobs: list[Job], rank: int = 0, world: int = 1) -> None:
    """Finish this process's shards of the jobs; a later run with any number of processes goes on from there."""
    from tqdm import tqdm

    mine = [(job, shard) for job in jobs for shard in job.shards][rank::world]
    for job, shard in tqdm(mine, desc="evaluation", unit="shard", disable=None if rank == 0 else True):
        job.finish(shard)


def wait(jobs: list[Job], patience: float | None = None, pause: float = 0.5) -> None:
    """Until the other processes have finished their shards.

    Raises:
        TimeoutError: if none was finished for so many seconds.
    """
    patience = PATIENCE if patience is None else patience
    missing, since = [path for job in jobs for path in job.missing], time.monotonic()
    while missing:
        time.sleep(pause)
        before, missing = missing, [path for path in missing if not path.exists()]
        if len(missing) < len(before):
            since = time.monotonic()
        elif time.monotonic() - since > patience:
            raise TimeoutError(
                f"no shard was finished for {patience:.0f} s, and {len(missing)} are missing, {missing[0]} first: "
                "did a process die? Run the same command again, and it does those only"
            )


def digest(content: object) -> str:
    """16 hexadecimal digits of JSON content: the name of a job's folder."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _read(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load

    try:
        return load(path.read_bytes())
    except Exception as error:
        raise ValueError(f"cannot read {path}: {error}; delete it, and it is computed again") from error
