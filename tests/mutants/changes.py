"""Small changes of a module's code, each of which some test should notice."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATIONS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Pow: ast.Mult,
    ast.Mod: ast.FloorDiv,
}  # fmt: skip
SKIPPED = (ast.Raise, ast.JoinedStr, ast.Import, ast.ImportFrom)
"""What a change in is only a word of a message, or the end of the module."""


@dataclass(frozen=True)
class Mutant:
    """A module with one change.

    Attributes:
        path: of the module.
        line: where it is changed.
        change: what was there, and what is there now.
        source: of all of it.
    """

    path: Path
    line: int
    change: str
    source: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.change}"


def mutants(path: Path) -> Iterator[Mutant]:
    """Every mutant of a module."""
    tree = ast.parse(path.read_text())
    places = list(_places(tree))
    for place in range(len(places)):
        for choice in range(len(_changed(places[place]))):
            whole = copy.deepcopy(tree)
            node = list(_places(whole))[place]
            before, after = ast.unparse(node), _changed(node)[choice]
            _put(whole, node, after)
            text = f"{before} -> {ast.unparse(after)}"
            yield Mutant(path, node.lineno, text, ast.unparse(ast.fix_missing_locations(whole)))


def _places(tree: ast.AST) -> Iterator[ast.expr]:
    """The expressions that can be changed, without annotations, messages and docstrings."""
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list", "bases"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, SKIPPED):
                continue
            if isinstance(child, ast.FunctionDef) and "overload" in map(ast.unparse, child.decorator_list):
                continue  # for type checkers: never run
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue
            if isinstance(child, ast.expr) and _changed(child):
                yield child
            yield from _places(child)


def _changed(node: ast.expr) -> list[ast.expr]:
    """What may stand in its place."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARISONS:
        return [ast.Compare(node.left, [COMPARISONS[type(node.ops[0])]()], node.comparators)]
    if (
        isinstance(node, ast.BinOp)
        and type(node.op) in OPERATIONS
        and not isinstance(node.left, ast.Constant | ast.List)
    ):
        return [ast.BinOp(node.left, OPERATIONS[type(node.op)](), node.right)]
    if isinstance(node, ast.BoolOp):
        return [ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        return [node.operand]
    if isinstance(node, ast.IfExp):
        return [ast.IfExp(node.test, node.orelse, node.body)]
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        return [ast.Constant(not node.value)]
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return [ast.Constant(node.value + 1 if isinstance(node.value, int) else node.value * 2 + 1e-3)]
    return []


def _put(tree: ast.AST, old: ast.expr, new: ast.expr) -> None:
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, name, new)
            elif isinstance(value, list):
                for i, child in enumerate(value):
                    if child is old:
                        value[i] = new
