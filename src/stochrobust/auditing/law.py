"""Is the law of the outputs the posterior's? Evidence from images, outputs and inputs, and what it is compared with."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from stochrobust.auditing.findings import AuditNumber
from stochrobust.auditing.numbers import Measured, root_of_means
from stochrobust.metrics.components import posterior_components
from stochrobust.metrics.conditional_frechet import conditional_frechet_distance
from stochrobust.metrics.coverage import coverage_ranks, coverage_test, holm

SKETCH = 256
"""Numbers that are kept of an image: all of a small one, signed sums of a large one."""
DIRECTIONS = 2
"""Random directions along which ranks are taken."""
AT_MOST = 1000
"""Inputs that the evidence is made of: the first so many."""
_WHITEST = 1e-2  # share of the mean variance that is added to each when images are made white
_FAR = 1e3


def sketch(images: Tensor) -> Tensor:
    """(B, at most 256) numbers of (B, ...) images, linear in them and the same for all.

    A count sketch: each element is added, with a random sign, to one of 256 sums. What is exact for posterior samples
    is exact for any linear map of them.

    Source: M. Charikar, K. Chen, M. Farach-Colton, Finding frequent items in data streams, 2002.
    """
    rows = images.flatten(1).float()
    width = rows.shape[1]
    if width <= SKETCH:
        return rows
    generator = torch.Generator().manual_seed(width)
    signs = 2.0 * torch.randint(2, (width,), generator=generator) - 1
    places = torch.randint(SKETCH, (width,), generator=generator)
    sums = rows.new_zeros(len(rows), SKETCH)
    return sums.index_add_(1, places.to(rows.device), rows * signs.to(rows.device))


@dataclass(frozen=True, eq=False)
class Outputs:
    """What the evidence is made of, for N inputs.

    Attributes:
        x: (N, d) sketches of the sources.
        samples: (N, S, d) of the outputs.
        y: (N, p) of the inputs.
        lifted: (N, d) of ``D^+ y``; None without a projector.
        seed: of the random numbers here.
    """

    x: Tensor
    samples: Tensor
    y: Tensor
    lifted: Tensor | None
    seed: int = 0

    @classmethod
    def of(cls, measured: Measured, seed: int) -> Outputs:
        """From what :mod:`stochrobust.auditing.measure` keeps of the first inputs."""
        parts = (measured.get(f"sketch of {name}") for name in ("x", "samples", "y", "lifted"))
        x, samples, y, lifted = parts
        assert x is not None
        assert samples is not None
        assert y is not None
        return cls(x, samples, y, lifted, seed)

    @property
    def n_seeds(self) -> int:
        """S."""
        return self.samples.shape[1]


def law_numbers(outputs: Outputs, level: float) -> dict[str, AuditNumber]:
    """Coverage, spread by direction, and the conditional Frechet distance with its null, each with an interval.

    Args:
        outputs: of a stochastic estimator, of at least 4 seeds; of fewer, only the distance is told.
        level: of the intervals.

    Returns:
        By the names of :data:`stochrobust.auditing.numbers.NUMBERS`.
    """
    found = _frechet(outputs)
    if outputs.n_seeds >= 4:
        found |= _coverage(outputs) | _components(outputs, level)
    return found


def _coverage(outputs: Outputs) -> dict[str, AuditNumber]:
    """Nothing where the images of a half are all the same: repeated images are no further evidence."""
    halves = [outputs.x[_folds(outputs) != fold] for fold in (0, 1)]  # images that do not know x
    if not all(_vary(half) for half in halves):
        return {}
    generator, white = torch.Generator().manual_seed(outputs.seed), [_whitened(half) for half in halves]
    tests = [coverage_test(ranks, n_seeds) for ranks, n_seeds in _all_ranks(outputs, white, generator)]
    p_values = holm(torch.cat([test.p_value for test in tests]))
    gaps, n = torch.cat([test.gap for test in tests]), len(outputs.x)
    worst = int(p_values.argmin())
    gap, reach = float(gaps[worst]), 1.36 / math.sqrt(n)  # Kolmogorov's 95 %
    return {
        "coverage_gap": AuditNumber(gap, max(gap - reach, 0.0), min(gap + reach, 1.0), n),
        "coverage_p": AuditNumber(float(p_values[worst]), float(p_values[worst]), float(p_values[worst]), n),
    }


def _folds(outputs: Outputs) -> Tensor:
    """(N,): which half an input is of."""
    return torch.arange(len(outputs.x)) % 2


def _vary(images: Tensor) -> bool:
    """Whether there are two images that differ: the covariance of others is 0, and nothing makes them white."""
    return len(images) > 1 and bool((images != images[0]).any())


def _all_ranks(outputs: Outputs, white: list[Tensor], generator: torch.Generator) -> list[tuple[Tensor, int]]:
    """Ranks for every reference, and of how many outputs; ``white`` makes images of each half white."""
    x, samples = outputs.x, outputs.samples
    first, rest = samples.tensor_split([outputs.n_seeds // 2], dim=1)
    centres = [(rest, first.mean(1))] + ([] if outputs.lifted is None else [(samples, outputs.lifted)])
    found = [_ranks(x, samples, x.roll(1, 0), generator)]
    for _ in range(DIRECTIONS):
        w = torch.randn(x.shape[1], 1, generator=generator)
        found.append(_ranks(x @ w, samples @ w, torch.full((1, 1), -_FAR * float(x.std())), generator))
    folds = _folds(outputs)
    for drawn, centre in centres:
        found.append(_ranks(x, drawn, centre, generator))
        parts = []
        for fold, to_white in enumerate(white):
            rows = folds == fold
            parts.append(_ranks(x[rows] @ to_white, drawn[rows] @ to_white, centre[rows] @ to_white, generator)[0])
        found.append((torch.cat(parts), drawn.shape[1]))
    return found


def _ranks(x: Tensor, samples: Tensor, reference: Tensor, generator: torch.Generator) -> tuple[Tensor, int]:
    n_seeds = samples.shape[1]
    return coverage_ranks(samples.flatten(0, 1), x, n_seeds, reference=reference, generator=generator), n_seeds


def _whitened(images: Tensor) -> Tensor:
    """(d, d): the map under which images such as these have no directions, up to a floor."""
    covariance = images.double().T.cov(correction=0)
    values, vectors = torch.linalg.eigh(covariance)
    values = values.clamp_min(0)
    found: Tensor = (vectors / (values + _WHITEST * values.mean()).sqrt()) @ vectors.T
    return found.to(images.dtype)


def _components(outputs: Outputs, level: float) -> dict[str, AuditNumber]:
    found = posterior_components(outputs.samples.flatten(0, 1), outputs.x, outputs.n_seeds)
    parts = {"spread_principal": slice(0, -1), "spread_elsewhere": slice(-1, None)}
    return {
        name: root_of_means(found.expected[:, part].sum(1), found.error[:, part].sum(1), level)
        for name, part in parts.items()
    }


def _frechet(outputs: Outputs) -> dict[str, AuditNumber]:
    """The distance of sources and outputs, and that of outputs among each other: the null is the model itself."""
    n, n_seeds = len(outputs.x), outputs.n_seeds
    components = max(1, n // 20)
    # Every set among the outputs against the next two, and so the sources against two.
    sets = [outputs.x, *outputs.samples.unbind(1)]

    def distance(i: int, j: int) -> float:
        return float(conditional_frechet_distance(y=outputs.y, real=sets[i], generated=sets[j], components=components))

    def number(value: float, low: float, high: float) -> AuditNumber:
        return AuditNumber(value, low, high, n)

    if n < 6:
        return {}
    if n_seeds < 4:
        value = distance(0, 1)
        return {"conditional_frechet": number(value, value, value)}
    value = (distance(0, 1) + distance(0, 2)) / 2
    places = range(min(n_seeds, 8))
    null = torch.tensor(
        [sum(distance(1 + i, 1 + (i + step) % n_seeds) for step in (1, 2)) / 2 for i in places], dtype=torch.float64
    )
    centre, spread = float(null.mean()), float(null.std())
    return {
        "conditional_frechet": number(value, value, value),
        "conditional_frechet_null": number(centre, centre - 3 * spread, centre + 3 * spread),
    }
