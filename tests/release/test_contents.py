"""The check of the published files notices each fault; the smoke test runs; importing costs what it should."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tomllib

import pytest

from tests.release import smoke
from tests.release.contents import IN_SDIST, ROOT, package_files, sdist_faults, wheel_faults

DEPENDENCIES = ["numpy>=1.26", "torch>=2.4"]
METADATA = """\
Name: stochrobust
Requires-Dist: numpy>=1.26
Requires-Dist: torch>=2.4
Requires-Dist: tqdm; extra == 'x'

# stochrobust
[x](https://example.org) [y](#z)
"""
EXPECTED = {
    "stochrobust/__init__.py",
    "stochrobust/py.typed",
    "stochrobust/audit/page.html",
    "reference_experiments/results/faces32-inpainting/figure1.png",
}
GOOD = {
    "stochrobust/__init__.py",
    "stochrobust/py.typed",
    "stochrobust/audit/page.html",
    "stochrobust-0.1.0.dist-info/METADATA",
    "stochrobust-0.1.0.dist-info/licenses/LICENSE",
}


def test_a_good_wheel_has_no_fault() -> None:
    assert wheel_faults(GOOD, METADATA, EXPECTED, DEPENDENCIES) == []


@pytest.mark.parametrize(
    ("missing", "more", "fault"),
    [
        ("stochrobust/py.typed", "", "lacks stochrobust/py.typed"),
        ("stochrobust/audit/page.html", "", "lacks stochrobust/audit/page.html"),
        ("stochrobust-0.1.0.dist-info/licenses/LICENSE", "", "lacks *.dist-info/licenses/LICENSE"),
        ("", "tests/losses/test_robustness.py", "holds tests/losses/test_robustness.py"),
        ("", "noxfile.py", "holds noxfile.py"),
        ("", "reference_experiments/results/faces32-inpainting/figure1.png", "holds the photographs"),
    ],
)
def test_a_fault_of_a_wheel_is_noticed(missing: str, more: str, fault: str) -> None:
    names = (GOOD - {missing}) | ({more} if more else set())
    assert any(fault in found for found in wheel_faults(names, METADATA, EXPECTED, DEPENDENCIES))


@pytest.mark.parametrize("dependencies", [["numpy>=1.26"], [*DEPENDENCIES, "tqdm"], ["numpy>=1.26", "torch>=2.5"]])
def test_other_dependencies_are_noticed(dependencies: list[str]) -> None:
    assert "the wheel needs" in " ".join(wheel_faults(GOOD, METADATA, EXPECTED, dependencies))


def test_a_description_that_an_index_cannot_show_is_noticed() -> None:
    relative = METADATA + " ![x](docs/images/front.png)"
    assert wheel_faults(GOOD, relative, EXPECTED, DEPENDENCIES) == [
        "a package index cannot follow the link docs/images/front.png"
    ]
    assert wheel_faults(GOOD, METADATA.replace("# stochrobust", ""), EXPECTED, DEPENDENCIES)


def test_faults_of_an_sdist_are_noticed() -> None:
    assert sdist_faults(set(IN_SDIST)) == []
    assert sdist_faults(set(IN_SDIST[1:])) == ["the sdist lacks pyproject.toml"]
    assert "photographs" in sdist_faults({*IN_SDIST, "reference_experiments/results/faces32/figure1.pdf"})[0]


def test_the_packages_files_are_found() -> None:
    assert {"stochrobust/__init__.py", "stochrobust/py.typed", "reference_experiments/__main__.py"} <= package_files()


def test_neither_published_file_is_to_hold_photographs() -> None:
    targets = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    assert targets["wheel"]["exclude"] == targets["sdist"]["exclude"]


def test_the_smoke_tests_numbers_are_right() -> None:
    smoke.check_numbers()


@pytest.mark.skipif(importlib.util.find_spec("PIL") is None, reason="the extras are not here")
def test_the_smoke_test_notices_an_extra() -> None:
    with pytest.raises(AssertionError):
        smoke.check_installed()


# -- what importing costs ----------------------------------------------------------------------------------------------

# Beside torch, what it imports, and Python's own library.
IMPORTED = {"stochrobust", "torch"}


def imported_beyond_torch(statement: str) -> set[str]:
    """The top-level modules that a statement adds to those of ``import torch``, Python's own left out."""
    code = (
        f"import sys, torch\nbefore = set(sys.modules)\n{statement}\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*(new - set(sys.stdlib_module_names)))"
    )
    path = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_adds_nothing_to_torch_but_the_package() -> None:
    found = imported_beyond_torch("import stochrobust")
    assert "stochrobust" in found
    assert found <= IMPORTED
    assert "scipy" in imported_beyond_torch("import scipy"), "imported_beyond_torch would not notice"
