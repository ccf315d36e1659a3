"""Checkpoints: tensors as safetensors beside a JSON file that names their SHA-256 and is written last.

A checkpoint without its JSON file does not exist: a crash or a full disk in between leaves the one before.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reference_experiments.runs import write_atomically, write_json

KEPT = 2
"""Checkpoints on disk: the latest and, should it be damaged afterwards, the one before."""


@dataclass(frozen=True)
class Checkpoint:
    """What was saved.

    Attributes:
        step: steps done.
        tensors: by name.
        content: further JSON.
    """

    step: int
    tensors: dict[str, Tensor]
    content: dict[str, Any]


def save(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint, then delete those before the previous one.

    Returns:
        The JSON file.

    Raises:
        OSError: where the disk is full, naming the file; the checkpoints before it are untouched.
    """
    from safetensors.torch import save as serialised

    path = folder / f"{checkpoint.step:08d}.json"
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    data = serialised(tensors)
    try:
        write_atomically(path.with_suffix(".safetensors"), data)
        write_json(path, {"step": checkpoint.step, "sha256": hashlib.sha256(data).hexdigest(), **checkpoint.content})
    except OSError as error:
        raise OSError(error.errno, f"cannot write the checkpoint of step {checkpoint.step}: {error}", path) from error
    _tidy(folder)
    return path


def _tidy(folder: Path) -> None:
    """Delete what is not of the kept checkpoints, also what killed processes left half-written."""
    written = _written(folder)
    for old in written[:-KEPT]:
        old.unlink()
    for left in (*folder.glob("[0-9]*.safetensors"), *folder.glob(".[0-9]*.part")):
        if left.with_suffix(".json") not in written[-KEPT:]:
            left.unlink()


def latest(folder: Path) -> Path | None:
    """The JSON file of the last checkpoint, or None where there is none."""
    written = _written(folder)
    return written[-1] if written else None


def load(path: Path, device: torch.device | str = "cpu") -> Checkpoint:
    """The checkpoint that the JSON file describes.

    Raises:
        ValueError: if it is damaged; the message says which step one can go back to.
    """
    from safetensors.torch import load as deserialised

    try:
        content: dict[str, Any] = json.loads(path.read_text())
        data = path.with_suffix(".safetensors").read_bytes()
        step, recorded = content.pop("step"), content.pop("sha256")
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"cannot read the checkpoint {path}: {error}; {_advice(path)}") from error
    if (actual := hashlib.sha256(data).hexdigest()) != recorded:
        raise ValueError(
            f"the checkpoint {path.with_suffix('.safetensors')} is damaged: {len(data)} bytes of SHA-256 {actual}, "
            f"saved was {recorded}; {_advice(path)}"
        )
    tensors = {name: tensor.to(device) for name, tensor in deserialised(data).items()}
    return Checkpoint(step, tensors, content)


def _advice(path: Path) -> str:
    before = [other for other in _written(path.parent) if other.name < path.name]
    return f"delete {path} to go on from " + (f"step {int(before[-1].stem)}" if before else "the start")


def _written(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.json"))


def flattened(name: str, optimizer: Any) -> dict[str, Tensor]:
    """An optimizer's state by ``name.parameter.key``."""
    state = optimizer.state_dict()["state"]
    return {f"{name}.{index}.{key}": value for index, entry in state.items() for key, value in entry.items()}


def restore_optimizer(name: str, optimizer: Any, tensors: dict[str, Tensor]) -> None:
    """Put a flattened state back, each tensor in the memory layout of its parameter: a fused Adam counts on that."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for full, value in part(name, tensors).items():
        index, key = full.split(".", 1)
        like = parameters[int(index)]
        laid_out = torch.empty_like(like, dtype=value.dtype).copy_(value) if value.shape == like.shape else value
        state.setdefault(int(index), {})[key] = laid_out
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def named(name: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict with its names under ``name``."""
    return {f"{name}.{key}": value for key, value in state.items()}


def part(name: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """What :func:`named` put under ``name``."""
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
