"""What ``--attack`` names, and the range and the noise that a command line gives."""

from __future__ import annotations

import argparse
from dataclasses import fields

from stochrobust.attacks.ascent import Method
from stochrobust.attacks.by_gradient import PGD, AdamAscent, SphereAscent
from stochrobust.attacks.by_search import RandomSearch
from stochrobust.attacks.subspace import SubspaceSearch

KINDS: dict[str, type[AdamAscent | PGD | SphereAscent | RandomSearch | SubspaceSearch]] = {
    "adam": AdamAscent,
    "pgd": PGD,
    "sphere": SphereAscent,
    "random": RandomSearch,
    "subspace": SubspaceSearch,
}


def parse_attack(spec: str) -> Method:
    """The attack that ``spec`` names.

    Args:
        spec: ``NAME`` or ``NAME:SETTING=VALUE,...``, of :data:`KINDS` and the settings of their classes.

    Raises:
        ValueError: there is no such attack or setting, or its value cannot be.

    Example:
        >>> parse_attack("pgd:steps=20,step=0.5")
        PGD(steps=20, step=0.5, restarts=1, keep='best', start='ball')
    """
    name, _, rest = spec.partition(":")
    if name not in KINDS:
        raise ValueError(f"attack must be one of {', '.join(KINDS)}, got {spec!r}")
    kind, settings = KINDS[name], dict[str, int | float | str]()
    known = {field.name: type(field.default) for field in fields(kind)}
    for part in filter(None, rest.split(",")):
        setting, _, value = part.partition("=")
        read = known.get(setting)
        if setting in settings or read not in (int, float, str):
            raise ValueError(f"attack {spec!r}: {name} takes {', '.join(known)}, each once, got {part!r}")
        try:
            settings[setting] = read(value)
        except ValueError:
            raise ValueError(f"attack {spec!r}: {setting} must be a number, got {value!r}") from None
    try:
        found: Method = kind(**settings)  # type: ignore[arg-type]  # of the types that the fields have
    except (ValueError, TypeError) as error:
        raise ValueError(f"attack {spec!r}: {error}") from error
    return found


def pixel_range(text: str) -> tuple[float, float]:
    """``LOW,HIGH`` of a command line."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be LOW,HIGH such as -1,1, got {text!r}") from None
    return low, high
