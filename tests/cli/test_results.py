"""What the command line writes, whatever fails or stops it; and models of another dtype than the images'."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stochrobust import _files
from stochrobust.auditing import run
from stochrobust.auditing.findings import AuditNumber, Curve, Verdict
from stochrobust.auditing.report import AuditReport
from stochrobust.cli import results
from stochrobust.cli.factory import call_factory, made_model
from stochrobust.cli.main import main
from stochrobust.cli.own_dtype import in_own_dtype
from stochrobust.cli.stopping import Stopped, stoppable

ROOT = Path(__file__).resolve().parents[2]
HERE = "tests.cli.test_results"
REPORT = AuditReport(
    "G", False, False, {"psnr_mean": AuditNumber(20.0, 19.0, 21.0, n=3)}, {"psnr_mean": (19.0, 20.0, 21.0)},
    Curve((), (), (), ()), (), (), (Verdict("seed ignored", "bad", "It ignores its seeds."),), (),
    {"settings": {"level": 0.95}},
)  # fmt: skip
USUAL = ["--data", f"{HERE}:IMAGES", "--task", "inpainting:top=0.5", "--eps", "0.5"]
IMAGES = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
MODEL = nn.Conv2d(1, 1, 1)


class Halved(nn.Module):
    """Of half precision, with seeds of its own dtype."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3).to(dtype)
        self.got: list[torch.dtype] = []

    def sample_z(self, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(y.shape, dtype=y.dtype, generator=generator)

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        self.got += [y.dtype, z.dtype]
        x_hat: Tensor = self.layer(y + z)
        return x_hat


def halved() -> nn.Module:
    return nn.Conv2d(1, 1, 1).half()


def restore(y: Tensor) -> Tensor:
    return y + 1


# -- files -------------------------------------------------------------------------------------------------------------


def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, fails: set[str]) -> list[str]:
    """The paths asked for, on a disk that is full for files of these names."""

    def write_whole(path: Path, parts: list[bytes]) -> None:
        if path.name in fails:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        _files.write_whole(path, parts)

    monkeypatch.setattr(results, "write_whole", write_whole)
    monkeypatch.setattr(run, "audit", lambda **arguments: REPORT)
    return [word for option, name in (("--out", "r.html"), ("--json", "r.json"), ("--markdown", "r.md"))
            for word in (option, str(tmp_path / name))]  # fmt: skip


@pytest.mark.parametrize("fails", [{"r.json"}, {"r.md"}, {"r.html"}, {"r.json", "r.md"}])
def test_one_file_that_cannot_be_written_keeps_no_other_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fails: set[str]
) -> None:
    names = {"r.json", "r.md", "r.html"}
    for name in names:
        (tmp_path / name).write_text("old")
    with pytest.raises(SystemExit) as end:
        main(["audit", f"{HERE}:MODEL", *USUAL, *written(tmp_path, monkeypatch, fails=fails)])
    assert end.value.code == 2
    printed = capsys.readouterr()
    for name in names:
        assert ((tmp_path / name).read_text() == "old") == (name in fails)
    assert "psnr" in printed.out.lower(), "the tables are printed all the same"
    line = printed.err.splitlines()[-1]
    assert line.startswith("stochrobust audit: not written: ")
    for name in names:
        assert (str(tmp_path / name) in line) == (name in fails)


def test_a_report_is_never_torn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = argparse.Namespace(out=None, json=tmp_path / "r.json", markdown=None)
    (tmp_path / "r.json").write_text("old")

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"not written: .*full.*r\.json"):
        results.write_results(options, REPORT)
    assert (tmp_path / "r.json").read_text() == "old"
    assert list(tmp_path.iterdir()) == [tmp_path / "r.json"]


def test_a_compared_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.json").write_text(REPORT.to_json())
    (tmp_path / "b.json").write_bytes(b"\xff\xfe")
    for other in ("b.json", "c.json"):
        with pytest.raises(SystemExit):
            main(["compare", str(tmp_path / "a.json"), str(tmp_path / other)])
        assert str(tmp_path / other) in capsys.readouterr().err


