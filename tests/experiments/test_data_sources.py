"""Readers of CelebA, ImageNet-64, Fashion-MNIST and the digits, on small files of the same formats."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import shutil
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from reference_experiments.data import celeba, digits, fashion, imagenet64
from reference_experiments.data.arrays import Part, Pixels, Source
from stochrobust.cli.files import opened


def read(source: Source, part: Part) -> Pixels:
    return np.stack(list(source.parts[part][1]))


def picture(width: int, height: int, seed: int) -> Image.Image:
    """A smooth one, so that JPEG keeps it."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


# -- CelebA ------------------------------------------------------------------------------------------------------------

N = (10, 3, 2)
NAMES = [f"{i:06d}.jpg" for i in range(1, sum(N) + 1)]
PARTITION = "".join(f"{name} {(i >= 10) + (i >= 13)}\n" for i, name in enumerate(NAMES))


@pytest.fixture
def official(tmp_path: Path) -> Path:
    """CelebA with 10 + 3 + 2 images."""
    images = tmp_path / "celeba" / "img_align_celeba"
    images.mkdir(parents=True)
    for i, name in enumerate(NAMES):
        picture(178, 218, i).save(images / name, quality=95)
    (tmp_path / "celeba" / "list_eval_partition.txt").write_text(PARTITION)
    return tmp_path / "celeba"


