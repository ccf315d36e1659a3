"""Calls of what the caller hands over, an estimator or a sampler, with errors that say what was expected of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

NO_SEEDS = "G takes z, but no seeds are given: pass z=, sample_z=, or give G a method sample_z(y, generator)"


def called(G: Callable[..., Any], inputs: Sequence[Any]) -> Any:
    """``G(*inputs)``.

    Raises:
        ValueError: G takes z, and none was given.
        TypeError: G takes other arguments; or it raised one itself, which passes through.
    """
    try:
        return G(*inputs)
    except TypeError as error:
        signature = _signature(G)
        if signature is None:
            raise
        if not _takes(signature, len(inputs)):
            if _takes(signature, len(inputs) + 1):
                raise ValueError(NO_SEEDS) from error
            raise TypeError(
                f"G must be callable as G(y, z), G(y, z, cond), G(y) or G(y, cond); it was called with {len(inputs)} "
                f"argument(s), and its signature is {signature}"
            ) from error
        if len(inputs) == 1 and "z" in signature.parameters:
            error.add_note(NO_SEEDS)
        raise


def sampled(sample_z: Callable[..., Any], y: Tensor, generator: torch.Generator | None) -> Any:
    """``sample_z(y, generator)``.

    Raises:
        TypeError: it takes other arguments; or it raised one itself, which passes through.
    """
    try:
        return sample_z(y, generator)
    except TypeError as error:
        signature = _signature(sample_z)
        if signature is None or _takes(signature, 2):
            raise
        raise TypeError(
            f"sample_z must be callable as sample_z(y, generator), got one with the signature {signature}"
        ) from error


def _signature(function: Any) -> inspect.Signature | None:
    """Of a module's forward, below its wrappers, or of a function; None where Python cannot tell."""
    while isinstance(function, nn.Module):
        below = getattr(function, "_orig_mod", None) or getattr(function, "module", None)
        function = below if isinstance(below, nn.Module) else function.forward
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def _takes(signature: inspect.Signature, n_arguments: int) -> bool:
    try:
        signature.bind(*[None] * n_arguments)
    except TypeError:
        return False
    return True
