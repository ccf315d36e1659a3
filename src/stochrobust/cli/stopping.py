"""Ctrl-C and SIGTERM end a command in one line: what is kept, and how to go on."""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

OF_SIGNALS = 128
"""A shell's exit code of a program that a signal ended is this and the signal's number."""


class Stopped(BaseException):
    """The command was told to stop.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def code(self) -> int:
        """The exit code."""
        return OF_SIGNALS + self.number

    def sentence(self, options: argparse.Namespace) -> str:
        """What is kept, and how to go on."""
        name = signal.Signals(self.number).name
        if options.command != "audit":
            return f"stopped by {name}"
        if options.cache is None:
            return f"stopped by {name}: nothing is kept; with --cache FOLDER the same command would go on from there"
        return (
            f"stopped by {name}: {options.cache} keeps the batches that are done; the same command goes on from there"
        )


@contextmanager
def stoppable() -> Iterator[None]:
    """Both signals raise :class:`Stopped` inside; nothing changes in a thread that is not the main one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    raise Stopped(number)
