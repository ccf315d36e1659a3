"""One command per need. `nox -s NAME` sets up everything NAME needs in an environment of its own under .nox/."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2024.4"
nox.options.sessions = ["check", "tests"]
nox.options.reuse_existing_virtualenvs = True
nox.options.default_venv_backend = "virtualenv"  # comes with nox, and needs no ensurepip of the system's

# The torch that a fresh machine gets. STOCHROBUST_TORCH names another requirement, for example "torch==2.4.*".
TORCH = os.environ.get("STOCHROBUST_TORCH", "torch==2.13.0")

# torchvision's compiled operators work only with the very build of torch they were made for, so the two come as a pair.
TORCHVISION_PAIR = (os.environ.get("STOCHROBUST_TORCH", "torch==2.14.*"), "torchvision")

# Packages whose restorers and operators the tests cross over to; without them those tests skip.
CROSSINGS = ("deepinv>=0.5", "jax", "onnx", "onnxruntime", "opencv-python-headless", "scikit-image")

PEERS = ("geomloss>=0.2.6", "lightning==2.*", "piq==0.8.*", "pytorch-msssim==1.0.*", "torch-fidelity==0.4.*")

# (Python, torch): the oldest and the newest torch with a wheel for each Python, and steps between.
MATRIX = [
    ("3.11", "2.4"),
    ("3.11", "2.7"),
    ("3.11", "2.13"),
    ("3.11", "2.15"),
    ("3.12", "2.4"),
    ("3.12", "2.10"),
    ("3.12", "2.15"),
    ("3.13", "2.5"),
    ("3.13", "2.15"),
]


@nox.session
def check(session: nox.Session) -> None:
    """Format, lint and types; writes nothing (`nox -s check -- --fix` formats and repairs what it can first)."""
    session.install(TORCH, "-e", ".[dev]")
    if "--fix" in session.posargs:
        session.run("ruff", "check", "--fix", ".")
        session.run("ruff", "format", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("lint-imports")  # the layers of the package
    session.run("mypy")
    session.run("pytest", "tests/typing")  # the types as a user's own checker sees them


@nox.session
def tests(session: nox.Session) -> None:
    """The test suite with the pinned torch; arguments after -- go to pytest."""
    session.install(TORCH, "-e", ".[test]")
    session.run("pytest", "--durations=10", "--durations-min=1", *session.posargs)


@nox.session
@nox.parametrize(
    ("python", "torch"), [nox.param(python, torch, id=f"python{python}-torch{torch}") for python, torch in MATRIX]
)
def matrix(session: nox.Session, torch: str) -> None:
    """The library's tests with several Pythons and torches (gigabytes each): nox -s "matrix(python3.12-torch2.4)".

    Without tests/experiments: the reference experiments support the pinned torch, with which their results were made.
    """
    session.install(f"torch=={torch}.*", "-e", ".[test]")
    session.run("pytest", "--ignore=tests/experiments", "--durations=10", "--durations-min=1", *session.posargs)


@nox.session(python="3.11")
def floors(session: nox.Session) -> None:
    """The library's tests with the lowest versions that pyproject.toml declares, of every dependency (gigabytes)."""
    session.install("uv")
    session.run("uv", "pip", "install", "--resolution", "lowest-direct", "-e", ".[test]")
    # What others deprecated since, in packages that have no floor of ours, is no fault here.
    quiet = ("-W", "ignore::DeprecationWarning")
    session.run("pytest", "--ignore=tests/experiments", *quiet, *(session.posargs or ("-m", "not slow")))


@nox.session
def bad_calls(session: nox.Session) -> None:
    """Every wrong call of every public name and of the command line, some 22,000, of which the tests make a sample."""
    session.install(TORCH, "-e", ".[test]")
    session.run("python", "-m", "tests.bad_calls", *session.posargs)


@nox.session
def mutants(session: nox.Session) -> None:
    """Small changes of the library, a seeded sample in every group, and which of them no test notices (hours)."""
    session.install(TORCH, "-e", ".[test]")
    session.run("python", "-m", "tests.mutants", *session.posargs)


@nox.session
def peers(session: nox.Session) -> None:
    """Compares with other libraries, torch-fidelity and piq included (gigabytes)."""
    session.install(*TORCHVISION_PAIR, *PEERS, "-e", ".[test]")
    session.run("python", "-c", "import lightning, piq, torch_fidelity")  # the tests skip without them
    session.run("pytest", "tests/peers", *session.posargs)