def zipped(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*.*")):
            file.write(path, path.relative_to(folder.parent).as_posix())
    return archive


def test_the_published_division_of_celeba_has_the_published_sizes() -> None:
    names = [f"{i:06d}.jpg" for i in range(1, 182_638)]
    parts = celeba.divided(names[:162_770], names[162_770:], seed=0)
    assert (len(parts["train"]), len(parts["validation"])) == (130_216, 52_421)
    assert sorted(parts["train"] + parts["validation"]) == names
    assert parts["validation"][32_554:] == names[162_770:]
    assert parts["train"] == sorted(parts["train"])
    moved = np.array([int(name[:6]) for name in parts["validation"][:32_554]])
    assert abs(moved.mean() - 81_385) < 1_000  # spread over the whole part: 4 standard errors
    assert parts["train"] != celeba.divided(names[:162_770], names[162_770:], seed=1)["train"]


def test_celeba_is_squeezed_to_102_and_cut_to_64(official: Path) -> None:
    source = celeba.source(official, seed=3, any_count=True)
    parts = celeba.divided(NAMES[:10], NAMES[10:13], seed=3)
    assert (source.parts["train"][0], source.parts["validation"][0]) == (8, 5)
    for part, names in parts.items():
        found = read(source, part)
        assert found.shape == (len(names), 3, 64, 64)
        for image, name in zip(found, names, strict=True):
            whole = Image.open(official / "img_align_celeba" / name)
            expected = whole.resize((102, 102), Image.Resampling.BILINEAR).crop((19, 19, 83, 83))
            assert np.array_equal(image, np.asarray(expected).transpose(2, 0, 1))
            pixels = torch.from_numpy(np.array(whole)).permute(2, 0, 1)[None].float()
            other = interpolate(pixels, (102, 102), mode="bilinear", antialias=True)[0, :, 19:83, 19:83]
            assert (other - torch.from_numpy(image.copy())).abs().max() <= 1.5
    assert "seed 3" in source.record["division"]
    others = [read(celeba.source(official, seed, True), "train").tolist() for seed in (3, 4)]
    assert others[0] != others[1]


def test_every_layout_of_celeba_gives_the_same_images(official: Path, tmp_path: Path) -> None:
    expected = read(celeba.source(official, 0, True), "validation")
    with_archive = tmp_path / "archive"
    (with_archive / "Img").mkdir(parents=True)
    (with_archive / "Eval").mkdir()
    zipped(official / "img_align_celeba", with_archive / "Img" / "img_align_celeba.zip")
    shutil.copy(official / "list_eval_partition.txt", with_archive / "Eval")
    kaggle = tmp_path / "kaggle"
    shutil.copytree(official / "img_align_celeba", kaggle / "img_align_celeba" / "img_align_celeba")
    (kaggle / "list_eval_partition.csv").write_text("image_id,partition\n" + PARTITION.replace(" ", ","))
    (kaggle / "._list_eval_partition.txt").write_bytes(b"\x00")
    paths = [with_archive, kaggle, zipped(kaggle, tmp_path / "kaggle.zip"), official / "img_align_celeba"]
    for path in paths:
        assert np.array_equal(read(celeba.source(path, 0, True), "validation"), expected), path


def test_celeba_with_other_counts_or_another_archive_is_refused(official: Path) -> None:
    with pytest.raises(ValueError, match=r"expected \(162770, 19867, 19962\), .* got \(10, 3, 2\); --any-count"):
        celeba.source(official, 0, any_count=False)
    zipped(official / "img_align_celeba", official / "img_align_celeba.zip")
    shutil.rmtree(official / "img_align_celeba")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(celeba, "PUBLISHED", N)
        with pytest.raises(ValueError, match=r"MD5 of .*img_align_celeba.zip: expected 00d2c5bc.*--any-count"):
            celeba.source(official, 0, any_count=False)
    assert read(celeba.source(official, 0, any_count=True), "train").shape == (8, 3, 64, 64)


def test_a_missing_partition_file_or_image_of_celeba_is_named(official: Path, tmp_path: Path) -> None:
    (official / "img_align_celeba" / NAMES[4]).unlink()
    (official / "img_align_celeba" / NAMES[14]).unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks 2 images of the partition file, the first 000005.jpg"):
        celeba.source(official, 0, True)
    (official / "list_eval_partition.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"neither list_eval_partition.txt nor list_eval_partition.csv"):
        celeba.source(official, 0, True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "list_eval_partition.txt").write_text(PARTITION)
    with pytest.raises(FileNotFoundError, match=r"holds neither img_align_celeba/\*.jpg nor img_align_celeba.zip"):
        celeba.source(tmp_path / "empty", 0, True)


@pytest.mark.parametrize("line", ["000002.jpg", "000002.jpg 3", "000002.jpg 1 1", "000002.jpg train"])
def test_a_line_of_the_partition_file_that_means_nothing_is_named(line: str) -> None:
    with pytest.raises(ValueError, match=f"some file, line 2: .*{line}"):
        celeba.partition("some file", f"000001.jpg 0\n{line}\n")


def test_an_image_of_another_size_or_a_truncated_one_is_named(official: Path) -> None:
    path = official / "img_align_celeba" / NAMES[11]  # of the official validation part
    whole = path.read_bytes()
    picture(218, 178, 0).save(path)
    with pytest.raises(ValueError, match=r"000012.jpg in .*: it is 218 x 178, expected 178 x 218"):
        read(celeba.source(official, 0, True), "validation")
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cannot use .*000012.jpg in .*truncated"):
        read(celeba.source(official, 0, True), "validation")


# -- ImageNet-64 -------------------------------------------------------------------------------------------------------


def planes(n: int, seed: int, side: int = 64) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (n, 3 * side**2), dtype=np.uint8)


def content(data: Pixels) -> dict[str, Any]:
    labels = [int(i) for i in range(len(data))]
    return {"data": data, "labels": labels, "mean": data.mean(0), "count": np.int64(len(data))}


def save(path: Path, data: Pixels, form: str) -> None:
    if form == "npz":
        np.savez(path.with_name(f"{path.name}.npz"), **content(data))
    else:
        path.write_bytes(pickle.dumps(content(data), protocol=int(form)))


SIZES = [3, 2, 2, 2, 2, 2, 2, 2, 2, 5]


@pytest.fixture(params=["npz", "2", "4", "5"])
def batches(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """ImageNet-64 with 24 + 4 images, pickled by several protocols or as npz, in folders as they are unpacked."""
    for i, n in enumerate(SIZES):
        folder = tmp_path / f"Imagenet64_train_part{1 + i // 5}"
        folder.mkdir(exist_ok=True)
        save(folder / f"train_data_batch_{i + 1}", planes(n, i), request.param)
    save(tmp_path / "val_data", planes(4, 99), request.param)
    return tmp_path


def test_imagenet_comes_as_planes_file_after_file(batches: Path) -> None:
    source = imagenet64.source(batches, any_count=True)
    train = read(source, "train")
    rows = np.concatenate([planes(n, i) for i, n in enumerate(SIZES)])
    assert train.shape == (24, 3, 64, 64)
    for colour, row, column in ((0, 0, 0), (1, 5, 7), (2, 63, 1)):
        assert np.array_equal(train[:, colour, row, column], rows[:, 4096 * colour + 64 * row + column])
    assert read(source, "validation").reshape(4, -1).tolist() == planes(4, 99).tolist()
    assert source.record["files"]["files"] == 11


def test_pickles_of_older_numpy_and_python_are_read(tmp_path: Path) -> None:
    data = planes(2, 0)
    written = pickle.dumps({b"data": data, b"labels": [1, 2]}, protocol=2).replace(b"numpy._core", b"numpy.core")
    assert b"numpy.core.multiarray" in written
    (tmp_path / "val_data").write_bytes(written)
    with pytest.raises(ValueError, match="KeyError"):
        imagenet64.batch(tmp_path / "val_data")  # bytes for keys: nobody wrote that with Python 3
    old = pickle.dumps(data, protocol=0).replace(b"numpy._core", b"numpy.core")
    python2 = b"(dp0\nS'data'\np1\n" + old[:-1] + b"sS'caf\\xe9'\nI1\ns."  # a byte that is not ASCII
    (tmp_path / "val_data").write_bytes(python2)
    assert np.array_equal(imagenet64.batch(tmp_path / "val_data").reshape(2, -1), data)


def test_imagenet_of_other_counts_is_refused_unless_that_is_accepted(batches: Path) -> None:
    source = imagenet64.source(batches, any_count=False)
    assert (source.parts["train"][0], source.parts["validation"][0]) == (1_281_167, 50_000)
    with pytest.raises(ValueError, match=r"train images: expected 1281167, as published, got 24; --any-count"):
        read(source, "train")
    with pytest.raises(ValueError, match=r"validation images: expected 50000"):
        read(source, "validation")


def test_missing_files_of_imagenet_are_named(batches: Path) -> None:
    for path in batches.rglob("train_data_batch_[47]*"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match="lacks train_data_batch_4, train_data_batch_7"):
        imagenet64.source(batches, any_count=False)
    assert len(read(imagenet64.source(batches, any_count=True), "train")) == 20
    for path in batches.glob("val_data*"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match="lacks val_data"):
        imagenet64.source(batches, any_count=True)
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        imagenet64.source(batches / "nowhere", any_count=True)


@pytest.mark.parametrize("form", ["npz", "5"])
def test_damaged_or_foreign_imagenet_files_are_named(tmp_path: Path, form: str) -> None:
    save(tmp_path / "val_data", planes(4, 0), form)
    path = next(tmp_path.glob("val_data*"))
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:10], b""):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"cannot read {path}"):
            imagenet64.batch(path)
    for data, got in ((planes(4, 0, side=32), r"uint8 \(4, 3072\)"), (planes(4, 0).astype(float), "float64")):
        save(tmp_path / "val_data", data, form)
        with pytest.raises(ValueError, match=rf"expected uint8 images of 3 x 64 x 64, \(N, 12288\), got {got}"):
            imagenet64.batch(path)


