"""Workflows, issue forms and recipe: they parse, name sessions that exist, and are allowed no more than they need."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.release.tag import ROOT, refusals, version

yaml: Any = pytest.importorskip("yaml", reason="the extra `experiments` brings it")

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
CONDA_NAMES = {"torch": "pytorch", "typing-extensions": "typing_extensions"}


def parsed(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def steps(workflow: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every step with its job."""
    for job in parsed(workflow)["jobs"].values():
        for step in job.get("steps", []):
            yield job, step


def noxfile_sessions(text: str) -> set[str]:
    """The sessions of a noxfile, those of the matrix by their full names."""
    tree = ast.parse(text)
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list}
    return functions | {f"matrix(python{python}-torch{torch})" for python, torch in matrix(text)}


def matrix(text: str) -> list[tuple[str, str]]:
    """``MATRIX`` of a noxfile."""
    (value,) = (
        node.value
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MATRIX"
    )
    return list(ast.literal_eval(value))


def sessions_named(workflow: Path) -> set[str]:
    """The nox sessions that a workflow's commands run, its matrix written out."""
    found: set[str] = set()
    for job, step in steps(workflow):
        for quoted, plain in re.findall(r'nox -s (?:"([^"]+)"|(\S+))', step.get("run", "")):
            name = quoted or plain
            if name == "${{ matrix.session }}":
                found |= {entry["session"] for entry in job["strategy"]["matrix"]["include"]}
            else:
                found.add(name)
    return found


UNPINNED = {"pypa/gh-action-pypi-publish@release/v1"}
"""No copy of its repository with a release that knows attestations was at hand to take the commit from."""
REQUIREMENTS = GITHUB / "requirements"


def pinned(action: str) -> bool:
    """Whether it is named by a commit."""
    return re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", action) is not None


NOXFILE = (ROOT / "noxfile.py").read_text()


@pytest.mark.parametrize("path", sorted(GITHUB.rglob("*.yml")), ids=lambda path: path.name)
def test_it_parses(path: Path) -> None:
    assert isinstance(parsed(path), dict)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_name_sessions_that_exist(workflow: Path) -> None:
    assert sessions_named(workflow) <= noxfile_sessions(NOXFILE)


def test_sessions_are_found_where_they_are_named() -> None:
    named = set().union(*map(sessions_named, WORKFLOWS))
    assert {"docs", "package", "matrix(python3.11-torch2.4)"} <= named
    assert not named <= noxfile_sessions("MATRIX = []\n"), "a session that does not exist would not be noticed"


def test_ci_runs_sessions_that_exist() -> None:
    (line,) = re.findall(r"^for session in (.+); do$", (ROOT / ".ci/run").read_text(), flags=re.MULTILINE)
    assert set(line.split()) <= noxfile_sessions(NOXFILE)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_are_allowed_no_more_than_they_need(workflow: Path) -> None:
    text, content = workflow.read_text(), parsed(workflow)
    assert content["permissions"] == {"contents": "read"}, "what writes is a job's own permission"
    assert "secrets." not in text, "the token of the run and the proof of identity are enough"
    assert "pull_request_target" not in text, "it would run a stranger's code with our permissions"
    for job in content["jobs"].values():
        assert "uses" in job or "timeout-minutes" in job
    for _, step in steps(workflow):
        if "uses" in step:
            assert pinned(step["uses"]) or step["uses"] in UNPINNED, step["uses"]
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
        assert "${{ github" not in step.get("run", ""), "a name of somebody else's would become a command"


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_pinned_action_says_its_version_and_is_one_commit_everywhere(workflow: Path) -> None:
    for line in re.findall(r"uses: (?!\./)(.+)", workflow.read_text()):
        action, _, comment = line.partition(" # ")
        assert action in UNPINNED or re.fullmatch(r"v\d+\.\d+\.\d+", comment), line
    names = [step["uses"].split("@") for path in WORKFLOWS for _, step in steps(path) if "uses" in step]
    assert len({name for name, _ in names}) == len({tuple(both) for both in names})


def test_actions_and_build_tools_have_an_updater() -> None:
    updates = parsed(GITHUB / "dependabot.yml")["updates"]
    kept = {(update["package-ecosystem"], update["directory"]) for update in updates}
    assert kept == {("github-actions", "/"), ("pip", "/"), ("pip", "/.github/requirements")}


def test_what_builds_a_release_is_held_to_hashes() -> None:
    for workflow in WORKFLOWS:
        for _, step in steps(workflow):
            for line in step.get("run", "").splitlines():
                if "pip install" in line:
                    assert "--require-hashes -r .github/requirements/" in line or "dist/*.whl" in line, line
    package = NOXFILE[NOXFILE.index("def package(") :].partition("\n\n\n")[0]
    assert re.findall(r"session.install\((.*)\)", package) == [
        '"--require-hashes", "-r", ".github/requirements/package.txt"'
    ]
    assert "--no-isolation" in package, "else the backend would be whatever is newest"
    for path in REQUIREMENTS.glob("*.in"):
        wanted = {re.split("[<>=]", line)[0] for line in path.read_text().splitlines() if line and line[0] != "#"}
        locked = re.findall(
            r"^([\w.-]+)==[^\\]+\\\n(?:    --hash=sha256:[0-9a-f]{64})", path.with_suffix(".txt").read_text(), re.M
        )
        assert wanted <= set(locked), path.name
    backend = {re.split("[<>=]", name)[0] for name in PYPROJECT["build-system"]["requires"]}
    assert backend <= set((REQUIREMENTS / "package.in").read_text().replace(">", "\n").split())


