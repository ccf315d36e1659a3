"""``stochrobust``: what every option does, what it prints, and how it ends."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import stochrobust
from stochrobust import L2, PGD, AuditSettings, BlockAverageProjector, InpaintingProjector, SubspaceSearch
from stochrobust.auditing import run
from stochrobust.auditing.findings import AuditNumber, Curve, Verdict
from stochrobust.auditing.report import AuditReport
from stochrobust.cli import main as command
from stochrobust.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
HERE = "tests.cli.test_main"
SIDE = 8


class Repeated(nn.Module):
    """Enlarges the means of 2 x 2 blocks, with noise that is consistent with them."""

    def __init__(self) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.tensor(0.1))

    def sample_z(self, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(y.shape, generator=generator, device=y.device)

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        noise = self.strength * z
        return torch.cat([torch.cat([y + noise, y - noise], -1), torch.cat([y - noise, y + noise], -1)], -2)


class Kept(nn.Module):
    """The input as the output: for inpainting."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, y: Tensor) -> Tensor:
        return y


def failing() -> nn.Module:
    return nn.Conv2d(3, 1, 1)


def images() -> Tensor:
    return torch.rand(6, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def found(level: str = "bad") -> AuditReport:
    verdict = Verdict("seed ignored", level, "It ignores its seeds.")  # type: ignore[arg-type]
    number = AuditNumber(20.0, 19.0, 21.0, n=3)
    return AuditReport(
        "G", False, False, {"psnr_mean": number}, {"psnr_mean": (19.0, 20.0, 21.0)}, Curve((), (), (), ()), (), (),
        (verdict,), (), {"settings": {"level": 0.95}},
    )  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """What ``audit`` would be called with, after a command line; its data are read."""

    def ask(*options: str, model: str = f"{HERE}:Kept") -> dict[str, Any]:
        calls: list[dict[str, Any]] = []

        def audit(**arguments: Any) -> AuditReport:
            n_batches = len(arguments["data"])
            calls.append(arguments | {"data": list(arguments["data"]), "n_batches": n_batches})
            return found()

        monkeypatch.setattr(run, "audit", audit)
        defaults = {"--data": f"{HERE}:images", "--task": "inpainting:top=0.5", "--eps": "0.5"}
        if "--eps-psnr" in options:
            del defaults["--eps"]
        if "--inputs" in options:
            del defaults["--task"]
        usual = [word for option, value in defaults.items() if option not in options for word in (option, value)]
        assert main(["audit", model, *usual, *options]) == 0
        (call,) = calls
        return call

    return ask


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for seed in range(3):
        levels = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE + 2, 3), dtype=np.uint8)
        Image.fromarray(levels).save(tmp_path / "pictures" / f"{seed}.png")
    return tmp_path / "pictures"


# -- every option ------------------------------------------------------------------------------------------------------


def test_the_range_is_that_of_pictures_arrays_and_decibels(
    asked: Callable[..., dict[str, Any]], pictures: Path
) -> None:
    usual, found = (
        asked("--data", str(pictures), "--size", "8", "--real", str(pictures), "--eps-psnr", "30", *more)
        for more in ([], ["--pixel-range=-1,1"])
    )
    assert found["pixel_range"] == (-1.0, 1.0)
    assert found["eps"] == pytest.approx(2 * usual["eps"])
    for mine, theirs in ((found["data"], usual["data"]), (list(found["real"]), list(usual["real"]))):
        assert torch.allclose(mine[0], 2 * theirs[0] - 1)
        assert float(mine[0].min()) < 0


