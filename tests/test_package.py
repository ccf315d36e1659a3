"""The package as a whole: public names, version, what an import costs, who may import whom, and how long things are."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import stochrobust

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src"

# Each may import those before it, and never one after it.
CHAIN = (
    {"balls", "seeds", "estimators"}, {"ascent"}, {"attacks", "searches"}, {"diagnosis"}, {"measurement"},
    {"linearised", "sensitivity"}, {"evidence"}, {"losses"}, {"audit"},
)  # fmt: skip
# These know nothing of attacks: not by themselves, and not through what they import.
ATTACK_FREE = {"wasserstein", "consistency", "metrics"}
ATTACKS = set().union(*CHAIN) - {"seeds", "estimators"}

HEAVY = ("matplotlib", "scipy", "sklearn", "torchmetrics", "torchvision")

MODULE_LINES = 250
FUNCTION_LINES = 40


# -- the public names --------------------------------------------------------------------------------------------------


def own_docstring(value: object) -> str | None:
    """The docstring that somebody wrote for this value; an instance is documented by its class."""
    documented = value if callable(value) and hasattr(value, "__name__") else type(value)
    text = documented.__doc__
    name = getattr(documented, "__name__", "")
    return None if text is None or text.startswith(f"{name}(") else text  # a dataclass writes its signature there


@pytest.mark.parametrize("name", stochrobust.__all__)
def test_public_name_exists_and_is_documented(name: str) -> None:
    assert hasattr(stochrobust, name), f"__all__ lists {name}, which stochrobust does not have"
    if not name.startswith("__"):
        assert own_docstring(getattr(stochrobust, name)), f"{name} has no docstring"


def test_public_names_are_listed_once_and_no_others_exist() -> None:
    assert len(set(stochrobust.__all__)) == len(stochrobust.__all__)
    modules = {name for name, value in vars(stochrobust).items() if type(value) is type(sys)}
    public = {name for name in vars(stochrobust) if not name.startswith("_")} - modules
    assert public <= set(stochrobust.__all__), f"not in __all__: {sorted(public - set(stochrobust.__all__))}"


def test_an_undocumented_name_is_noticed() -> None:
    from dataclasses import dataclass

    @dataclass
    class Undocumented:
        value: int

    assert own_docstring(Undocumented) is None
    assert own_docstring(lambda: None) is None
    assert own_docstring(test_an_undocumented_name_is_noticed) is None
    assert own_docstring(own_docstring)


# -- the version -------------------------------------------------------------------------------------------------------


def test_the_version_has_one_source() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["hatch"]["version"]["path"] == "src/stochrobust/__init__.py"
    assert "\nversion:" not in (ROOT / "CITATION.cff").read_text(), "a second place to forget"


def test_photographs_of_people_are_not_in_the_wheel() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    photographs = [p.relative_to(ROOT) for p in (ROOT / "reference_experiments/results").glob("faces*/figure1*")]
    assert photographs
    for path in photographs:
        assert any(path.match(pattern) for pattern in wheel["exclude"]), path


def test_the_installed_version_is_the_packages() -> None:
    try:
        installed = importlib.metadata.version("stochrobust")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("stochrobust runs from its source tree here and is not installed")
    assert installed == stochrobust.__version__


# -- what importing costs ----------------------------------------------------------------------------------------------


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after a statement."""
    code = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    path = os.pathsep.join(filter(None, [str(SRC), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_importing_stochrobust_imports_nothing_heavy() -> None:
    loaded = loaded_by("import stochrobust")
    assert "stochrobust" in loaded
    assert not loaded & {*HEAVY, "reference_experiments"}
    assert "scipy" in loaded_by("import scipy.spatial"), "loaded_by would not notice"


# -- who imports whom --------------------------------------------------------------------------------------------------


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_names(path: Path, root: Path) -> Iterator[str]:
    """Every dotted name that a file imports, at its top level or inside, `from a import b` as a.b."""
    package = module_name(path, root).split(".")
    if path.name != "__init__.py":
        package.pop()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            base += node.module.split(".") if node.module else []
            yield from (".".join([*base, alias.name]) for alias in node.names)


def import_graph(root: Path) -> dict[str, set[str]]:
    """Module -> the modules of the same tree that it imports."""
    files = {module_name(path, root): path for path in root.rglob("*.py")}
    graph: dict[str, set[str]] = {name: set() for name in files}
    for name, path in files.items():
        for target in imported_names(path, root):
            if target.endswith(".__version__"):
                continue  # a string that the package sets before it imports anything
            while target and target not in files:
                target = target.rpartition(".")[0]
            if target:
                graph[name].add(target)
    return graph


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    """Everything that a module imports, directly or through others; itself only if in a circle."""
    seen: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += graph[name]
    return seen


def wrong_imports(root: Path) -> list[str]:
    """What breaks the direction of imports, in sentences."""
    graph = import_graph(root)
    wrong = []
    for name in sorted(graph):
        below = reachable(graph, name)
        part = name.split(".")[1] if "." in name else ""
        names = {other.split(".")[1] for other in below if "." in other}
        if name in below:
            wrong.append(f"{name} imports itself through {sorted(graph[name])}")
        if part in ATTACK_FREE and names & ATTACKS:
            wrong.append(f"{name} knows nothing of attacks but imports {sorted(names & ATTACKS)}")
        for rank, level in enumerate(CHAIN):
            above = names & set().union(*CHAIN[rank + 1 :])
            if part in level and above:
                wrong.append(f"{name} imports {sorted(above)}, which come after it")
    return wrong


def test_imports_point_down_only() -> None:
    assert not wrong_imports(SRC)


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"balls": "from p.ascent import maximise", "ascent": ""}, "p.balls imports ['ascent']"),
        ({"balls": "def f():\n    from . import losses", "losses": ""}, "p.balls imports ['losses']"),
        ({"metrics/psnr": "from .. import _x", "_x": "import p.ascent", "ascent": ""}, "imports ['ascent']"),
        ({"seeds": "from p import _x", "_x": "from p.seeds import draw"}, "p.seeds imports itself"),
        ({"__init__": "from p.audit import audit", "audit": "from p import audit"}, "p.audit imports itself"),
        ({"metrics/__init__": "from ..balls import L2", "balls": ""}, "p.metrics knows nothing of attacks"),
    ],
)
def test_a_wrong_import_is_noticed(tmp_path: Path, files: dict[str, str], complaint: str) -> None:
    for name, text in {"__init__": "", "metrics/__init__": "", **files}.items():
        path = tmp_path / "p" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert complaint in " ".join(wrong_imports(tmp_path))


