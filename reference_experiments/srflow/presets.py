"""The study by name: as published, what two CPU cores manage, and seconds of it on images that are drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch

from reference_experiments.data.sr_benchmarks import Pair
from reference_experiments.networks.rrdb import SCALE
from reference_experiments.srflow.attack import Attack
from reference_experiments.srflow.bicubic import as_input, enlarged
from reference_experiments.srflow.items import Image

SETS = ("Set5", "Set14", "BSD100")
LEVELS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
DRAWN = "drawn"
"""The set of :func:`drawn_images`."""


@dataclass(frozen=True)
class Run:
    """One table and its figures: models that are attacked alike.

    Attributes:
        models: as the command line names them; ``flow`` and ``flow_noisy`` want ``=FOLDER`` there.
        sets: benchmarks.
        levels: alphas, in levels of 255.
        at_most: images of each set, the first ones; None for all.
        attack: settings.
        convention: of the PSNRs in table and figures, see :data:`reference_experiments.srflow.attack.CONVENTIONS`.
        max_batch: the most rows that a model gets at once; None: all seeds.
        checkpointing: less memory for one more forward pass.
        flow: folder of the training of ``flow`` and, with -noisy at its end, of ``flow_noisy``; by default among the
            trainings of the study.
    """

    models: tuple[str, ...]
    sets: tuple[str, ...] = SETS
    levels: tuple[float, ...] = LEVELS
    at_most: int | None = None
    attack: Attack = field(default_factory=Attack)
    convention: Literal["rgb", "y", "srflow"] = "rgb"
    max_batch: int | None = None
    checkpointing: bool = False
    flow: str = ""


FEW = (1.0, 8.0, 32.0)
OURS = ("bicubic", "carn_m", "realsr", "flow")
OFFICIAL = Attack(start="zero", reference="truth")
"""The released code of Choi et al."""

CROPS = Run((*OURS, "flow_noisy"), levels=FEW, at_most=5, attack=Attack(crop=24))
PRESETS: dict[str, Run] = {
    "cpu": CROPS,
    "full": Run(("bicubic", "carn_m"), ("Set5", "Set14"), FEW),
    "published": Run(OURS),
    "published-code": Run(OURS, attack=OFFICIAL),
    "smoke": Run(("bicubic",), (DRAWN,), FEW, attack=Attack(steps=3, n_seeds=2, tile=6)),
}
"""``cpu`` takes squares, ``full`` whole images; both are what two processor cores manage."""


def drawn_images(n: int = 3, side: int = 11) -> list[Image]:
    """Smooth noise in place of a benchmark, of sides that are odd in y; the last image is grey."""
    generator = torch.Generator().manual_seed(0)
    images = []
    for i in range(n):
        rough = torch.rand(3, side, side + 2 * i, generator=generator)
        x = enlarged(rough.mean(0).expand(3, -1, -1) if i == n - 1 else rough).clamp(0, 1)
        assert x.shape[1] == SCALE * side
        images.append(Image(DRAWN, i, Pair(x, as_input(x))))
    return images
