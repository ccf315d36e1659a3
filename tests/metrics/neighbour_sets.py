"""Pairs of sets that are hard on nearest neighbours, the truth about them by brute force, and what watches a run."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from stochrobust.metrics import _distances, _neighbours

Sets = tuple[Tensor, Tensor]
Test = TypeVar("Test", bound=Callable[..., None])
KS = (1, 2, 3, 4, 5, 10)
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many blocks, of sizes that do not divide the sets', so that a hundred samples take every path."""
    for name, size in (("_ROWS", 64), ("_COLUMNS", 32), ("_SLICE", 20)):
        monkeypatch.setattr(_neighbours, name, size)
    monkeypatch.setattr(_distances, "_CHUNK", 400)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).float()


def chosen(rows: Tensor, n: int, seed: int = 7) -> Tensor:
    return rows[torch.randint(len(rows), (n,), generator=torch.Generator().manual_seed(seed))]


def make_sets(d: int) -> dict[str, Sets]:
    real, other = normal(110, d), normal(95, d, seed=1)
    integers = torch.randint(3, (205, d), generator=torch.Generator().manual_seed(2)).float()
    modes = chosen(other[:4], 95)
    return {
        "random": (real, other),
        "duplicated": (chosen(real[:40], 110), chosen(other[:30], 95)),
        "few distinct": (real[:6].repeat(2, 1), other[:5].repeat(3, 1)),
        "integers": (integers[:110], integers[110:]),
        "collapsed": (real, other[:1].repeat(95, 1)),
        "modes": (real, modes),
        "modes with noise": (real, modes + 1e-6 * other),
        "memorised": (real, chosen(real, 95)),
        "memorised with noise": (real, chosen(real, 95) + 1e-6 * other),
        "tight in wide": (real, 0.01 * other),
        "offset": (1e4 + real, 1e4 + other),
        "negative zero": (real.round() * 0.0, -(other.round() * 0.0)),
        "tiny": (1e-30 * real, 1e-30 * other),
        "subnormal": (1e-40 * real, 1e-40 * other),
        "huge": (1e30 * real, 1e30 * other),
        "at the edge of overflow": (1.5e19 * real, 1.5e19 * other),
    }


# -- the definitions, in NumPy: all distances, one sum, the diagonal left out, closed balls ----------------------------


def sum_by_halves(terms: NDArray[np.float64]) -> NDArray[np.float64]:
    while terms.shape[-1] > 1:
        left, right = np.split(terms, [-(-terms.shape[-1] // 2)], axis=-1)
        pad = [(0, 0)] * (terms.ndim - 1) + [(0, left.shape[-1] - right.shape[-1])]
        terms = left + np.pad(right, pad)
    return terms[..., 0]


@dataclass(frozen=True)
class Truth:
    """Squared distances: ``(N, M)`` between the sets, and of each sample to the others of its set, sorted."""

    between: NDArray[np.float64]
    of_real: NDArray[np.float64]
    of_generated: NDArray[np.float64]

    def in_real(self, k: int) -> NDArray[np.bool_]:
        """``(N, M)``: the ball of each real sample against each generated sample."""
        return self.between <= self.of_real[:, k - 1, None]

    def n_balls(self, k: int) -> Tensor:
        return torch.from_numpy(self.in_real(k).sum(0))

    def covered(self, k: int) -> Tensor:
        return torch.from_numpy(self.in_real(k).any(1))

    def generated_in_real(self, k: int) -> Tensor:
        return torch.from_numpy(self.in_real(k).any(0))

    def real_in_generated(self, k: int) -> Tensor:
        return torch.from_numpy((self.between <= self.of_generated[None, :, k - 1]).any(1))

    def realism(self, k: int) -> Tensor:
        radii = self.of_real[:, k - 1]
        kept = np.sqrt(radii) <= np.median(np.sqrt(radii))
        radii, distances = radii[kept, None], self.between[kept]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.where(radii == distances, 1.0, radii / distances)
        return torch.from_numpy(np.sqrt(ratios.max(0)))


def brute_force(real: Tensor, generated: Tensor, *, by_halves: bool = True) -> Truth:
    def distances(a: Tensor, b: Tensor) -> NDArray[np.float64]:
        terms = (a.double().numpy()[:, None] - b.double().numpy()[None]) ** 2
        return sum_by_halves(terms) if by_halves else terms.sum(-1)

    def sorted_neighbours(a: Tensor) -> NDArray[np.float64]:
        others = distances(a, a)[~np.eye(len(a), dtype=bool)].reshape(len(a), -1)
        others.sort(axis=1)
        return others

    return Truth(distances(real, generated), sorted_neighbours(real), sorted_neighbours(generated))


@functools.cache
def known(kind: str, d: int) -> list[tuple[Sets, Truth]]:
    """A pair of sets in each dtype that can hold it, with the truth, found once for all tests."""
    pairs = [(real.to(dtype), generated.to(dtype)) for real, generated in [make_sets(d)[kind]] for dtype in DTYPES]
    return [(pair, brute_force(*pair)) for pair in pairs if all(bool(rows.isfinite().all()) for rows in pair)]


def many_problems(test: Test) -> Test:
    """Some 250 pairs of sets: 16 kinds, 4 widths and the dtypes that can hold them."""
    for name, values in (("d", [1, 2, 3, 50]), ("kind", list(make_sets(1)))):
        test = pytest.mark.parametrize(name, values)(test)
    return test


# -- what watches a run ------------------------------------------------------------------------------------------------


class Largest(TorchDispatchMode):
    """The most elements that any result had, and of the products the dtypes and the number of elements in all."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.elements, self.product_dtypes, self.products = 0, set[torch.dtype](), 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for value in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(value, Tensor):
                self.elements = max(self.elements, value.numel())
        if function is torch.ops.aten.mm.default:
            self.product_dtypes.add(result.dtype)
            self.products += result.numel()
        return result


def largest(sets: Sets, metric: Callable[..., object]) -> Largest:
    observed = Largest()
    with observed:
        metric(real=sets[0], generated=sets[1])
    return observed


def count_settled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many distances are summed up one by one, call by call."""
    counts: list[int] = []
    original = _distances.squared_distances

    def counted(a: Tensor, b: Tensor) -> Tensor:
        counts.append(len(a))
        return original(a, b)

    monkeypatch.setattr(_distances, "squared_distances", counted)
    return counts
