"""The command ``prepare``, from folders and archives of images to sets: once, whole, and the one that was asked for."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reference_experiments.__main__ import main
from reference_experiments.data import folder, prepare
from reference_experiments.data.arrays import PARTS, Pixels, Source, open_set, verify_set
from reference_experiments.data.images64 import FOLDER_VARIABLE, images64
from reference_experiments.data.pictures import Recipe, centre, decoded, halved, pictures
from reference_experiments.data.prepare import Choices


def some_pixels(height: int, width: int, seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path: Path, pixels: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Four PNG files for training and two for validation, 8 x 8."""
    for i in range(6):
        save(tmp_path / "images" / ("train" if i < 4 else "val") / f"{i}.png", some_pixels(8, 8, i))
    (tmp_path / "images" / "README.md").write_text("of no matter")
    return tmp_path / "images"


def zipped(path: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w") as file:
        for found in sorted(path.rglob("*")):
            file.write(found, found.relative_to(path.parent).as_posix())
    return archive


def expected(first: int, last: int) -> Pixels:
    return np.stack([some_pixels(8, 8, i).transpose(2, 0, 1) for i in range(first, last)])


# -- folders and archives ----------------------------------------------------------------------------------------------


def test_folders_say_which_part_an_image_is_of(images: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(zipped(images, tmp_path / "images.zip"), alone)
    (alone / "README.md").write_text("of no matter")
    for path in (images, tmp_path / "images.zip", alone):
        made = prepare.prepare("thing", path, tmp_path / f"out-{path.name}")
        assert np.array_equal(open_set(made, "train").images, expected(0, 4))
        assert np.array_equal(open_set(made, "validation").images, expected(4, 6))
        verify_set(made)
    recorded = json.loads((tmp_path / "out-alone" / "thing" / "set.json").read_text())["source"]
    assert recorded["files"]["file"] == "images.zip"
    assert recorded["files"]["sha256"] == hashlib.sha256((tmp_path / "images.zip").read_bytes()).hexdigest()
    assert recorded["division"] == "by its folders"


def test_the_fingerprint_of_a_folder_tells_contents_and_names(images: Path, tmp_path: Path) -> None:
    def fingerprint(out: str) -> object:
        made = prepare.prepare("thing", images, tmp_path / out)
        return json.loads((made / "set.json").read_text())["source"]["files"]

    before = fingerprint("before")
    assert before == {"folder": "images", "files": 6, "sha256": before["sha256"]}  # type: ignore[index]
    (images / "README.md").write_text("of none either")
    assert fingerprint("same") == before
    (images / "val" / "5.png").rename(images / "val" / "6.png")
    assert fingerprint("renamed") != before
    (images / "val" / "6.png").rename(images / "val" / "5.png")
    save(images / "val" / "5.png", some_pixels(8, 8, 9))
    assert fingerprint("changed") != before


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (["train/a", "val/b"], (["train/a"], ["val/b"])),
        (["x/y/train/a", "x/y/train/z/b", "x/y/Val/c"], (["x/y/train/a", "x/y/train/z/b"], ["x/y/Val/c"])),
        (["train/a", "validation/b"], (["train/a"], ["validation/b"])),
        (["train/a", "valid/b", "test/c"], (["train/a"], ["valid/b"])),
        (["train/a", "train/b"], None),
        (["train/a", "test/b"], None),
        (["a", "b"], None),
        (["a", "val/b"], None),
    ],
)
def test_division_by_names(names: list[str], parts: tuple[list[str], list[str]] | None) -> None:
    assert folder.given_parts(names) == (parts and {"train": parts[0], "validation": parts[1]})


