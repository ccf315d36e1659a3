"""Moments of a set, gathered in any way, against NumPy; their files, whole and damaged; and what must be refused."""

from __future__ import annotations

import json
import math
import os
import pickle
import re
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stochrobust._files import write_checked
from stochrobust.metrics import _scatter, _statistics_file, moments
from stochrobust.metrics.features import Features
from stochrobust.metrics.moments import FrechetStatistics
from stochrobust.metrics.protocol import Protocol

MINE = Protocol(extractor="mine", weights="ab12", preprocessing="resized", data_range=(0.0, 1.0), k=3)
THEIRS = Protocol(extractor="theirs")
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks and strips that do not divide the sets, so that few rows take every path."""
    monkeypatch.setattr(_scatter, "BLOCK", 7)
    monkeypatch.setattr(moments, "BLOCK", 7)
    monkeypatch.setattr(_scatter, "_STRIP", 2)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def expected(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance by NumPy, in extended precision where the machine has it."""
    wide = rows.double().numpy().astype(np.longdouble)
    centred = wide - wide.mean(0)
    covariance = centred.T @ centred / (len(wide) - 1)
    return torch.from_numpy(wide.mean(0).astype(np.float64)), torch.from_numpy(covariance.astype(np.float64))


def assert_close(statistics: FrechetStatistics, rows: Tensor, tolerance: float = 1e-12) -> None:
    """To ``tolerance`` of the size of the numbers, entry by entry."""
    mean, covariance = expected(rows)
    scale = covariance.diagonal().sqrt()
    assert statistics.n == len(rows)
    assert ((statistics.mean - mean).abs() <= tolerance * (mean.abs() + scale)).all()
    assert ((statistics.covariance - covariance).abs() <= tolerance * scale * scale[:, None]).all()


def assert_equal(a: FrechetStatistics, b: FrechetStatistics) -> None:
    """Bit for bit."""
    assert (a.n, a.protocol, a.protocol.dtype) == (b.n, b.protocol, b.protocol.dtype)
    assert a.covariance_root is None if b.covariance_root is None else torch.equal(a.covariance_root, b.covariance_root)  # type: ignore[arg-type]
    assert torch.equal(a.mean, b.mean)
    assert torch.equal(a.covariance, b.covariance)


# -- the numbers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "d"), [(2, 5), (5, 5), (6, 5), (200, 5), (3, 1), (40, 60), (1100, 3)])
def test_moments_are_those_of_numpy(n: int, d: int, dtype: torch.dtype) -> None:
    rows = (normal(n, d) * torch.arange(1, d + 1) + 2).to(dtype)
    statistics = FrechetStatistics.of(rows)
    assert_close(statistics, rows)
    assert statistics.mean.dtype == statistics.covariance.dtype == torch.float64
    assert torch.equal(statistics.covariance, statistics.covariance.T)


@pytest.mark.parametrize(("offset", "tolerance"), [(1e4, 1e-12), (-1e8, 1e-8)])
@pytest.mark.parametrize("batch", [3, 50])
@pytest.mark.usefixtures("small_blocks")
def test_a_large_mean_costs_no_more_digits_than_its_rounding(offset: float, tolerance: float, batch: int) -> None:
    """Sums of squares and products, less the means', would lose twice as many digits: all of them at 1e8."""
    rows = normal(100, 4) + offset
    statistics = FrechetStatistics()
    for part in rows.split(batch):
        statistics.update(part)
    assert_close(statistics, rows, tolerance)


@pytest.mark.usefixtures("small_blocks")
def test_features_that_never_change_have_no_variance_at_all() -> None:
    """0.1 has no finite binary expansion: a mean of 99 of them taken at once is not 0.1."""
    rows = torch.where(torch.tensor([True, False, True]), normal(99, 3), 0.1)
    whole = FrechetStatistics.of(rows)
    merged = reduce(FrechetStatistics.merge, map(FrechetStatistics.of, rows.split(13)))
    for statistics in (whole, merged):
        assert float(statistics.mean[1]) == 0.1
        assert not statistics.covariance[1].any()
    assert float(rows[:, 1].mean()) != 0.1, "the plain mean would do as well"