def test_the_noise_the_attack_and_where_it_may_go(asked: Callable[..., dict[str, Any]]) -> None:
    usual = asked()
    assert (usual["noise"], usual["attack"], usual["ball"], usual["pixel_range"]) == (None, None, L2(), (0.0, 1.0))
    assert asked("--noise", "0.05")["noise"] == 0.05
    assert asked("--attack", "pgd:steps=7,step=0.5")["attack"] == PGD(steps=7, step=0.5)
    assert asked("--attack", "subspace")["attack"] == SubspaceSearch()
    seen = asked("--attack-on", "observed")["ball"].mask
    assert torch.equal(seen, torch.arange(SIDE)[:, None].expand(1, SIDE, SIDE) >= SIDE // 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--attack", "magic"], "attack must be one of adam, pgd, sphere, random, subspace, got 'magic'"),
        (["--attack", "pgd:size=2"], "pgd takes steps, step, restarts, keep, start, each once, got 'size=2'"),
        (["--attack", "pgd:steps=2,steps=3"], "each once, got 'steps=3'"),
        (["--attack", "pgd:steps=many"], "steps must be a number, got 'many'"),
        (["--attack", "random:steps=0"], "steps must be at least 1"),
        (["--pixel-range=1"], "must be LOW,HIGH such as -1,1, got '1'"),
        (["--pixel-range=1,0"], "pixel_range must increase"),
        (["--noise=-1"], "noise must be"),
        (["--noise=0.05"], "or leave noise out"),
    ],
)
def test_attacks_and_ranges_that_cannot_be(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["audit", f"{HERE}:Kept", "--data", f"{HERE}:images", "--task", "inpainting:top=0.5", "--eps", "0.5"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, *options])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_what_is_asked_for_by_default(asked: Callable[..., dict[str, Any]]) -> None:
    call = asked()
    assert isinstance(call["G"], Kept)
    assert isinstance(call["projector"], InpaintingProjector)
    assert torch.equal(torch.cat(call["data"]), images())
    assert (call["n_batches"], call["eps"], call["title"]) == (1, 0.5, f"{HERE}:Kept")
    assert call["settings"] == AuditSettings()
    assert call["progress"]
    assert [call[name] for name in ("real", "extractor", "cache", "max_batch")] == [None] * 4