def test_undivided_images_are_divided_at_random_by_the_seed(images: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    for i in range(10):
        save(flat / f"{i}.png", some_pixels(8, 8, i))
    made = {seed: prepare.prepare("thing", flat, tmp_path / f"{seed}", Choices(seed)) for seed in (0, 1)}
    both = {seed: [open_set(path, part).images.tolist() for part in PARTS] for seed, path in made.items()}
    assert [len(part) for part in both[0]] == [8, 2]
    assert sorted(both[0][0] + both[0][1]) == sorted(expected(0, 10).tolist())
    assert both[0] != both[1]
    assert json.loads((made[1] / "set.json").read_text())["source"]["division"] == "at random, seed 1"
    parts = folder.random_parts([f"{i:03d}" for i in range(100)], 7)
    assert all(part == sorted(part) for part in parts.values())
    assert (len(parts["train"]), len(parts["validation"])) == (80, 20)
    assert [len(part) for part in folder.random_parts(["a", "b"], 0).values()] == [1, 1]
    with pytest.raises(ValueError, match="at least 2 images"):
        folder.random_parts(["a"], 0)


def test_a_source_without_images_is_named(tmp_path: Path, images: Path) -> None:
    (tmp_path / "none").mkdir()
    for place, message in (("none", "holds no .jpg, .jpeg, .png"), ("nowhere", "does not exist")):
        with pytest.raises(FileNotFoundError, match=message):
            prepare.prepare("thing", tmp_path / place, tmp_path / "out")
    for name in ("a.zip", "b.zip"):
        zipped(images, tmp_path / "none" / name)
    with pytest.raises(FileNotFoundError, match="several archives"):
        prepare.prepare("thing", tmp_path / "none", tmp_path / "out")
    assert not (tmp_path / "out").exists()


# -- what is done to an image ------------------------------------------------------------------------------------------


def content(pixels: Pixels, tmp_path: Path) -> bytes:
    save(tmp_path / "x.png", pixels)
    return (tmp_path / "x.png").read_bytes()


def test_recipe_resizes_then_crops_then_halves(tmp_path: Path) -> None:
    pixels = some_pixels(30, 20, 0)
    found = decoded(content(pixels, tmp_path), Recipe(size=(20, 30), resize=17, crop=12, halve=True))
    square = np.asarray(Image.fromarray(pixels).resize((17, 17), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    middle = square[:, 2:14, 2:14].astype(int)
    means = (middle[:, ::2, ::2] + middle[:, 1::2, ::2] + middle[:, ::2, 1::2] + middle[:, 1::2, 1::2]) / 4
    assert np.abs(found - means).max() <= 0.5
    assert found.dtype == np.uint8
    assert np.array_equal(decoded(content(pixels, tmp_path), Recipe()), pixels.transpose(2, 0, 1))


def test_block_means_are_exact_and_halves_go_to_even() -> None:
    blocks = np.array([[[0, 0, 1, 1], [0, 2, 2, 2], [255, 255, 3, 3], [255, 255, 2, 3]]], np.uint8)
    assert halved(blocks).tolist() == [[[0, 2], [255, 3]]]  # means 0.5, 1.5, 255, 2.75
    with pytest.raises(ValueError, match="even to be halved, got 4 x 3"):
        halved(blocks[:, :3])


def test_crop_is_in_the_middle() -> None:
    grid = np.arange(35, dtype=np.uint8).reshape(1, 5, 7)
    assert centre(grid, 3).tolist() == [[[9, 10, 11], [16, 17, 18], [23, 24, 25]]]
    assert centre(grid, 4)[0, 0, 0] == 1  # the odd row and column are left over at the other end
    with pytest.raises(ValueError, match="a crop of 6 does not fit into 7 x 5"):
        centre(grid, 6)


def test_recipe_checks_its_sides() -> None:
    with pytest.raises(ValueError, match="resize must be positive, got 0"):
        Recipe(resize=0)
    with pytest.raises(ValueError, match="crop must be positive, got -1"):
        Recipe(crop=-1)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "LA"])
def test_other_colours_become_rgb_and_grey_has_three_equal_channels(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(some_pixels(8, 8, 0)).convert("L").convert("RGB").convert(mode).save(path)
    found = decoded(path.read_bytes(), Recipe())
    assert found.shape == (3, 8, 8)
    assert np.abs(found.astype(int) - found[:1]).max() <= 2


def test_cmyk_is_refused(tmp_path: Path) -> None:
    Image.fromarray(some_pixels(8, 8, 0)).convert("CMYK").save(tmp_path / "x.jpg")
    with pytest.raises(ValueError, match="CMYK, which has no one meaning in RGB"):
        list(pictures(tmp_path, ["x.jpg"], Recipe()))


def test_more_than_8_bits_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"x.png in .*more than 8 bits"):
        list(pictures(tmp_path, ["x.png"], Recipe()))


@pytest.mark.parametrize("archive", [False, True])
def test_a_damaged_or_odd_image_is_named_and_no_set_is_left(images: Path, tmp_path: Path, archive: bool) -> None:
    path = images / "val" / "4.png"
    whole = path.read_bytes()
    save(tmp_path / "odd.png", some_pixels(8, 10, 0))
    odd = (tmp_path / "odd.png").read_bytes()
    for damaged in (whole[:-30], whole[: len(whole) // 2], whole[:100] + b"\0\0\0" + whole[103:], b"no image", b""):
        path.write_bytes(damaged)
        source = zipped(images, tmp_path / "images.zip") if archive else images
        with pytest.raises(ValueError, match=r"cannot use (images/)?val/4.png in "):
            prepare.prepare("thing", source, tmp_path / "out")
        assert list((tmp_path / "out").iterdir()) == []
    path.write_bytes(odd)
    (images / "val" / "3.png").write_bytes(whole)
    with pytest.raises(ValueError, match=r"val/4.png .* gives .*\(3, 8, 10\), and val/3.png gave \(3, 8, 8\)"):
        prepare.prepare("thing", images, tmp_path / "out")


def test_a_damaged_member_of_an_archive_is_named(images: Path, tmp_path: Path) -> None:
    archive = zipped(images, tmp_path / "images.zip")
    place = archive.read_bytes().index((images / "val" / "4.png").read_bytes()) + 60
    with archive.open("r+b") as file:
        file.seek(place)
        file.write(b"\x55\xaa")
    with pytest.raises(ValueError, match=r"images/val/4.png in .*images.zip is damaged: Bad CRC-32"):
        prepare.prepare("thing", archive, tmp_path / "out")
    archive.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"images.zip is neither a folder nor a whole zip"):
        prepare.prepare("thing", archive, tmp_path / "out")


# -- once, and the one that was asked for ------------------------------------------------------------------------------


def test_a_prepared_set_is_left_as_it_is_without_its_source(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = prepare.prepare("thing", images, out, Choices(3))
    times = [path.stat().st_mtime_ns for path in sorted(made.iterdir())]
    shutil.rmtree(images)
    assert prepare.prepare("thing", None, out, Choices(3)) == made
    assert prepare.prepare("thing", images, out, Choices(3), verify=True) == made
    assert [path.stat().st_mtime_ns for path in sorted(made.iterdir())] == times


def test_a_set_made_with_other_choices_is_not_taken_for_this_one(images: Path, tmp_path: Path) -> None:
    prepare.prepare("thing", images, tmp_path / "out", Choices(recipe=Recipe(crop=6)))
    for choices in (Choices(1, recipe=Recipe(crop=6)), Choices(recipe=Recipe(crop=4)), Choices()):
        with pytest.raises(ValueError, match=r"was prepared with .*'crop': 6.*give another --out, or delete"):
            prepare.prepare("thing", images, tmp_path / "out", choices)
    assert prepare.prepare("thing", images, tmp_path / "out", Choices(any_count=True, recipe=Recipe(crop=6)))


def test_a_damaged_set_is_found_cheaply_where_sizes_tell_and_by_its_checksum_on_demand(
    images: Path, tmp_path: Path
) -> None:
    made = prepare.prepare("thing", images, tmp_path / "out")
    array = np.load(made / "validation.npy", mmap_mode="r+")
    array[0, 0, 0, 0] ^= 1
    array.flush()
    prepare.prepare("thing", images, tmp_path / "out")
    with pytest.raises(ValueError, match="has SHA-256"):
        prepare.prepare("thing", images, tmp_path / "out", verify=True)
    os.truncate(made / "validation.npy", 200)
    with pytest.raises(ValueError, match="cannot read"):
        prepare.prepare("thing", images, tmp_path / "out")
    (made / "set.json").write_text("{")
    with pytest.raises(ValueError, match=r"cannot read .*set.json"):
        prepare.prepare("thing", images, tmp_path / "out")
    (made / "set.json").unlink()
    with pytest.raises(FileExistsError, match="is no prepared set"):
        prepare.prepare("thing", images, tmp_path / "out")


def test_sets_with_names_have_their_recipes_and_counts(images: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="faces64 is prepared in its own way"):
        prepare.prepare("faces64", images, tmp_path / "out", Choices(recipe=Recipe(crop=4)))
    with pytest.raises(ValueError, match=r"images in .*: expected \(9891, 2485\), as published, got \(4, 2\)"):
        prepare.prepare("faces64", images, tmp_path / "out")
    with pytest.raises(ValueError, match="it is 8 x 8, expected 64 x 64"):
        prepare.prepare("faces64", images, tmp_path / "out", Choices(any_count=True))
    for i in range(6):
        save(images / ("train" if i < 4 else "val") / f"{i}.png", some_pixels(64, 64, i))
    whole = prepare.prepare("faces64", images, tmp_path / "out", Choices(any_count=True))
    half = prepare.prepare("faces32", images, tmp_path / "out", Choices(any_count=True))
    assert open_set(half, "train").images.shape == (4, 3, 32, 32)
    assert np.array_equal(open_set(half, "train").images[3], halved(open_set(whole, "train").images[3]))


def test_what_is_chosen_arrives_at_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def source(*arguments: object) -> Source:
        given.append(arguments)
        return Source({part: (1, expected(0, 1)) for part in PARTS}, {})

    given: list[tuple[object, ...]] = []
    for module in ("celeba", "imagenet64", "fashion"):
        monkeypatch.setattr(f"reference_experiments.data.{module}.source", source)
    for name in ("celeba64", "imagenet64", "fashion32"):
        for accepted in (True, False):
            prepare.prepare(name, tmp_path, tmp_path / f"{accepted}", Choices(7, accepted))
    assert given == [(tmp_path, 7, True), (tmp_path, 7, False), *[(tmp_path, True), (tmp_path, False)] * 2]


def test_sources_are_looked_for_where_the_variable_says(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    with pytest.raises(FileNotFoundError, match=f"pass --source, or set {FOLDER_VARIABLE}"):
        prepare.prepare("images", None, tmp_path / "out")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    assert len(open_set(prepare.prepare("images", None, tmp_path / "out"), "train")) == 4
    with pytest.raises(FileNotFoundError, match="faces64 does not exist"):
        prepare.prepare("faces32", None, tmp_path / "out")
    for name in ("celeba64", "imagenet64", "fashion32"):
        with pytest.raises(FileNotFoundError):
            prepare.prepare(name, None, tmp_path / "out")


def test_the_command_prepares_and_says_what(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    main(["prepare", "thing", "--source", str(images), "--resize", "6", "--crop", "4", "--halve", "--seed", "5"])
    assert capsys.readouterr().out == "runs/data/thing: 4 train, 2 validation, (3, 2, 2)\n"
    recorded = json.loads((tmp_path / "runs" / "data" / "thing" / "set.json").read_text())["source"]
    assert recorded["choices"] == {"seed": 5, "recipe": {"resize": 6, "crop": 4, "halve": True}}
    main(["prepare", "digits32", "--out", "elsewhere", "--verify"])
    assert "elsewhere/digits32: 1297 train, 500 validation, (1, 32, 32)" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"prepare faces64: images in .*--any-count"):
        main(["prepare", "faces64", "--source", str(images)])
    with pytest.raises(SystemExit, match="8 x 8, expected 64 x 64"):
        main(["prepare", "faces64", "--source", str(images), "--any-count"])
    with (tmp_path / "elsewhere" / "digits32" / "train.npy").open("r+b") as file:
        file.seek(1000)
        file.write(b"\xff")
    with pytest.raises(SystemExit, match="has SHA-256"):
        main(["prepare", "digits32", "--out", "elsewhere", "--verify"])


@pytest.mark.skipif(FOLDER_VARIABLE not in os.environ, reason=f"needs {FOLDER_VARIABLE}")
def test_the_faces_are_all_there(tmp_path: Path) -> None:
    data = Path(os.environ[FOLDER_VARIABLE])
    made = prepare.prepare("faces64", None, tmp_path)
    for part, name in (("train", "train"), ("validation", "val")):
        found = open_set(made, part)  # type: ignore[arg-type]
        theirs = images64(data, "faces64", name, 50)  # type: ignore[arg-type]
        known = {image.tobytes() for image in found.images}
        assert all(image.tobytes() in known for image in (255 * theirs).round().byte().numpy())
    assert (len(open_set(made, "train")), len(open_set(made, "validation"))) == (9891, 2485)
    recorded = json.loads((made / "set.json").read_text())["source"]["files"]["sha256"]
    assert recorded == hashlib.sha256((data / "faces64" / "faces64.zip").read_bytes()).hexdigest()