# -- Ctrl-C and SIGTERM ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("cache", [True, False])
def test_a_stop_says_what_is_kept_in_one_line(
    number: int, cache: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def audit(**arguments: Any) -> AuditReport:
        signal.raise_signal(number)
        raise AssertionError("the signal is raised at once")

    monkeypatch.setattr(run, "audit", audit)
    before = signal.getsignal(number)
    options = ["--cache", str(tmp_path)] if cache else []
    assert main(["audit", f"{HERE}:MODEL", *USUAL, *options]) == 128 + number
    assert signal.getsignal(number) is before
    (line,) = capsys.readouterr().err.splitlines()
    name = signal.Signals(number).name
    if cache:
        assert line.endswith(f"stopped by {name}: {tmp_path} keeps the batches that are done; the same command goes on "
                             "from there")  # fmt: skip
    else:
        assert line.endswith(
            f"stopped by {name}: nothing is kept; with --cache FOLDER the same command would go on from there"
        )


def test_signals_are_left_alone_in_another_thread() -> None:
    seen: list[bool] = []

    def work() -> None:
        with stoppable():
            seen.append(signal.getsignal(signal.SIGINT) is before)

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [True]
    with pytest.raises(Stopped), stoppable():
        signal.raise_signal(signal.SIGTERM)


SLOW = """
import pathlib
import time
import torch

def slow():
    class G(torch.nn.Module):
        def forward(self, y):
            pathlib.Path("started").touch()
            time.sleep(0.05)
            return y
    return G()
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_running_audit_is_stopped_in_one_line_and_goes_on(number: int, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(SLOW)
    torch.save(IMAGES, tmp_path / "x.pt")
    words = "-m stochrobust audit mine:slow --data x.pt --task inpainting:top=0.5 --eps 0.5 --cache kept --batch 1"
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    process = subprocess.Popen(
        [sys.executable, *words.split()], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    while not (tmp_path / "started").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (128 + number, "")
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith(f"stochrobust audit: stopped by {signal.Signals(number).name}: kept keeps")


# -- models ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_model_is_fed_its_own_dtype(dtype: torch.dtype) -> None:
    model = Halved(dtype)
    G = in_own_dtype(model)
    y = torch.rand(2, 3)
    z = G.sample_z(y, torch.Generator().manual_seed(0))  # type: ignore[operator]
    assert z.dtype == dtype
    x_hat = G(y, z.float())
    assert x_hat.dtype == torch.float32
    assert model.got == [dtype] * 2
    assert torch.equal(x_hat, model(y.to(dtype), z.float().to(dtype)).float())
    assert list(G.parameters()) == list(model.parameters())


def test_a_model_of_the_images_dtype_or_of_two_is_left_alone() -> None:
    plain, mixed = nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).half())
    assert in_own_dtype(plain) is plain
    assert in_own_dtype(mixed) is mixed
    assert in_own_dtype(nn.Identity()).training


def test_a_model_in_half_precision_is_audited(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []

    def audit(**arguments: Any) -> AuditReport:
        calls.append(arguments)
        return REPORT

    monkeypatch.setattr(run, "audit", audit)
    assert main(["audit", f"{HERE}:halved", *USUAL]) == 0
    assert calls[0]["G"](torch.rand(1, 1, 2, 2)).dtype == torch.float32


def test_an_instance_in_place_of_a_factory_is_what_is_meant() -> None:
    assert made_model(f"{HERE}:MODEL") is MODEL
    assert call_factory(f"{HERE}:IMAGES", role="data") is IMAGES


def test_a_restorer_in_place_of_a_factory_is_told() -> None:
    with pytest.raises(ValueError, match=r"restore' must be a factory, .* it fails: TypeError: .*\(test_results.py:"):
        made_model(f"{HERE}:restore")