def test_numbers_that_are_passed_on(asked: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    call = asked(
        "--seeds", "3", "--attacked", "2", "--seed", "7", "--max-batch", "5", "--cache", str(tmp_path),
        "--title", "A GAN",
    )  # fmt: skip
    assert call["settings"] == AuditSettings(n_seeds=3, n_attacked=2, seed=7)
    assert (call["max_batch"], call["cache"], call["title"]) == (5, tmp_path, "A GAN")


def test_the_radius_in_decibels_is_of_the_elements_of_y(asked: Callable[..., dict[str, Any]]) -> None:
    assert asked("--eps-psnr", "20")["eps"] == pytest.approx(0.1 * SIDE)
    halved = asked("--eps-psnr", "20", "--task", "block-average:scale=2", model=f"{HERE}:Repeated")
    assert halved["eps"] == pytest.approx(0.1 * SIDE / 2)
    assert isinstance(halved["projector"], BlockAverageProjector)


def test_batches_and_the_first_images(asked: Callable[..., dict[str, Any]]) -> None:
    call = asked("--batch", "2", "--images", "5")
    assert [len(batch) for batch in call["data"]] == [2, 2, 1]
    assert call["n_batches"] == 3
    assert torch.equal(torch.cat(call["data"]), images()[:5])


def test_pictures_by_size_and_grey(asked: Callable[..., dict[str, Any]], pictures: Path) -> None:
    assert asked("--data", str(pictures))["data"][0].shape == (3, 3, SIDE, SIDE + 2)
    assert asked("--data", str(pictures), "--size", "4", "--grey")["data"][0].shape == (3, 1, 4, 4)


def test_pairs_with_and_without_a_task(asked: Callable[..., dict[str, Any]], pictures: Path) -> None:
    for file in pictures.iterdir():
        (pictures.parent / "low").mkdir(exist_ok=True)
        Image.open(file).resize((3, 2)).save(pictures.parent / "low" / file.name)
    sources = ("--data", str(pictures), "--size", "4", "--images", "2", "--eps-psnr", "20")
    call = asked(*sources, "--inputs", str(pictures.parent / "low"))
    assert [(y.shape, x.shape) for y, x in call["data"]] == [((2, 3, 2, 3), (2, 3, 4, 4))]
    assert call["projector"] is None
    assert call["eps"] == pytest.approx(0.1 * (3 * 2 * 3) ** 0.5)
    both = asked(*sources, "--inputs", str(pictures), "--task", "inpainting:top=0.5")
    assert isinstance(both["projector"], InpaintingProjector)
    assert both["data"][0][0].shape == (2, 3, SIDE, SIDE + 2)


def test_real_images_are_read_as_the_data_are_and_all_of_them(
    asked: Callable[..., dict[str, Any]], pictures: Path
) -> None:
    call = asked("--real", str(pictures), "--images", "2", "--data", str(pictures), "--size", "4")
    assert torch.cat(list(call["real"])).shape == (3, 3, 4, 4)


def test_pictures_that_are_left_out_are_counted_and_named(
    asked: Callable[..., dict[str, Any]], pictures: Path, tmp_path: Path
) -> None:
    for i in range(3, 9):
        (pictures / f"{i}.png").write_bytes(b"nonsense")
    call = asked("--data", str(pictures), "--skip-bad", "--json", str(tmp_path / "r.json"))
    assert torch.cat(call["data"]).shape == (3, 3, SIDE, SIDE + 2)
    report = AuditReport.from_json((tmp_path / "r.json").read_text())
    why = "it is no whole picture in BMP, JPEG, PNG, PPM, TIFF, WEBP"
    assert report.protocol["left_out"] == {f"{i}.png": why for i in range(3, 9)}
    shown = "; ".join(f"{i}.png: {why}" for i in range(3, 8))
    assert report.concerns == (
        f"6 picture(s) could not be read, and were left out: {shown}; and 1 more, named in the protocol",
    )
    assert report.protocol["settings"] == found().protocol["settings"]
    with pytest.raises(SystemExit):
        asked("--data", str(pictures))
    (pictures / "9.png").write_bytes((pictures / "0.png").read_bytes())
    assert "left_out" not in AuditReport.from_json(written(asked, pictures / "9.png", tmp_path)).protocol


def written(asked: Callable[..., dict[str, Any]], picture: Path, folder: Path) -> str:
    """The JSON of a report on one picture that is whole."""
    (folder / "one").mkdir()
    picture.rename(folder / "one" / picture.name)
    asked("--data", str(folder / "one"), "--skip-bad", "--json", str(folder / "r.json"))
    return (folder / "r.json").read_text()


def test_features(asked: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for name in ("EfficientNetLite0Features", "InceptionFeatures"):

        class Stub:
            def __init__(self, *preset: str, weights: str | None = None, name: str = name) -> None:
                self.made = (name, *preset, weights)

            def to(self, device: torch.device) -> tuple[object, ...]:
                made.append((*self.made, device))
                return self.made

        monkeypatch.setattr(f"stochrobust.{name}", Stub)
    assert asked("--features", "pixels")["extractor"] is None
    assert asked("--features", "efficientnet")["extractor"] == ("EfficientNetLite0Features", None)
    file = asked("--features", "inception=some.pth")["extractor"]
    assert file == ("InceptionFeatures", "paper", "some.pth")
    assert [device for *_, device in made] == [torch.device("cpu")] * 2


def test_the_device_is_that_of_model_images_and_projector(asked: Callable[..., dict[str, Any]]) -> None:
    call = asked("--device", "meta", "--real", f"{HERE}:images")
    assert [batch.device.type for batch in (*call["data"], *call["real"])] == ["meta"] * 2
    assert call["G"].unused.device.type == call["projector"].mask.device.type == "meta"


@pytest.mark.parametrize("there", [True, False])
def test_a_gpu_is_used_where_there_is_one(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []

    def empty(n: int, device: str) -> Tensor:
        used.append(device)
        return torch.zeros(n)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(torch, "empty", empty)
    command._device(None)
    assert used == ["cuda" if there else "cpu"]


def test_what_is_written(
    asked: Callable[..., dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(AuditReport, "to_html", lambda report: "<p>é")
    html, data, markdown = (tmp_path / name for name in ("r.html", "r.json", "r.md"))
    asked()
    assert not list(tmp_path.iterdir())
    asked("--out", str(html), "--json", str(data), "--markdown", str(markdown))
    printed = capsys.readouterr()
    assert html.read_text(encoding="utf-8") == "<p>é"
    assert AuditReport.from_json(data.read_text()) == found()
    assert markdown.read_text(encoding="utf-8") == found().to_markdown()
    assert "## Protocol" in found().to_markdown()
    assert printed.out == 2 * found().to_markdown().partition("\n## Protocol")[0]
    assert printed.err.splitlines() == [f"{path} written" for path in (data, markdown, html)]


@pytest.mark.parametrize(("level", "options", "code"), [
    ("bad", [], 0), ("bad", ["--fail-on", "bad"], 1), ("note", ["--fail-on", "bad"], 0),
])  # fmt: skip
def test_the_exit_code_of_a_bad_verdict(
    level: str, options: list[str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "audit", lambda **arguments: found(level))
    usual = ["--data", f"{HERE}:images", "--task", "inpainting:top=0.5", "--eps", "0.5"]
    assert main(["audit", f"{HERE}:Kept", *usual, *options]) == code


# -- demo, version, executable -----------------------------------------------------------------------------------------


def test_the_demo_is_that_of_the_digits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []
    monkeypatch.setattr("reference_experiments.__main__.main", lambda *given: asked.append(given))
    assert main(["demo", "--out", str(tmp_path), "--seed", "3"]) == 0
    assert main(["demo"]) == 0
    assert asked == [(["demo", "--out", str(out), "--seed", seed],) for out, seed in ((tmp_path, "3"), ("demo", "0"))]


@pytest.mark.parametrize(("missing", "package"), [("sklearn", "scikit-learn"), ("matplotlib", "matplotlib")])
def test_what_the_demo_needs_is_named(
    missing: str, package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def demo(*_: Any) -> None:
        raise ModuleNotFoundError(name=missing)

    monkeypatch.setattr("reference_experiments.__main__.main", demo)
    with pytest.raises(SystemExit):
        main(["demo"])
    assert f"{package} is not installed: pip install 'stochrobust[demo]'" in capsys.readouterr().err


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert (end.value.code, capsys.readouterr().out) == (0, f"stochrobust {stochrobust.__version__}\n")


def test_the_executable_runs_this_program_with_its_own_arguments(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"stochrobust": f"{main.__module__}:{main.__name__}"}
    monkeypatch.setattr("sys.argv", ["stochrobust", "--version"])
    with pytest.raises(SystemExit):
        main()
    assert stochrobust.__version__ in capsys.readouterr().out


# -- the caller's mistakes ---------------------------------------------------------------------------------------------

USUAL = {"model": f"{HERE}:Kept", "--data": f"{HERE}:images", "--task": "inpainting:top=0.5", "--eps": "0.5"}


def refused(capsys: pytest.CaptureFixture[str], change: dict[str, str | None]) -> str:
    """The one line on stderr."""
    options = {name: value for name, value in (USUAL | change).items() if value is not None}
    words = [options.pop("model"), *(word for option in options.items() for word in option)]
    with pytest.raises(SystemExit) as end:
        main(["audit", *words])
    assert end.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("stochrobust")
    return line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "nonsense"}, "model must be module:factory, got 'nonsense'"),
        (
            {"model": f"{HERE}:failing"},
            r"failing' fails at an input of \(1, 1, 8, 8\): RuntimeError: .* \(conv.py:\d+\)",
        ),
        ({"model": f"{HERE}:Repeated"}, "G's output must have the shape of one x, "),
        ({"--data": "nowhere"}, "nowhere does not exist"),
        ({"--data": None}, "required: --data"),
        ({"--task": None}, "--task or --inputs must be given"),
        ({"--task": "blur"}, "task must be one of inpainting:top=0.75, "),
        ({"--task": "block-average:scale=3"}, "divisible by the scale 3"),
        ({"--eps": None}, "one of the arguments --eps --eps-psnr is required"),
        ({"--eps-psnr": "30"}, "not allowed with argument --eps"),
        ({"--eps": "-1"}, "eps must be a finite number above 0"),
        ({"--eps": "small"}, "argument --eps: invalid float value: 'small'"),
        ({"--features": "vgg"}, "--features must be pixels, efficientnet or inception=FILE, got 'vgg'"),
        ({"--features": "inception=nowhere.pth"}, "nowhere.pth"),
        ({"--seeds": "1"}, "n_seeds must be at least 2, got 1"),
        ({"--images": "0"}, "argument --images: must be at least 1, got 0"),
        ({"--batch": "0"}, "argument --batch: must be at least 1, got 0"),
        ({"--device": "toaster"}, "--device toaster cannot be used: "),
        ({"--device": "cuda:99"}, "--device cuda:99 cannot be used: "),
        ({"--out": "nowhere/r.html"}, "cannot write nowhere/r.html: it is a folder, or its folder does not exist"),
        ({"--json": "."}, "cannot write .: it is a folder"),
        ({"--out": "a.pdf"}, "--out writes .html or .htm, got a.pdf"),
        ({"--json": "a.html"}, "--json writes .json, got a.html"),
        ({"--markdown": "a.json"}, "--markdown writes .md or .markdown or .txt, got a.json"),
        ({"--json": "same", "--out": "same"}, "--out, --json must be files of their own"),
        ({"--fail-on": "note"}, "argument --fail-on: invalid choice: 'note'"),
        ({"--nonsense": "1"}, "unrecognized arguments: --nonsense 1"),
    ],
)
def test_a_mistake_is_named_in_one_line(
    change: dict[str, str | None], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert re.search(message, refused(capsys, change))


@pytest.mark.parametrize(("missing", "option"), [("jinja2", "--out"), ("PIL", "--data")])
def test_a_missing_extra_is_named(
    missing: str, option: str, pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else find(name))
    line = refused(capsys, {option: str(pictures / "r.html" if option == "--out" else pictures)})
    assert re.search("(jinja2|pillow) is not installed: pip install 'stochrobust.report.'", line)


def test_another_missing_module_is_no_mistake_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    def audit(**arguments: Any) -> AuditReport:
        raise ModuleNotFoundError("No module named 'theirs'", name="theirs")

    monkeypatch.setattr(run, "audit", audit)
    with pytest.raises(ModuleNotFoundError, match="theirs"):
        main(["audit", *[word for option in USUAL.items() for word in option][1:]])


# -- end to end --------------------------------------------------------------------------------------------------------


def shell(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-m", "stochrobust", *words], cwd=cwd, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


MODEL = """
import torch

def ignoring():
    class G(torch.nn.Module):
        def sample_z(self, y, generator=None):
            return torch.randn(y.shape, generator=generator)
        def forward(self, y, z):
            return y.repeat_interleave(2, -1).repeat_interleave(2, -2)
    return G()
"""


def test_from_pictures_to_reports_and_their_comparison(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MODEL)
    usual = ("--data", str(pictures), "--grey", "--task", "block-average:scale=2", "--eps-psnr", "30", "--seeds", "2")
    done = shell(
        "audit", "mine:ignoring", *usual, "--json", "a.json", "--out", "a.html", "--fail-on", "bad", cwd=tmp_path
    )
    assert done.returncode == 1, done.stderr
    assert "**seed ignored** (BAD)" in done.stdout
    assert "| PSNR of the mean output and x |" in done.stdout
    assert "Traceback" not in done.stderr
    assert "seed ignored" in (tmp_path / "a.html").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "a.json").read_text())["title"] == "mine:ignoring"
    done = shell("compare", "a.json", "a.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "| b - a |" in done.stdout
    done = shell("compare", "a.json", "mine.py", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("stochrobust compare: mine.py: text must be what AuditReport.to_json wrote")
    assert len(done.stderr.splitlines()) == 1
