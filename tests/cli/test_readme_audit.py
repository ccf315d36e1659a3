"""The README's audit of a trained model, as a reader types it: on fewer images, from the command to the page."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("safetensors")
pytest.importorskip("sklearn")
ROOT = Path(__file__).resolve().parents[2]
COMMAND = (
    "python -m stochrobust audit reference_experiments.digits.restorers:stochastic_erratic "
    "--data reference_experiments.digits.data:validation_images --task inpainting:top=0.75 --eps-psnr 30 "
    "--out report.html"
)
FEWER = ["--images", "200", "--attacked", "4", "--seeds", "8"]


def audited(command: str, folder: Path, *more: str) -> str:
    """What a command prints on stdout; its warnings are errors."""
    python, *words = shlex.split(command)
    assert python == "python"
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", *words, *more], cwd=folder, capture_output=True, text=True,
        check=False, env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_readmes_audit_leaves_a_page_that_says_what_is_wrong(tmp_path: Path) -> None:
    printed = audited(COMMAND, tmp_path, *FEWER, "--json", "erratic.json")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "**conditional mode collapse** (BAD)" in printed
    assert "onditional mode collapse" in page
    assert page.startswith("<!doctype html>")
    printed = audited(COMMAND.replace("erratic", "robust"), tmp_path, *FEWER, "--json", "robust.json")
    assert "**robust and diverse** (good)" in printed
    assert "mode collapse" not in printed + (tmp_path / "report.html").read_text(encoding="utf-8")
    compared = audited("python -m stochrobust compare erratic.json robust.json", tmp_path)
    assert re.search(r"\| per-pixel std \|.*\| better \|", compared)


def test_the_readme_has_that_command_if_it_has_any() -> None:
    text = (ROOT / "README.md").read_text().replace("\\\n", " ")
    audits = re.findall(r"^python -m stochrobust audit .*$", text, flags=re.MULTILINE)
    assert [shlex.split(line) for line in audits[:1]] in ([], [shlex.split(COMMAND)])


def test_the_extra_of_the_readmes_audit_brings_what_it_imports() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = {re.split("[>=]", requirement)[0] for requirement in (*extras["demo"], *extras["report"])}
    assert names == {"stochrobust[report]", "matplotlib", "safetensors", "scikit-learn", "jinja2", "pillow", "tqdm"}
