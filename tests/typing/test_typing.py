"""The types as a user meets them: their own strict checker passes every right call, and refuses each wrong one."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.typing import right, wrong

ROOT = Path(__file__).resolve().parents[2]
# torch leaves `backward` without annotations. Nobody is shown the lines of an installed package: so with src/ here.
USERS_SETTINGS = """
[mypy]
strict = true
untyped_calls_exclude = torch
[mypy-stochrobust.*]
follow_imports = silent
"""
MARK = re.compile(r"  # type: ignore\[(.+)\]$")


def entries(module: ModuleType) -> dict[str, Callable[[], None]]:
    """The functions of a module that can be called without an argument."""
    functions = inspect.getmembers(module, inspect.isfunction)
    return {
        name: function
        for name, function in functions
        if function.__module__ == module.__name__
        and all(p.default is not p.empty for p in inspect.signature(function).parameters.values())
    }


def marked(text: str) -> set[tuple[int, str]]:
    """(line, code) of every mark."""
    matches = ((number, MARK.search(line)) for number, line in enumerate(text.splitlines(), 1))
    return {(number, match[1]) for number, match in matches if match}


def unmarked(text: str) -> str:
    return re.sub(MARK.pattern, "", text, flags=re.MULTILINE)


@pytest.mark.slow
@pytest.mark.timeout(1200)  # mypy reads all of torch, in half a minute where nothing else runs
def test_a_strict_user_is_refused_exactly_the_marked_lines(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed: `nox -s check` has it")
    for module in (right, wrong):
        text = Path(str(module.__file__)).read_text()
        (tmp_path / f"{module.__name__.rpartition('.')[2]}.py").write_text(unmarked(text))
    settings = tmp_path / "mypy.ini"
    settings.write_text(USERS_SETTINGS)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--config-file",
        str(settings),
        "--cache-dir",
        str(ROOT / ".mypy_cache/user"),
    ]
    done = subprocess.run(
        [*command, "right.py", "wrong.py"],
        cwd=tmp_path, env=os.environ | {"MYPYPATH": str(ROOT / "src")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    errors = re.findall(r"^(\S+):(\d+): error: .*\[(.+)\]$", done.stdout, flags=re.MULTILINE)
    assert done.returncode == 1, done.stdout + done.stderr
    assert not [error for error in errors if error[0] != "wrong.py"], done.stdout
    assert {(int(line), code) for _, line, code in errors} == marked(Path(str(wrong.__file__)).read_text()), done.stdout


@pytest.mark.filterwarnings("ignore::stochrobust.AttackWarning")
@pytest.mark.filterwarnings(
    r"ignore:The \.grad attribute of a Tensor that is not a leaf:UserWarning"
)  # torch.compile's own
@pytest.mark.parametrize("name", entries(right))
def test_right_calls_run(name: str) -> None:
    entries(right)[name]()


@pytest.mark.filterwarnings("ignore::stochrobust.AttackWarning")
@pytest.mark.parametrize("name", entries(wrong))
def test_wrong_calls_raise(name: str) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError)):
        entries(wrong)[name]()


def test_every_wrong_call_is_marked_once() -> None:
    assert len(marked(inspect.getsource(wrong))) == len(entries(wrong)) > 20
