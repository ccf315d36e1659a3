"""The Python of the README and of the pages runs, block after block, as a reader would paste it."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

from stochrobust import AttackEvidence

README = Path(__file__).resolve().parents[1] / "README.md"
QUALITY = README.parent / "docs" / "quality.md"
ATTACKS = README.parent / "docs" / "attacks.md"
TRAINING = README.parent / "docs" / "training.md"


def run_blocks(page: Path, names: dict[str, object]) -> int:
    """Runs each block with the names of those before it; how many there are."""
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    for block in blocks:
        exec(compile(block, str(page), "exec"), names)
    return len(blocks)


class Seeded(torch.nn.Module):
    """The G that a reader has."""

    def sample_z(self, y: Tensor, generator: torch.Generator | None) -> Tensor:
        return torch.randn(y.shape, generator=generator)

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        return y + z * y


def test_every_block_runs() -> None:
    names: dict[str, object] = {"G": Seeded(), "y": torch.rand(2, 3), "adversarial_loss": torch.zeros(())}
    assert run_blocks(README, names) == 3
    loss, diversity = names["loss"], names["diversity"]
    assert isinstance(loss, Tensor)
    assert loss > 0
    assert isinstance(diversity, Tensor)
    assert diversity.shape == (16,)


def test_every_block_of_the_quality_page_runs() -> None:
    names: dict[str, object] = {}
    assert run_blocks(QUALITY, names) == 2
    assert names["again"] == names["frechet"]


def test_every_block_of_the_attacks_page_runs() -> None:
    names: dict[str, object] = {}
    assert run_blocks(ATTACKS, names) == 2
    evidence = names["evidence"]
    assert isinstance(evidence, AttackEvidence)
    assert not evidence.masked.any()


def test_every_block_of_the_training_page_runs() -> None:
    names: dict[str, object] = {}
    assert run_blocks(TRAINING, names) == 9
    loss, robustness = names["loss"], names["robustness"]
    assert isinstance(loss, Tensor)
    assert loss > 0
    assert isinstance(robustness, Tensor)
    assert robustness.shape == (32,)


def test_what_the_training_page_shows_of_the_examples_is_there() -> None:
    shown = re.findall(r'--8<-- "(.+?):(.+?)"', TRAINING.read_text())
    assert [Path(file).stem for file, _ in shown] == ["plain_loop", "lightning_gan", "accelerate_two_processes"]
    for file, section in shown:
        text = (README.parent / file).read_text()
        assert "robustness_loss" in text.partition(f"[start:{section}]")[2].partition(f"[end:{section}]")[0]


def test_both_commands_name_sessions_that_exist() -> None:
    commands = re.findall(r"nox -s (\w+)", README.read_text())
    noxfile = (README.parent / "noxfile.py").read_text()
    assert commands == ["demo", "tests"]
    assert all(f"def {name}(" in noxfile for name in commands)
