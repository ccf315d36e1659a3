"""Training SRFlow by maximum likelihood: resumable bit for bit, on one processor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from reference_experiments.data.arrays import open_set
from reference_experiments.data.sr_benchmarks import Pair
from reference_experiments.images import checkpoints
from reference_experiments.images.checkpoints import Checkpoint, named, part
from reference_experiments.images.claims import claim
from reference_experiments.images.finite import finite_losses, finite_state
from reference_experiments.images.restorer import weights_digest
from reference_experiments.images.sessions import Sessions
from reference_experiments.images.settings import Cadence
from reference_experiments.images.stats import Stats
from reference_experiments.networks.srflow import SRFlow, bits_per_pixel
from reference_experiments.srflow.images import streams, training_pair, validation_pair
from reference_experiments.srflow.look import N_EXAMPLES, look
from reference_experiments.srflow.settings import FlowTraining
from stochrobust import SampleKeys

Losses = dict[str, Tensor]


def train(
    settings: FlowTraining, data: Sequence[Path], folder: Path, cadence: Cadence,
    device: torch.device | str = "cpu", command: str = "", initial: Path | None = None,
) -> None:  # fmt: skip
    """Train, or go on with the training whose checkpoints are in ``folder``.

    Args:
        settings: of the training.
        data: prepared sets; of each, as many images in every batch.
        folder: gets ``settings.json``, ``sessions.json``, ``checkpoints/``, ``stats.jsonl``, ``tensorboard/`` and
            ``snapshots/``.
        cadence: how often each is written.
        device: to train on.
        command: that does this, for the record.
        initial: folder of another training, whose latest weights this one begins with; None: weights drawn at random.

    Raises:
        ValueError: if the folder is of another training, or the latest checkpoint is damaged.
        FloatingPointError: where the likelihood, its gradient or a weight is no longer finite, naming the last good
            checkpoint.
    """
    images = " ".join(open_set(of_set, "train").sha256 for of_set in data)
    G, optimizer = untrained(settings, device)
    begun = "" if initial is None else begin_with(G, initial)
    claim(folder, {**asdict(settings), "images": images, "initial": begun})
    step = resume(G, optimizer, folder)
    sets = streams(data, "train", settings.batch, settings.seed + 1)
    examples = validation_pair(data, settings, N_EXAMPLES - N_EXAMPLES % len(data), device)
    sessions = Sessions(folder, step, command, device=device)
    with Stats(folder, step, settings.steps, writing=True) as stats:
        while step < settings.steps:
            optimizer.param_groups[0]["lr"] = settings.learning_rate(step)
            stats.add(one_step(G, optimizer, training_pair(sets, settings, step, device), settings, step))
            step += 1
            last = step == settings.steps
            if last or step % cadence.stats == 0:
                means = finite_losses({name: float(mean) for name, mean in stats.means().items()}, step, folder)
                stats.write(step, settings.batch, means | {"lr": settings.learning_rate(step - 1)})
            if last or step % cadence.snapshot == 0:
                stats.show(step, *look(G, examples, settings.seed))
            if last or step % cadence.checkpoint == 0:
                sessions.reached(step)
                checkpoints.save(folder / "checkpoints", finite_state(state(G, optimizer, settings, step), folder))


def untrained(settings: FlowTraining, device: torch.device | str) -> tuple[SRFlow, torch.optim.Adam]:
    """The flow in train mode, its weights drawn from the seed, and Adam; the ActNorms are fitted by the first step."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        G = SRFlow(settings.network, heat=settings.heat).to(device).train()
    return G, torch.optim.Adam(trainable(G), settings.lr, fused=True)


def begin_with(G: SRFlow, folder: Path) -> str:
    """Give G the weights of another training, and say which.

    Raises:
        FileNotFoundError: if it has no checkpoint.
        ValueError: if its network is another one.
    """
    other, settings, _ = trained_flow(folder)
    if other.config != G.config:
        raise ValueError(f"initial must be a training of {G.config}, got one of {settings.network}")
    G.load_state_dict(other.state_dict())
    return weights_digest(other)


def trainable(G: SRFlow) -> list[Tensor]:
    """What the likelihood depends on: three convolutions of the encoder have no part in it."""
    spare = [f"RRDB.{name}." for name in ("upconv2", "HRconv", "conv_last")]
    return [p for name, p in G.named_parameters() if p.requires_grad and not name.startswith(tuple(spare))]


def one_step(G: SRFlow, optimizer: torch.optim.Optimizer, pair: Pair, settings: FlowTraining, step: int) -> Losses:
    """One step of Adam on the mean negative log-likelihood of a batch, in bits per pixel."""
    x, y = pair
    if settings.y_noise:
        generator = SampleKeys((), settings.seed).generator("y_noise", step, device=y.device)
        std = settings.y_noise * torch.rand((len(y), 1, 1, 1), dtype=y.dtype, device=y.device, generator=generator)
        y = y + std * torch.randn(y.shape, dtype=y.dtype, device=y.device, generator=generator)
    if settings.noise:
        generator = SampleKeys((), settings.seed).generator("noise", step, device=x.device)
        x = x + settings.noise * (torch.rand(x.shape, dtype=x.dtype, device=x.device, generator=generator) - 0.5)
    loss = bits_per_pixel(G.encode(x, y).log_likelihood, *x.shape[-2:]).mean()
    optimizer.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], settings.max_norm or torch.inf)
    optimizer.step()
    return {"bits_per_pixel": loss.detach(), "gradient": norm.detach()}


def state(G: SRFlow, optimizer: torch.optim.Optimizer, settings: FlowTraining, step: int) -> Checkpoint:
    """Everything that the next step depends on."""
    tensors = named("G", G.state_dict()) | checkpoints.flattened("optimizer", optimizer)
    return Checkpoint(step, tensors, {"settings": asdict(settings)})


def resume(G: SRFlow, optimizer: torch.optim.Optimizer, folder: Path) -> int:
    """Put the latest checkpoint back, if there is one; the number of steps done."""
    path = checkpoints.latest(folder / "checkpoints")
    if path is None:
        return 0
    saved = checkpoints.load(path)
    G.load_state_dict(part("G", saved.tensors))
    checkpoints.restore_optimizer("optimizer", optimizer, saved.tensors)
    return saved.step


def trained_flow(folder: Path, device: torch.device | str = "cpu") -> tuple[SRFlow, FlowTraining, int]:
    """The flow of the latest checkpoint in eval mode, its settings, and the steps done.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged.
    """
    path = checkpoints.latest(folder / "checkpoints")
    if path is None:
        raise FileNotFoundError(f"{folder / 'checkpoints'} holds no checkpoint: train first")
    saved = checkpoints.load(path)
    settings = FlowTraining.from_json(saved.content["settings"])
    G = SRFlow(settings.network, heat=settings.heat)
    G.load_state_dict(part("G", saved.tensors))
    return G.to(device).eval(), settings, saved.step
