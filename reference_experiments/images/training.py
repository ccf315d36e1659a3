"""Training one of the four models: resumable bit for bit, on one processor or, under a launcher, on many."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from accelerate import Accelerator
from torch import Tensor

from reference_experiments.data.arrays import Part, open_set
from reference_experiments.data.batches import Batches
from reference_experiments.images import checkpoints
from reference_experiments.images.averaging import Average
from reference_experiments.images.checkpoints import Checkpoint, named, part
from reference_experiments.images.sessions import Sessions
from reference_experiments.images.settings import Cadence, Training
from reference_experiments.images.snapshots import snapshot
from reference_experiments.images.stats import Stats
from reference_experiments.images.steps import Losses, Randomness, Trainee, critic_step, estimator_step
from reference_experiments.runs import write_json
from stochrobust import Consistent

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

N_EXAMPLES = 16
"""Validation images of a snapshot."""


def accelerated() -> Accelerator:
    """Where and how to train, as the launcher says.

    Raises:
        ValueError: for float16, whose scaled losses and gradient penalty do not go together.
    """
    accelerator = Accelerator()
    if accelerator.mixed_precision == "fp16":
        raise ValueError("mixed precision must be 'bf16' or 'no', got 'fp16': the gradient penalty is not scaled")
    return accelerator


def untrained(settings: Training, accelerator: Accelerator) -> Trainee:
    """Both networks and optimizers; one seed gives the four models the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        G, C = settings.estimator().to(accelerator.device), settings.critic().to(accelerator.device)
    adams = [torch.optim.Adam(net.parameters(), settings.lr, betas=(0.5, 0.99), fused=True) for net in (G, C)]
    outer_G, outer_C, adam_G, adam_C = accelerator.prepare(G, C, *adams)
    return Trainee(outer_G, outer_C, G, C, adam_G, adam_C, accelerator, settings)


def train(
    settings: Training, data: Path, folder: Path, cadence: Cadence, accelerator: Accelerator, command: str = ""
) -> None:
    """Train, or go on with the training whose checkpoints are in ``folder``.

    Args:
        settings: of the training.
        data: a prepared set; its part ``train``, and of ``validation`` a few for the snapshots.
        folder: gets ``settings.json``, ``sessions.json``, ``checkpoints/``, ``stats.jsonl``, ``tensorboard/`` and
            ``snapshots/``.
        cadence: how often each is written.
        accelerator: see :func:`accelerated`.
        command: that does this, for the record.

    Raises:
        ValueError: if the folder is of another training, or the latest checkpoint is damaged.
        FloatingPointError: where a loss is no longer finite, with the last good checkpoint.
    """
    claim(folder, settings, data)
    trainee = untrained(settings, accelerator)
    average = Average(trainee.plain_G, settings.ema)
    step = resume(trainee, average, folder)
    streams = [_batches(data, "train", settings.batch, settings.seed * 4 + i, accelerator) for i in range(3)]
    shown = _batches(data, "validation", N_EXAMPLES, 0, None).batch(0)
    examples = trainee.plain_G.projector.D(as_images(shown, accelerator.device))
    sessions = Sessions(folder, step, command, accelerator.device, accelerator.num_processes)
    with Stats(folder, step, settings.steps, accelerator.is_main_process) as stats:
        while step < settings.steps:
            stats.add(one_step(trainee, streams, step))
            average.update(trainee.plain_G)
            step += 1
            last = step == settings.steps
            if last or step % cadence.stats == 0:
                means = checked(stats.means(), step, folder, accelerator)
                stats.write(step, settings.batch, {**means, "lr": settings.learning_rate(step - 1)})
            if accelerator.is_main_process and (last or step % cadence.snapshot == 0):
                stats.show(step, *snapshot(average.module, examples, settings))
            if accelerator.is_main_process and (last or step % cadence.checkpoint == 0):
                checkpoints.save(folder / "checkpoints", state(trainee, average, step))
                sessions.reached(step)
    accelerator.wait_for_everyone()


def one_step(trainee: Trainee, streams: list[Batches], step: int) -> Losses:
    """A step of the critic and one of the estimator, each on images of its own."""
    accelerator, device = trainee.accelerator, trainee.accelerator.device
    randomness = Randomness(trainee.settings.seed, step, accelerator.process_index, accelerator.num_processes)
    for optimizer in (trainee.optimizer_G, trainee.optimizer_C):
        optimizer.param_groups[0]["lr"] = trainee.settings.learning_rate(step)
    real, for_critic, for_estimator = (as_images(stream.batch(step), device) for stream in streams)
    D = trainee.plain_G.projector.D
    losses = critic_step(trainee, real, D(for_critic), randomness)
    return losses | estimator_step(trainee, D(for_estimator), randomness)


