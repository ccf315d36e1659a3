"""Which weights a network has: SHA-256 of a module, and of a file, which is read only if it is the right one."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import nn


def load_verified(path: Path, digest: str) -> dict[str, Any]:
    """The state dict in a file whose SHA-256 is ``digest``."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != digest:
        raise ValueError(f"weights must have the SHA-256 {digest}, got {found}: {path}")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def module_digest(module: nn.Module) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of parameters and buffers, also those that no file would hold."""
    tensors = dict(module.named_parameters(remove_duplicate=False)) | dict(module.named_buffers(remove_duplicate=False))
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
