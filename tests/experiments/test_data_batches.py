"""Training batches: every image once per epoch, in an order that depends on nothing but seed and step."""

from __future__ import annotations

import mmap
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from reference_experiments.data import batches
from reference_experiments.data.arrays import Pixels, open_set, write_set
from reference_experiments.data.batches import Batches


def numbered(n: int) -> Pixels:
    """Images that tell their numbers."""
    return np.arange(n, dtype=np.uint8).reshape(n, 1, 1, 1)


def naive(n: int, size: int, seed: int, steps: int) -> list[list[int]]:
    """The same written otherwise: all epochs one after another, cut into batches."""
    orders = [np.random.default_rng([seed, epoch]).permutation(n).tolist() for epoch in range(1 + size * steps // n)]
    line = [i for order in orders for i in order]
    return [line[size * step : size * (step + 1)] for step in range(steps)]


@pytest.mark.parametrize(("n", "size"), [(10, 4), (10, 5), (10, 10), (7, 20), (1, 3), (13, 1)])
def test_batches_are_the_epochs_one_after_another(n: int, size: int) -> None:
    made = Batches(numbered(n), size, seed=5)
    for step, expected in enumerate(naive(n, size, 5, 40)):
        assert made.indices(step).tolist() == expected
        assert made.batch(step).flatten().tolist() == expected


def test_the_order_is_the_one_that_trainings_were_run_with() -> None:
    made = Batches(numbered(10), 4, seed=5)  # the first version's, which looked up one index at a time
    expected = [[7, 6, 1, 3], [2, 4, 0, 9], [5, 8, 6, 7], [4, 2, 5, 0], [9, 8, 3, 1], [2, 4, 0, 9]]
    assert [made.indices(step).tolist() for step in range(6)] == expected


@pytest.mark.parametrize("seed", [0, 1])
def test_every_image_comes_once_per_epoch_in_another_order(seed: int) -> None:
    made = Batches(numbered(12), 4, seed)
    epochs = [[i for step in range(3 * e, 3 * e + 3) for i in made.indices(step)] for e in range(4)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_another_seed_is_another_order() -> None:
    assert not np.array_equal(Batches(numbered(50), 50, 0).indices(0), Batches(numbered(50), 50, 1).indices(0))


@pytest.mark.parametrize("world", [1, 2, 3, 6])
def test_processes_share_the_batch_of_one(world: int) -> None:
    whole = Batches(numbered(10), 6, seed=3)
    shares = [Batches(numbered(10), 6, 3, rank, world) for rank in range(world)]
    for step in (0, 1, 2, 3, 7):  # the seam of epochs is in the middle of some
        assert torch.equal(torch.cat([share.batch(step) for share in shares]), whole.batch(step))


def test_a_step_does_not_depend_on_what_was_asked_before(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Batches(numbered(10), 4, seed=3)
    in_turn = [made.batch(step) for step in range(12)]
    for step in (11, 2, 7, 0):
        batches._order.cache_clear()
        assert torch.equal(Batches(numbered(10), 4, seed=3).batch(step), in_turn[step])


def test_pixels_are_those_of_the_file_and_a_batch_is_ones_own(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 3, 5, 7), dtype=np.uint8)  # rows that begin within a page
    write_set(tmp_path / "set", "thing", {"train": (50, images)}, {})
    made = Batches(open_set(tmp_path / "set", "train").images, 8, seed=1)
    batch = made.batch(3)
    assert batch.dtype == torch.uint8
    assert np.array_equal(batch.numpy(), images[made.indices(3)])
    batch.zero_()
    assert np.array_equal(made.batch(3).numpy(), images[made.indices(3)])


def test_the_system_is_told_exactly_which_rows_come(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Mapping(mmap.mmap):
        def madvise(self, option: int, start: int = 0, length: int = 0) -> None:
            told.append((option, start, length))
            super().madvise(option, start, length)

    told: list[tuple[int, int, int]] = []
    monkeypatch.setattr("mmap.mmap", Mapping)
    np.save(tmp_path / "images.npy", np.zeros((20, 3, 40, 40), np.uint8))
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    rows = np.array([0, 7, 19])
    batches.announce(images, rows)
    page = mmap.PAGESIZE
    assert all(option == mmap.MADV_WILLNEED and start % page == 0 for option, start, _ in told)
    offset, size = images.offset, 4800
    assert [start // page for _, start, _ in told] == [(offset + row * size) // page for row in rows]
    assert [start + length for _, start, length in told] == [offset + (row + 1) * size for row in rows]
    told.clear()
    batches.announce(images[2:], rows[:1])  # another place in the file than it says: better not told
    batches.announce(np.zeros((3, 1, 2, 2), np.uint8), rows[:1])
    assert told == []


def test_a_batch_announces_itself_and_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[list[int]] = []
    monkeypatch.setattr(batches, "announce", lambda images, rows: told.append(rows.tolist()))
    made = Batches(numbered(10), 4, seed=3, rank=1, world=2)
    made.batch(2)
    assert told == [made.indices(2).tolist(), made.indices(3).tolist()]


def test_a_batch_does_not_read_the_set_into_memory(tmp_path: Path) -> None:
    row = np.zeros((3, 64, 64), np.uint8)
    write_set(tmp_path / "set", "thing", {"train": (4000, (row for _ in range(4000)))}, {})  # 49 MB
    made = Batches(open_set(tmp_path / "set", "train").images, 64, seed=0)
    made.batch(0)
    tracemalloc.start()
    try:
        batch = made.batch(1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert batch.nbytes <= peak < 2 * batch.nbytes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((numbered(3), 0, 0), "size must be a positive multiple of the 1 processes, got 0"),
        ((numbered(3), 5, 0, 0, 2), "multiple of the 2 processes, got 5"),
        ((numbered(3), 4, 0, 2, 2), "rank must be at least 0 and below world=2, got 2"),
        ((numbered(3), 4, 0, -1, 2), "got -1"),
        ((numbered(0), 4, 0), "at least one image"),
    ],
)
def test_wrong_arguments_are_named(arguments: tuple[Pixels, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Batches(*arguments)
