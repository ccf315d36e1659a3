"""Wrong words on the command line: each ends in one line that names its option, and the exit code 2."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from stochrobust.cli.main import main
from tests.bad_calls.judge import Base

HERE = "tests.bad_calls.calls"
COUNTS = ("x", "", "0", "-1", "1.5", "nan", "1e9", "True")
NUMBERS = ("x", "", "nan", "inf", "-inf", "1e400", "1j", "True", "0,5")
PATHS = ("nowhere/r", ".", "/", "")
RIGHT = {
    "model": f"{HERE}:identity_model",
    "--data": f"{HERE}:IMAGES",
    "--task": "inpainting:top=0.5",
    "--eps": "0.5",
    "--seeds": "2",
    "--attacked": "1",
}
WRONG: dict[str, tuple[str, ...]] = {
    "model": (
        "nonsense",
        "",
        ":",
        "no_such_module:f",
        f"{HERE}:missing",
        f"{HERE}:MEASURES_NAN",
        "a b:c",
        f"{HERE}:Base",
    ),
    "--data": ("nowhere", "", "no_such_module:f", f"{HERE}:missing", f"{HERE}:MEASURES_NAN", "/dev/null"),
    "--inputs": ("nowhere", "no_such_module:f", "/dev/null"),
    "--real": ("nowhere", "no_such_module:f", "/dev/null"),
    "--task": (
        "blur",
        "",
        "inpainting",
        "inpainting:",
        "inpainting:top",
        "inpainting:top=",
        "inpainting:top=x",
        "inpainting:top=0",
        "inpainting:top=1",
        "inpainting:top=nan",
        "inpainting:top=0.01",
        "inpainting:colour=1",
        "inpainting:top=0.5,top=0.5",
        "block-average:scale=0",
        "block-average:scale=1.5",
        "block-average:scale=nan",
        "block-average:scale=inf",
        "block-average:scale=3",
        "bicubic:scale=1e300",
        "bicubic:scale=-2",
        "cem:scale=1",
        "cem:scale=x",
        "cem:scale=inf",
    ),
    "--eps": (*NUMBERS, "0", "-1", "1e-300", "1e300"),
    "--eps-psnr": (*NUMBERS, "1e300", "-1e300"),
    "--images": COUNTS,
    "--size": COUNTS,
    "--batch": COUNTS,
    "--seeds": (*COUNTS, "1"),
    "--attacked": COUNTS,
    "--seed": ("x", "", "1.5", "nan", "True"),
    "--max-batch": COUNTS,
    "--features": ("vgg", "", "inception=nowhere.pth", "inception=", "pixel"),
    "--device": ("toaster", "", "cuda:99", "-1"),
    "--out": (*PATHS, "a.pdf", "a.json"),
    "--json": (*PATHS, "a.pdf", "a.html"),
    "--markdown": (*PATHS, "a.pdf", "a.html"),
    "--cache": ("/dev/null",),
    "--fail-on": ("note", "", "good"),
}
WORDS = {
    "--data": "data|folder|archive|nowhere|exist|images",
    "--inputs": "inputs|archive|exist",
    "--real": "real|archive|exist",
    "--seeds": "n_seeds",
    "--attacked": "n_attacked",
    "--max-batch": "max_batch",
    "--eps-psnr": "eps|psnr_db",
    "--out": "write",
    "--json": "write",
    "--markdown": "write",
    "--features": "weights",
    "--task": "task|scale|inpainting",
}


def run(**options: Any) -> None:
    """The command with these options; ValueError with its line, if it ends as a mistake of the caller's should."""
    words = [options.pop("model")] + [f"--{name}={value}" for name, value in options.items()]
    out, err = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main(["audit", *words])
    except SystemExit as end:
        lines = err.getvalue().splitlines()
        if end.code != 2 or len(lines) != 1 or out.getvalue():
            raise RuntimeError(f"code {end.code}, {len(lines)} lines: {err.getvalue()}") from end
        raise ValueError(lines[0]) from end


def bases() -> list[Base]:
    """One for each option, beside the others that are right."""
    found = []
    for option, values in WRONG.items():
        usual = {name.removeprefix("--"): value for name, value in RIGHT.items()}
        if option == "--eps-psnr":
            del usual["eps"]
        name = option.removeprefix("--")
        wrong = {name: {repr(value): value for value in values}}
        found.append(Base(f"audit {option}", run, usual, wrong, {name: WORDS.get(option, name)}))
    return found
