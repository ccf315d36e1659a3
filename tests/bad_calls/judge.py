"""A wrong call judged: refused by the name of the argument, obscurely, too late, or answered as if it were right."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

SECONDS = 5.0
"""The most that a refusal may take of the processor."""


@dataclass(frozen=True)
class Base:
    """A call that is right.

    Attributes:
        name: what is called.
        call: it, by keywords.
        right: arguments that are right; a function without arguments makes what must be new every time.
        wrong: for each argument, values that it cannot have.
        words: by which an error may call an argument, besides its name.
    """

    name: str
    call: Callable[..., Any]
    right: dict[str, Any]
    wrong: dict[str, dict[str, Any]]
    words: dict[str, str] = field(default_factory=dict)

    def cases(self) -> Iterator[Case]:
        """Every argument with every wrong value, one at a time."""
        for argument, values in self.wrong.items():
            for kind, value in values.items():
                yield Case(self, argument, kind, value)


@dataclass(frozen=True)
class Case:
    """One wrong call."""

    base: Base
    argument: str
    kind: str
    value: Any

    def __str__(self) -> str:
        return f"{self.base.name}({self.argument}={self.kind})"

    def verdict(self) -> str:
        """Empty if it is refused as it should be; else what is wrong, beginning with silent, obscure or slow."""
        start = time.process_time()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = self.base.call(**(self.base.right | {self.argument: self.value}))
        except (ValueError, TypeError) as error:
            words = rf"(?<!\w)({self.argument}|{self.base.words.get(self.argument, self.argument)})(?!\w)"
            verdict = "" if re.search(words, str(error)) else f"obscure: {type(error).__name__}: {str(error)[:150]}"
        except Exception as error:
            verdict = f"obscure: {type(error).__name__}: {str(error)[:150]}"
        else:
            verdict = f"silent: a {type(found).__name__}"
        seconds = time.process_time() - start
        return f"slow: {seconds:.1f} s" if not verdict and seconds > SECONDS else verdict
