"""What SECURITY.md promises: nothing read is executed, no network, nothing written where it was not named."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stochrobust.cli.arrays import read_array
from tests.release.tag import ROOT

SOURCES = sorted((ROOT / "src").rglob("*.py"))
EXECUTING = {"pickle.load", "pickle.loads", "marshal.loads", "eval", "exec", "yaml.load", "os.system", "joblib.load"}

WATCHED = """
import json, os, sys
seen = {"network": [], "written": []}
def watch(event, arguments):
    if event.startswith(("socket.connect", "socket.getaddrinfo", "socket.bind", "urllib.", "http.", "ftplib.")):
        seen["network"].append(event)
    if event == "open":
        path, mode, flags = arguments
        flagged = (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        writes = (isinstance(mode, str) and set(mode) & set("wax+")) or flagged
        if writes and isinstance(path, (str, bytes)):
            seen["written"].append(os.path.abspath(os.fsdecode(path)))
    if event in ("os.mkdir", "os.rename", "os.remove", "os.symlink", "os.link"):
        parts = [part for part in arguments[:2] if isinstance(part, (str, bytes))]
        seen["written"] += [os.path.abspath(os.fsdecode(part)) for part in parts]
sys.addaudithook(watch)
import stochrobust
seen["imported"] = [list(seen["network"]), list(seen["written"])]
from stochrobust.cli.main import main
code = main(sys.argv[1:])
sys.__stdout__.write("\\nSEEN " + json.dumps(seen | {"code": code}))
"""
MODEL = """
import torch
def same():
    return torch.nn.Identity()
"""


@pytest.mark.slow
def test_an_audit_opens_no_connection_and_writes_only_where_it_is_told(tmp_path: Path) -> None:
    inside, named = tmp_path / "work", tmp_path / "named"
    for folder in (inside, named, tmp_path / "home"):
        folder.mkdir()
    (inside / "mine.py").write_text(MODEL)
    (inside / "pictures").mkdir()
    for i in range(3):
        levels = np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(levels).save(inside / f"pictures/{i}.png")
    words = "audit mine:same --data pictures --task inpainting:top=0.5 --eps 0.5 --seeds 2 --attacked 1"
    reports = f"--cache {named}/cache --out {named}/r.html --json {named}/r.json --markdown {named}/r.md"
    done = subprocess.run(
        [sys.executable, "-B", "-c", WATCHED, *words.split(), *reports.split()], cwd=inside, capture_output=True,
        text=True, check=True, env=os.environ | {
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(inside)]), "OMP_NUM_THREADS": "1",
            "HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "home"),
        },
    )  # fmt: skip
    seen = json.loads(done.stdout.rpartition("SEEN ")[2])
    assert seen["code"] == 0
    assert seen["imported"] == [[], []], "an import does neither"
    assert seen["network"] == []
    outside = {path for path in seen["written"] if not Path(path).is_relative_to(named)} - {os.devnull}
    assert outside == set()
    assert {path.name for path in named.iterdir()} == {"cache", "r.html", "r.json", "r.md"}
    assert list((tmp_path / "home").iterdir()) == []
    assert len(seen["written"]) >= 4, "the watch sees what is written"


def calls(path: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]


def test_nothing_that_is_read_is_executed() -> None:
    loads = 0
    for path in SOURCES:
        for call in calls(path):
            name = ast.unparse(call.func)
            assert name not in EXECUTING, (path.name, name)
            more = {part.arg: ast.unparse(part.value) for part in call.keywords}
            if name == "torch.load":
                loads += 1
                assert more.get("weights_only") == "True", path.name
            assert more.get("allow_pickle", "False") == "False", path.name
    assert loads >= 2


class Bomb:
    """Something whose unpickling would be noticed."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('executed')",)


def test_an_array_that_would_execute_something_is_refused(tmp_path: Path) -> None:
    torch.save(Bomb(), tmp_path / "x.pt")
    np.save(tmp_path / "x.npy", np.array([Bomb()]), allow_pickle=True)
    np.savez(tmp_path / "x.npz", x=np.array([Bomb()], dtype=object))
    for name in ("x.pt", "x.npy", "x.npz"):
        with pytest.raises(ValueError, match="cannot read"):
            read_array(tmp_path / name)


def test_every_promise_names_its_tests_and_they_exist() -> None:
    promises = re.findall(r"^- .+?(?=^- |^\S|\Z)", (ROOT / "SECURITY.md").read_text(), re.MULTILINE | re.DOTALL)
    held = [re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", promise) for promise in promises]
    assert sum(map(len, held)) >= 6
    for name, test in (pair for pairs in held for pair in pairs):
        assert f"def {test}(" in (ROOT / name).read_text(), (name, test)
