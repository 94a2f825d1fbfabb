"""What can be read of a truncated picture.

The end is made up, twice, in different ways: rows that then are the same do not depend on it.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vcam.frame import Pixels
from vcam.pictures import png_chunk
from vcam.sources.inspect_file import missing_in

if TYPE_CHECKING:
    from PIL.Image import Image

_JPEG_START, _JPEG_END, _JPEG_SCAN = b"\xff\xd8", b"\xff\xd9", b"\xff\xda"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PADDED = ("WEBP", "BMP", "PPM", "TIFF", "AVIF")
"""Formats whose decoders, if bytes are made up, still read those before."""
_FILLERS = (b"\0", b"\x01", b"\x80", b"\x04", b"\x40", b"\x5a", b"\xa5", b"\xff")
_JPEG_FILLERS = (b"", b"\x5a", b"\xa5", b"\x33")  # no zeros: decoders take nothing for zeros
_LARGEST_PIXEL_BYTES = 8
_MOST_MISSING = 0.9
"""Of the rows; of a picture of which less came, nothing is kept."""


@dataclass(frozen=True, slots=True)
class Salvaged:
    """A picture with its end made up. image: loaded. data: the file that it was read from.

    missing: the rows, from and to, that are not whole; none if only notes were cut off.
    is_coarse: what stands in these rows is the picture still, with less detail.
    """

    image: Image
    data: bytes
    missing: slice
    is_coarse: bool = False

    @property
    def damage(self) -> str:
        """What is missing, in words; empty: nothing of the pixels."""
        count = self.missing.stop - self.missing.start
        if not count:
            return ""
        if self.is_coarse:
            return "truncated, so that parts of the picture are coarse; copy it again"
        percent = max(1, round(100 * count / self.image.height))
        return f"truncated, {percent} % of the picture is missing and grey; copy it again"

    def blank(self, pixels: Pixels) -> Pixels:
        """[H, W, C] with the missing rows grey and opaque."""
        if self.missing.start == self.missing.stop or self.is_coarse:
            return pixels
        peak = np.iinfo(pixels.dtype).max
        pixels = pixels.copy()
        pixels[self.missing, :, :3] = peak // 2 + 1
        pixels[self.missing, :, 3:] = peak
        return pixels


def salvage(data: bytes, kind: str, size: tuple[int, int]) -> Salvaged | None:
    """What can be read of a file that its decoder refuses; None: less than a tenth, or it cannot be
    known what.

    kind: of the format, as Pillow calls it. size: (width, height), which is within the limits.
    """
    if kind == "PNG":
        return _of_png(data)
    found = []
    for whole in _endings(data, kind, size):
        image = _loaded(whole)
        if image is not None and image.size == size:
            found.append((image, whole))
        if len(found) == 2:
            break
    if not found:
        return None
    image, whole = found[0]
    is_jpeg = data.startswith(_JPEG_START)
    coarse = is_jpeg and bool(image.info.get("progressive")) and data.count(_JPEG_SCAN) > 1
    if coarse and not _has_all_scans(data):
        missing = slice(0, size[1])
    elif len(found) == 2:
        missing = _rows_that_differ(image, found[1][0], to_the_end=kind != "BMP")
    elif coarse:
        missing = slice(0, size[1])
    else:
        return None
    if not coarse and missing.stop - missing.start > _MOST_MISSING * size[1]:
        return None
    return Salvaged(image, whole, missing, coarse)


def _loaded(data: bytes) -> Image | None:
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except Exception:  # noqa: BLE001 - it is damaged, and each of Pillow's readers stumbles differently
        return None
    return image


def _endings(data: bytes, kind: str, size: tuple[int, int]) -> Iterator[bytes]:
    """The file with different ends."""
    if data.startswith(_JPEG_START):
        count = size[0] * size[1] // 2 + 4096
        yield from (data + filler * count + _JPEG_END for filler in _JPEG_FILLERS)
    elif kind in _PADDED:
        count = size[0] * size[1] * _LARGEST_PIXEL_BYTES + 4096
        if kind in ("WEBP", "AVIF"):
            count = min(count, missing_in(data))
        yield from (data + filler * count for filler in _FILLERS)


def _has_all_scans(data: bytes) -> bool:
    """Whether the last scans of a progressive JPEG have begun: those after which no bit of any
    coefficient of any colour is left (ITU-T T.81, B.2.3 and G.1.1.1).
    """
    bits_left: dict[int, list[int]] = {}
    at = data.find(_JPEG_SCAN)
    while at >= 0:
        scan = data[at + 4 : at + 14]
        count = scan[0] if scan else 0
        if not 1 <= count <= 4 or len(data) < at + 8 + 2 * count:
            return False
        first, last, approximation = data[at + 5 + 2 * count : at + 8 + 2 * count]
        for colour in data[at + 5 : at + 5 + 2 * count : 2]:
            left = bits_left.setdefault(colour, [1] * 64)
            left[first : last + 1] = [approximation & 15] * (last + 1 - first)
        at = data.find(_JPEG_SCAN, at + 8)
    return bool(bits_left) and not any(any(left) for left in bits_left.values())


def _rows_that_differ(one: Image, other: Image, to_the_end: bool) -> slice:
    first, second = np.asarray(one), np.asarray(other)
    if first.shape != second.shape:
        return slice(0, one.height)
    differs = (first != second).reshape(len(first), -1).any(axis=1)
    rows = np.flatnonzero(differs)
    if not len(rows):
        return slice(0, 0)
    return slice(int(rows[0]), one.height if to_the_end else int(rows[-1]) + 1)


def _of_png(data: bytes) -> Salvaged | None:
    """A PNG whose data (PNG specification, sections 5, 7 and 10) ends early."""
    head, packed = b"", b""
    for name, content in _chunks(data):
        if name == b"IDAT":
            packed += content
        elif not packed:
            head += png_chunk(name, content)
    if len(head) < 25 or head[4:8] != b"IHDR" or not packed:
        return None
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", head[8:21])
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour)
    if channels is None or interlace:
        return None
    line = (width * depth * channels + 7) // 8 + 1  # the number of its filter comes first
    try:
        raw = zlib.decompressobj().decompress(packed, line * height)
    except zlib.error:
        return None
    rows = len(raw) // line
    if height - rows > _MOST_MISSING * height:
        return None
    filled = zlib.compress(raw[: rows * line] + bytes(line * (height - rows)), 1)
    whole = _PNG_START + head + png_chunk(b"IDAT", filled) + png_chunk(b"IEND", b"")
    image = _loaded(whole)
    return None if image is None else Salvaged(image, whole, slice(rows, height))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, content) of each chunk up to one that is damaged; of the last what is there."""
    at = len(_PNG_START)
    while at + 8 < len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        content = data[at + 8 : at + 8 + length]
        check = data[at + 8 + length : at + 12 + length]
        is_whole = len(check) == 4
        if is_whole and zlib.crc32(name + content) != int.from_bytes(check, "big"):
            return
        if is_whole or name == b"IDAT":
            yield name, content
        at += 12 + length
