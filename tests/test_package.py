"""The package as a whole: public names, version, what an import costs, the house, and how long things are."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import stochrobust

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src"

GROUPS = ("losses", "robustness", "attacks", "estimators", "consistency", "metrics", "transport", "auditing")
# Tests of a group that are about more than one of its modules, by what they are about.
ACROSS = {
    "consistency": {"projectors"},
    "losses": {"alternatives", "distributed", "norm_statistics", "training_setups"},
    "torchmetrics": {"torchmetrics"},
    "auditing": {"audit", "demo_models", "judged_estimators"},
    "cli": {"readme_audit"},
}

HEAVY = ("matplotlib", "scipy", "sklearn", "torchmetrics", "torchvision")

MODULE_LINES = 200  # of code: what the eye holds
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


# -- the house ---------------------------------------------------------------------------------------------------------


def test_every_group_lists_itself_and_together_they_are_the_public_names() -> None:
    listed = [name for group in GROUPS for name in importlib.import_module(f"stochrobust.{group}").__all__]
    assert sorted(listed) == sorted(stochrobust.__all__)
    for group in GROUPS:
        assert f":mod:`stochrobust.{group}`" in (stochrobust.__doc__ or ""), f"{group} is not in help(stochrobust)"


@pytest.mark.parametrize("group", [*GROUPS, "torchmetrics"])
def test_a_group_has_a_page_of_the_reference_and_a_row_in_the_readme(group: str) -> None:
    tree = ast.parse((SRC / "stochrobust" / group / "__init__.py").read_text())
    (names,) = [ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign)]
    prefix = "stochrobust.torchmetrics." if group == "torchmetrics" else "stochrobust."
    page = re.findall(r"^::: (\S+)$", (ROOT / f"docs/reference/{group}.md").read_text(), re.MULTILINE)
    assert sorted(page) == sorted(prefix + name for name in names)
    (row,) = re.findall(rf"^\| \[`{group}`\].*\|(.*)\|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", row)) == sorted(names)


def test_no_module_bears_the_name_of_a_public_function() -> None:
    parts = {part for path in SRC.rglob("*.py") for part in path.relative_to(SRC).with_suffix("").parts}
    assert not parts & {name for name in stochrobust.__all__ if not name[0].isupper()}


def test_completion_shows_public_names_only() -> None:
    shown = {name for name in dir(stochrobust) if not name.startswith("_")}
    assert shown - {*GROUPS, "torchmetrics", "cli"} == set(stochrobust.__all__)


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Every ``from MODULE import NAME`` in a file, and ``import MODULE`` as a pair with an empty name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def private_imports(path: Path) -> list[str]:
    """Names with an underscore that a file takes from another module of the library."""
    return [
        f"{path.name}: {name} of {module}"
        for module, name in imports(path)
        if module.startswith("stochrobust.") and name.startswith("_")
    ]


@pytest.mark.parametrize("path", sorted(SRC.rglob("*.py")), ids=lambda path: str(path.relative_to(SRC)))
def test_a_name_with_an_underscore_stays_in_its_module(path: Path) -> None:
    assert not private_imports(path)


def round_the_public_face(path: Path) -> list[str]:
    """What a client imports of the library that is neither ``stochrobust`` nor one of its groups."""
    public = {"stochrobust", *(f"stochrobust.{group}" for group in (*GROUPS, "torchmetrics", "cli"))}
    return [
        f"{path.name}: {module}"
        for module, name in imports(path)
        if module.partition(".")[0] == "stochrobust" and (module not in public or name.startswith("_"))
        if name != "__version__"
    ]


@pytest.mark.parametrize("folder", ["benchmarks", "docs", "examples", "reference_experiments"])
def test_clients_import_public_names_only(folder: str) -> None:
    assert not [line for path in sorted((ROOT / folder).rglob("*.py")) for line in round_the_public_face(path)]


@pytest.mark.parametrize(
    "line",
    ["from stochrobust.attacks.balls import L2", "from stochrobust._tensors import flat", "import stochrobust._files"],
)
def test_a_client_that_goes_round_the_public_face_is_noticed(tmp_path: Path, line: str) -> None:
    (tmp_path / "m.py").write_text(line)
    assert round_the_public_face(tmp_path / "m.py")
    (tmp_path / "m.py").write_text("from stochrobust.attacks.balls import _shrink")
    assert private_imports(tmp_path / "m.py")


@pytest.mark.parametrize("group", [*GROUPS, "torchmetrics", "cli"])
def test_tests_are_found_by_the_name_of_their_module(group: str) -> None:
    modules = {path.stem.removeprefix("_") for path in (SRC / "stochrobust" / group).glob("*.py")}
    tests = {path.stem.removeprefix("test_") for path in (ROOT / "tests" / group).glob("test_*.py")}
    assert tests <= modules | ACROSS.get(group, set()), f"of no module of {group}: {tests - modules}"


# -- how long things are -----------------------------------------------------------------------------------------------


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function from its first statement to its last; the docstring does not count."""
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def code_lines(text: str) -> int:
    """Lines of a file without docstrings, imports, comments and blanks."""
    free: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        value = node.value if isinstance(node, ast.Expr) else None
        is_text = isinstance(value, ast.Constant) and isinstance(value.value, str)
        if isinstance(node, ast.stmt) and (is_text or isinstance(node, ast.Import | ast.ImportFrom)):
            free |= set(range(node.lineno, (node.end_lineno or 0) + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(bool(line.strip()) and not line.strip().startswith("#") and n not in free for n, line in lines)


def too_long(path: Path) -> list[str]:
    """What in a file is over the budget, in sentences."""
    text = path.read_text()
    lines = code_lines(text)
    over = [f"{path.name} has {lines} lines of code, {MODULE_LINES} allowed"] if lines > MODULE_LINES else []
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
    free = '"""Of\n\nmany lines."""\n\n# and a comment\nimport ast\n\n'
    path.write_text(free + "x = 1\n" * MODULE_LINES)
    assert not too_long(path)
    path.write_text(free + "x = 1\n" * (MODULE_LINES + 1))
    assert len(too_long(path)) == 1
