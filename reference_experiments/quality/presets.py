"""The quality study's settings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """How many images, how strongly degraded, and what the intervals are made of.

    Attributes:
        n: images in each set.
        blur: standard deviation of the Gaussian blur, in pixels.
        noise: standard deviation of the added noise, of pixels in [0, 1].
        n_distinct: distinct faces in the set that repeats a few.
        k: neighbours.
        n_splits: splits into halves for the intervals.
        seed: of the draws of images, of the noise and of the splits.
    """

    n: int = 1200
    blur: float = 1.5
    noise: float = 0.1
    n_distinct: int = 60
    k: int = 5
    n_splits: int = 20
    seed: int = 0


PRESETS = {"faces64": Settings(), "smoke": Settings(n=24, n_distinct=6, n_splits=2)}
