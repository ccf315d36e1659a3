"""The README and the pages: their Python runs, and what they name exists."""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import re
import textwrap
from pathlib import Path

import pytest
import torch
from torch import Tensor

import stochrobust
from reference_experiments.__main__ import studies
from stochrobust import torchmetrics as metric_classes

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = sorted(path for path in DOCS.rglob("*.md"))
REFERENCE = sorted((DOCS / "reference").glob("*.md"))
FENCE = re.compile(
    r"^(?P<indent> *)``` ?(?:python|\{ \.python)(?P<options>[^\n]*)\n(?P<code>.*?)^(?P=indent)```",
    re.DOTALL | re.MULTILINE,
)


# -- the Python of the pages -------------------------------------------------------------------------------------------


def blocks_of(page: Path) -> list[str]:
    """The Python of a page, block by block, with the files that it shows by name."""

    def shown(match: re.Match[str]) -> str:
        text, part = (ROOT / match["file"]).read_text(), match["part"]
        return text.partition(f"[start:{part}]\n")[2].partition(f"# --8<-- [end:{part}]")[0] if part else text

    # (A block that shows a file is fenced as { .python }: formatters would take the line that names it for Python.)
    name = re.compile(r'^--8<-- "(?P<file>[^":]+):?(?P<part>\w*)"\n', re.MULTILINE)
    return [name.sub(shown, textwrap.dedent(match["code"])) for match in FENCE.finditer(page.read_text())]


def run_blocks(page: Path, names: dict[str, object]) -> list[str]:
    """Runs each block with the names of those before it, as a reader would paste it; what each prints."""
    printed = []
    for number, block in enumerate(blocks_of(page), 1):
        with contextlib.redirect_stdout(io.StringIO()) as output:
            exec(compile(block, f"{page.name}, block {number}", "exec"), names)
        printed.append(output.getvalue())
    return printed


class Seeded(torch.nn.Module):
    """The G that a reader has."""

    def sample_z(self, y: Tensor, generator: torch.Generator | None) -> Tensor:
        return torch.randn(y.shape, generator=generator)

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        return y + 0.1 * z * y


def readers_own() -> dict[str, object]:
    return {"G": Seeded(), "y": torch.rand(64, 3), "adversarial_loss": torch.zeros(())}


def test_every_block_of_the_readme_runs() -> None:
    names = readers_own()
    assert len(run_blocks(README, names)) == README.read_text().count("```python") >= 3
    loss, diversity = names["loss"], names["diversity"]
    assert isinstance(loss, Tensor)
    assert loss > 0
    assert isinstance(diversity, Tensor)
    assert diversity.shape == (16,)


WITH_PYTHON = [page for page in PAGES if "```python" in page.read_text() and page.parent.name != "tutorials"]