@given(sizes=st.lists(st.integers(1, 12), min_size=1, max_size=8), d=st.integers(1, 9), seed=st.integers(0, 99))
def test_streamed_sharded_and_whole_agree(sizes: list[int], d: int, seed: int) -> None:
    rows = normal(sum(sizes), d, seed=seed) * 3 + 1e3
    batches = rows.split(sizes)
    streamed = FrechetStatistics()
    for batch in batches:
        streamed.update(batch)
    order = torch.randperm(len(batches), generator=torch.Generator().manual_seed(seed)).tolist()
    shards = [FrechetStatistics.of(batches[place]) for place in order]
    left = reduce(FrechetStatistics.merge, shards)
    right = reduce(lambda done, shard: shard.merge(done), shards, FrechetStatistics())
    for statistics in (FrechetStatistics.of(rows), FrechetStatistics.of(iter(batches)), streamed, left, right):
        assert statistics.n == len(rows)
        if len(rows) > 1:
            assert_close(statistics, rows)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("parts", [(30, 30), (3, 40), (40, 3), (3, 2), (4, 4), (1, 60)])
def test_shards_with_and_without_sums_merge(parts: tuple[int, int]) -> None:
    rows = normal(sum(parts), 6) + 5
    first, second = (FrechetStatistics.of(part) for part in rows.split(parts))
    merged = first.merge(second)
    assert_close(merged, rows)
    assert_close(second.merge(first), rows)
    merged.update(rows)
    assert_close(merged, torch.cat([rows, rows]))
    assert_close(first.merge(first), torch.cat([rows[: parts[0]]] * 2))


@pytest.mark.parametrize("n", [2, 3, 8])
def test_few_vectors_are_a_root_of_their_covariance(n: int) -> None:
    rows = normal(n, 8) + 7
    root = FrechetStatistics.of(rows.split(2)).covariance_root
    assert root is not None
    assert root.shape == (n - 1, 8)
    torch.testing.assert_close(root.T @ root, expected(rows)[1], rtol=0, atol=1e-14 * n)


def test_more_vectors_than_features_have_no_such_root() -> None:
    assert FrechetStatistics.of(normal(9, 8)).covariance_root is None
    assert FrechetStatistics.of(normal(1, 8)).covariance_root is None
    few, many = FrechetStatistics.of(normal(5, 8)), FrechetStatistics.of(normal(9, 8))
    assert few.merge(few).covariance_root is None
    assert few.merge(many).covariance_root is None
    assert few.merge(FrechetStatistics.of(normal(3, 8))).covariance_root is not None


def test_given_moments_are_taken_as_they_are() -> None:
    rows = normal(50, 4) + 3
    mean, covariance = expected(rows)
    given_ones = FrechetStatistics.from_moments(mean, covariance, 50, protocol=MINE)
    assert_close(given_ones, rows)
    assert given_ones.protocol == MINE
    assert FrechetStatistics.from_moments(mean, covariance, 50).protocol == Protocol()
    more = normal(20, 4, seed=1)
    assert_close(given_ones.merge(FrechetStatistics.of(Features(more, MINE))), torch.cat([rows, more]))
    mean.zero_()
    covariance.zero_()
    assert_close(given_ones, rows)


# -- what it holds and what it leaves alone ----------------------------------------------------------------------------


@pytest.mark.usefixtures("small_blocks")
def test_memory_is_a_covariance_and_a_block() -> None:
    statistics = FrechetStatistics()
    for rows in normal(300, 10).split(3):
        statistics.update(rows)
        waiting = sum(map(len, statistics._waiting))
        assert waiting <= (7 if statistics._sums else 10)
    assert statistics._like is not None
    assert statistics._like.values.untyped_storage().nbytes() == 0, "the first batch would live on"


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("n", [4, 40])
def test_a_buffer_may_be_used_again(n: int) -> None:
    rows, buffer = normal(n, 5), torch.empty(2, 5, dtype=torch.float64)
    statistics = FrechetStatistics()
    for part in rows.split(2):
        statistics.update(buffer.copy_(part))
        buffer.fill_(torch.nan)
    assert_close(statistics, rows)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("n", [4, 40])