class Evil:
    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], tuple(self.call[1:])


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, protocol: int) -> None:
    trace = tmp_path / "trace"
    calls = [
        (os.mkdir, str(trace)),
        (eval, f"__import__('os').mkdir({str(trace)!r})"),
        (np.load, "x"),
        (getattr, 1, "x"),
    ]
    for call in calls:
        (tmp_path / "val_data").write_bytes(pickle.dumps({"data": Evil(*call)}, protocol=protocol))
        with pytest.raises(ValueError, match="only arrays and numbers are admitted"):
            imagenet64.batch(tmp_path / "val_data")
    objects = np.array([Evil(os.mkdir, str(trace))], dtype=object)
    (tmp_path / "val_data").write_bytes(pickle.dumps({"data": objects}, protocol=protocol))
    with pytest.raises(ValueError, match="only arrays and numbers are admitted"):
        imagenet64.batch(tmp_path / "val_data")
    np.savez(tmp_path / "val_data.npz", data=objects)
    with pytest.raises(ValueError, match=r"cannot read .*val_data.npz"):
        imagenet64.batch(tmp_path / "val_data.npz")
    assert not trace.exists()


def test_a_name_admitted_of_numpy_is_not_admitted_of_others() -> None:
    for name in (b"cnumpyish.core\ndtype\n.", b"cnumpy\nload\n.", b"cnumpy\nmemmap\n.", b"c_codecs\ndecode\n."):
        with pytest.raises(pickle.UnpicklingError, match="only arrays"):
            imagenet64.ArrayUnpickler(io.BytesIO(name)).load()
    assert imagenet64.ArrayUnpickler(io.BytesIO(b"c_codecs\nencode\n(V\\u00e9\nVlatin1\ntR.")).load() == b"\xe9"
    with pytest.raises(pickle.UnpicklingError, match="encoding 'rot13'"):
        imagenet64.ArrayUnpickler(io.BytesIO(b"c_codecs\nencode\n(Vx\nVrot13\ntR.")).load()


