"""The examples run and train: the plain loop in every session, Lightning and Accelerate in `nox -s examples`."""

from __future__ import annotations

import ast
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import stochrobust

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
FRAMEWORKS = {"accelerate", "lightning"}
Numbers = dict[str, float]


def imported(source: str) -> list[tuple[str, str | None]]:
    """(module, name) of every import; the name is None for a plain ``import module``."""
    found: list[tuple[str, str | None]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(node.module or "", alias.name) for alias in node.names]
    return found


def not_public(source: str) -> list[tuple[str, str | None]]:
    """The imports that a reader who installed the package and one framework could not copy."""
    allowed = {"torch", "sklearn", *FRAMEWORKS, *sys.stdlib_module_names}
    return [
        (module, name)
        for module, name in imported(source)
        if not (name in stochrobust.__all__ if module == "stochrobust" else module.partition(".")[0] in allowed)
    ]


def test_there_are_three() -> None:
    assert [path.stem for path in EXAMPLES] == ["accelerate_two_processes", "lightning_gan", "plain_loop"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_and_uses_public_names_only(path: Path) -> None:
    source = path.read_text()
    assert len(source.splitlines()) < 80
    assert not_public(source) == []
    assert len({module.partition(".")[0] for module, _ in imported(source)} & FRAMEWORKS) <= 1
    assert "if step % 3 == 2" in source or "if batch_idx % 3 == 2" in source


def test_a_private_name_is_noticed() -> None:
    private = [
        "from stochrobust.attacks.ascent import PAPER",
        "from stochrobust import balls",
        "import stochrobust.attacks.ascent",
    ]
    for line in [*private, "from reference_experiments.gan import critic_loss"]:
        assert not_public(line), line


# -- they train --------------------------------------------------------------------------------------------------------


def run(*command: str) -> Numbers:
    """What a command prints last, as a user would run it."""
    path = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    numbers: Numbers = json.loads(done.stdout.splitlines()[-1].replace("'", '"'))
    return numbers


def assert_trained(found: Numbers) -> None:
    """Robust and varied; without the term the GAN ends near 1.0 and 0.015, and untrained it has an std below 0.003."""
    assert found["sensitivity"] < 0.5
    assert found["per_pixel_std"] > 0.05


def plain_loop(**settings: float) -> Numbers:
    found: Numbers = runpy.run_path(str(ROOT / "examples" / "plain_loop.py"))["main"](**settings)
    return found


def test_the_plain_loop_runs_for_as_many_steps_as_asked_with_the_weight_asked_for() -> None:
    two, three, heavier = plain_loop(steps=2), plain_loop(steps=3), plain_loop(steps=3, weight=5e4)
    assert two != three  # the third is the first step with the loss
    assert three != heavier
    with pytest.raises(AssertionError):
        assert_trained(three)


@pytest.mark.slow
def test_the_plain_loop_trains_and_the_loss_is_why() -> None:
    robust, erratic = plain_loop(), plain_loop(weight=0.0)
    assert_trained(robust)
    assert robust["sensitivity"] < 0.5 * erratic["sensitivity"]
    assert robust["per_pixel_std"] > 2 * erratic["per_pixel_std"]


@pytest.mark.slow
def test_lightning_trains() -> None:
    pytest.importorskip("lightning", reason="nox -s examples installs it")
    assert_trained(run(sys.executable, "examples/lightning_gan.py"))


@pytest.mark.slow
def test_lightning_takes_the_precision_of_the_trainer() -> None:
    pytest.importorskip("lightning", reason="nox -s examples installs it")
    command = (sys.executable, "examples/lightning_gan.py", "--steps", "30", "--precision")
    full, half = run(*command, "32-true"), run(*command, "bf16-mixed")
    assert full != half
    assert half["sensitivity"] == pytest.approx(full["sensitivity"], rel=0.2)


@pytest.mark.distributed
@pytest.mark.slow
def test_accelerate_trains_in_two_processes() -> None:
    pytest.importorskip("accelerate", reason="nox -s examples installs it")
    launch = (sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2")
    found = run(*launch, "examples/accelerate_two_processes.py", "--cpu")
    assert found["processes"] == 2
    assert_trained(found)
