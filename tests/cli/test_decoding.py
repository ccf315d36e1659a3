"""What a picture's file shows is what is read, or the file is refused with the reason: every kind that Pillow reads."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from stochrobust.cli.decoding import decoded, in_unit_range, opened_picture

LEVELS = np.random.default_rng(0).integers(0, 256, (3, 5, 3), dtype=np.uint8)
DEEP = np.array([[0, 1, 256, 32_767], [40_000, 65_534, 65_535, 255]], np.uint16)


def saved(image: Image.Image | np.ndarray, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def png(colour: int, depth: int, rows: list[bytes], width: int, chunks: bytes = b"") -> bytes:
    """A PNG file from its specification, without Pillow."""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunks + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def tiff(
    array: np.ndarray, colour: int, bits: int, *, form: int = 1, order: Literal["<", ">"] = "<", samples: int = 1
) -> bytes:
    """An uncompressed TIFF file of one strip from its specification, without Pillow."""
    data = array.astype(array.dtype.newbyteorder(order)).tobytes()
    many = {258: [bits] * samples, 339: [form] * samples}
    words = {256: array.shape[1], 257: array.shape[0], 259: 1, 262: colour, 277: samples, 278: array.shape[0]}
    start = 8 + 2 + 12 * (len(words) + len(many) + 2) + 4
    tail, entries = b"", {tag: (3, 1, struct.pack(order + "HH", value, 0)) for tag, value in words.items()}
    for tag, values in many.items():
        if samples < 3:
            entries[tag] = (3, 1, struct.pack(order + "HH", values[0], 0))
        else:
            entries[tag] = (3, samples, struct.pack(order + "I", start + len(tail)))
            tail += struct.pack(f"{order}{samples}H", *values)
    entries[273] = (4, 1, struct.pack(order + "I", start + len(tail)))
    entries[279] = (4, 1, struct.pack(order + "I", len(data)))
    body = b"".join(struct.pack(order + "HHI", tag, *entries[tag][:2]) + entries[tag][2] for tag in sorted(entries))
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, len(entries))
    return head + body + bytes(4) + tail + data


def big(array: np.ndarray) -> list[bytes]:
    return [row.astype(">u2").tobytes() for row in array]


# -- orientation -------------------------------------------------------------------------------------------------------

TURNED = {  # EXIF 2.32, section 4.6.4: where the first row and the first column of the file belong
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_a_picture_is_turned_as_its_exif_says(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(
        LEVELS, kind, exif=exif.tobytes() if kind != "TIFF" else exif, **({"lossless": True} if kind == "WEBP" else {})
    )
    assert np.array_equal(decoded(content), TURNED[orientation](LEVELS).transpose(2, 0, 1))


def test_a_jpeg_and_16_bits_are_turned_too() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = decoded(saved(LEVELS, "JPEG"))
    assert np.array_equal(decoded(saved(LEVELS, "JPEG", exif=exif)), plain.swapaxes(1, 2)[..., ::-1])
    deep = png(0, 16, big(DEEP), 4, chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
    assert np.array_equal(decoded(deep, grey=True)[0], DEEP.T[:, ::-1])


# -- 16 bits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        png(0, 16, big(DEEP), 4),
        b"P5\n# a comment\n4 2\n65535\n" + DEEP.astype(">u2").tobytes(),
        b"P2\n4 2\n65535\n" + " ".join(map(str, DEEP.flat)).encode() + b"\n",
        tiff(DEEP, 1, 16),
        tiff(DEEP, 1, 16, order=">"),
    ],
    ids=["PNG", "PGM", "plain PGM", "TIFF", "big-endian TIFF"],
)
def test_grey_of_16_bits_is_read_as_it_is(content: bytes) -> None:
    found = decoded(content, grey=True)
    assert found.dtype == np.uint16
    assert np.array_equal(found, DEEP[None])
    assert np.array_equal(in_unit_range(found)[0], (DEEP / 65_535).astype(np.float32))
    assert np.array_equal(decoded(content), np.stack([DEEP] * 3))
    with pytest.raises(ValueError, match="it has more than 8 bits per channel"):
        opened_picture(content)


def test_16_bits_are_resized_in_16_bits() -> None:
    steps = np.linspace(1000, 1100, 64).round().astype(np.uint16)  # all one level in 8 bits
    found = decoded(png(0, 16, big(np.tile(steps, (64, 1))), 64), size=16, grey=True)
    means = steps.reshape(16, 4).mean(1)
    assert found.shape == (1, 16, 16)
    assert np.abs(found[0, 8, 1:-1] - means[1:-1]).max() <= 1
    edges = np.repeat(np.array([[0, 65_535]], np.uint16), 8, 1).repeat(16, 0)
    assert (decoded(png(0, 16, big(edges), 16), size=5, grey=True)[0, :, [0, -1]].T == [0, 65_535]).all()


def test_fewer_levels_than_16_bits_span_the_whole_range() -> None:
    content = b"P5\n3 1\n1023\n" + struct.pack(">3H", 0, 511, 1023)
    assert decoded(content, grey=True)[0, 0].tolist() == [0, round(511 / 1023 * 65_535), 65_535]
    assert decoded(b"P5\n3 1\n100\n" + bytes([0, 50, 100]), grey=True)[0, 0].tolist() == [0, 128, 255]


# -- what is refused ---------------------------------------------------------------------------------------------------

HIDDEN = np.full((2, 2, 4), 200, np.uint8)
HIDDEN[0, 0, 3] = 254
FRAMES = [Image.fromarray(np.full((2, 2, 3), level, np.uint8)) for level in (10, 200, 90)]
MORE = {"save_all": True, "append_images": FRAMES[1:]}
WORDS = np.full((2, 2, 3), 32_767, np.uint16)
REFUSED = {
    "colour PNG of 16 bits": (png(2, 16, big(WORDS.reshape(2, 6)), 2), "more than 8 bits per channel in colour"),
    "grey and alpha PNG of 16 bits": (png(4, 16, big(WORDS[..., :2].reshape(2, 4)), 2), "more than 8 bits per channel"),
    "colour and alpha PNG of 16 bits": (png(6, 16, [bytes(16)] * 2, 2), r"more than 8 bits per channel .* \(16\)"),
    "PPM of 16 bits": (b"P6\n2 2\n65535\n" + WORDS.tobytes(), "more than 8 bits per channel in colour"),
    "plain PPM of 10 bits": (b"P3\n1 1\n1023\n5 6 7\n", r"more than 8 bits per channel .* \(10\)"),
    "colour TIFF of 16 bits": (tiff(WORDS, 2, 16, samples=3), "more than 8 bits per channel in colour"),
    "TIFF of 16 bits, white as 0": (tiff(DEEP, 0, 16), "white as 0"),
    "TIFF with signs": (tiff(DEEP.view(np.int16), 1, 16, form=2), "no levels of 8 or 16 bits"),
    "TIFF of 32 bits": (tiff(DEEP.astype(np.uint32), 1, 32), "no levels of 8 or 16 bits"),
    "TIFF of floats": (tiff(DEEP.astype(np.float32), 1, 32, form=3), r"no levels .* \(mode F\): save them as .npy"),
    "PFM": (b"Pf\n1 1\n-1.0\n" + struct.pack("<f", 0.5), "no levels of 8 or 16 bits"),
    "16-bit grey PNG, a level transparent": (
        png(0, 16, big(DEEP), 4, chunk(b"tRNS", struct.pack(">H", 256))),
        "a transparent level",
    ),
    "transparent PNG": (saved(HIDDEN, "PNG"), "it has transparent pixels"),
    "transparent WebP": (saved(HIDDEN, "WEBP", lossless=True, exact=True), "it has transparent pixels"),
    "transparent TIFF": (saved(HIDDEN, "TIFF"), "it has transparent pixels"),
    "grey with alpha": (saved(HIDDEN[..., 2:], "PNG"), "it has transparent pixels"),
    "transparent palette": (
        saved(Image.fromarray(LEVELS).quantize(4), "PNG", transparency=bytes([255, 0, 255, 255])),
        "it has transparent pixels",
    ),
    "a transparent colour": (
        saved(LEVELS, "PNG", transparency=tuple(int(level) for level in LEVELS[1, 1])),
        "it has transparent pixels",
    ),
    "CMYK JPEG": (saved(Image.new("CMYK", (2, 2)), "JPEG"), "it is in CMYK"),
    "CMYK TIFF": (saved(Image.new("CMYK", (2, 2)), "TIFF"), "it is in CMYK"),
    "Lab TIFF": (saved(Image.new("LAB", (2, 2)), "TIFF"), "it is in LAB"),
    "TIFF of 3 pages": (saved(FRAMES[0], "TIFF", **MORE), "it has 3 pages or frames"),
    "16-bit TIFF of 2 pages": (
        saved(Image.fromarray(DEEP), "TIFF", save_all=True, append_images=[Image.fromarray(DEEP)]),
        "it has 2 pages or frames",
    ),
    "WebP of 3 frames": (saved(FRAMES[0], "WEBP", lossless=True, **MORE), "it has 3 pages or frames"),
    "PNG of 3 frames": (saved(FRAMES[0], "PNG", **MORE), "it has 3 pages or frames"),
    "JPEG of 3 pictures": (saved(FRAMES[0], "MPO", **MORE), "it has 3 pages or frames"),
    "GIF": (saved(FRAMES[0], "GIF"), "it is no whole picture in BMP, JPEG, PNG, PPM, TIFF, WEBP"),
    "nonsense": (b"nonsense", "it is no whole picture"),
    "nothing": (b"", "it is no whole picture"),
}


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_has_no_one_meaning_is_refused_with_the_reason(content: bytes, message: str) -> None:
    for grey in (False, True):
        with pytest.raises(ValueError, match=message):
            decoded(content, grey=grey)
    with pytest.raises(ValueError):
        opened_picture(content)


def test_more_pixels_than_pillow_allows_are_refused_before_they_are_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    content = saved(LEVELS, "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 15)
    assert decoded(content).shape == (3, 3, 5)
    for limit in (14, 7):  # a warning of Pillow's, and an error
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(ValueError, match=f"it is larger than Pillow's limit of {limit} pixels"):
            decoded(content)


# -- what is read right ------------------------------------------------------------------------------------------------


def test_an_alpha_that_hides_nothing_is_dropped() -> None:
    opaque = np.dstack([LEVELS, np.full((3, 5), 255, np.uint8)])
    for kind in ("PNG", "TIFF"):
        assert np.array_equal(decoded(saved(opaque, kind)), LEVELS.transpose(2, 0, 1))
    grey = decoded(saved(opaque[..., 2:], "PNG"), grey=True)
    assert np.array_equal(grey[0], LEVELS[..., 2]), "its levels, not those of a colour made of them"


def test_palettes_bits_and_grey_are_read_as_they_look() -> None:
    palette = Image.fromarray(LEVELS).quantize(8)
    assert np.array_equal(decoded(saved(palette, "PNG")), np.asarray(palette.convert("RGB")).transpose(2, 0, 1))
    shown = decoded(saved(palette, "PNG", transparency=bytes([255] * 8)))
    assert np.array_equal(shown, decoded(saved(palette, "PNG"))), "a palette with an alpha that hides nothing"
    assert decoded(png(0, 1, [bytes([0b10100000])], 3), grey=True).tolist() == [[[255, 0, 255]]]
    assert decoded(png(0, 2, [bytes([0b00011011])], 4), grey=True).tolist() == [[[0, 85, 170, 255]]]
    assert decoded(png(0, 4, [bytes([0x0F])], 2), grey=True).tolist() == [[[0, 255]]]
    assert decoded(tiff(LEVELS[..., 0], 0, 8), grey=True)[0].tolist() == (255 - LEVELS[..., 0]).tolist()
    for kind in ("BMP", "PPM", "TIFF", "PNG"):
        found = decoded(saved(LEVELS[..., 0], kind))
        assert np.array_equal(found, np.stack([LEVELS[..., 0]] * 3)), kind


def test_a_picture_for_8_bits_is_in_one_or_three_channels() -> None:
    modes = {"1": "L", "L": "L", "LA": "L", "P": "RGB", "RGB": "RGB", "RGBA": "RGB"}
    for mode, expected in modes.items():
        assert opened_picture(saved(Image.fromarray(LEVELS).convert(mode), "PNG")).mode == expected
