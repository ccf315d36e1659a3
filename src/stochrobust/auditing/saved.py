"""The JSON of a report, read back: its checksum first, then field by field, so that nothing else passes for one."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any, NoReturn, TypeVar, get_args

from stochrobust._arguments import describe
from stochrobust.auditing.findings import AuditNumber, Curve, Level, Verdict
from stochrobust.estimators.diagnosis import Concern

FORMAT = "stochrobust audit 1"
NOT_FINITE = ("inf", "-inf", "nan")
"""JSON has no such numbers: they are these strings."""
T = TypeVar("T")


def checksum(content: dict[str, Any]) -> str:
    """SHA-256 of a report's content, however its text is laid out; the field ``checksum`` is none of it."""
    rest = {name: value for name, value in content.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def from_json(text: str) -> dict[str, Any]:
    """The fields of the findings that :func:`~stochrobust.auditing.tables.to_json` wrote.

    Raises:
        ValueError: the text is not what it wrote, or was changed since; the message names the field. A file of 0.1.0,
            which has no checksum, is read all the same.
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a string, got {describe(text)}")
    try:
        content = _mapping("the whole", json.loads(text, parse_constant=_constant))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"text must be what AuditReport.to_json wrote, got no JSON: {error}") from error
    if content.get("format") != FORMAT:
        raise ValueError(
            f"text must be what AuditReport.to_json wrote, of the format {FORMAT!r}, got {content.get('format')!r}"
        )
    if "checksum" in content and content["checksum"] != checksum(content):
        raise ValueError(
            "text must be what AuditReport.to_json wrote, got one that was changed since: another checksum"
        )
    found = {name: read(name, _field(name, content)) for name, read in READERS.items()}
    return found | {"concerns": _with_codes(found["concerns"], content)}


# How the sentences of 0.1.0, which stored no codes, can be recognised.
OF_0_1_0 = {
    "G's output for one sample depends on": "batch-dependent",
    "G is not the same function": "irreproducible",
    "G's output is exactly the same": "input ignored",
    "all ": "seed ignored",
    "the gradient of G": "zero gradient",
    "the attack found less": "weaker than random",
    "quality was left out": "quality left out",
}


def _with_codes(sentences: tuple[str, ...], content: dict[str, Any]) -> tuple[Concern, ...]:
    if "codes" in content:
        codes = _tuple(_string)("codes", content["codes"])
    else:
        codes = tuple(next((OF_0_1_0[start] for start in OF_0_1_0 if s.startswith(start)), "") for s in sentences)
    if len(codes) != len(sentences):
        _refuse("codes", "one of each concern", content["codes"])
    return tuple(map(Concern, sentences, codes))


def _refuse(where: str, expected: str, got: object) -> NoReturn:
    raise ValueError(f"text must be what AuditReport.to_json wrote: {where} must be {expected}, got {got!r:.80}")


def _constant(name: str) -> NoReturn:
    _refuse("every number", f"finite or one of {', '.join(map(repr, NOT_FINITE))}", name)


def _field(name: str, content: dict[str, Any]) -> Any:
    if name not in content:
        _refuse(name, "there", sorted(content))
    return content[name]


def _of(kind: type[T], named: str) -> Callable[[str, Any], T]:
    def read(where: str, value: Any) -> T:
        if not isinstance(value, kind):
            _refuse(where, named, value)
        return value

    return read


_string, _truth, _list = _of(str, "a string"), _of(bool, "true or false"), _of(list, "a list")


def _mapping(where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        _refuse(where, "an object", value)
    return value


def _number(where: str, value: Any) -> float:
    if isinstance(value, bool) or not (isinstance(value, int | float) or value in NOT_FINITE):
        _refuse(where, "a number", value)
    number = float(value) if not isinstance(value, int) or abs(value) < 2**1023 else math.inf
    if not isinstance(value, str) and not math.isfinite(number):
        _refuse(where, "a number of double precision", value)
    return number


def _count(where: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        _refuse(where, "a count", value)
    return value


def _tuple(read: Callable[[str, Any], T]) -> Callable[[str, Any], tuple[T, ...]]:
    return lambda where, value: tuple(read(f"{where}[{i}]", part) for i, part in enumerate(_list(where, value)))


def _by_name(read: Callable[[str, Any], T]) -> Callable[[str, Any], dict[str, T]]:
    return lambda where, value: {name: read(f"{where}.{name}", part) for name, part in _mapping(where, value).items()}


def _record(kind: type[T], readers: dict[str, Callable[[str, Any], Any]]) -> Callable[[str, Any], T]:
    def read(where: str, value: Any) -> T:
        if set(_mapping(where, value)) != set(readers):
            _refuse(where, f"an object of {', '.join(readers)}", sorted(value))
        return kind(**{name: of(f"{where}.{name}", value[name]) for name, of in readers.items()})

    return read


def _level(where: str, value: Any) -> str:
    if value not in get_args(Level):
        _refuse(where, f"one of {', '.join(get_args(Level))}", value)
    return str(value)


_audit_number = _record(
    AuditNumber, {"estimate": _number, "low": _number, "high": _number, "n": _count, "n_infinite": _count}
)
_numbers = _tuple(_number)


def _curve(where: str, value: Any) -> Curve:
    parts = {"eps": _numbers, "ai_psnr": _numbers, "attacked": _tuple(_audit_number), "random": _tuple(_audit_number)}
    curve = _record(Curve, parts)(where, value)
    if len({len(getattr(curve, part.name)) for part in fields(curve)}) > 1:
        _refuse(
            where, "as many entries in each part", {part.name: len(getattr(curve, part.name)) for part in fields(curve)}
        )
    return curve


READERS: dict[str, Callable[[str, Any], Any]] = {
    "title": _string,
    "stochastic": _truth,
    "takes_seeds": _truth,
    "numbers": _by_name(_audit_number),
    "per_input": _by_name(_numbers),
    "curve": _curve,
    "trace": _numbers,
    "ranks": _numbers,
    "verdicts": _tuple(_record(Verdict, {"name": _string, "level": _level, "sentence": _string})),
    "concerns": _tuple(_string),
    "protocol": _mapping,
}
"""How each field is read: ``read(where, value)``."""