def test_only_what_the_tests_passed_is_signed() -> None:
    jobs = parsed(GITHUB / "workflows/release.yml")["jobs"]
    signing = {
        name for name, job in jobs.items() if any("attest" in step.get("uses", "") for step in job.get("steps", []))
    }
    assert signing == {"describe"}
    for name in signing:
        assert {"tests", "build"} <= set(jobs[name]["needs"])
        assert "if" not in jobs[name], "a condition could let it run after a failure"


def test_only_a_tag_is_published_and_only_from_its_environment() -> None:
    jobs = parsed(GITHUB / "workflows/release.yml")["jobs"]
    publish = jobs["publish"]
    assert publish["environment"] == "pypi"
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["if"] == jobs["announce"]["if"] == "github.event_name == 'push'"
    assert set(publish["needs"]) == {"tests", "build", "describe"}
    commands = " ".join(step.get("run", "") for step in jobs["build"]["steps"])
    assert 'tests/release/tag.py "$GITHUB_REF_NAME"' in commands


@pytest.mark.parametrize(
    ("tag", "changelog", "n_refusals"),
    [
        ("v1.2.3", "## [1.2.3] - 2026-11-24\n", 0),
        ("1.2.3", "## [1.2.3] - 2026-11-24\n", 1),
        ("v1.2.4", "## [1.2.3] - 2026-11-24\n", 1),
        ("v1.2.3", "## [Unreleased]\n", 1),
        ("v1.2.3", "## [1.2.3]\n", 1),
        ("v1.2.3", "## [1.2.3] - soon\n", 1),
        ("v1.2.3", "## [1x2.3] - 2026-11-24\n", 1),
        ("v1.2", "", 2),
    ],
)
def test_a_tag_must_be_the_version_with_a_dated_section(tag: str, changelog: str, n_refusals: int) -> None:
    assert len(refusals(tag, "1.2.3", changelog)) == n_refusals


def test_the_version_is_read_without_an_import() -> None:
    import stochrobust

    assert version() == stochrobust.__version__


# -- what is supported -------------------------------------------------------------------------------------------------


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def test_the_matrix_is_of_what_the_package_says_it_supports() -> None:
    pairs = matrix(NOXFILE)
    pythons, torches = ({pair[i] for pair in pairs} for i in (0, 1))
    prefix = "Programming Language :: Python :: 3."
    assert pythons == {f"3.{name.removeprefix(prefix)}" for name in PROJECT["classifiers"] if name.startswith(prefix)}
    assert f">={min(pythons, key=numbers)}" == PROJECT["requires-python"]
    assert f"torch>={min(torches, key=numbers)}" in PROJECT["dependencies"]
    assert len(torches) >= 4
    assert len(set(pairs)) == len(pairs)
    newest = max(torches, key=numbers)
    assert {(python, newest) for python in pythons} <= set(pairs), "each Python with the newest torch"


def test_the_workflow_runs_the_corners_of_the_matrix() -> None:
    pairs = sorted(matrix(NOXFILE), key=lambda pair: (numbers(pair[0]), numbers(pair[1])))
    corners = {f"matrix(python{python}-torch{torch})" for python, torch in (pairs[0], pairs[-1])}
    assert corners <= sessions_named(GITHUB / "workflows/tests.yml")


# -- forms, recipe, citation -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_issue_forms_are_whole(name: str) -> None:
    form = parsed(GITHUB / f"ISSUE_TEMPLATE/{name}.yml")
    assert {"name", "description", "body"} <= set(form)
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields) > 0
    assert all(field["attributes"]["label"] for field in fields)
    assert any(field.get("validations", {}).get("required") for field in fields)


def test_the_conda_recipe_needs_what_the_package_needs() -> None:
    recipe = parsed(ROOT / "recipe/recipe.yaml")
    core = [re.fullmatch(r"([\w-]+)(.*)", dependency) for dependency in PROJECT["dependencies"]]
    expected = {f"{CONDA_NAMES.get(match[1], match[1])} {match[2]}" for match in core if match}
    python_min = PROJECT["requires-python"].removeprefix(">=")
    assert recipe["context"]["python_min"] == python_min
    assert set(recipe["requirements"]["run"]) == {"python >=${{ python_min }}", *expected}
    assert recipe["context"]["version"] == version()
    backend = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert {name.replace(">=", " >=") for name in backend} <= set(recipe["requirements"]["host"])
    for test in recipe["tests"]:
        assert all((ROOT / path).is_file() for path in test.get("files", {}).get("source", []))


def test_the_citation_says_what_it_must() -> None:
    citation = parsed(ROOT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors", "preferred-citation"} <= set(citation)
    assert citation["license"] == PROJECT["license"]
    assert {"type", "title", "authors", "year"} <= set(citation["preferred-citation"])
