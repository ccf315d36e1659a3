"""Settings of a preset on the command line: a flag for each plain field, those of nested settings too."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from types import UnionType
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

Preset = TypeVar("Preset")
NOT_FLAGS = ("seed",)
"""A field that the command sets for all of its parts."""


class Flag(NamedTuple):
    """How a field is written on the command line."""

    kind: type
    choices: tuple[Any, ...] | None = None
    several: bool = False


def add_flags(parser: argparse.ArgumentParser, preset: Any) -> None:
    """A flag ``--field-name`` for each plain field of settings that are like the preset's."""
    for name, flag in _flags(preset):
        how: dict[str, Any] = {"type": flag.kind, "choices": flag.choices, "nargs": "+" if flag.several else None}
        if flag.kind is bool:
            how = {"action": argparse.BooleanOptionalAction}
        parser.add_argument(f"--{name.replace('_', '-')}", default=None, help="(default: the preset's)", **how)


def changed(preset: Preset, given: Mapping[str, Any]) -> Preset:
    """The preset with the fields that are given and not None, each where :func:`add_flags` found it first."""
    flags = dict(_flags(preset))
    wanted = {name: value for name, value in given.items() if name in flags and value is not None}
    new: Preset = _replaced(preset, {name: tuple(v) if isinstance(v, list) else v for name, v in wanted.items()})
    return new


def _replaced(preset: Any, wanted: dict[str, Any]) -> Any:
    here: dict[str, Any] = {}
    for field in fields(preset):
        if field.name in wanted:
            here[field.name] = wanted.pop(field.name)
    for field in fields(preset):
        value = getattr(preset, field.name)
        if field.name not in here and is_dataclass(value):
            here[field.name] = _replaced(value, wanted)
    return replace(preset, **here)


def _flags(preset: Any, seen: frozenset[str] = frozenset(NOT_FLAGS)) -> Iterator[tuple[str, Flag]]:
    """Outer fields before inner ones; of fields of one name, the first."""
    hints = get_type_hints(type(preset))
    names = [field.name for field in fields(preset)]
    for name in names:
        if name not in seen and (flag := _flag(hints[name])) is not None:
            yield name, flag
    seen |= frozenset(names)
    for name in names:
        if is_dataclass(inner := getattr(preset, name)):
            found = dict(_flags(inner, seen))
            yield from found.items()
            seen |= found.keys()


def _flag(hint: Any) -> Flag | None:
    """Of a number, a word, one of some words, a switch, or several of one of these."""
    if get_origin(hint) in (Union, UnionType):
        of = [one for one in get_args(hint) if one is not type(None)]
        return _flag(of[0]) if len(of) == 1 else None
    if get_origin(hint) is Literal:
        return Flag(str, get_args(hint))
    if get_origin(hint) is tuple and (one := _flag(get_args(hint)[0])) is not None:
        return one._replace(several=True)
    return Flag(hint) if hint in (int, float, str, bool) else None