# -- Fashion-MNIST -----------------------------------------------------------------------------------------------------


def idx(images: Pixels) -> bytes:
    return struct.pack(">4I", 0x803, *images.shape) + images.tobytes()


@pytest.mark.parametrize("packed", [True, False])
def test_fashion_is_padded_with_zeros(tmp_path: Path, packed: bool) -> None:
    images = np.random.default_rng(0).integers(1, 256, (5, 28, 28), dtype=np.uint8)
    for name, some in (("train-images-idx3-ubyte", images), ("t10k-images-idx3-ubyte", images[:2])):
        path = tmp_path / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(idx(some)) if packed else idx(some))
    source = fashion.source(tmp_path, any_count=True)
    assert (source.parts["train"][0], source.parts["validation"][0]) == (5, 2)
    train = read(source, "train")
    assert train.shape == (5, 1, 32, 32)
    assert np.array_equal(train[:, 0, 2:30, 2:30], images)
    assert (train == 0).sum() == 5 * (32**2 - 28**2)
    assert np.array_equal(read(source, "validation"), train[:2])


def test_fashion_that_is_not_the_published_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"neither .*train-images-idx3-ubyte nor .*\.gz exists"):
        fashion.source(tmp_path, any_count=False)
    for name in fashion.FILES.values():
        (tmp_path / name).write_bytes(idx(np.zeros((3, 28, 28), np.uint8)))
    with pytest.raises(ValueError, match="train images: expected 60000, as published, got 3; --any-count"):
        fashion.source(tmp_path, any_count=False)
    monkeypatch.setattr(fashion, "PUBLISHED", {"train": 3, "validation": 3})
    with pytest.raises(ValueError, match="SHA-256 of the unpacked train-images-idx3-ubyte: expected c59f468a"):
        fashion.source(tmp_path, any_count=False)