def test_what_is_handed_out_or_merged_is_a_copy(n: int) -> None:
    rows = normal(n, 5)
    statistics, other = FrechetStatistics.of(rows), FrechetStatistics.of(rows[:3])
    for merged in (
        statistics.merge(FrechetStatistics()),
        FrechetStatistics().merge(statistics),
        statistics.merge(other),
    ):
        merged.update(rows)
    for values in (statistics.mean, statistics.covariance, statistics.covariance_root):
        if values is not None:
            values.fill_(torch.nan)
    assert_close(statistics, rows)
    assert_close(other, rows[:3])


@pytest.mark.usefixtures("small_blocks")
def test_moments_begun_without_gradients_go_on_with_them() -> None:
    rows = normal(40, 5).requires_grad_()
    with torch.inference_mode():
        statistics = FrechetStatistics.of(rows[:20] + 0)
        given_ones = FrechetStatistics.from_moments(*expected(rows.detach()[:20]), 20)
        merged = FrechetStatistics.of(rows[:10] + 0).merge(FrechetStatistics.of(rows[10:20] + 0))
    for begun in (statistics, given_ones, merged):
        begun.update(rows[20:])
        assert_close(begun, rows.detach())
        assert not begun.mean.requires_grad


def test_autocast_changes_nothing() -> None:
    rows = normal(40, 5).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = FrechetStatistics.of(rows)
        assert_close(inside, rows)
    assert_equal(inside, FrechetStatistics.of(rows))


def test_every_way_to_hold_a_set(tmp_path: Path) -> None:
    rows = normal(30, 5).float()
    np.save(tmp_path / "rows.npy", rows.numpy())
    for held in (rows.numpy(), np.load(tmp_path / "rows.npy", mmap_mode="r"), Features(rows), iter(rows.split(30))):
        assert_equal(FrechetStatistics.of(held), FrechetStatistics.of(rows))


def test_statistics_travel_between_processes() -> None:
    for n in (4, 40):
        statistics = FrechetStatistics.of(Features(normal(n, 5), MINE))
        assert_equal(pickle.loads(pickle.dumps(statistics)), statistics)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("n", [1, 4, 40])
def test_statistics_are_packed_into_one_tensor(n: int) -> None:
    rows = normal(n, 5)
    statistics = FrechetStatistics.of(Features(rows.float(), MINE))
    packed = statistics.packed()
    assert packed.shape == (7, 5)
    with torch.inference_mode():
        unpacked = FrechetStatistics.unpacked(packed, statistics.protocol)
    assert FrechetStatistics.unpacked(packed, Protocol(n_real=n)).protocol.dtype == "float64"
    packed.fill_(torch.nan)
    assert statistics.packed().isfinite().all()
    assert (unpacked.n, unpacked.protocol, unpacked.protocol.dtype) == (n, MINE, "float32")
    unpacked.update(Features(rows.float(), MINE))
    assert_close(unpacked, torch.cat([rows, rows]).float())


@pytest.mark.gpu
def test_moments_stay_on_the_device() -> None:
    rows = normal(3000, 40).float().cuda()
    for n in (30, 3000):
        statistics = FrechetStatistics.of(rows[:n])
        assert statistics.device == statistics.mean.device == statistics.covariance.device == rows.device
        np.testing.assert_allclose(statistics.covariance.cpu(), expected(rows[:n].cpu())[1], atol=1e-12)


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 4, 40])
def test_a_file_gives_back_the_same_bits(tmp_path: Path, n: int, dtype: torch.dtype) -> None:
    rows = normal(n, 5).to(dtype)
    statistics = FrechetStatistics.of(Features(rows, MINE))
    statistics.save(tmp_path / "a.statistics")
    loaded = FrechetStatistics.load(str(tmp_path / "a.statistics"))
    assert loaded.n == n
    assert loaded.protocol == MINE
    assert loaded.protocol.dtype == str(dtype).removeprefix("torch.")
    assert torch.equal(loaded.mean, statistics.mean)
    if n > 1:
        assert_equal(loaded, statistics)
    statistics.update(Features(rows, MINE))
    loaded.update(Features(rows, MINE))
    assert_equal(loaded, statistics)
    with pytest.raises(ValueError, match="protocol of those before"):
        loaded.update(Features(rows, THEIRS))


