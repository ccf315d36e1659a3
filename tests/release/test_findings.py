"""Every finding has the form that the contributors' page states; that it still holds is seen by running it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.release.tag import ROOT

FINDINGS = sorted((ROOT / "findings").iterdir())


@pytest.mark.parametrize("path", FINDINGS, ids=lambda path: path.stem)
def test_a_finding_has_its_form(path: Path) -> None:
    text = path.read_text()
    assert re.fullmatch(r"[a-z0-9-]+\.sh", path.name)
    assert os.access(path, os.X_OK)
    head = text.split("set -euo pipefail\n")[0]
    assert head.startswith("#!/usr/bin/env bash\n# ")
    for part in (
        r"^# .*\d+\.\d+",
        r"^# Input: ",
        r"^# Seen:  ",
        r"^# Ends with 0 while that is so, with 1 once it is not\.$",
    ):
        assert re.search(part, head, re.MULTILINE), part
    assert "work=$(mktemp -d)\ntrap 'rm -rf \"$work\"' EXIT\n" in text
    (installed,) = re.findall(r"pip install (.*)", text)
    packages = [word for word in installed.split() if not word.startswith("--")]
    assert packages
    assert all(re.fullmatch(r'"[\w-]+==[\d.]+(post\d+)?"', package) for package in packages)
    assert "stochrobust" not in text, "it is about others, and runs without us"
    assert "sys.exit(" in text


def test_there_are_findings() -> None:
    assert len(FINDINGS) >= 2
