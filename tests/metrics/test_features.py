"""Sets of vectors however a caller holds them: in memory, on disk, batch by batch, with their protocol or without."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import stochrobust
from stochrobust.metrics.features import Features, FeatureSet, feature_batches, gather_features, gather_pair
from stochrobust.metrics.protocol import Protocol

ROWS = torch.arange(20.0).view(10, 2)
MINE, THEIRS = Protocol(extractor="mine"), Protocol(extractor="theirs")


def in_batches(*sizes: int, wrap: Callable[[Tensor], Any] = lambda rows: rows) -> Iterator[Any]:
    yield from (wrap(rows) for rows in ROWS.split(sizes))


@pytest.mark.parametrize(
    "values",
    [
        lambda: ROWS,
        lambda: ROWS.clone().requires_grad_(),
        lambda: ROWS.numpy(),
        lambda: Features(ROWS),
        lambda: in_batches(3, 3, 3, 1),
        lambda: list(in_batches(10)),
        lambda: in_batches(9, 1, wrap=Tensor.numpy),
        lambda: in_batches(4, 6, wrap=Features),
    ],
)
def test_every_way_to_hold_a_set_gives_the_same_rows(values: Callable[[], FeatureSet]) -> None:
    gathered = gather_features("real", values())
    assert torch.equal(gathered.values, ROWS)
    assert not gathered.values.requires_grad
    assert gathered.protocol == Protocol()


def test_a_tensor_is_not_copied_and_a_file_stays_on_disk(tmp_path: Path) -> None:
    assert gather_features("real", ROWS).values.data_ptr() == ROWS.data_ptr()
    path = tmp_path / "features.npy"
    np.save(path, ROWS.numpy())
    on_disk = np.load(path, mmap_mode="r")
    assert isinstance(on_disk, np.memmap)
    assert gather_features("real", on_disk).values.data_ptr() == on_disk.ctypes.data


@pytest.mark.parametrize("whole", [True, False])
def test_one_buffer_for_every_batch(whole: bool) -> None:
    """As readinto, pinned memory and replayed graphs fill it; and one batch alone is no view either."""
    buffer = torch.empty(5, 2)
    parts = ROWS[:5].split(5) if whole else ROWS.split(5)
    gathered = gather_features("real", (buffer.copy_(rows) for rows in parts)).values
    buffer.zero_()
    assert torch.equal(gathered, torch.cat(parts))


SETS = {
    "real": torch.rand(20, 3, generator=torch.Generator().manual_seed(0)),
    "generated": 1 - torch.eye(3)[:, :3].repeat(7, 1),
}
OUTPUTS, SOURCES = torch.rand(4, 3, 8, 8), torch.rand(2, 3, 8, 8)
CALLS: dict[str, Callable[[], Any]] = {
    "frechet_distance": lambda: stochrobust.frechet_distance(real=SETS["real"], generated=SETS["generated"]),
    "FrechetStatistics": lambda: stochrobust.FrechetStatistics.of(SETS["real"]).covariance,
    "kernel_distance": lambda: stochrobust.kernel_distance(real=SETS["real"], generated=SETS["generated"]),
    "precision_recall": lambda: (
        stochrobust.precision_recall(real=SETS["real"], generated=SETS["generated"]).real_in_generated
    ),
    "density_coverage": lambda: stochrobust.density_coverage(real=SETS["real"], generated=SETS["generated"]).n_balls,
    "prdc": lambda: stochrobust.prdc(real=SETS["real"], generated=SETS["generated"]).covered,
    "realism": lambda: stochrobust.realism(real=SETS["real"], generated=SETS["generated"]),
    "interval_by_halves": lambda: stochrobust.interval_by_halves(
        stochrobust.frechet_distance,
        real=SETS["real"],
        generated=SETS["generated"],
        n_splits=2,
        generator=torch.Generator().manual_seed(0),
    ),
    "psnr": lambda: stochrobust.psnr(OUTPUTS, OUTPUTS + 0.1),
    "per_pixel_std": lambda: stochrobust.per_pixel_std(OUTPUTS, 2),
    "crps": lambda: stochrobust.crps(OUTPUTS, SOURCES, 2),
    "spread_error": lambda: stochrobust.spread_error(OUTPUTS, SOURCES, 2),
    "rank_histogram": lambda: stochrobust.rank_histogram(
        OUTPUTS, SOURCES, 2, generator=torch.Generator().manual_seed(0)
    ),
    "eps_from_psnr": lambda: stochrobust.eps_from_psnr(30.0, 12),
    "psnr_from_eps": lambda: stochrobust.psnr_from_eps(0.1, 12),
    "eps_from_psnr of inf": lambda: stochrobust.eps_from_psnr(float("inf"), 12),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_default_device_has_no_say(name: str) -> None:
    """Here "meta", which stands in for an accelerator with the features on the CPU."""
    expected = CALLS[name]()
    with torch.device("meta"):
        found = CALLS[name]()
    assert torch.equal(found, expected) if isinstance(expected, Tensor) else str(found) == str(expected)


def test_the_protocol_comes_with_the_features() -> None:
    assert gather_features("real", Features(ROWS, MINE)).protocol == MINE
    assert gather_features("real", in_batches(5, 5, wrap=lambda rows: Features(rows, MINE))).protocol == MINE


def test_the_conditions_of_a_comparison() -> None:
    real, generated = gather_pair(Features(ROWS.half(), MINE), Features(ROWS.half()[:7], MINE), minimum=1)
    protocol = real.conditions(generated)
    assert (protocol.extractor, protocol.n_real, protocol.n_generated) == ("mine", 10, 7)
    assert (protocol.dtype, protocol.version) == ("float16", stochrobust.__version__)


def test_batches_arrive_one_at_a_time() -> None:
    asked = []

    def source() -> Iterator[Tensor]:
        for number in range(3):
            asked.append(number)
            yield ROWS

    for number, _ in enumerate(feature_batches("real", source())):
        assert asked == list(range(number + 1))


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (None, TypeError, "real must be a torch.Tensor, an array, Features or batches of them, got None"),
        ("rows", TypeError, "real must be a torch.Tensor, an array, Features or batches of them, got 'rows'"),
        ([], ValueError, "real must not be empty, got an iterable without batches"),
        ([1.0], TypeError, "real must be a torch.Tensor, got 1.0"),
        (ROWS.byte(), TypeError, "real must have a real floating-point dtype, got a torch.uint8"),
        (np.zeros((3, 2), dtype=np.int64), TypeError, "real must have a real floating-point dtype, got a torch.int64"),
        (np.zeros((3, 2), dtype=">f4"), TypeError, "real must be an array that torch can view, got >f4"),
        (np.zeros((3, 2))[::-1], TypeError, "real must be an array that torch can view, got float64"),
        (ROWS[0], ValueError, "real must have 2 dimensions"),
        (ROWS[:0], ValueError, "real must not be empty"),
        ([ROWS, ROWS[:, :1]], ValueError, "real must have the 2 features of its first batch"),
        ([ROWS, ROWS.double()], ValueError, "real must have the dtype and device of its first batch"),
        ([Features(ROWS, MINE), ROWS], ValueError, "real must have the protocol of its first batch, got another: "),
    ],
)
def test_errors(values: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        gather_features("real", values)


@pytest.mark.parametrize(
    ("generated", "message"),
    [
        (Features(ROWS, THEIRS), "protocol of real, got another: extractor: 'mine' and 'theirs'"),
        (ROWS, "protocol of real, got another: extractor: 'mine' and 'raw vectors'"),
        (Features(ROWS[:, :1], MINE), "generated must have the 2 features of real"),
        (Features(ROWS.double(), MINE), "generated must have the dtype and device of real"),
        (Features(ROWS[:3], MINE), "generated must have at least 4 samples, got a torch.float32 tensor of shape (3"),
        (Features(ROWS / 0, MINE), "generated must be finite, got 20 NaN or infinite"),
    ],
)
def test_pairs_that_do_not_match(generated: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        gather_pair(Features(ROWS, MINE), generated, minimum=4)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (ROWS.byte(), TypeError, "values must have a real floating-point dtype, got a torch.uint8"),
        (ROWS[0], ValueError, r"values must be a dense \(N, d\) tensor, got"),
        (ROWS.tolist(), TypeError, "values must be a torch.Tensor, got"),
    ],
)
def test_values_are_a_matrix(values: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Features(values)