@nox.session
def crossings(session: nox.Session) -> None:
    """The bridges to ONNX Runtime, OpenCV, scikit-image, JAX and deepinv, with the packages themselves (gigabytes)."""
    session.install(*TORCHVISION_PAIR, *CROSSINGS, "-e", ".[test]")
    session.run("python", "-c", "import cv2, deepinv, jax, onnx, onnxruntime, skimage")  # the tests skip without them
    tests = ("estimators/test_black_box.py", "estimators/test_jax_function.py", "consistency/test_operator.py")
    session.run("pytest", *(f"tests/{name}" for name in tests), *session.posargs)


@nox.session
def examples(session: nox.Session) -> None:
    """Runs the examples with the real Lightning and Accelerate, the latter in two processes."""
    session.install(TORCH, "-e", ".[examples]", "hypothesis", "pytest", "pytest-timeout")
    session.run("python", "-c", "import accelerate, lightning")  # the tests skip without them
    session.run("pytest", "tests/test_examples.py", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """Four small GANs on handwritten digits: erratic and robust, deterministic and stochastic (minutes)."""
    session.install(TORCH, "-e", ".[experiments]")
    session.run("python", "-m", "reference_experiments", "demo", *session.posargs)


@nox.session
def experiments(session: nox.Session) -> None:
    """The paper's studies, by default the toy in minutes: nox -s experiments -- STUDY --preset NAME."""
    session.install(TORCH, "-e", ".[experiments]")
    session.run("python", "-m", "reference_experiments", *(session.posargs or ("toy", "--preset", "quick")))


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Prints the tables of benchmarks/, one script after another (gigabytes): nox -s benchmarks -- [SCRIPT.py ...]."""
    session.install(*TORCHVISION_PAIR, *PEERS, "-e", ".[test]")
    for script in session.posargs or sorted(str(path) for path in Path("benchmarks").glob("[!_]*.py")):
        session.run("python", script)


@nox.session
def docs(session: nox.Session) -> None:
    """Builds the pages into site/, running their tutorials, and examines what was built: links, requests, the look.

    A page is looked at in headless Chromium where there is one. A broken link or reference is an error.
    """
    session.install(TORCH, "-e", ".[docs]", "hypothesis", "pytest", "pytest-timeout")
    chromium(session)
    session.run(
        "mkdocs",
        "build",
        "--strict",
        *session.posargs,
        env={"NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"},
    )
    session.run("pytest", "tests/test_site.py", "tests/test_site_hooks.py", env={"STOCHROBUST_SITE": "site"})


def chromium(session: nox.Session) -> None:
    """Tries to see to it that there is a browser, without which the tests marked `browser` skip and say so."""
    if any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))):
        return
    if not (shutil.which("apt-get") and os.geteuid() == 0):
        session.warn("no Chromium or Chrome on the PATH: the browser tests skip")
        return
    patience = ("-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=30")
    wanted = ("install", "--yes", "--no-install-recommends", "chromium", "fonts-dejavu-core")
    for command in (("update",), wanted):
        session.run("apt-get", *patience, *command, external=True, silent=True, success_codes=range(256))


@nox.session
def report(session: nox.Session) -> None:
    """Tests the report's page in headless Chromium, which is installed where there is none (Debian, as root)."""
    session.install(TORCH, "-e", ".[report]", "hypothesis", "pytest", "pytest-timeout")
    chromium(session)
    session.run("pytest", "src/stochrobust/auditing/page", "tests/auditing/page", *session.posargs)


@nox.session
def screenshots(session: nox.Session) -> None:
    """Draws the pictures of reports in docs/images anew, from audits of the demo's models (minutes)."""
    session.install(TORCH, "-e", ".[experiments,report]")
    chromium(session)
    session.run("python", "-m", "tests.auditing.screenshots", *session.posargs)


@nox.session
def package(session: nox.Session) -> None:
    """Builds what is published into dist/, checks it, and runs the wheel alone in an environment made for this run."""
    session.install("--require-hashes", "-r", ".github/requirements/package.txt")
    dist = Path("dist").resolve()
    for old in dist.glob("*"):
        old.unlink()
    # The wheel is built from the sdist, and both by the backend whose hash was just held to.
    session.run("python", "-m", "build", "--no-isolation", "--outdir", str(dist))
    session.run("twine", "check", "--strict", *map(str, dist.iterdir()))
    session.run("python", "tests/release/contents.py", str(dist))
    alone = Path(session.create_tmp()) / "alone"
    session.run("virtualenv", "--quiet", "--clear", str(alone))
    python = str(alone / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    session.run(python, "-m", "pip", "install", "--quiet", TORCH, *map(str, dist.glob("*.whl")), external=True)
    session.run(python, "-I", "tests/release/smoke.py", external=True)  # -I: nothing of this folder is importable
