"""The pictures of the page, decoded again: pixels, colours, captions and the words for who cannot see them."""

from __future__ import annotations

import base64
import io
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from stochrobust.auditing.findings import Example
from stochrobust.auditing.page import gallery
from stochrobust.auditing.page import pictures as png
from tests.auditing import synthetic

Image = pytest.importorskip("PIL.Image")


def decoded(uri: str) -> Tensor:
    """(H, W) or (H, W, 3), bytes."""
    image = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))
    if image.mode == "P":
        image = image.convert("RGB")
    pixels = torch.tensor(list(image.tobytes()), dtype=torch.uint8)
    return pixels.reshape(image.height, image.width, -1).squeeze(-1)


def test_grey_and_colour_are_shown_as_they_are_and_clamped() -> None:
    grey = torch.tensor([[[0.0, 0.5, 1.0], [-3.0, 7.0, float("nan")]]])
    assert decoded(png.picture(grey)).tolist() == [[0, 128, 255], [0, 255, 0]]
    colour = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(decoded(png.picture(colour)), (colour * 255).round().byte().permute(1, 2, 0))
    assert torch.equal(decoded(png.picture(torch.cat([colour, colour]))), decoded(png.picture(colour)))
    assert torch.equal(decoded(png.picture(colour[:2])), decoded(png.picture(colour[:1])))


def test_differences_are_amplified_around_grey() -> None:
    assert decoded(png.signed(torch.tensor([[[0.0, 0.12, -0.12]]]), 4.0)).tolist() == [[128, 250, 5]]


def test_heat_rises_in_lightness_from_zero_to_the_top() -> None:
    scale = decoded(png.heat_scale()).double()[0]
    lightness = scale @ torch.tensor([0.2126, 0.7152, 0.0722], dtype=torch.float64)
    assert bool((lightness.diff() > 0).all())
    assert scale[0].tolist() == list(png._ANCHORS[0])
    shown = decoded(png.heat(torch.tensor([[0.0, 0.3, 0.9]]), top=0.3)).tolist()[0]
    assert shown == [list(png._ANCHORS[0]), list(png._ANCHORS[-1]), list(png._ANCHORS[-1])]
    assert decoded(png.heat(torch.zeros(1, 2), top=0.0)).tolist()[0] == [list(png._ANCHORS[0])] * 2


def test_large_pictures_are_shown_by_means_of_blocks() -> None:
    image = torch.rand(1, 300, 513, generator=torch.Generator().manual_seed(0))
    shown = decoded(png.picture(image))
    assert png.reduction(image) == 3
    assert shown.shape == (100, 171)
    assert int(shown[1, 2]) == pytest.approx(float(image[0, 3:6, 6:9].mean()) * 255, abs=0.51)
    assert png.reduction(torch.zeros(1, 256, 256)) == 1
    picture = gallery._image(image, "", "a")
    assert (picture.width, picture.height) == (171, 100)
    assert "513 by 300 pixels" in picture.alt


def test_a_stochastic_example_shows_source_input_outputs_mean_and_spread() -> None:
    found = synthetic.example(7, channels=3, side=16, scale=4)
    (plate,), top = gallery.sample_plates([found])
    assert plate.number == 7
    (row,) = plate.rows
    captions = ["source x", "input y", "output 1", "output 2", "output 3", "output 4", "mean of all", "spread"]
    assert [picture.caption for picture in row] == captions
    assert found.std is not None
    assert found.mean is not None
    expected = [found.x, found.y, *found.samples, found.mean]
    for picture, image in zip(row, expected, strict=False):
        assert torch.equal(decoded(picture.uri), decoded(png.picture(image)))
        assert (picture.height, picture.width) == tuple(image.shape[1:])
    assert top == pytest.approx(float(found.std.max()))
    assert row[-1].uri == png.heat(found.std.square().mean(0).sqrt(), top)
    assert all("input 7" in picture.alt.lower() for picture in row)
    assert "4 by 4 pixels" in row[1].alt


