"""What every public name says of itself: arguments with shapes, result, errors, an example that runs, and a source."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
from collections.abc import Callable
from typing import Any, cast

import pytest

import stochrobust
from stochrobust import torchmetrics as metric_classes

SECTIONS = ("Args", "Attributes", "Returns", "Raises", "Warns", "Example", "Source")
# Of no formula: each is a way to call, or to count.
SOURCELESS = {
    "audit_command", "compare", "draw_seeds", "extract_features", "interval_by_halves", "module_of", "sampler_of",
    "summarize_psnr",
}  # fmt: skip
# Parts of a report, in whose docstring the example is; a protocol's members are described in its docstring.
EXAMPLELESS = {"AuditNumber", "Comparison", "Verdict"}
SHAPE = re.compile(r"\(\w[^)]*,[^)]*\)|shape|broadcast|scalar|rows|scales|number|as in|as :func:", re.IGNORECASE)

NAMES: dict[str, Any] = {name: getattr(stochrobust, name) for name in stochrobust.__all__}
FUNCTIONS = {name: value for name, value in NAMES.items() if inspect.isfunction(value)}
CLASSES = {name: value for name, value in NAMES.items() if inspect.isclass(value)}
CLASSES |= {f"torchmetrics.{name}": getattr(metric_classes, name) for name in metric_classes.__all__}
CONSTANTS = {name: value for name, value in NAMES.items() if name not in FUNCTIONS | CLASSES}


def sections(docstring: str | None) -> dict[str, str]:
    """The text of each section of a docstring; the formula and prose before them under the empty name."""
    parts = re.split(rf"^({'|'.join(SECTIONS)}):", inspect.cleandoc(docstring or ""), flags=re.MULTILINE)
    return {"": parts[0]} | dict(zip(parts[1::2], parts[2::2], strict=True))


def described(text: str) -> dict[str, str]:
    """What a section says of each name, several of which may share a line."""
    lines = text.strip("\n").splitlines()
    indent = len(lines[0]) - len(lines[0].lstrip()) if lines else 0
    own = itertools.takewhile(lambda line: not line.strip() or line.startswith(" " * indent), lines)
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", "\n".join(line[indent:] for line in own)):
        names, colon, words = entry.partition(":")
        if colon:
            found |= dict.fromkeys((name.strip() for name in names.split(",")), words.strip())
    return found


def parameters(value: Callable[..., object]) -> dict[str, inspect.Parameter]:
    """What is passed by name when it is called."""
    named = inspect.signature(value).parameters
    return {k: p for k, p in named.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and k[0] != "_"}


def raises(value: type) -> bool:
    """Whether making one may raise an error of its own."""
    makers = [vars(value).get(name) for name in ("__init__", "__post_init__", "__new__")]
    written = [m for m in makers if inspect.isfunction(m) and m.__code__.co_filename == inspect.getfile(value)]
    texts = map(inspect.getsource, written)  # (a dataclass writes its __init__ itself)
    return any(re.search(r"\braise \w+Error|\bcheck_\w+\(", text) for text in texts)


def lacking(name: str, value: Any) -> list[str]:
    """What a docstring leaves unsaid, in words."""
    said = sections(value.__doc__)
    # (A dataclass has the fields of the one it is made from, which describes them.)
    texts = [
        sections(own.__doc__)
        for own in (inspect.getmro(value) if inspect.isclass(value) else (value,))
        if own.__name__[0] != "_"
    ]
    arguments = {
        k: v for text in texts for part in ("Args", "Attributes") for k, v in described(text.get(part, "")).items()
    }
    wants = {"Example"} - ({"Example"} if name in EXAMPLELESS else set())
    if inspect.isfunction(value):
        wants |= {"Args", "Returns", "Raises"} | ({"Source"} - ({"Source"} if name in SOURCELESS else set()))
    elif raises(value):
        wants |= {"Raises"}
    found = sorted(wants - set(said))
    if inspect.isclass(value) and (issubclass(value, Warning) or getattr(value, "_is_protocol", False)):
        return found
    for argument, parameter in parameters(value).items():
        if argument not in arguments:
            found.append(argument)
        elif re.fullmatch(r"(float \| )?Tensor( \| None)?", str(parameter.annotation)) and not SHAPE.search(
            arguments[argument]
        ):
            found.append(f"shape of {argument}")
    return found


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_a_function_says_all_there_is_to_know(name: str) -> None:
    assert not lacking(name, FUNCTIONS[name])


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_class_says_all_there_is_to_know(name: str) -> None:
    assert not lacking(name, CLASSES[name])


@pytest.mark.parametrize("name", sorted(CONSTANTS))
def test_a_constant_is_followed_by_its_docstring(name: str) -> None:
    module = inspect.getmodule(type(CONSTANTS[name]))
    body = ast.parse(inspect.getsource(cast(Any, module))).body
    texts = [
        after.value.value
        for before, after in itertools.pairwise(body)
        if isinstance(before, ast.Assign) and isinstance(before.targets[0], ast.Name) and before.targets[0].id == name
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    ]
    assert len(texts) == 1
    assert len(str(texts[0])) > 40


def test_most_names_are_looked_at() -> None:
    assert len(FUNCTIONS) >= 30
    assert len(CLASSES) >= 40
    assert len(CONSTANTS) >= 5


def test_what_is_left_unsaid_is_noticed() -> None:
    def says_nothing(x: Tensor) -> Tensor:  # type: ignore[name-defined]  # noqa: F821
        """It."""

    def says_little(x: Tensor, y: Tensor) -> Tensor:  # type: ignore[name-defined]  # noqa: F821
        """It.

        Args:
            x: a thing
                and more of it.
            y: (B, ...) of them.

        Returns:
            It.

        Example:
            >>> 1
            1
        """

    class Settings:
        """It.

        Example:
            >>> 1
            1
        """

        def __init__(self, steps: int) -> None:
            if steps < 1:
                raise ValueError(f"steps must be positive, got {steps}")

    assert lacking("says_nothing", says_nothing) == ["Args", "Example", "Raises", "Returns", "Source", "x"]
    assert lacking("says_little", says_little) == ["Raises", "Source", "shape of x"]
    assert lacking("Settings", Settings) == ["Raises", "steps"]


def test_no_example_looks_like_a_link() -> None:
    """``[...]`` with a list below it is a link of Markdown, of which the pages would look for the target."""
    link = re.compile(r"^ *>>> .*\]\n *\[", re.MULTILINE)
    assert link.search(">>> [x for x in y]\n['a']")
    for name, value in (FUNCTIONS | CLASSES).items():
        assert not link.search(inspect.getdoc(value) or ""), name
