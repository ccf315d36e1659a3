"""The gate's settings, and those of the classifier whose features go through it."""

from __future__ import annotations

from dataclasses import dataclass, field

N_CLASSES = 10


@dataclass(frozen=True)
class ClassifierTraining:
    """Settings of the classifier's training.

    Attributes:
        epochs: passes over the training images.
        batch: images per step.
        lr: Adam's first learning rate, which falls to 0 along half a cosine.
        noisy: images get Gaussian noise of a standard deviation drawn for each from 0 to this, of pixels in [0, 1], so
            that features do not answer to noise which no eye sees.
        dropout: share of the features that a step leaves out.
    """

    epochs: int = 6
    batch: int = 128
    lr: float = 2e-3
    noisy: float = 0.1
    dropout: float = 0.3


@dataclass(frozen=True)
class Gate:
    """How real images are set against real images.

    Attributes:
        n: images on each side.
        dropped: how many classes are missing, row by row, the first 0.
        noise: standard deviations of the added noise, of pixels in [0, 1]; the first is the one that is judged.
        n_distinct: images in the set that repeats a few.
        k: neighbours.
        n_draws: of all sets, of the classes to be dropped too.
        retrain: train the classifier anew instead of measuring the stored one.
        training: of the classifier.
    """

    n: int = 5000
    dropped: tuple[int, ...] = tuple(range(N_CLASSES))
    noise: tuple[float, ...] = (0.03, 0.01, 0.1)
    n_distinct: int = 100
    k: int = 3
    n_draws: int = 3
    retrain: bool = False
    training: ClassifierTraining = field(default_factory=ClassifierTraining)

    def __post_init__(self) -> None:
        if self.dropped[0] != 0 or sorted(set(self.dropped)) != list(self.dropped) or self.dropped[-1] >= N_CLASSES:
            raise ValueError(f"dropped must go up from 0 to at most {N_CLASSES - 1}, got {self.dropped}")


PRESETS = {
    "fashion32": Gate(),
    "smoke": Gate(n=12, dropped=(0, 9), n_distinct=3, n_draws=2, training=ClassifierTraining(epochs=1)),
}
