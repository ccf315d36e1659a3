"""A picture file's content as an array: read as every viewer shows it, or refused with the reason."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
FORMATS = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What content is read as, whatever the file's name ends in."""
READ_AS = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB", "RGBX": "RGB"}
"""Pillow's modes that hold a whole picture of 8 bits, and what they are converted to without loss."""
WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
BITS, COLOUR, SAMPLES = 258, 262, 339
"""Numbers of the tags of a TIFF file: bits per channel, which end is black, and whether there are signs."""


def decoded(content: bytes, size: int | None = None, grey: bool = False) -> Pixels:
    """A picture file's content as (3, H, W) RGB, or (1, H, W) grey: uint8, or uint16 where it has 16 bits a channel.

    Args:
        content: of a file in one of :data:`FORMATS`.
        size: side of the square that it is resized to, and cut to in the middle of its longer side; None: as it is.
        grey: one channel in place of three.

    Raises:
        ValueError: it cannot be read as what it shows, see :func:`upright`; the message says why.
    """
    from PIL import Image, ImageOps

    picture = upright(content)
    deep = picture.mode == "F"
    if not deep:
        picture = picture.convert("L" if grey else "RGB")
    if size is not None:
        picture = ImageOps.fit(picture, (size, size), Image.Resampling.BICUBIC)
    pixels: Pixels = np.array(picture)
    if deep:  # bicubic weights go beyond both ends
        pixels = pixels.clip(0, 65_535).round().astype(np.uint16)
        return np.broadcast_to(pixels, (1 if grey else 3, *pixels.shape))
    return pixels[None] if grey else pixels.transpose(2, 0, 1)


def in_unit_range(pixels: Pixels) -> NDArray[np.float32]:
    """Values from 0 to 1."""
    return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)


def opened_picture(content: bytes) -> Image:
    """The picture in a file's content, all of it read, in mode ``L`` or ``RGB``.

    Raises:
        ValueError: it has more than 8 bits per channel, or cannot be read as what it shows, see :func:`upright`.
    """
    picture = upright(content)
    if picture.mode == "F":
        raise ValueError("it has more than 8 bits per channel")
    return picture


def upright(content: bytes) -> Image:
    """The picture, turned as its EXIF orientation says: mode ``L``, ``RGB``, or ``F`` from 0 to 65,535 (16-bit grey).

    Raises:
        ValueError: it is no picture of :data:`FORMATS`; has several pages or frames, transparent pixels, inks (CMYK)
            or another colour space; more bits per channel than Pillow reads; or more pixels than Pillow's limit.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            found = Image.open(io.BytesIO(content), formats=FORMATS)
        except UnidentifiedImageError as error:
            raise ValueError(f"it is no whole picture in {', '.join(FORMATS)}") from error
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise ValueError(f"it is larger than Pillow's limit of {Image.MAX_IMAGE_PIXELS} pixels") from error
    with found as image:
        if (n_frames := getattr(image, "n_frames", 1)) > 1:
            raise ValueError(f"it has {n_frames} pages or frames: save the one that is meant")
        if image.mode.startswith(("I", "F")):
            _check_grey(image)
            return ImageOps.exif_transpose(image.convert("I").convert("F"))
        _check_colour_depth(image, content)
        image.load()
        turned = ImageOps.exif_transpose(image)
    if turned.mode in WITH_ALPHA or "transparency" in turned.info:
        turned = _opaque(turned)
    if turned.mode not in READ_AS:
        raise ValueError(f"it is in {turned.mode}, which has no one meaning in RGB: convert it to RGB by its profile")
    return turned.convert(READ_AS[turned.mode])


def _opaque(image: Image) -> Image:
    """Without its alpha, which must hide nothing."""
    shown = image.convert("RGBA")
    lowest, _ = shown.getchannel("A").getextrema()
    if lowest != 255:
        raise ValueError(
            "it has transparent pixels: lay it over the background that is meant, and save it without alpha"
        )
    return shown.convert("L" if image.mode in ("L", "LA", "La", "1") else "RGB")


def _check_grey(image: Image) -> None:
    """One channel of 16 bits without a sign, from black to white."""
    tags: dict[int, Any] = getattr(image, "tag_v2", {})
    whole = image.mode.startswith("I;16") or image.format in ("PNG", "PPM")
    if image.mode == "F" or not whole or tags.get(BITS, (16,)) != (16,) or tags.get(SAMPLES, (1,)) != (1,):
        raise ValueError(f"it holds numbers that are no levels of 8 or 16 bits (mode {image.mode}): save them as .npy")
    if tags.get(COLOUR, 1) != 1:
        raise ValueError("it has 16 bits per channel with white as 0, which Pillow reads as black: save it as PNG")
    if "transparency" in image.info:
        raise ValueError("it has 16 bits per channel and a transparent level: save it without")


def _check_colour_depth(image: ImageFile, content: bytes) -> None:
    """At most 8 bits per channel: of more, Pillow keeps the upper 8."""
    tags: dict[int, Any] = getattr(image, "tag_v2", {})
    bits = max(tags.get(BITS, (8,)))
    if image.format == "PNG":
        bits = content[24]
    elif image.format == "PPM":
        arguments = image.tile[0][3]
        highest = arguments[1] if isinstance(arguments, tuple) else 255
        bits = max(8, int(highest).bit_length())
    if bits > 8:
        raise ValueError(
            f"it has more than 8 bits per channel in colour or with alpha ({bits}), of which Pillow reads 8: "
            "save it as .npy, in [0, 1]"
        )
