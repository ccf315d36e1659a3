"""What ``module:factory`` names on a command line: somebody's model, or somebody's images."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from traceback import extract_tb
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from stochrobust.cli.own_dtype import in_own_dtype
from stochrobust.estimators.contract import Estimator, module_of, sampler_of


def is_factory(spec: str) -> bool:
    """Whether it has the form ``module:factory``, dots allowed in both.

    Example:
        >>> is_factory("my.package:models.small"), is_factory("some/folder")
        (True, False)
    """
    return re.fullmatch(r"[^\W\d][\w.]*:[^\W\d][\w.]*", spec) is not None


def call_factory(spec: str, device: torch.device | str = "cpu", *, role: str = "model") -> Any:
    """What the factory returns: called with the device if it takes one, else without arguments.

    It gets the device by name, if it has a parameter named ``device``; as its first argument, if it must be given one.
    A module or a tensor in place of a factory is itself what is meant.

    Args:
        spec: ``module:factory``.
        device: for the factory.
        role: of what it makes, for the errors.

    Raises:
        ValueError: it has another form, cannot be imported, or fails.
    """
    if not is_factory(spec):
        raise ValueError(f"{role} must be module:factory, got {spec!r}")
    place, _, attribute = spec.partition(":")
    if (here := os.getcwd()) not in sys.path:  # an installed executable has its own folder there, not the caller's
        sys.path.insert(0, here)
    try:
        factory: Any = import_module(place)
        for part in attribute.split("."):
            factory = getattr(factory, part)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{role} {spec!r} cannot be imported: {error}") from error
    if isinstance(factory, nn.Module | Tensor | np.ndarray):
        return factory
    if not callable(factory):
        raise ValueError(f"{role} {spec!r} must name a function or a class, got {type(factory)}")
    try:
        return _called(factory, torch.device(device))
    except Exception as error:  # of somebody else's code, which may raise anything
        raise ValueError(
            f"{role} {spec!r} must be a factory, called with a device or nothing, that makes the {role}; it fails: "
            f"{_told(error)}"
        ) from error


def made_model(spec: str, device: torch.device | str = "cpu") -> Estimator:
    """The model that the factory returns; a module is moved to the device, set to eval mode, and fed its own dtype.

    Args:
        spec: ``module:factory``; what it returns is ``G(y, z)`` with ``G.sample_z``, or ``G(y)``.
        device: to put it on.

    Raises:
        ValueError: as :func:`call_factory`, or the factory returns nothing that can be called.
    """
    found = call_factory(spec, device)
    if not callable(found):
        raise ValueError(f"model {spec!r}: the factory must return a callable G(y) or G(y, z), got {type(found)}")
    G: Estimator = found
    module = module_of(G)
    if module is not None:
        module.to(device).eval()
    return in_own_dtype(G) if isinstance(G, nn.Module) else G


@torch.no_grad()
def check_runs(spec: str, G: Estimator, y: Tensor) -> None:
    """Try the model on one input.

    Raises:
        ValueError: it raises an exception, of which the error names the place, or returns no tensor.
    """
    sample_z, call = sampler_of(G), cast(Callable[..., object], G)
    try:
        x_hat = call(y) if sample_z is None else call(y, sample_z(y, torch.Generator(y.device).manual_seed(0)))
    except Exception as error:  # of somebody else's code, which may raise anything
        raise ValueError(f"model {spec!r} fails at an input of {tuple(y.shape)}: {_told(error)}") from error
    if not isinstance(x_hat, Tensor):
        raise ValueError(f"model {spec!r} must return a tensor, got {type(x_hat)}")


def _told(error: Exception) -> str:
    """What an exception says, and where it was raised."""
    frame = extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno})"


def _called(factory: Any, device: torch.device) -> Any:
    parameters = inspect.signature(factory).parameters
    if "device" in parameters and parameters["device"].kind is not inspect.Parameter.POSITIONAL_ONLY:
        return factory(device=device)
    needed = [p for p in parameters.values() if p.default is p.empty]
    return factory(device) if any(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in needed) else factory()
