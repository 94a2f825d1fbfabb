"""The clean aperture of a film: the part of the stored picture that is meant to be shown.

FFmpeg reads it, but PyAV 18 does not expose it, so it is read from the file directly.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from vcam.geometry import Box

Size = tuple[int, int]

_PATH_TO_ENTRIES = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
_SAMPLE_ENTRY_BYTES = 86  # VisualSampleEntry, ISO/IEC 14496-12 section 12.1.3, with its box header

# Matroska, RFC 9559 section 5.1.4.1.28.
_SEGMENT, _TRACKS, _TRACK_ENTRY, _VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0xE0
_CROP_BOTTOM, _CROP_TOP, _CROP_LEFT, _CROP_RIGHT = 0x54AA, 0x54BB, 0x54CC, 0x54DD
_EBML = b"\x1a\x45\xdf\xa3"


def clean_aperture(path: str, size: Size) -> Box | None:
    """The visible part of pictures of `size`, in stored pixels; None: all of it, or not
    specified.

    path: of an MP4, MOV or Matroska file; other formats are not supported.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(8)
            if head[4:] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
                return _of_boxes(file, size)
            return _of_elements(file, size) if head[:4] == _EBML else None
    except (OSError, ValueError, IndexError, ZeroDivisionError):
        return None  # the demuxer reports errors of the file


def _of_boxes(file: BinaryIO, size: Size) -> Box | None:
    places = [(0, os.fstat(file.fileno()).st_size)]
    for name in _PATH_TO_ENTRIES:
        places = [
            (at + head, end)
            for start, stop in places
            for kind, at, head, end in _boxes(file, start, stop)
            if kind == name
        ]
    for start, stop in places:
        for _, at, _, end in _boxes(file, start + 8, stop):  # version, flags and count come first
            for kind, inner, head, _ in _boxes(file, at + _SAMPLE_ENTRY_BYTES, end):
                if kind == b"clap":
                    file.seek(inner + head)
                    return _from_clap(file.read(32), size)
    return None


def _boxes(file: BinaryIO, at: int, stop: int) -> Iterator[tuple[bytes, int, int, int]]:
    """(type, start, length of its header, end) of each box."""
    while at + 8 <= stop:
        file.seek(at)
        header = file.read(16)
        length, head = int.from_bytes(header[:4], "big"), 8
        if length == 1:
            length, head = int.from_bytes(header[8:16], "big"), 16
        end = stop if length == 0 else at + length
        if length and length < head:
            return
        yield header[4:8], at, head, min(end, stop)
        at = end


def _from_clap(data: bytes, size: Size) -> Box | None:
    """CleanApertureBox (ISO/IEC 14496-12, 12.1.4): width, height, offsets of the centre, each as a
    fraction.
    """
    numbers = [int.from_bytes(data[at : at + 4], "big", signed=True) for at in range(0, 32, 4)]
    width, height, right, down = (numbers[i] / numbers[i + 1] for i in range(0, 8, 2))
    x, y = (size[0] - width) / 2 + right, (size[1] - height) / 2 + down
    return Box.at(round(x), round(y), round(width), round(height))


def _of_elements(file: BinaryIO, size: Size) -> Box | None:
    stop = os.fstat(file.fileno()).st_size
    for name, at, end in _elements(file, 0, stop):
        if name != _SEGMENT:
            continue
        for inner, start, finish in _elements(file, at, end):
            if inner == _TRACKS:
                return _from_tracks(file, start, finish, size)
            if inner == 0x1F43B675:  # a Cluster: tracks come before
                return None
    return None


def _from_tracks(file: BinaryIO, start: int, stop: int, size: Size) -> Box | None:
    for name, at, end in _elements(file, start, stop):
        for inner, first, last in _elements(file, at, end) if name == _TRACK_ENTRY else ():
            if inner != _VIDEO:
                continue
            found = {}
            for key, value_at, value_end in _elements(file, first, last):
                file.seek(value_at)
                found[key] = int.from_bytes(file.read(min(8, value_end - value_at)), "big")
            left, top = found.get(_CROP_LEFT, 0), found.get(_CROP_TOP, 0)
            right, bottom = found.get(_CROP_RIGHT, 0), found.get(_CROP_BOTTOM, 0)
            if left or top or right or bottom:
                return Box(top, size[1] - bottom, left, size[0] - right)
    return None


def _elements(file: BinaryIO, at: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """(id, start of the content, end) of each EBML element, RFC 8794 section 6."""
    while at + 2 <= stop:
        file.seek(at)
        header = file.read(12)
        width = 9 - header[0].bit_length()
        name = int.from_bytes(header[:width], "big")
        rest = header[width:]
        length_width = 9 - rest[0].bit_length()
        if width > 4 or length_width > 8:
            return
        mask = (1 << 7 * length_width) - 1
        length = int.from_bytes(rest[:length_width], "big") & mask
        start = at + width + length_width
        end = stop if length == mask else min(stop, start + length)
        yield name, start, end
        at = end
