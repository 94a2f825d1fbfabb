"""File types from magic bytes, and truncation from the length that the container
declares.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from vcam.errors import SourceError

# Still pictures by ISO/IEC 23008-12, section 10: HEVC, and any codec; not sequences (hevc, msf1).
_HEIF_BRANDS = (b"ftypheic", b"ftypheix", b"ftypheim", b"ftypheis", b"ftypmif1", b"ftypmif2")
_IMAGE_MAGIC: tuple[tuple[int, bytes], ...] = (
    (0, b"\xff\xd8\xff"),  # JPEG
    (0, b"\x89PNG\r\n\x1a\n"),
    (0, b"BM"),
    (0, b"II*\0"),  # TIFF
    (0, b"MM\0*"),
    (8, b"WEBP"),
    (0, b"#?RADIANCE"),
    (0, b"\x76\x2f\x31\x01"),  # OpenEXR
    (0, b"\0\0\0\x0cjP  "),  # JPEG 2000
    (0, b"\0\0\0\x0cJXL "),
    (0, b"\xff\x0a"),  # JPEG XL
    (4, b"ftypavif"),
    *((4, brand) for brand in _HEIF_BRANDS),
    *(
        (0, b"P%d" % kind + space) for kind in range(1, 8) for space in (b"\n", b" ", b"\r")
    ),  # PBM .. PAM
)
_MOTION_JPEG_SUFFIXES = {
    ".mjpg",
    ".mjpeg",
}  # a sequence of JPEG files, the one type that its first bytes do not reveal


_PICTURE_SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".heic", ".heif", ".hif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
    *(".jxl", ".png", ".psd", ".tif", ".tiff", ".webp"),
)
_FILM_SUFFIXES = (
    *(".3g2", ".3gp", ".apng", ".avi", ".dv", ".flv", ".m2ts", ".m2v", ".m4v", ".mjpg", ".mkv"),
    *(".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
    *(".y4m",),
)
_RAW_SUFFIXES = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".iiq", ".kdc", ".mrw", ".nef"),
    *(".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
)


def read_head(path: str) -> bytes:
    """Read the first 64 bytes of a regular file; empty for pipes and devices, which are not
    opened.

    Raises:
        SourceError: it does not exist, is a directory or empty, or cannot be read.
    """
    try:
        mode = Path(path).stat().st_mode
        if stat.S_ISDIR(mode):
            raise SourceError(f"{path}: is a directory; name a file in it")
        if not stat.S_ISREG(mode):
            return b""
        with Path(path).open("rb") as file:
            head = file.read(64)
    except FileNotFoundError as error:
        raise SourceError(
            f"{path}: no such file; check the spelling, or try --source demo"
        ) from error
    except PermissionError as error:
        raise SourceError(f"{path}: permission denied; check who may read it (ls -l)") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        text = getattr(error, "strerror", None) or str(error)
        raise SourceError(
            f"{path}: cannot be read ({text}); check the disk, or copy the file"
        ) from error
    if not head:
        raise SourceError(f"{path}: the file is empty; record or copy it again")
    return head


def is_image(path: str, head: bytes) -> bool:
    """Whether the first bytes are those of a still image."""
    if Path(path).suffix.lower() in _MOTION_JPEG_SUFFIXES:
        return False
    return is_raw(path) or any(head[at:].startswith(magic) for at, magic in _IMAGE_MAGIC)


def is_raw(path: str) -> bool:
    """Whether the suffix is that of a camera raw file; its first picture is only a preview."""
    return Path(path).suffix.lower() in _RAW_SUFFIXES


def looks_like_media(path: Path) -> bool:
    """Whether the name is that of a picture or film, or the content begins like a picture."""
    if path.suffix.lower() in (*_PICTURE_SUFFIXES, *_FILM_SUFFIXES, *_RAW_SUFFIXES):
        return True
    try:
        return path.is_file() and is_image(str(path), read_head(str(path)))
    except SourceError:
        return False


def is_heif(head: bytes) -> bool:
    """Whether the first bytes are those of a HEIC picture."""
    return head[4:12] in _HEIF_BRANDS and b"avif" not in head[8:64]


def is_animated_webp(head: bytes) -> bool:
    """Whether it is a WebP whose extended header (VP8X) declares an animation."""
    return head[8:16] == b"WEBPVP8X" and len(head) > 20 and bool(head[20] & 2)


def is_animation(head: bytes) -> bool:
    """Whether it is an animated PNG (acTL after its header) or an animated WebP."""
    return is_animated_webp(head) or (head[:4] == b"\x89PNG" and head[37:41] == b"acTL")


def missing_bytes(path: str) -> int:
    """Bytes that the container declares beyond the end of the file; 0 if it is complete or
    does not declare its length.
    """
    try:
        length = Path(path).stat().st_size
        with Path(path).open("rb") as file:
            head = file.read(16)
            end = _announced_end(head)(file, length)
    except OSError:
        return 0
    return max(0, end - length)


def missing_in(data: bytes) -> int:
    """As `missing_bytes`, of the content of a file."""
    return max(0, _announced_end(data[:16])(io.BytesIO(data), len(data)) - len(data))


def _announced_end(head: bytes) -> Callable[[BinaryIO, int], int]:
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"moof", b"styp"):
        return _end_of_boxes
    if head[:4] == b"RIFF":
        return _end_of_chunks
    if head[:4] == b"GIF8":
        return _end_of_blocks
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return _end_of_segment
    return lambda _file, length: length


def _end_of_boxes(file: BinaryIO, length: int) -> int:
    """ISO/IEC 14496-12 section 4.2: 32-bit size, type, 64-bit size where the first is 1; 0 means to
    the end.
    """
    at = 0
    while at + 8 <= length:
        file.seek(at)
        header = file.read(16)
        size = int.from_bytes(header[:4], "big")
        if size == 1:
            size = int.from_bytes(header[8:16], "big")
        if size < 8:
            return length
        at += size
    return at


def _end_of_chunks(file: BinaryIO, length: int) -> int:
    """RIFF (AVI): type, 32-bit little-endian size, data padded to an even length; OpenDML has
    several in a row.
    """
    at = 0
    while at + 8 <= length:
        file.seek(at)
        header = file.read(8)
        if header[:4] not in (b"RIFF", b"JUNK", b"idx1"):
            return length
        size = int.from_bytes(header[4:], "little")
        if size in (0, 0xFFFFFFFF):  # written during recording and never updated
            return length
        at += 8 + size + size % 2
    return at if at - length != 1 else length  # some writers omit the last padding


def _end_of_blocks(file: BinaryIO, length: int) -> int:
    """GIF89a sections 15 to 27: a block that is cut off misses at least a byte; an end without its
    trailer is one.
    """
    file.seek(10)
    at = 13 + _gif_colours(file.read(1))
    while at < length:
        file.seek(at)
        start = file.read(10)
        if start[:1] == b"\x21":
            at += 2
        elif start[:1] == b"\x2c":
            at += 11 + _gif_colours(start[9:])
        else:
            return length
        while True:
            file.seek(at)
            size = file.read(1)
            if not size:
                return at + 1
            at += 1 + size[0]
            if not size[0]:
                break
    return at


def _gif_colours(flags: bytes) -> int:
    """Bytes of the table of colours that the flags of a header announce."""
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0


def _end_of_segment(file: BinaryIO, length: int) -> int:
    """Matroska (RFC 8794 section 4): the EBML header, then the Segment, each an id and a
    variable-length size.
    """
    at = 0
    for _element in range(2):
        file.seek(at + 4, os.SEEK_SET)  # both ids are four bytes long
        first = file.read(1)
        width = 9 - int.from_bytes(first, "big").bit_length()
        if not first or width > 8:
            return length
        rest = first + file.read(width - 1)
        bits = 7 * width
        size = int.from_bytes(rest, "big") & ((1 << bits) - 1)
        if size == (1 << bits) - 1:  # unknown: a live recording
            return length
        at += 4 + width + size
    return at