def test_most_pages_have_python() -> None:
    assert len(WITH_PYTHON) >= 7


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: str(page.relative_to(DOCS)))
def test_every_block_of_a_page_runs(page: Path) -> None:
    names = readers_own() if page.name == "index.md" else {}
    assert len(run_blocks(page, names)) == len(re.findall(r"``` ?(?:python|\{ \.python)", page.read_text()))
    for name in ("loss", "robustness"):
        value = names.get(name, torch.ones(()))
        assert isinstance(value, Tensor)
        assert (value > 0).all(), name


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted((DOCS / "tutorials").glob("*.md")), ids=lambda page: page.stem)
def test_a_tutorial_runs_and_ends_with_a_figure_that_it_made(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(ROOT)
    fences = list(FENCE.finditer(page.read_text()))
    printed = run_blocks(page, {})
    assert len(printed) == len(fences) == page.read_text().count('exec="on"') >= 3
    for fence, text in zip(fences, printed, strict=True):
        assert bool(text) == ("print(" in fence["code"]), fence["code"]
    assert any("data:image/png;base64" in text for text in printed)
    assert any(re.search(r"\d\.\d", text) for text in printed if "base64" not in text)


def test_a_block_that_fails_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text('??? note\n\n    ```python exec="on"\n    x = 1\n    ```\n\n```python\nassert x == 2\n```\n')
    assert len(blocks_of(page)) == 2
    with pytest.raises(AssertionError):
        run_blocks(page, {})


def test_what_the_how_to_pages_show_of_the_examples_is_there() -> None:
    pages = "".join(path.read_text() for path in sorted((DOCS / "how-to").glob("*.md")))
    shown = re.findall(r'--8<-- "([^":]+):([^":]+)"', pages)
    assert {Path(file).stem for file, _ in shown} == {"plain_loop", "lightning_gan", "accelerate_two_processes"}
    for file, section in shown:
        text = (ROOT / file).read_text()
        assert "robustness_loss" in text.partition(f"[start:{section}]")[2].partition(f"[end:{section}]")[0]


def test_both_commands_of_the_readme_name_sessions_that_exist() -> None:
    commands = re.findall(r"nox -s (\w+)", README.read_text())
    noxfile = (ROOT / "noxfile.py").read_text()
    assert {"demo", "tests"} <= set(commands)
    assert all(f"def {name}(" in noxfile for name in commands)


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text().partition("nav:")[2].partition("hooks:")[0]
    for page in PAGES:
        assert str(page.relative_to(DOCS)) in navigation, page


# -- what they name ----------------------------------------------------------------------------------------------------


def functions_of(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def missing_tests(text: str) -> list[str]:
    """The tests that a page names and that do not exist."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    return [
        f"{file}::{name}"
        for file, name in named
        if not (ROOT / file).is_file() or name not in functions_of(ROOT / file)
    ]


@pytest.mark.parametrize("page", ["paper-map.md", "explanation/precision.md", "explanation/peers.md"])
def test_every_test_that_a_page_names_exists(page: str) -> None:
    text = (DOCS / page).read_text()
    assert text.count("`tests/") == len(re.findall(r"`tests/[\w/]+\.py::\w+`", text)) >= 5
    assert not missing_tests(text)


def test_a_test_that_does_not_exist_is_noticed() -> None:
    assert missing_tests("`tests/test_pages.py::test_no_such_thing` `tests/test_nothing.py::test_x`") == [
        "tests/test_pages.py::test_no_such_thing", "tests/test_nothing.py::test_x"
    ]  # fmt: skip


def test_every_function_of_the_paper_map_is_public_and_every_equation_has_one() -> None:
    equations = (DOCS / "paper-map.md").read_text().partition("## Equations")[2].partition("## Studies")[0]
    rows = [row.split("|")[1:-1] for row in equations.splitlines() if row.startswith("| ")][2:]
    assert len(rows) >= 14
    for paper, _, functions, test in rows:
        names = re.findall(r"`(\w+)`", functions)
        assert names, paper
        assert set(names) <= set(stochrobust.__all__), (paper, names)
        assert "::" in test, paper
    listed = " ".join(row[0] for row in rows)
    assert all(re.search(rf"\b{number}\b", listed) for number in range(1, 10)), listed


def test_every_study_of_the_paper_map_is_a_command() -> None:
    commands = {study.name for study in studies()}
    named = re.findall(r"python -m reference_experiments ([\w-]+)", (DOCS / "paper-map.md").read_text())
    assert len(named) >= 8
    assert set(named) <= commands


def in_the_reference(pages: list[Path]) -> list[str]:
    """Every name that the reference has a place for."""
    return [
        name for page in pages for name in re.findall(r"^::: stochrobust\.([\w.]+)$", page.read_text(), re.MULTILINE)
    ]


def test_the_reference_has_every_public_name_once() -> None:
    names = in_the_reference(REFERENCE)
    own = [name.rpartition(".")[2] for name in names if not name.startswith("torchmetrics.")]
    assert sorted(own) == sorted(stochrobust.__all__)
    classes = [name.removeprefix("torchmetrics.") for name in names if name.startswith("torchmetrics.")]
    assert sorted(classes) == sorted(metric_classes.__all__)


@pytest.mark.parametrize("name", in_the_reference(REFERENCE))
def test_what_the_reference_names_is_what_is_imported(name: str) -> None:
    module, _, attribute = f"stochrobust.{name}".rpartition(".")
    public = metric_classes if name.startswith("torchmetrics.") else stochrobust
    assert getattr(importlib.import_module(module), attribute) is getattr(public, attribute)