def test_damaged_idx_files_are_named(tmp_path: Path) -> None:
    whole = idx(np.zeros((3, 28, 28), np.uint8))
    for damaged, message in (
        (whole[:-1], "announces 3 images of 28 x 28, and holds 2351 bytes"),
        (whole + b"0", "holds 2353 bytes"),
        (whole[:7], "not an idx file"),
        (struct.pack(">2I", 0x801, 3) + bytes(20), "not an idx file of 8-bit images"),
    ):
        with pytest.raises(ValueError, match=message):
            fashion.parsed(damaged, tmp_path)
    packed = gzip.compress(whole)
    for some in (packed[:-9], packed[:-1] + b"x", packed[:10] + b"\xff" + packed[11:], b"no gzip"):
        (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(some)
        with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.gz is damaged"):
            fashion.source(tmp_path, any_count=True)
    with pytest.raises(ValueError, match="expected images of at most 32 x 32, got 33 x 5"):
        fashion.padded(np.zeros((1, 5, 33), np.uint8))


def test_labels_of_fashion_are_one_byte_an_image_and_the_published_ones(tmp_path: Path) -> None:
    path, whole = tmp_path / "t10k-labels-idx1-ubyte", struct.pack(">2I", 0x801, 3) + bytes([9, 0, 4])
    path.write_bytes(whole)
    assert fashion.labels(tmp_path, "validation", any_count=True).tolist() == [9, 0, 4]
    with pytest.raises(ValueError, match="SHA-256 of the unpacked t10k-labels-idx1-ubyte: expected 0402a96d"):
        fashion.labels(tmp_path, "validation")
    for damaged in (whole[:-1], whole + b"0", whole[:5], struct.pack(">2I", 0x803, 3) + bytes(3)):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="is not an idx file of as many labels"):
            fashion.labels(tmp_path, "validation", any_count=True)
    with pytest.raises(FileNotFoundError, match=r"neither .*train-labels-idx1-ubyte nor"):
        fashion.labels(tmp_path, "train")


# -- digits ------------------------------------------------------------------------------------------------------------


def test_digits_are_enlarged_blocks_of_all_levels_divided_as_elsewhere() -> None:
    from sklearn.datasets import load_digits

    source = digits.source()
    train, validation = read(source, "train"), read(source, "validation")
    assert (train.shape, validation.shape) == ((1297, 1, 32, 32), (500, 1, 32, 32))
    assert (source.parts["train"][0], source.parts["validation"][0]) == (1297, 500)
    both = np.concatenate([train, validation])
    small = both[:, 0, ::4, ::4]
    for row in range(4):
        for column in range(4):
            assert np.array_equal(both[:, 0, row::4, column::4], small)
    assert set(np.unique(small)) == {round(level * 255 / 16) for level in range(17)}
    sixteenths = np.rint(small.reshape(-1, 64) / 255 * 16)
    assert sorted(map(tuple, sixteenths)) == sorted(map(tuple, load_digits().data))


# -- files -------------------------------------------------------------------------------------------------------------


def test_what_systems_leave_beside_files_is_not_among_them(tmp_path: Path) -> None:
    for name in ("b/1.jpg", "a.png", ".DS_Store", "b/._1.jpg", "__MACOSX/b/1.jpg", ".git/x.jpg"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(name.encode())
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in sorted((tmp_path / "set").rglob("*")):
            archive.write(path, path.relative_to(tmp_path / "set"))
    for path in (tmp_path / "set", tmp_path / "set.zip"):
        with opened(path) as files:
            assert files.names == ("a.png", "b/1.jpg")
            assert files.read("b/1.jpg") == b"b/1.jpg"


@pytest.mark.skipif(os.name != "posix", reason="makes symbolic links")
def test_linked_folders_are_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.jpg").write_bytes(b"x")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train").symlink_to(tmp_path / "elsewhere")
    with opened(tmp_path / "set") as files:
        assert files.names == ("train/1.jpg",)


def test_a_path_that_holds_no_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"), opened(tmp_path / "nowhere"):
        pass
    (tmp_path / "text.zip").write_text("no archive")
    with (
        pytest.raises(ValueError, match=r"text.zip is neither a folder nor a whole zip"),
        opened(tmp_path / "text.zip"),
    ):
        pass
