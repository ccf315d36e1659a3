"""The README's Python runs, block after block, as a reader would paste it."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

README = Path(__file__).resolve().parents[1] / "README.md"


class Seeded(torch.nn.Module):
    """The G that a reader has."""

    def sample_z(self, y: Tensor, generator: torch.Generator | None) -> Tensor:
        return torch.randn(y.shape, generator=generator)

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        return y + z * y


def test_every_block_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert len(blocks) == 3
    names: dict[str, object] = {"G": Seeded(), "y": torch.rand(2, 3), "adversarial_loss": torch.zeros(())}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    loss, diversity = names["loss"], names["diversity"]
    assert isinstance(loss, Tensor)
    assert loss > 0
    assert isinstance(diversity, Tensor)
    assert diversity.shape == (16,)


def test_both_commands_name_sessions_that_exist() -> None:
    commands = re.findall(r"nox -s (\w+)", README.read_text())
    noxfile = (README.parent / "noxfile.py").read_text()
    assert commands == ["demo", "tests"]
    assert all(f"def {name}(" in noxfile for name in commands)
