"""Training one of the four models: resumable bit for bit, on one processor or, under a launcher, on many."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from reference_experiments.data.arrays import ImageSet, Part, open_set
from reference_experiments.data.batches import Batches
from reference_experiments.images import checkpoints
from reference_experiments.images.averaging import Average
from reference_experiments.images.checkpoints import Checkpoint, named, part
from reference_experiments.images.claims import claim
from reference_experiments.images.finite import finite_losses, finite_state
from reference_experiments.images.sessions import Sessions
from reference_experiments.images.settings import Cadence, Training
from reference_experiments.images.snapshots import snapshot
from reference_experiments.images.stats import Stats
from reference_experiments.images.steps import Losses, Randomness, Trainee, critic_step, estimator_step
from stochrobust import Consistent

if TYPE_CHECKING:
    from accelerate import Accelerator

N_EXAMPLES = 16
"""Validation images of a snapshot."""


def accelerated() -> Accelerator:
    """Where and how to train, as the launcher says.

    Raises:
        ValueError: for float16, whose scaled losses and gradient penalty do not go together, 8 bits, or gradient
            accumulation.
    """
    from accelerate import Accelerator

    accelerator = Accelerator()
    if (precision := accelerator.mixed_precision) not in ("no", "bf16"):
        raise ValueError(f"mixed precision must be 'bf16' or 'no', got {precision!r}: no loss is scaled here")
    if (accumulated := accelerator.gradient_accumulation_steps) != 1:
        raise ValueError(f"gradient accumulation must be 1, got {accumulated}: a step here is a step of Adam")
    return accelerator


def untrained(settings: Training, accelerator: Accelerator) -> Trainee:
    """Both networks and optimizers; one seed gives the four models the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        G, C = settings.estimator().to(accelerator.device), settings.critic().to(accelerator.device)
    if settings.channels_last:
        G, C = (net.to(memory_format=torch.channels_last) for net in (G, C))  # type: ignore[call-overload]
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
        ValueError: if the folder is of another training, the set's images have another shape, the latest checkpoint
            is damaged, or the processes do not share the folder.
        FloatingPointError: where a loss or a weight is no longer finite, with the last good checkpoint.
    """
    images = open_set(data, "train")
    check_shape(settings, images)
    claim(folder, {**asdict(settings), "images": images.sha256}, writing=accelerator.is_main_process)
    trainee = untrained(settings, accelerator)
    average = Average(trainee.plain_G, settings.ema)
    step = resume(trainee, average, folder)
    if step < settings.steps:
        _go_on(trainee, average, step, data, folder, cadence, command)
    accelerator.wait_for_everyone()
    accelerator.free_memory()  # it would hold the networks of every training of a study


def _go_on(
    trainee: Trainee, average: Average, step: int, data: Path, folder: Path, cadence: Cadence, command: str
) -> None:
    settings, accelerator = trainee.settings, trainee.accelerator
    streams = [_batches(data, "train", settings.batch, settings.seed * 4 + i, accelerator) for i in range(3)]
    shown = _batches(data, "validation", N_EXAMPLES, 0, None).batch(0)
    examples = trainee.plain_G.projector.D(as_images(shown, accelerator.device))
    sessions = Sessions(
        folder, step, command, device=accelerator.device, processes=accelerator.num_processes,
        mixed_precision=accelerator.mixed_precision,
    )  # fmt: skip
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
            if last or step % cadence.checkpoint == 0:
                reached = finite_state(state(trainee, average, step), folder)
                if accelerator.is_main_process:
                    sessions.reached(step)
                    checkpoints.save(folder / "checkpoints", reached)


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
    if device.type == "cuda":
        pixels = pixels.pin_memory()  # from other memory, the copy waits for all that the device still has to do
    return pixels.to(device, non_blocking=True).to(torch.get_default_dtype()) / 255


def checked(means: Losses, step: int, folder: Path, accelerator: Accelerator) -> dict[str, float]:
    """The means over all processes, as numbers; an error if one is not finite."""
    return finite_losses({n: float(accelerator.reduce(mean, "mean")) for n, mean in means.items()}, step, folder)


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
    _agree(0 if path is None else int(path.stem), folder, trainee.accelerator)
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


def _agree(step: int, folder: Path, accelerator: Accelerator) -> None:
    steps = accelerator.gather(torch.tensor([step], device=accelerator.device)).tolist()
    if len(set(steps)) > 1:
        raise ValueError(
            f"the processes found checkpoints of different steps in {folder}, {steps}: it must be a folder that all "
            "hosts share"
        )


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


def check_shape(settings: Training, images: ImageSet) -> None:
    """The images are what the networks are made for."""
    expected = (settings.channels, settings.size, settings.size)
    if images.images.shape[1:] != expected:
        raise ValueError(
            f"images must be {expected} for these settings, got {images.images.shape[1:]} of {images.name}"
        )


def _batches(data: Path, which: Part, size: int, seed: int, accelerator: Accelerator | None) -> Batches:
    images = open_set(data, which).images
    if accelerator is None:
        return Batches(images, size, seed)
    return Batches(images, size, seed, accelerator.process_index, accelerator.num_processes)
