#!/usr/bin/env bash
# Pillow 13.0.0 (12.0.0 too): a grey TIFF whose PhotometricInterpretation is 0 (white is zero, TIFF 6.0 page 37) is turned over
# when it has 8 bits per sample, and is not when it has 16: the same picture comes out as its negative.
#
# Input: two valid files of 1 x 2 pixels, one strip, no compression: a white and a black pixel in 8 and in 16 bits.
# Seen:  8 bits [255, 0], right; 16 bits [0, 65535], the negative. No warning.
# Ends with 0 while that is so, with 1 once it is not.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check "pillow==13.0.0"
cd "$work"
venv/bin/python -W error - <<'PYTHON'
import io
import struct
import sys

from PIL import Image, __version__


def tiff(bits: int, pixels: bytes) -> bytes:
    """One strip of 1 x 2 grey pixels, white as zero."""
    entries = {256: 2, 257: 1, 258: bits, 259: 1, 262: 0, 273: 122, 277: 1, 278: 1, 279: len(pixels)}
    body = b"".join(struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, value) for tag, value in entries.items())
    return struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + body + bytes(4) + pixels


white, black = 0, -1
seen = {}
for bits, code in ((8, "<2B"), (16, "<2H")):
    levels = [level % 2**bits for level in (white, black)]
    with Image.open(io.BytesIO(tiff(bits, struct.pack(code, *levels)))) as image:
        seen[bits] = [image.getpixel((x, 0)) for x in (0, 1)]
print(f"Pillow {__version__}: white and black read as {seen[8]} in 8 bits, as {seen[16]} in 16 bits")
sys.exit(seen != {8: [255, 0], 16: [0, 65535]})
PYTHON
