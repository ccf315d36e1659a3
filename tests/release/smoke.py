"""Runs on an installed wheel alone: no extra may be there, none may be needed. `python -I tests/release/smoke.py`."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import importlib.util
import subprocess
import sys
from pathlib import Path

import torch

import stochrobust as sr

EXTRAS = ("matplotlib", "PIL", "sklearn", "torchmetrics", "torchvision", "tqdm", "accelerate", "pytest")


def check_installed() -> None:
    """The wheel is what was imported, with its types, and none of the extras."""
    here = Path(str(sr.__file__)).resolve()
    assert Path(sys.prefix).resolve() in here.parents, f"{here} is not the wheel of {sys.prefix}"
    assert importlib.resources.files(sr).joinpath("py.typed").is_file()
    assert importlib.metadata.version("stochrobust") == sr.__version__
    present = [name for name in EXTRAS if importlib.util.find_spec(name) is not None]
    assert not present, f"this environment has {present}: it cannot show that they are not needed"


def check_numbers() -> None:
    """A loss, a measurement and a metric, each against its closed form."""
    torch.manual_seed(0)
    G = torch.nn.Linear(3, 3)
    sr.robustness_loss(G, torch.rand(8, 3), eps=0.1).backward()
    assert G.weight.grad is not None
    assert bool(G.weight.grad.any())
    A = torch.diag(torch.tensor([3.0, 1.0]))
    found = sr.sensitivity(lambda y: y @ A, torch.zeros(1, 2), eps=0.1)  # (eps sigma_max)^2
    assert abs(found.value.item() - 0.09) < 1e-4, found.value
    real = torch.rand(50, 4)
    same = sr.precision_recall(real=real, generated=real.clone(), k=3)
    assert (float(same.precision), float(same.recall)) == (1.0, 1.0), same
    points = torch.rand(1, 9, 2, dtype=torch.float64)
    assert abs(sr.w2_squared(points, points + 1.0).item() - 2.0) < 1e-9  # a translation by (1, 1)


def check_audit() -> None:
    """A whole audit, as Markdown and JSON."""
    projector = sr.BlockAverageProjector(2)
    report = sr.audit(projector.pinv, torch.rand(12, 1, 4, 4), eps=0.1, projector=projector)
    assert abs(report.numbers["amplification"].estimate - 1) < 1e-3, report.numbers  # that map copies pixels
    assert "amplification" in report.to_markdown()
    assert sr.AuditReport.from_json(report.to_json()).numbers == report.numbers


def check_executable() -> None:
    """The command is on the path, and says which version it is."""
    program = Path(sys.executable).with_name("stochrobust")
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert said.stdout == f"stochrobust {sr.__version__}\n", said


def main() -> None:
    check_installed()
    check_numbers()
    check_audit()
    check_executable()
    print(f"stochrobust {sr.__version__} with torch {torch.__version__} alone: {sr.__file__}")


if __name__ == "__main__":
    main()
