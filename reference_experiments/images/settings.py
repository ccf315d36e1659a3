"""One training of the image studies: everything that decides its weights, save the images and the code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from torch import nn

from reference_experiments.images.tasks import Task, TaskName
from reference_experiments.networks.resnet_critic import Init, ResNetCritic
from reference_experiments.networks.unet import UNet
from stochrobust import PAPER, TRAINING, AdamAscent, Consistent, SphereAscent

ATTACKS: dict[str, AdamAscent | SphereAscent] = {"paper": PAPER, "training": TRAINING}

PUBLISHED_STEPS = 1_200_000
PUBLISHED_MILESTONES = (400_000, 500_000, 600_000, 700_000, 750_000)


@dataclass(frozen=True)
class Training:
    """Settings; the defaults are the published ones (App. E.2.2, E.2.3), and a note says where they are not given.

    Attributes:
        task, size, channels: what is restored; see :class:`Task`.
        stochastic, robust: which of the four models; these two tell them apart, and nothing else.
        steps: of the estimator and of the critic, in turn.
        batch: images per step, of all processes together (not given; what the paper's critic was published with).
        lr: learning rate of both Adams (betas 0.5, 0.99); times ``gamma`` at each milestone.
        milestones: steps.
        gamma: see ``lr``.
        r1: coefficient of the critic's gradient penalty, without 1/2.
        weight: lambda_R of a robust model (not given for super-resolution).
        every: the robustness loss is added at every so many-th step of the estimator.
        n_seeds: per input in it; a deterministic model has one outcome, and needs one.
        attack: that searches for delta: the paper's, or this library's, of two gradients.
        s, f: widths of the U-Net and of the critic.
        critic_gain: of the critic's residual branches.
        critic_init: law of the critic's first weights; see :class:`ResNetCritic`.
        norm: whether the U-Net has batch normalisation.
        channels_last: whether both networks keep their weights, and so their activations, channels last in memory.
        ema: decay of the running average of the estimator's weights that is evaluated; 0 for none, as published.
        seed: of everything drawn.
    """

    task: TaskName = "inpainting"
    size: int = 64
    channels: int = 3
    stochastic: bool = True
    robust: bool = True
    steps: int = PUBLISHED_STEPS
    batch: int = 64
    lr: float = 1e-4
    milestones: tuple[int, ...] = PUBLISHED_MILESTONES
    gamma: float = 0.6
    r1: float = 1.0
    weight: float = 500.0
    every: int = 3
    n_seeds: int = 10
    attack: Literal["paper", "training"] = "paper"
    s: int = 24
    f: int = 16
    critic_gain: float = 0.1
    critic_init: Init = "torch"
    norm: bool = True
    channels_last: bool = False
    ema: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "every", "n_seeds", "s", "f"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.attack not in ATTACKS:
            raise ValueError(f"attack must be one of {list(ATTACKS)}, got {self.attack!r}")
        if self.task not in get_args(TaskName):
            raise ValueError(f"task must be one of {get_args(TaskName)}, got {self.task!r}")

    @property
    def restoration(self) -> Task:
        """What is restored."""
        return Task(self.task, self.size, self.channels)

    def estimator(self) -> Consistent:
        """The untrained estimator; its weights are drawn from torch's global generator."""
        unet = UNet(self.s, channels=self.channels, stochastic=self.stochastic, norm=self.norm)
        return self.restoration.estimator(unet)

    def critic(self) -> nn.Module:
        """The untrained critic."""
        return ResNetCritic(self.f, self.size, channels=self.channels, gain=self.critic_gain, init=self.critic_init)

    def learning_rate(self, step: int) -> float:
        """At that step, the first being 0."""
        return self.lr * self.gamma ** sum(step >= milestone for milestone in self.milestones)


@dataclass(frozen=True)
class Cadence:
    """How often something is written, in steps.

    Attributes:
        stats: losses, averaged over as many steps.
        checkpoint: a multiple of ``stats``.
        snapshot: pictures, spread and sensitivity; a multiple of ``stats``.
    """

    stats: int = 100
    checkpoint: int = 1000
    snapshot: int = 5000

    def __post_init__(self) -> None:
        for name in ("checkpoint", "snapshot"):
            if getattr(self, name) % self.stats:
                raise ValueError(f"{name} must be a multiple of stats={self.stats}, got {getattr(self, name)}")


def scaled_milestones(steps: int) -> tuple[int, ...]:
    """The published milestones at the same shares of fewer steps."""
    return tuple(steps * milestone // PUBLISHED_STEPS for milestone in PUBLISHED_MILESTONES)
