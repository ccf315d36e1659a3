"""The roles in docstrings (:func:`~stochrobust.psnr`) as links, where the reference has the name, and as code elsewhere."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`(?P<short>~?)(?P<target>[\w.]+)`")


def public(target: str, names: set[str]) -> str | None:
    """The dotted name under which the reference has a target, if it has it."""
    name = target.rpartition(".")[2]
    return f"stochrobust.{name}" if name in names else None


def linked(text: str, names: set[str]) -> str:
    """A docstring with its roles as Markdown."""

    def link(match: re.Match[str]) -> str:
        target = public(match["target"], names)
        shown = match["target"].rpartition(".")[2] if match["short"] or target else match["target"].lstrip(".")
        return f"[`{shown}`][{target}]" if target else f"`{shown}`"

    return ROLE.sub(link, text)


class Roles(griffe.Extension):
    """Rewrites every docstring before it is parsed."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Once the package is loaded, its public names are known."""
        names = set(pkg.exports or ())
        rewrite(pkg, {str(name) for name in names})


def rewrite(item: griffe.Object | griffe.Alias, names: set[str]) -> None:
    """The docstrings of a module or class, and of all below it."""
    if item.is_alias:
        return
    if item.docstring:
        item.docstring.value = linked(item.docstring.value, names)
    for member in item.members.values():
        rewrite(member, names)
