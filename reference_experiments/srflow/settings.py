"""One training of SRFlow: everything that decides its weights, save the images and the code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from reference_experiments.images.settings import Cadence
from reference_experiments.networks.rrdb import SCALE
from reference_experiments.networks.srflow import HEAT, PUBLISHED, SRFlowConfig

MILESTONES = (0.5, 0.75, 0.9, 0.95)


@dataclass(frozen=True)
class FlowTraining:
    """Settings; the defaults are the published ones for 4x, without the encoder's pretraining.

    Attributes:
        network: sizes of SRFlow.
        steps: of Adam (betas 0.9, 0.999), each on one batch.
        batch: images per step, the same number from each prepared set.
        crop: side of the squares that are cut from the images, at random places; 0 takes whole images.
        flip: mirror every other image, drawn at random.
        lr: learning rate, halved at each of ``milestones``.
        milestones: shares of ``steps``.
        noise: width of the uniform noise that is added to x ("dequantisation"); 0, as published, for none. The original
            code has an option for 1 / 32.
        y_noise: largest standard deviation, in units of y in [0, 1], of Gaussian noise that is added to y, each image's
            own uniform below it; 0, as published, for none.
        max_norm: of the gradient of all weights, which is scaled down to it; 0 for no limit.
        heat: of the seeds that validation draws.
        seed: of everything drawn.

    Raises:
        ValueError: naming the argument.
    """

    network: SRFlowConfig = PUBLISHED
    steps: int = 200_000
    batch: int = 12
    crop: int = 160
    flip: bool = True
    lr: float = 2.5e-4
    milestones: tuple[float, ...] = MILESTONES
    noise: float = 0.0
    y_noise: float = 0.0
    max_norm: float = 0.0
    heat: float = HEAT
    seed: int = 0

    def __post_init__(self) -> None:
        multiple = SCALE * 2 ** (self.network.levels - 2)
        if self.crop < 0 or self.crop % multiple:
            raise ValueError(f"crop must be 0 or a multiple of {multiple}, got {self.crop}")
        for name in ("noise", "y_noise", "max_norm"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")

    def learning_rate(self, step: int) -> float:
        """At that step, the first being 0."""
        return float(self.lr * 0.5 ** sum(step >= share * self.steps for share in self.milestones))

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> FlowTraining:
        """What ``asdict`` and JSON made of it."""
        network = SRFlowConfig(**{**content["network"], "stacked": tuple(content["network"]["stacked"])})
        return cls(**{**content, "network": network, "milestones": tuple(content["milestones"])})


@dataclass(frozen=True)
class FlowPreset:
    """A training by name.

    Attributes:
        data: names of the prepared sets.
        training: settings.
        cadence: how often it writes.
    """

    data: tuple[str, ...]
    training: FlowTraining
    cadence: Cadence = field(default_factory=Cadence)


SMALL = SRFlowConfig(steps=4, hidden=32, n_blocks=4, width=32, growth=16, stacked=(1, 3))
"""For two CPU cores."""
MEDIUM = SRFlowConfig(steps=8, n_blocks=8, stacked=(1, 3, 5, 7))
"""For a GPU and a day."""
TINY = SRFlowConfig(steps=1, hidden=8, n_blocks=1, width=8, growth=4, stacked=(0,))
"""For tests."""

FLOWS: dict[str, FlowPreset] = {
    "published": FlowPreset(("df2k160",), FlowTraining(), Cadence(100, 1000, 5000)),
    "gpu": FlowPreset(("natural64", "faces64"), FlowTraining(MEDIUM, 100_000, 32, 0), Cadence(100, 1000, 5000)),
    "cpu": FlowPreset(
        ("natural64", "faces64"),
        FlowTraining(SMALL, 15_000, 16, 32, lr=5e-4, noise=1 / 64, max_norm=100.0),
        Cadence(100, 500, 1000),
    ),
    "cpu-noisy": FlowPreset(
        ("natural64", "faces64", "bsds95"),
        FlowTraining(SMALL, 3_500, 6, 64, noise=1 / 64, y_noise=12 / 255, max_norm=100.0),
        Cadence(100, 500, 500),
    ),
    "smoke": FlowPreset(("digits32",), FlowTraining(TINY, 4, 4, 16), Cadence(1, 2, 2)),
}
"""``published`` wants DF2K prepared as squares of at least 160 pixels under that name, ``cpu-noisy`` the images of
BSD100 without the first five, which the study attacks, as squares of 320 under that one."""