def test_a_file_is_written_at_once_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    FrechetStatistics.of(normal(9, 3)).save(path)
    before = path.read_bytes()

    def fail(descriptor: int) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="no space left"):
            FrechetStatistics.of(normal(20, 3)).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    FrechetStatistics.of(normal(20, 3)).save(path)
    assert FrechetStatistics.load(path).n == 20
    assert list(tmp_path.iterdir()) == [path]


def test_any_truncation_and_any_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    FrechetStatistics.of(normal(3, 2)).save(path)
    whole = path.read_bytes()
    assert FrechetStatistics.load(path).n == 3
    damaged = [whole[:length] for length in range(len(whole))]
    damaged += [whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] for place in range(len(whole))]
    for content in (*damaged, whole + b"\0"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"path must be a (file that|statistics file|whole statistics file)"):
            FrechetStatistics.load(path)


def test_a_damaged_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a"
    FrechetStatistics.of(normal(30, 2)).save(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        ValueError, match=re.escape(f"must be a whole statistics file, got a truncated or damaged one: {path}")
    ):
        FrechetStatistics.load(path)


CRAFTED: dict[str, Callable[[dict[str, Any]], object]] = {
    "no protocol": lambda header: header.pop("protocol"),
    "no shape": lambda header: header.pop("shape"),
    "shape of another kind": lambda header: header.update(shape="2x2"),
    "shape of one number": lambda header: header.update(shape=[12]),
    "shape of other numbers": lambda header: header.update(shape=[7, 2]),
    "negative shape": lambda header: header.update(shape=[-1, 2]),
    "shape of truths": lambda header: header.update(shape=[True, 12]),
    "is_packed of another kind": lambda header: header.update(is_packed="no"),
    "packed of another shape": lambda header: header.update(is_packed=True),
    "unknown dtype": lambda header: header["protocol"].update(dtype="save"),
    "integer dtype": lambda header: header["protocol"].update(dtype="int64"),
    "unknown field": lambda header: header["protocol"].update(odd=1),
    "k of another kind": lambda header: header["protocol"].update(k="x"),
    "protocol of another kind": lambda header: header.update(protocol=[1]),
}


@pytest.mark.parametrize("change", CRAFTED.values(), ids=CRAFTED.keys())
def test_a_right_checksum_of_wrong_fields_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    path = tmp_path / "a"
    FrechetStatistics.of(normal(6, 2)[:2]).save(path)
    kind, _, line, numbers = path.read_bytes().split(b"\n", 3)
    header = json.loads(line)
    change(header)
    write_checked(path, kind, [json.dumps(header).encode() + b"\n", numbers])
    with pytest.raises(ValueError, match=r"path must hold what .*save writes, got other fields: .*/a: "):
        FrechetStatistics.load(path)


@pytest.mark.parametrize(("place", "value"), [((0, 0), 0.5), ((0, 1), 7.0), ((0, slice(None)), 0.0), ((2, 0), -1.0),
                                              ((2, 1), 1e9), ((1, 0), math.nan)])  # fmt: skip
def test_a_right_checksum_of_impossible_moments_is_refused(tmp_path: Path, place: Any, value: float) -> None:
    path = tmp_path / "a"
    FrechetStatistics.of(normal(30, 2)).save(path)
    kind, _, line, numbers = path.read_bytes().split(b"\n", 3)
    assert json.loads(line)["is_packed"]
    packed = np.frombuffer(numbers, "<f8").reshape(4, 2).copy()
    packed[place] = value
    write_checked(path, kind, [line + b"\n", packed.tobytes()])
    with pytest.raises(ValueError, match=r"got other fields: .*/a: "):
        FrechetStatistics.load(path)


