"""The images that a command line names: pictures in folders and archives, arrays, factories; and pairs of them."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from stochrobust.cli import folder
from stochrobust.cli.arrays import read_array
from stochrobust.cli.folder import find_pictures
from stochrobust.cli.images import Reading, first_images, moved, open_images, paired, peeked

HERE = "tests.cli.test_images"
NAMES = ("a.png", "deep/b.jpg", "deep/er/c.PNG", "z.webp")  # in order


def pixels(seed: int, height: int = 4, width: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, lossless=True)  # webp would lose something otherwise


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for seed, name in enumerate(NAMES):
        save(tmp_path / "set" / name, pixels(seed))
    (tmp_path / "set" / "readme.txt").write_text("no picture")
    return tmp_path / "set"


def archived(path: Path) -> Path:
    with zipfile.ZipFile(path.with_suffix(".zip"), "w") as archive:
        for file in path.rglob("*.*"):
            archive.write(file, file.relative_to(path))
    return path.with_suffix(".zip")


def read(spec: object, reading: Reading = Reading()) -> Tensor:  # noqa: B008 (a frozen value)
    return torch.cat(list(open_images(str(spec), reading)))


def images() -> Tensor:
    return torch.arange(8).view(8, 1, 1, 1).expand(8, 1, 2, 2) / 8


def batches() -> Iterator[Tensor]:
    return iter(images().split(3))


def pairs() -> list[tuple[Tensor, Tensor]]:
    return [(2 * x, x) for x in images().split(3)]


def number(device: torch.device) -> int:
    return 3


# -- pictures ----------------------------------------------------------------------------------------------------------


def test_pictures_of_all_depths_in_the_order_of_their_names(pictures: Path) -> None:
    found = read(pictures)
    assert found.dtype == torch.float32
    assert found.shape == (4, 3, 4, 6)
    for row, name in enumerate(NAMES):
        expected = np.asarray(Image.open(pictures / name)).transpose(2, 0, 1)
        assert np.array_equal((found[row] * 255).round().numpy(), expected), name
    assert torch.equal(read(archived(pictures)), found)


def test_batches_and_the_first_so_many(pictures: Path) -> None:
    opened = open_images(str(pictures), Reading(batch=3))
    assert [len(batch) for batch in opened] == [3, 1]
    assert [len(batch) for batch in opened] == [3, 1], "anew"
    assert len(opened) == 2  # type: ignore[arg-type]
    assert torch.equal(read(pictures, Reading(n=2)), read(pictures)[:2])


def test_a_picture_is_read_when_it_is_asked_for(pictures: Path) -> None:
    opened = iter(open_images(str(pictures), Reading(batch=1)))
    (pictures / NAMES[3]).write_bytes(b"nonsense")
    for _ in range(3):
        next(opened)
    with pytest.raises(ValueError, match=r"cannot use z.webp in .*set: it is no whole picture"):
        next(opened)


def test_grey_and_size(pictures: Path) -> None:
    assert read(pictures, Reading(grey=True)).shape == (4, 1, 4, 6)
    first = Image.open(pictures / NAMES[0])
    found = read(pictures, Reading(size=2))
    assert found.shape == (4, 3, 2, 2)
    cut = first.resize((2, 2), Image.Resampling.BICUBIC, box=(1, 0, 5, 4))  # the middle of the longer side
    assert np.array_equal((found[0] * 255).round().numpy(), np.asarray(cut).transpose(2, 0, 1))


def test_pictures_of_two_sizes_are_named(pictures: Path) -> None:
    save(pictures / "y.png", pixels(9, 5, 6))
    with pytest.raises(
        ValueError, match=r"y.png in .* gives .*\(3, 5, 6\), and a.png gave \(3, 4, 6\).*--size makes one"
    ):
        read(pictures)
    assert read(pictures, Reading(size=3)).shape == (5, 3, 3, 3)


def test_a_missing_decoder_is_no_fault_of_the_file(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(content: bytes, *options: object) -> object:
        raise ModuleNotFoundError("No module named 'PIL'", name="PIL")

    monkeypatch.setattr(folder, "decoded", missing)
    with pytest.raises(ModuleNotFoundError, match="PIL"):
        read(pictures)


def test_16_bits_keep_their_levels_among_8(pictures: Path) -> None:
    Image.fromarray(np.full((4, 6), 40_000, np.uint16)).save(pictures / "b.png")
    assert read(pictures)[1].unique().tolist() == pytest.approx([40_000 / 65_535], rel=1e-7)


def test_unreadable_pictures_are_left_out_where_that_is_asked_for(pictures: Path) -> None:
    whole = read(pictures)
    (pictures / "deep/b.jpg").write_bytes(b"nonsense")
    for spec in (pictures, archived(pictures)):
        left_out: dict[str, str] = {}
        found = list(open_images(str(spec), Reading(batch=2, left_out=left_out)))
        assert [len(batch) for batch in found] == [2, 1], "batches are filled up"
        assert torch.equal(torch.cat(found), whole[[0, 2, 3]])
        assert left_out == {"deep/b.jpg": "it is no whole picture in BMP, JPEG, PNG, PPM, TIFF, WEBP"}
        with pytest.raises(ValueError, match=r"cannot use deep/b\.jpg in "):
            read(spec)


def test_a_size_of_its_own_is_never_left_out(pictures: Path) -> None:
    save(pictures / "y.png", pixels(9, 5, 6))
    with pytest.raises(ValueError, match="the images of a set have one size"):
        read(pictures, Reading(left_out={}))


def test_a_link_that_leads_back_is_not_followed(pictures: Path, tmp_path: Path) -> None:
    found = read(pictures)
    (pictures / "deep/back").symlink_to(pictures, target_is_directory=True)
    (pictures / "deep/er/up").symlink_to(tmp_path, target_is_directory=True)
    (pictures / "self").symlink_to(pictures / "self", target_is_directory=True)
    assert torch.equal(read(pictures), found)
    save(tmp_path / "other/one/o.png", pixels(7))
    (pictures / "zz").symlink_to(tmp_path / "other/one", target_is_directory=True)
    (tmp_path / "other/one/round").symlink_to(pictures / "deep", target_is_directory=True)
    (pictures / "deep/again").symlink_to(tmp_path / "other/one", target_is_directory=True)
    names = find_pictures(pictures)
    assert names == (
        "a.png", "deep/again/o.png", "deep/b.jpg", "deep/er/c.PNG", "z.webp", "zz/o.png", "zz/round/b.jpg",
        "zz/round/er/c.PNG",
    )  # fmt: skip


def test_a_folder_that_cannot_be_opened_is_no_empty_folder(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = Path.iterdir

    def iterdir(folder: Path) -> Iterator[Path]:
        if folder.name == "er":
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.raises(PermissionError, match="deep/er"):
        read(pictures)


def test_an_archive_that_unpacks_to_far_more_than_it_is_is_refused(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archived(pictures)
    largest = max(file.stat().st_size for file in pictures.rglob("*.*") if file.is_file())
    monkeypatch.setattr(folder, "MOST_BYTES", largest)
    assert len(read(path)) == 4, "many files may be larger together than one may be"
    monkeypatch.setattr(folder, "MOST_BYTES", largest - 1)
    with pytest.raises(ValueError, match=rf"would unpack to {largest} bytes, over {largest - 1}"):
        read(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(8):
            archive.writestr(f"{i}.ppm", b"P6 400 400 255\n" + bytes(3 * 400 * 400))
    monkeypatch.setattr(folder, "MOST_BYTES", 2**20)
    with pytest.raises(ValueError, match=r"has \d+ bytes and would unpack to 3840\d+, over 100 times as many"):
        read(path)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_two_files_of_one_name_in_an_archive_are_named(pictures: Path) -> None:
    path = archived(pictures)
    with zipfile.ZipFile(path, "a") as archive:
        archive.write(pictures / "z.webp", "a.png")
    with pytest.raises(ValueError, match=r"set.zip holds several files of one name, a.png"):
        read(path)


def test_where_no_pictures_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        read(tmp_path / "nowhere")
    (tmp_path / "note.txt").write_text("no picture")
    with pytest.raises(FileNotFoundError, match=r"holds no picture: none of .bmp, .jpeg, .*"):
        read(tmp_path)
    with pytest.raises(ValueError, match=r"note.txt is neither a folder nor a whole zip archive"):
        read(tmp_path / "note.txt")


# -- arrays ------------------------------------------------------------------------------------------------------------


def test_arrays_of_every_kind_of_file(tmp_path: Path) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (5, 1, 2, 3), dtype=np.uint8)
    np.save(tmp_path / "levels.npy", levels)
    np.savez(tmp_path / "levels.npz", levels)
    torch.save(torch.from_numpy(levels), tmp_path / "levels.pt")
    np.save(tmp_path / "floats.npy", levels / 255)
    expected = torch.from_numpy(levels).float() / 255
    for name in ("levels.npy", "levels.npz", "levels.pt", "floats.npy"):
        found = read(tmp_path / name, Reading(batch=2))
        assert found.dtype == torch.float32
        assert torch.allclose(found, expected, atol=1e-7), name
        assert torch.allclose(read(tmp_path / name, Reading(n=3)), expected[:3], atol=1e-7), name
    opened = open_images(str(tmp_path / "levels.npy"), Reading(batch=2))
    assert [len(batch) for batch in opened] == [2, 2, 1]
    assert len(opened) == 3  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [">f4", ">f8", "<f2", ">f2", "f4"])
def test_floats_in_any_order_of_bytes(tmp_path: Path, dtype: str) -> None:
    levels = np.random.default_rng(0).random((5, 1, 2, 3)).astype(dtype)
    np.save(tmp_path / "x.npy", levels)
    found = read(tmp_path / "x.npy", Reading(batch=2))
    assert np.array_equal(found.numpy(), levels.astype(np.float32))


def test_a_npy_file_is_mapped_and_not_read_as_a_whole(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((4, 1, 2, 2), np.uint8))
    assert isinstance(read_array(tmp_path / "x.npy"), np.memmap)


def test_a_sparse_array_is_named(tmp_path: Path) -> None:
    torch.save(torch.zeros(2, 1, 2, 2).to_sparse(), tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"x.pt must hold a dense array, got one of layout torch.sparse_coo"):
        read(tmp_path / "x.pt")


def one_wrong(value: float) -> np.ndarray:
    """Image 37 has it in one pixel."""
    images = np.zeros((40, 3, 2, 2))
    images[37, 1, 1, 0] = value
    return images


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 3), np.uint8), r"must hold images \(N, C, H, W\), got an array of shape \(2, 3\)"),
        (np.zeros((0, 3, 4, 4), np.uint8), r"got an array of shape \(0, 3, 4, 4\)"),
        (np.zeros((2, 8, 8, 3), np.uint8), r"got \(2, 8, 8, 3\): the channels come second"),
        (np.zeros((2, 3, 8, 8), np.int64), r"must hold uint8 or floating-point numbers in \[0, 1\], got int64"),
        (np.full((2, 3, 8, 8), 7.0), r"must hold numbers in \[0, 1\], or uint8, got 7 to 7 in image 0$"),
        (np.full((2, 3, 8, 8), -0.1), r"must hold numbers in \[0, 1\], or uint8, got -0.1 to -0.1 in image 0$"),
        (one_wrong(np.nan), r"x.npy must hold numbers in \[0, 1\], or uint8, got nan to nan in image 37$"),
        (one_wrong(np.inf), r"x.npy must hold numbers in \[0, 1\], or uint8, got 0 to inf in image 37$"),
        (one_wrong(-1e-3), r"x.npy must hold numbers in \[0, 1\], or uint8, got -0.001 to 0 in image 37$"),
    ],
)
def test_arrays_that_are_no_images_are_named(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(ValueError, match=message):
        read(tmp_path / "x.npy")


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt"])
def test_damaged_and_missing_arrays_are_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    with pytest.raises(FileNotFoundError, match="x"):
        read(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=rf"cannot read .*x{suffix}"):
        read(path)


def test_a_file_of_several_arrays_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", one=np.zeros(1), two=np.zeros(1))
    torch.save({"one": torch.zeros(1)}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"x.npz must hold one array of images, got arrays named one, two"):
        read(tmp_path / "x.npz")
    with pytest.raises(ValueError, match=r"x.pt must hold one array of images, got dict"):
        read(tmp_path / "x.pt")


def test_size_and_grey_are_for_pictures(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 3, 4, 4), np.uint8))
    for reading in (Reading(size=2), Reading(grey=True)):
        with pytest.raises(ValueError, match=r"--size and --grey are for pictures: data .*x.npy"):
            read(tmp_path / "x.npy", reading)


# -- factories ---------------------------------------------------------------------------------------------------------


def test_images_of_a_factory() -> None:
    assert torch.equal(read(f"{HERE}:images"), images())
    assert torch.equal(read(f"{HERE}:images", Reading(n=3)), images()[:3])
    assert torch.equal(read(f"{HERE}:batches"), images())
    assert torch.equal(read(f"{HERE}:batches", Reading(n=4)), images()[:4])
    cut = list(open_images(f"{HERE}:pairs", Reading(n=4)))
    assert [(len(y), len(x)) for y, x in cut] == [(3, 3), (1, 1)]
    assert torch.equal(cut[1][0], 2 * cut[1][1])


def test_what_a_factory_returns_is_judged_and_named() -> None:
    with pytest.raises(ValueError, match=r"real .*number': the factory must return images .* <class 'int'>"):
        open_images(f"{HERE}:number", Reading(), role="real")
    with pytest.raises(ValueError, match="real 'no_such_module:images' cannot be imported"):
        open_images("no_such_module:images", Reading(), role="real")


def test_a_folder_goes_before_a_factory(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pictures.parent)
    pictures.rename("some:where")
    assert len(read("some:where")) == 4


# -- what is made of batches -------------------------------------------------------------------------------------------


def test_pairs_of_pictures_are_found_by_their_names(pictures: Path, tmp_path: Path) -> None:
    for seed, name in enumerate((*NAMES, "another.png")):
        save((tmp_path / "low" / name).with_suffix(".png"), pixels(seed + 10, 2, 3))
    inputs, sources = (open_images(str(path), Reading(batch=3)) for path in (tmp_path / "low", pictures))
    found = list(paired(inputs, sources))
    assert [(y.shape, x.shape) for y, x in found] == [((3, 3, 2, 3), (3, 3, 4, 6)), ((1, 3, 2, 3), (1, 3, 4, 6))]
    expected = [pixels(seed + 10, 2, 3).transpose(2, 0, 1) for seed in range(4)]
    assert np.array_equal((torch.cat([y for y, _ in found]) * 255).round().numpy(), np.stack(expected))
    (tmp_path / "low" / "deep" / "b.png").unlink()
    with pytest.raises(ValueError, match=r"low lacks 1 of the inputs, the first deep/b\.\*"):
        paired(open_images(str(tmp_path / "low"), Reading()), sources)


def two_stems(folder: Path, levels: dict[str, int]) -> Iterable[Any]:
    for name, level in levels.items():
        save(folder / name, np.full((2, 2, 3), level, np.uint8))
    return open_images(str(folder), Reading())


def test_pictures_of_one_stem_are_paired_by_their_whole_names(tmp_path: Path) -> None:
    sources = two_stems(tmp_path / "x", {"a.bmp": 60, "a.png": 50, "b.png": 40})
    inputs = two_stems(tmp_path / "y", {"a.bmp": 61, "a.png": 51, "b.bmp": 41})
    ((y, x),) = paired(inputs, sources)
    assert (y[:, 0, 0, 0] * 255).tolist() == [61, 51, 41]
    assert (x[:, 0, 0, 0] * 255).tolist() == [60, 50, 40]


@pytest.mark.parametrize(
    ("of_x", "of_y", "message"),
    [
        (["a.bmp", "a.png"], ["a.png"], r"input of a.bmp must be one file, got a.png in .*y for 2 source"),
        (["a.webp"], ["a.bmp", "a.png"], r"input of a.webp must be one file, got a.bmp, a.png in .*y for 1 source"),
    ],
)
def test_an_input_that_could_be_two_is_named(tmp_path: Path, of_x: list[str], of_y: list[str], message: str) -> None:
    sources, inputs = (
        two_stems(tmp_path / part, dict.fromkeys(names, 9)) for part, names in (("x", of_x), ("y", of_y))
    )
    with pytest.raises(ValueError, match=message):
        paired(inputs, sources)


def test_of_a_pair_both_are_left_out(pictures: Path, tmp_path: Path) -> None:
    for seed, name in enumerate(NAMES):
        save((tmp_path / "low" / name).with_suffix(".png"), pixels(seed + 10, 2, 3))
    (tmp_path / "low/a.png").write_bytes(b"nonsense")
    (pictures / NAMES[2]).write_bytes(b"nonsense")
    left_out: dict[str, str] = {}
    reading = Reading(batch=3, left_out=left_out)
    ((y, x),) = paired(open_images(str(tmp_path / "low"), reading), open_images(str(pictures), reading))
    assert np.array_equal((x[0] * 255).round().numpy(), np.asarray(Image.open(pictures / NAMES[1])).transpose(2, 0, 1))
    assert np.array_equal(
        (y * 255).round().numpy(), np.stack([pixels(seed, 2, 3).transpose(2, 0, 1) for seed in (11, 13)])
    )
    assert set(left_out) == {"a.png", NAMES[2]}


def test_pairs_of_arrays_are_found_by_their_rows(pictures: Path) -> None:
    inputs, sources = (open_images(f"{HERE}:images", Reading(batch=5)) for _ in range(2))
    assert all(torch.equal(y, x) for y, x in paired(inputs, sources))
    fewer = open_images(f"{HERE}:images", Reading(n=7))
    with pytest.raises(ValueError, match=r"images must hold an input for each of 8 sources, got 7"):
        paired(fewer, sources)
    with pytest.raises(ValueError, match="must both be pictures, or neither"):
        paired(fewer, open_images(str(pictures), Reading()))


def test_moved_batches_and_pairs() -> None:
    assert [x.device.type for x in moved(batches(), "meta")] == ["meta"] * 3
    assert [(y.device.type, x.device.type) for y, x in moved(pairs(), "meta")] == [("meta", "meta")] * 3


def test_a_look_at_the_first_batch_loses_nothing() -> None:
    first, all_of_them = peeked(batches())
    assert torch.equal(first, images()[:3])
    assert torch.equal(torch.cat(list(all_of_them)), images())
    with pytest.raises(ValueError, match="real must hold images, got none"):
        peeked([], "real")


def test_a_cut_between_batches_reads_no_further() -> None:
    def endless() -> Iterator[Tensor]:
        yield from images().split(3)
        raise AssertionError("read too far")

    assert len(torch.cat(list(first_images(endless(), 6)))) == 6
