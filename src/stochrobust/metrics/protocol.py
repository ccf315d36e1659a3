"""What a number was measured with, and numbers that refuse to be compared with those measured otherwise."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from numbers import Real
from typing import Any, Self

from stochrobust._arguments import check_count, check_range, check_real, describe


@dataclass(frozen=True)
class Protocol:
    """How a number was measured; what a reader must know to repeat it, and what must agree to compare two.

    Args:
        extractor: what made the features; "raw vectors" if nothing did.
        weights: SHA-256 of its weights, or the empty string if it has none.
        preprocessing: what happens to an image before the network: resizing, scaling.
        data_range: lowest and highest value an image may have, or None for vectors.
        metric: the quantity, with the choices that change it.
        k: number of neighbours, if the quantity has any.
        n_real: number of real samples; most of these quantities depend on it systematically.
        n_generated: number of generated samples.
        dtype: of the features; recorded, not compared.
        version: of stochrobust; recorded, not compared.

    Raises:
        TypeError, ValueError: naming the field.

    Example:
        >>> Protocol(extractor="my network", data_range=(0.0, 1.0)) == Protocol(extractor="my network")
        False
    """

    extractor: str = "raw vectors"
    weights: str = ""
    preprocessing: str = ""
    data_range: tuple[float, float] | None = None
    metric: str = ""
    k: int | None = None
    n_real: int | None = None
    n_generated: int | None = None
    dtype: str = field(default="", compare=False)
    version: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for name in ("extractor", "weights", "preprocessing", "metric", "dtype", "version"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} must be a string, got {describe(getattr(self, name))}")
        for name, minimum in (("k", 1), ("n_real", 0), ("n_generated", 0)):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), minimum=minimum)
        if self.data_range is not None:
            check_range(self.data_range)

    def differences(self, other: Protocol) -> str:
        """What keeps two protocols from being equal, in words; empty if nothing does."""
        pairs = ((f.name, getattr(self, f.name), getattr(other, f.name)) for f in fields(self) if f.compare)
        return ", ".join(f"{name}: {mine!r} and {theirs!r}" for name, mine, theirs in pairs if mine != theirs)


def protocol_to_json(protocol: Protocol) -> str:
    """One line that :func:`protocol_from_json` reads."""
    return json.dumps(asdict(protocol))


def protocol_from_json(text: str) -> Protocol:
    """The protocol of such a line; ``TypeError`` for fields that this version does not know."""
    pairs = json.loads(text).items()
    known: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in pairs}
    return Protocol(**known)


def check_protocol(protocol: object) -> None:
    """A protocol."""
    if not isinstance(protocol, Protocol):
        raise TypeError(f"protocol must be a Protocol(...), got {describe(protocol)}")


class Score(float):
    """A number that carries its protocol: a ``float`` in every way but one.

    ``<``, ``<=``, ``>``, ``>=``, ``-`` and ``/`` of two scores of different protocols raise a ``ValueError`` that says
    what differs. In all else, ``==`` included, it is the plain number, and what is made of it is plain.

    Args:
        value: the number.
        protocol: how it was measured.

    Raises:
        TypeError: for another kind of value or protocol.

    Example:
        >>> ours = Score(12.5, Protocol(metric="Frechet distance", n_real=50_000))
        >>> theirs = Score(13.0, Protocol(metric="Frechet distance", n_real=10_000))
        >>> ours < theirs
        Traceback (most recent call last):
        ...
        ValueError: two protocols do not compare: n_real: 50000 and 10000
    """

    __slots__ = ("protocol",)
    protocol: Protocol

    def __new__(cls, value: float, protocol: Protocol) -> Self:
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"value must be a real number, got {describe(value)}")
        check_protocol(protocol)
        if isinstance(value, int):
            check_real("value", value)
        score = super().__new__(cls, value)
        score.protocol = protocol
        return score

    def __getnewargs__(self) -> tuple[float, Protocol]:  # type: ignore[override]
        return float(self), self.protocol

    def __lt__(self, other: float) -> bool:
        return float(self) < self._comparable(other)

    def __le__(self, other: float) -> bool:
        return float(self) <= self._comparable(other)

    def __gt__(self, other: float) -> bool:
        return float(self) > self._comparable(other)

    def __ge__(self, other: float) -> bool:
        return float(self) >= self._comparable(other)

    def __sub__(self, other: float) -> float:
        return float(self) - self._comparable(other)

    def __truediv__(self, other: float) -> float:
        return float(self) / self._comparable(other)

    def _comparable(self, other: float) -> float:
        """The other as a plain number, if it may be compared."""
        if not isinstance(other, Score):
            return other
        if self.protocol != other.protocol:
            raise ValueError(f"two protocols do not compare: {self.protocol.differences(other.protocol)}")
        return float(other)
