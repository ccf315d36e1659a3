"""What the published files hold: `python tests/release/contents.py dist` prints the faults and fails on any."""

from __future__ import annotations

import fnmatch
import re
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"stochrobust": ROOT / "src/stochrobust", "reference_experiments": ROOT / "reference_experiments"}
PHOTOGRAPHS = "*reference_experiments/results/faces*/figure1.*"  # of people, given for research
RELATIVE = re.compile(r"\]\((?!https://|#)([^)\s]+)\)")
# What a wheel is built from, and what a reader of the source needs.
IN_SDIST = ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "src/stochrobust/py.typed")


def package_files() -> set[str]:
    """The files of the two packages, as a wheel names them."""
    return {
        f"{package}/{path.relative_to(folder).as_posix()}"
        for package, folder in PACKAGES.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def wheel_faults(names: set[str], metadata: str, expected: set[str], dependencies: list[str]) -> list[str]:
    """What is wrong with a wheel, in sentences.

    Args:
        names: the files it holds.
        metadata: its METADATA.
        expected: the files it must hold, photographs aside.
        dependencies: what it must need without an extra.
    """
    faults = [f"the wheel lacks {name}" for name in sorted(expected - names) if not fnmatch.fnmatch(name, PHOTOGRAPHS)]
    faults += [f"the wheel holds {name}" for name in sorted(names - expected) if ".dist-info/" not in name]
    faults += [
        f"the wheel holds the photographs {name}" for name in sorted(names) if fnmatch.fnmatch(name, PHOTOGRAPHS)
    ]
    faults += [
        f"the wheel lacks {wanted}"
        for wanted in ("stochrobust/py.typed", "*.dist-info/licenses/LICENSE")
        if not fnmatch.filter(names, wanted)
    ]
    parsed = Parser().parsestr(metadata)
    needed = {value for value in parsed.get_all("Requires-Dist", []) if "extra ==" not in value}
    if needed != set(dependencies):
        faults.append(f"the wheel needs {sorted(needed)}, and not {sorted(dependencies)}")
    description = str(parsed.get_payload())
    faults += [f"a package index cannot follow the link {link}" for link in RELATIVE.findall(description)]
    if "# stochrobust" not in description:
        faults.append("the wheel's description is not the README")
    return faults


def sdist_faults(names: set[str]) -> list[str]:
    """What is wrong with a source distribution, in sentences; names are relative to its one folder."""
    faults = [f"the sdist lacks {name}" for name in IN_SDIST if name not in names]
    return faults + [
        f"the sdist holds the photographs {name}" for name in sorted(names) if fnmatch.fnmatch(name, PHOTOGRAPHS)
    ]


def faults_in(dist: Path) -> list[str]:
    """What is wrong with the one wheel and the one sdist of a folder, in sentences."""
    wheels, sdists = list(dist.glob("*.whl")), list(dist.glob("*.tar.gz"))
    if len(wheels) != 1 or len(sdists) != 1:
        return [f"{dist} must hold one wheel and one sdist, and holds {sorted(path.name for path in dist.iterdir())}"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    with zipfile.ZipFile(wheels[0]) as wheel:
        names = set(wheel.namelist())
        metadata = wheel.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
    with tarfile.open(sdists[0]) as sdist:
        inside = {member.name.partition("/")[2] for member in sdist.getmembers() if member.isfile()}
    return wheel_faults(names, metadata, package_files(), project["dependencies"]) + sdist_faults(inside)


if __name__ == "__main__":
    found = faults_in(Path(sys.argv[1]))
    print("\n".join(found) or "the wheel and the sdist hold what they should")
    sys.exit(bool(found))
