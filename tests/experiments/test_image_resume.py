"""A training that was killed and one that was not; one process and two."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState, GradientState, PartialState

from reference_experiments.data.arrays import open_set
from reference_experiments.data.batches import Batches
from reference_experiments.images import checkpoints
from reference_experiments.images.settings import Training
from reference_experiments.images.stats import read_stats
from reference_experiments.images.training import accelerated, one_step, untrained
from tests.experiments.image_runs import digits, tiny, train_tiny
from tests.processes import in_two_processes

STEPS = 40
ROOT = Path(__file__).parents[2]
IN_A_PROCESS = """
import sys
from pathlib import Path
import torch
from tests.experiments.image_runs import train_tiny
torch.set_num_threads(int(sys.argv[4]))  # another number sums in another order
train_tiny(Path(sys.argv[1]), Path(sys.argv[2]), steps=int(sys.argv[3]), ema=0.5)
"""


def in_a_process(data: Path, folder: Path) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([str(ROOT), *sys.path])
    command = [sys.executable, "-c", IN_A_PROCESS, str(data), str(folder), str(STEPS)]
    command.append(str(torch.get_num_threads()))
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})


def until(condition: Any, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, "the training ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_killed_and_resumed_gives_the_same_weights_bit_for_bit(tmp_path: Path) -> None:
    data = digits(tmp_path)
    killed, whole = tmp_path / "killed", train_tiny(data, tmp_path / "whole", steps=STEPS, ema=0.5)
    for after in (2, 12):
        process = in_a_process(data, killed)
        reached = killed / "checkpoints" / f"{after:08d}.json"
        until(reached.exists, process)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert checkpoints.latest(killed / "checkpoints") is not None
    train_tiny(data, killed, steps=STEPS, ema=0.5)
    ends = [checkpoints.latest(folder / "checkpoints") for folder in (whole, killed)]
    assert ends[0] is not None
    assert ends[1] is not None
    assert ends[0].read_text() == ends[1].read_text()
    assert ends[0].with_suffix(".safetensors").read_bytes() == ends[1].with_suffix(".safetensors").read_bytes()
    wall_clock = ("images_per_second",)
    lines = [[{k: v for k, v in x.items() if k not in wall_clock} for x in read_stats(f)] for f in (whole, killed)]
    assert lines[0] == lines[1]


def losses_of(data: str, settings: Training, n: int) -> tuple[list[dict[str, float]], list[float]]:
    """The losses of n steps in float64, the means over all processes, and the squared norm of each weight after."""
    torch.set_default_dtype(torch.float64)
    for state in (AcceleratorState, PartialState, GradientState):
        state._reset_state()
    accelerator = accelerated()
    trainee = untrained(settings, accelerator)
    where = (accelerator.process_index, accelerator.num_processes)
    streams = [Batches(open_set(Path(data), "train").images, settings.batch, i, *where) for i in range(3)]
    losses = []
    for step in range(n):
        found = one_step(trainee, streams, step)
        losses.append({name: float(accelerator.reduce(loss, "mean")) for name, loss in found.items()})
    return losses, [float(p.detach().square().sum()) for p in trainee.plain_G.parameters()]


def half(rank: int, data: str, settings: Training, n: int) -> Any:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}  # asked for, though the group is there
    return losses_of(data, settings, n)


@pytest.mark.distributed
def test_two_processes_with_half_the_batch_each_have_the_losses_of_one(tmp_path: Path) -> None:
    data, settings, n = str(digits(tmp_path)), tiny(norm=False, attack="training", lr=1e-3), 20
    try:
        alone, weights = losses_of(data, settings, n)
    finally:
        torch.set_default_dtype(torch.float32)
        for state in (AcceleratorState, PartialState, GradientState):
            state._reset_state()
    both, theirs = in_two_processes(half, data, settings, n)
    assert [loss.keys() for loss in both] == [loss.keys() for loss in alone]
    assert sum("robustness" in loss for loss in alone) == 6
    for step, (one, two) in enumerate(zip(alone, both, strict=True)):
        assert two == pytest.approx(one, rel=1e-8, abs=1e-10), step
    assert theirs == pytest.approx(weights, rel=1e-8)