def test_the_experiments_use_public_names_only() -> None:
    private = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sorted((ROOT / "reference_experiments").rglob("*.py"))
        for name in imported_names(path, ROOT)
        if name.startswith("stochrobust.") and any(part.startswith("_") for part in name.split(".")[1:])
        if name != "stochrobust.__version__"
    ]
    assert not private


# -- how long things are -----------------------------------------------------------------------------------------------


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function from its first statement to its last; the docstring does not count."""
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def too_long(path: Path) -> list[str]:
    """What in a file is over the budget, in sentences."""
    text = path.read_text()
    lines = len(text.splitlines())
    over = [f"{path.name} has {lines} lines, {MODULE_LINES} allowed"] if lines > MODULE_LINES else []
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return over + [
        f"{path.name}: {function.name} has {body_lines(function)} lines, {FUNCTION_LINES} allowed"
        for function in functions
        if body_lines(function) > FUNCTION_LINES
    ]


@pytest.mark.parametrize("path", sorted(SRC.rglob("*.py")), ids=lambda path: str(path.relative_to(SRC)))
def test_modules_and_functions_stay_within_their_budget(path: Path) -> None:
    assert not too_long(path)


def test_a_long_function_and_a_long_module_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_text('def f():\n    """A docstring\n\n    of lines."""\n' + "    x = 1\n" * FUNCTION_LINES)
    assert not too_long(path)
    path.write_text("def f():\n" + "    x = 1\n" * (FUNCTION_LINES + 1))
    assert len(too_long(path)) == 1
    path.write_text("x = 1\n" * (MODULE_LINES + 1))
    assert len(too_long(path)) == 1