def as_images(pixels: Tensor, device: torch.device) -> Tensor:
    """8-bit pixels as floating-point numbers in [0, 1] on the device."""
    return pixels.to(device, non_blocking=True).to(torch.get_default_dtype()) / 255


def checked(means: Losses, step: int, folder: Path, accelerator: Accelerator) -> dict[str, float]:
    """The means over all processes, as numbers; an error if one is not finite."""
    return finite({name: float(accelerator.reduce(mean, "mean")) for name, mean in means.items()}, step, folder)


def finite(numbers: dict[str, float], step: int, folder: Path) -> dict[str, float]:
    """The numbers themselves; an error if one is not finite."""
    if bad := {name: value for name, value in numbers.items() if not math.isfinite(value)}:
        good = checkpoints.latest(folder / "checkpoints")
        where = "there is no checkpoint yet" if good is None else f"the last good checkpoint is {good}"
        raise FloatingPointError(f"losses up to step {step} are not finite: {bad}; {where}")
    return numbers


def state(trainee: Trainee, average: Average, step: int) -> Checkpoint:
    """Everything that the next step depends on, and the average."""
    tensors = named("G", trainee.plain_G.state_dict()) | named("C", trainee.plain_C.state_dict())
    tensors |= checkpoints.flattened("optimizer_G", trainee.optimizer_G)
    tensors |= checkpoints.flattened("optimizer_C", trainee.optimizer_C)
    if average.decay:
        tensors |= named("average", average.module.state_dict())
    return Checkpoint(step, tensors, {"settings": asdict(trainee.settings)})


def resume(trainee: Trainee, average: Average, folder: Path) -> int:
    """Put the latest checkpoint back, if there is one; the number of steps done."""
    path = checkpoints.latest(folder / "checkpoints")
    if path is None:
        return 0
    saved = checkpoints.load(path, trainee.accelerator.device)
    trainee.plain_G.load_state_dict(part("G", saved.tensors))
    trainee.plain_C.load_state_dict(part("C", saved.tensors))
    checkpoints.restore_optimizer("optimizer_G", trainee.optimizer_G, saved.tensors)
    checkpoints.restore_optimizer("optimizer_C", trainee.optimizer_C, saved.tensors)
    if average.decay:
        average.module.load_state_dict(part("average", saved.tensors))
    return saved.step


def trained(folder: Path, device: torch.device | str = "cpu") -> tuple[Consistent, Training, int]:
    """The estimator of the latest checkpoint in eval mode, its settings, and the steps done."""
    path = checkpoints.latest(folder / "checkpoints")
    if path is None:
        raise FileNotFoundError(f"{folder / 'checkpoints'} holds no checkpoint: train first")
    saved = checkpoints.load(path, device)
    settings = Training(**{**saved.content["settings"], "milestones": tuple(saved.content["settings"]["milestones"])})
    G = settings.estimator().to(device)
    G.load_state_dict(part("average" if settings.ema else "G", saved.tensors))
    return G.eval(), settings, saved.step


def claim(folder: Path, settings: DataclassInstance, *data: Path) -> None:
    """Mark the folder as that of this training; a training may be prolonged, and not be changed otherwise."""
    path = folder / "settings.json"
    mine = {**asdict(settings), "images": " ".join(open_set(of_set, "train").sha256 for of_set in data)}
    mine = json.loads(json.dumps(mine))
    if path.exists():
        theirs = json.loads(path.read_text())
        different = [name for name in mine if name not in theirs or mine[name] != theirs[name]]
        if different:
            wanted = ", ".join(f"{name}={theirs.get(name)!r} there and {mine[name]!r} here" for name in different)
            raise ValueError(f"{folder} holds another training: {wanted}; give another folder, or delete it")
    write_json(path, mine)


def _batches(data: Path, which: Part, size: int, seed: int, accelerator: Accelerator | None) -> Batches:
    images = open_set(data, which).images
    if accelerator is None:
        return Batches(images, size, seed)
    return Batches(images, size, seed, accelerator.process_index, accelerator.num_processes)