def test_spreads_share_one_scale() -> None:
    weak, strong = synthetic.example(0), synthetic.example(1)
    _, alone = gallery.sample_plates([weak])
    assert strong.std is not None
    louder = Example(strong.number, strong.y, strong.x, strong.samples, strong.mean, 10 * strong.std)
    plates, together = gallery.sample_plates([weak, louder])
    assert together > alone
    assert weak.std is not None
    assert plates[0].rows[0][-1].uri == png.heat(weak.std[0].abs(), together)


def test_a_spread_that_is_small_beside_the_error_does_not_glow() -> None:
    found = synthetic.example(2)
    assert found.std is not None
    assert found.mean is not None
    off = replace(found, mean=found.x + 0.5, std=0.01 * found.std)
    (plate,), top = gallery.sample_plates([off])
    assert top == pytest.approx(0.5)
    assert off.std is not None
    assert plate.rows[0][-1].uri == png.heat(off.std.square().mean(0).sqrt(), 0.5)
    shaken = replace(synthetic.example(3, attacked=True), mean=None)
    _, reach = gallery.worst_plates([replace(shaken, x=shaken.samples[0] + 3.0)])
    assert reach == pytest.approx(3.0)


def test_an_attacked_example_shows_what_the_perturbation_does() -> None:
    found = synthetic.example(3, attacked=True)
    (plate,), top = gallery.worst_plates([found])
    assert plate.note == "robustness 6.50 dB"
    assert [[p.caption for p in row] for row in plate.rows] == [
        ["input y", plate.rows[0][1].caption, "y + δ"],
        ["at y, seed 1", "at y + δ", "difference"],
        ["at y, seed 2", "at y + δ", "difference"],
    ]
    assert found.y_attacked is not None
    assert found.attacked is not None
    assert found.clean is not None
    gain = float(plate.rows[0][1].caption.removeprefix("δ, ").removesuffix(" times"))
    delta = found.y_attacked - found.y
    assert 0.25 < gain * float(delta.abs().max()) <= 0.5
    assert torch.equal(decoded(plate.rows[0][1].uri), decoded(png.signed(delta, gain)))
    for seed in range(2):
        clean, attacked, change = plate.rows[1 + seed]
        assert torch.equal(decoded(clean.uri), decoded(png.picture(found.clean[seed])))
        assert torch.equal(decoded(attacked.uri), decoded(png.picture(found.attacked[seed])))
        size = (found.attacked[seed] - found.clean[seed])[0].abs()
        assert change.uri == png.heat(size, top)
        assert f"mean {float(size.mean()):#.3g}, at most {float(size.max()):#.3g}" in change.alt


def test_one_seed_is_not_counted_and_an_input_that_was_not_attacked_is_left_out() -> None:
    plain, hit = synthetic.example(0), synthetic.example(1, stochastic=False, attacked=True)
    (plate,), _ = gallery.worst_plates([plain, hit])
    assert plate.number == 1
    assert [p.caption for p in plate.rows[1]] == ["output at y", "at y + δ", "difference"]
    assert len(plate.rows) == 2
    assert gallery.worst_plates([]) == ([], 0.0)


@pytest.mark.parametrize(
    ("row", "column", "words"),
    [(0, 0, "at the top on the left"), (4, 8, "in the middle on the right"), (8, 4, "at the bottom")],
)
def test_alt_texts_say_where_most_of_a_map_is(row: int, column: int, words: str) -> None:
    values = torch.zeros(1, 9, 9)
    values[0, row, column] = 0.5
    picture = gallery._map(values, 1.0, "spread", "spread of input 1")
    assert picture.alt == f"Spread of input 1: mean 0.00617, at most 0.500, largest {words}"
    assert gallery._map(0 * values, 1.0, "", "a").alt == "A: zero everywhere"


@pytest.mark.parametrize(
    ("level", "words"), [(0.0, "black"), (0.1, "dark"), (0.5, "of middle brightness"), (0.9, "bright")]
)
def test_alt_texts_say_how_light_a_picture_is(level: float, words: str) -> None:
    assert gallery._image(torch.full((1, 2, 3), level), "", "it").alt == f"It, 3 by 2 pixels, {words}"
