"""The roles in docstrings, such as :func:`~stochrobust.psnr`, as links where the reference has the name."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`(?P<short>~?)(?P<target>[\w.]+)`")


def places(package: griffe.Module) -> dict[str, str]:
    """Where the reference has each public name: where it is imported from, if a module of the same name hides it."""
    found = {}
    for name in map(str, package.exports or ()):
        member = package.members.get(name)
        hidden = member is not None and not member.is_alias and member.is_module
        found[name] = package.imports[name] if hidden else f"{package.path}.{name}"
    return found


def linked(text: str, where: dict[str, str]) -> str:
    """A docstring with its roles as Markdown."""

    def link(match: re.Match[str]) -> str:
        name = match["target"].rpartition(".")[2]
        target = where.get(name)
        shown = name if match["short"] or target else match["target"].lstrip(".")
        return f"[`{shown}`][{target}]" if target else f"`{shown}`"

    return ROLE.sub(link, text)


class Roles(griffe.Extension):
    """Rewrites every docstring before it is parsed."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Called by griffe when all of the package has been read."""
        rewrite(pkg, places(pkg))


def rewrite(item: griffe.Object | griffe.Alias, where: dict[str, str]) -> None:
    """The docstrings of a module or class, and of all below it."""
    if item.is_alias:
        return
    if item.docstring:
        item.docstring.value = linked(item.docstring.value, where)
    for member in item.members.values():
        rewrite(member, where)
