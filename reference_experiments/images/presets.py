"""The image studies by name: the published settings, one row each, and scaled-down ones on other images."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from reference_experiments.arms import Arm
from reference_experiments.images.measuring import Measuring
from reference_experiments.images.settings import Cadence, Training, scaled_milestones
from reference_experiments.images.tasks import TaskName


@dataclass(frozen=True)
class Preset:
    """One study of four models.

    Attributes:
        data: name of the prepared set.
        training: settings that the four models share.
        cadence: how often a training writes.
        measuring: settings of the evaluation.
        n_training_seeds: trainings of each model.
    """

    data: str
    training: Training
    cadence: Cadence = field(default_factory=Cadence)
    measuring: Measuring = field(default_factory=Measuring)
    n_training_seeds: int = 1

    def settings(self, arm: Arm, seed: int) -> Training:
        """Those of one training."""
        return replace(self.training, stochastic=arm.stochastic, robust=arm.robust, seed=seed)


def _published(data: str, task: TaskName, s: int, f: int) -> Preset:
    return Preset(data, Training(task, s=s, f=f), measuring=Measuring(extractor="inception"))


def _scaled(data: str, task: TaskName, steps: int, measuring: Measuring, size: int = 64, **scaled_down: Any) -> Preset:
    """The published networks and schedule, the latter at the same shares of fewer steps; this library's attack.

    That attack finds more than the paper's, and so wants less weight.
    """
    changed = {"attack": "training", "weight": 200.0, "n_seeds": 4, "milestones": scaled_milestones(steps)}
    training = Training(task, size, steps=steps, **{**changed, **scaled_down})
    return Preset(data, training, measuring=measuring)


SMALL: dict[str, Any] = {
    "s": 16, "f": 8, "batch": 16, "lr": 5e-4, "n_seeds": 2, "r1": 0.1, "critic_gain": 1.0, "critic_init": "kaiming",
}  # fmt: skip
"""For two CPU cores: narrower, and with a critic that learns from the first step on (see :class:`ResNetCritic`)."""

TINY: dict[str, Any] = {**SMALL, "s": 2, "f": 2, "batch": 4, "channels": 1}
"""For tests: seconds."""

ALL = Measuring(n_real=2485, n_draws=2, n_attacked=128, n_seeds=4)
"""All validation images of the faces."""
SOME = Measuring(n_real=1200, n_attacked=64, n_seeds=4)
"""What fits two cores for eight models; all validation images of ``natural64``."""
CLOTHING = Measuring(n_real=5000, n_draws=2, n_attacked=128, n_seeds=4, extractor="fashion-classifier")
"""As many images as the ruler's gate has."""
FEW = Measuring(n_real=12, n_samples=3, n_draws=2, n_attacked=4, n_seeds=2, extractor="pixels", n_splits=2)


def _small(data: str, task: TaskName, steps: int, measuring: Measuring, **changed: Any) -> Preset:
    return replace(_scaled(data, task, steps, measuring, 32, **SMALL, **changed), cadence=Cadence(snapshot=1000))


def _clothing(steps: int) -> Preset:
    """A million images an arm, measured by a ruler that passes its gate; half the published width."""
    narrow = _small("fashion32", "inpainting", steps, CLOTHING, channels=1, channels_last=True)
    cadence = Cadence(stats=100, checkpoint=500, snapshot=2500)
    return replace(narrow, training=replace(narrow.training, s=12), cadence=cadence, n_training_seeds=3)


def _smoke(task: TaskName) -> Preset:
    return replace(_scaled("digits32", task, 4, FEW, 32, **TINY), cadence=Cadence(1, 2, 2))


PRESETS: dict[str, Preset] = {
    #                             images        task          s   f
    "celeba-inpainting": _published("celeba64", "inpainting", 24, 16),
    "celeba-sr4": _published("celeba64", "sr4", 24, 16),
    "celeba-sr8": _published("celeba64", "sr8", 24, 16),
    "celeba-sr16": _published("celeba64", "sr16", 24, 16),
    "imagenet64-sr4": _published("imagenet64", "sr4", 32, 32),
    "imagenet64-sr8": _published("imagenet64", "sr8", 32, 32),
    "imagenet64-sr16": _published("imagenet64", "sr16", 32, 32),
    #                               images       task          steps   measured
    "faces64-inpainting": _scaled("faces64", "inpainting", 60_000, ALL),
    "faces64-sr4": _scaled("faces64", "sr4", 60_000, ALL),
    "faces64-sr8": _scaled("faces64", "sr8", 60_000, ALL),
    "faces64-sr16": _scaled("faces64", "sr16", 60_000, ALL),
    "natural64-sr4": _scaled("natural64", "sr4", 60_000, SOME),
    "faces32-inpainting": _small("faces32", "inpainting", 4000, ALL),
    "faces32-sr4": _small("faces32", "sr4", 1200, SOME),
    "faces32-sr8": _small("faces32", "sr8", 1200, SOME),
    "fashion32-inpainting": _clothing(62_500),
    "smoke-inpainting": _smoke("inpainting"),
    "smoke-sr4": _smoke("sr4"),
    "smoke-sr8": _smoke("sr8"),
}


@dataclass(frozen=True)
class Chosen:
    """A study: presets of one set of images, for super-resolution one for each factor.

    Attributes:
        names: of :data:`PRESETS`.
        n_training_seeds: trainings of each model.
    """

    names: tuple[str, ...]
    n_training_seeds: int = 1

    def __post_init__(self) -> None:
        if unknown := [name for name in self.names if name not in PRESETS]:
            raise ValueError(f"names must be among {list(PRESETS)}, got {unknown}")


def _chosen(default: str, names: dict[str, tuple[str, ...]]) -> dict[str, Chosen]:
    return {name: Chosen(names[name]) for name in sorted(names, key=lambda name: name != default)}


INPAINTING = _chosen("faces32-inpainting", {name: (name,) for name in PRESETS if name.endswith("-inpainting")})
SUPER_RESOLUTION = _chosen("faces32", {
    of_set: tuple(name for name in PRESETS if name.startswith(f"{of_set}-sr"))
    for of_set in (name.rpartition("-sr")[0] for name in PRESETS if "-sr" in name)
})  # fmt: skip