class _Bomb:
    """Something whose unpickling would be noticed."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return exec, ("raise SystemExit('executed')",)


def test_files_of_others_are_refused_and_not_executed(tmp_path: Path) -> None:
    np.savez(tmp_path / "mu.npz", mu=np.zeros(2), sigma=np.eye(2))
    np.save(tmp_path / "a.npy", np.zeros(2))
    torch.save({"mean": torch.zeros(2)}, tmp_path / "a.pt")
    (tmp_path / "bomb").write_bytes(pickle.dumps(_Bomb()))
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("stochrobust")
    for path in tmp_path.iterdir():
        with pytest.raises(ValueError, match=r"must be a file that FrechetStatistics\.save wrote, got another kind"):
            FrechetStatistics.load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        FrechetStatistics.load(tmp_path / "absent")


def test_a_file_of_a_later_version_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(_statistics_file, "_VERSION", b"2")
        FrechetStatistics.of(normal(3, 2)).save(tmp_path / "a")
    with pytest.raises(ValueError, match="of version 1, got version '2'"):
        FrechetStatistics.load(tmp_path / "a")


def test_a_protocol_with_unknown_fields_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(_statistics_file, "asdict", lambda protocol: {"extractor": "mine", "colour": "red"})
        FrechetStatistics.of(normal(3, 2)).save(tmp_path / "a")
    with pytest.raises(ValueError, match=r"other fields: .*colour"):
        FrechetStatistics.load(tmp_path / "a")


@pytest.mark.gpu
def test_a_file_is_loaded_to_a_device(tmp_path: Path) -> None:
    FrechetStatistics.of(normal(30, 2).cuda()).save(tmp_path / "a")
    assert FrechetStatistics.load(tmp_path / "a").device.type == "cpu"
    assert FrechetStatistics.load(tmp_path / "a", device="cuda").mean.is_cuda


# -- what must be refused ----------------------------------------------------------------------------------------------

ROWS = torch.arange(10.0).view(5, 2)


@pytest.mark.parametrize(
    ("features", "error", "message"),
    [
        (ROWS.byte(), TypeError, "features must have a real floating-point dtype, got a torch.uint8"),
        (ROWS.numpy().astype(int), TypeError, "features must have a real floating-point dtype, got a torch.int64"),
        (ROWS.to(torch.complex64), TypeError, "features must have a real floating-point dtype"),
        (None, TypeError, "features must be a torch.Tensor, an array, Features or batches of them, got None"),
        ([], ValueError, "features must not be empty, got an iterable without batches"),
        (ROWS[:0], ValueError, "features must not be empty"),
        (ROWS[0], ValueError, "features must have 2 dimensions"),
        (ROWS / 0, ValueError, "features must be finite, got 10 NaN or infinite value(s) among 10"),
        ([ROWS, ROWS[:, :1]], ValueError, "features must have the 2 features of its first batch"),
    ],
)
def test_bad_features(features: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        FrechetStatistics.of(features)
    statistics = FrechetStatistics()
    with pytest.raises(error, match=re.escape(message)):
        statistics.update(features)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (Features(ROWS[:, :1], MINE), "features must have the 2 features of those before, got a torch.float32"),
        (Features(ROWS.double(), MINE), "features must have the dtype and device of those before"),
        (Features(ROWS, THEIRS), "must have the protocol of those before, got another: extractor: 'mine' and 'theirs'"),
        (ROWS, "features must have the protocol of those before, got another: extractor: 'mine' and 'raw vectors'"),
        (Features(ROWS * torch.nan, MINE), "features must be finite"),
    ],
)
def test_batches_that_do_not_belong(features: Any, message: str) -> None:
    statistics = FrechetStatistics.of(Features(ROWS, MINE))
    with pytest.raises(ValueError, match=re.escape(message)):
        statistics.update(features)
    assert_close(statistics, ROWS)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Features(ROWS[:, :1], MINE), "other must have the 2 features of these statistics, got a torch.float32"),
        (Features(ROWS.double(), MINE), "other must have the dtype and device of these statistics"),
        (
            Features(ROWS, THEIRS),
            "other must have the protocol of these statistics, got another: extractor: 'mine' and",
        ),
    ],
)
def test_shards_that_do_not_belong(other: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        FrechetStatistics.of(Features(ROWS, MINE)).merge(FrechetStatistics.of(other))


def test_only_statistics_merge() -> None:
    with pytest.raises(TypeError, match=r"other must be FrechetStatistics, got a torch\.float32 tensor"):
        FrechetStatistics().merge(ROWS)  # type: ignore[arg-type]


def test_a_refused_first_batch_leaves_no_trace() -> None:
    statistics = FrechetStatistics()
    with pytest.raises(ValueError, match="must be finite"):
        statistics.update(ROWS[:, :1] * torch.nan)
    statistics.update(ROWS.double())
    assert_close(statistics, ROWS)


@pytest.mark.parametrize("ask", ["mean", "protocol", "device"])
def test_empty_statistics_have_nothing_to_tell(ask: str, tmp_path: Path) -> None:
    empty = FrechetStatistics()
    assert empty.n == 0
    assert empty.merge(empty).n == 0
    assert empty.covariance_root is None
    with pytest.raises(ValueError, match="the statistics must have at least 1 sample, got 0"):
        getattr(empty, ask)
    with pytest.raises(ValueError, match="the statistics must have at least 1 sample, got 0"):
        empty.save(tmp_path / "a")
    with pytest.raises(ValueError, match="the statistics must have at least 1 sample, got 0"):
        empty.packed()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("n", [0, 1])
def test_one_vector_has_no_covariance(n: int) -> None:
    statistics = FrechetStatistics.of(ROWS[:1]) if n else FrechetStatistics()
    with pytest.raises(ValueError, match=f"the statistics must have at least 2 samples, got {n}"):
        _ = statistics.covariance


MEAN, COVARIANCE = torch.zeros(2), torch.eye(2)


@pytest.mark.parametrize(
    ("mean", "covariance", "n", "error", "message"),
    [
        (None, COVARIANCE, 5, TypeError, "mean must be a torch.Tensor, got None"),
        (MEAN.int(), COVARIANCE, 5, TypeError, "mean must have a real floating-point dtype"),
        (MEAN[None], COVARIANCE, 5, ValueError, "mean must have 1 dimensions"),
        (MEAN * torch.nan, COVARIANCE, 5, ValueError, "mean must be finite"),
        (MEAN, np.eye(2), 5, TypeError, "covariance must be a torch.Tensor"),
        (MEAN, COVARIANCE.double(), 5, ValueError, "covariance must have the dtype and device of mean"),
        (MEAN, torch.eye(3), 5, ValueError, "covariance must be of shape (d, d) for d = 2, got a torch.float32 tensor"),
        (MEAN, torch.ones(2, 3), 5, ValueError, "covariance must be of shape (d, d) for d = 2"),
        (MEAN, COVARIANCE / 0, 5, ValueError, "covariance must be finite"),
        (
            MEAN,
            torch.tensor([[1.0, 0.5], [0.0, 1.0]]),
            5,
            ValueError,
            "must be symmetric and positive semi-definite, got",
        ),
        (MEAN, torch.tensor([[1.0, 2.0], [2.0, 1.0]]), 5, ValueError, "and eigenvalues from -1 to 3"),
        (MEAN, -COVARIANCE, 5, ValueError, "and eigenvalues from -1 to -1"),
        (MEAN, COVARIANCE, 1, ValueError, "n must be at least 2, got 1"),
        (MEAN, COVARIANCE, 5.0, TypeError, "n must be an integer, got 5.0"),
    ],
)
def test_bad_moments(mean: Any, covariance: Any, n: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        FrechetStatistics.from_moments(mean, covariance, n)


def test_moments_with_the_rounding_of_float32_pass() -> None:
    rows = normal(5, 30)
    mean, covariance = (values.float() for values in expected(rows))
    assert FrechetStatistics.from_moments(mean, covariance, 5).n == 5
    assert FrechetStatistics.from_moments(mean, torch.zeros(30, 30), 5).n == 5
