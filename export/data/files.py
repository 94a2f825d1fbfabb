"""Reading the files of a set: pictures, their labels, lists."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import av
import cv2
import numpy as np

from export.data.image import Image
from export.errors import ExportError

_Item = TypeVar("_Item")
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_ASPECT_TOLERANCE = 0.01
_JPEG, _JPEG_SCAN, _JPEG_END, _FILL = b"\xff\xd8", b"\xff\xda", b"\xff\xd9", b"\xff\xff"
_PNG, _PNG_COLOUR_TYPE, _PNG_PALETTE, _PNG_END = b"\x89PNG\r\n\x1a\n", 25, 3, b"IEND"
"""Markers of JPEG (ITU-T T.81, table B.1), signature and chunks of PNG (W3C, third edition, sections 5 and 11.2.1)."""


def read_image(path: Path, size: tuple[int, int] | None = None) -> Image:
    """uint8 [H, W, 3] RGB, turned as its EXIF orientation says. size: height and width of its label, which it takes.

    Where only the picture as it is stored has the aspect ratio of the label, it is not turned.

    Raises:
        ExportError: there is no picture, it is cut short, or its aspect ratio is not that of the label.
    """
    data = _bytes(path)
    image = _decoded(path, data, cv2.IMREAD_COLOR)
    if size and not _alike(image, size):
        stored = _decoded(path, data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        image = stored if _alike(stored, size) else image
    image = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
    return fitted(path, image, size) if size else image


def read_plane(path: Path) -> Image:
    """uint8 [H, W], values as in the file, in the orientation in which it is stored; of a palette, the indices.

    Raises:
        ExportError: there is no picture, it is cut short, its colours differ or it is partly transparent, so that it
            is no mask, or it has values above 255.
    """
    data = _bytes(path)
    if data.startswith(_PNG) and data[_PNG_COLOUR_TYPE] == _PNG_PALETTE:
        return _indices(path, data)
    plane = _decoded(path, data, cv2.IMREAD_UNCHANGED)
    if plane.ndim == 3:
        if (plane[..., 3:] != np.iinfo(plane.dtype).max).any():
            raise ExportError(
                f"{path}: partly transparent, so not a mask; save it with one channel"
            )
        if (plane[..., 1:3] != plane[..., :1]).any():
            raise ExportError(
                f"{path}: has colours, so not a mask; save it with one channel or a palette"
            )
        plane = plane[..., 0]
    if plane.max() > 255:
        raise ExportError(f"{path}: values up to {plane.max()}; save it with 8 bits")
    return np.ascontiguousarray(plane, np.uint8)


def fitted(path: Path, picture: Image, size: tuple[int, int]) -> Image:
    """Scale uint8 [H, W] or [H, W, 3], read from `path`, to `size` (height, width) of its label.

    Raises:
        ExportError: the aspect ratios differ by more than 1 %.
    """
    if picture.shape[:2] == size:
        return picture
    (height, width), (label_h, label_w) = picture.shape[:2], size
    if not _alike(picture, size):
        raise ExportError(
            f"{path}: {width}x{height}, but its label {label_w}x{label_h}; one of them is another's"
        )
    method = cv2.INTER_AREA if label_h < height else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, size[::-1], interpolation=method), np.uint8)


def _alike(picture: Any, size: tuple[int, int]) -> bool:
    ratio = picture.shape[1] * size[0] / (picture.shape[0] * size[1])
    return bool(1 / (1 + _ASPECT_TOLERANCE) <= ratio <= 1 + _ASPECT_TOLERANCE)


def _bytes(path: Path) -> bytes:
    check(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ExportError(f"{path}: cannot be read ({error.strerror})") from error


def check(path: Path) -> None:
    """See that a file is there, without reading it.

    Raises:
        ExportError: it is missing or empty.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ExportError(
            f"{path}: missing ({error.strerror}); get it, or take its picture out of the set"
        ) from error
    if not size:
        raise ExportError(f"{path}: empty; get it again, or take its picture out of the set")


def _decoded(path: Path, data: bytes, flags: int) -> Any:
    """What `cv2.imread` gives for these flags."""
    if not _whole(data):
        raise ExportError(f"{path}: cut short; get it again, or take its picture out of the set")
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ExportError(f"{path}: cannot be decoded ({error.err})") from error
    if picture is None:
        raise ExportError(f"{path}: not a picture; correct it, or take it out of the set")
    return picture


def _indices(path: Path, data: bytes) -> Image:
    """uint8 [H, W] of a PNG with a palette, whose colours OpenCV would give instead."""
    try:
        with av.open(io.BytesIO(data), "r", format="png_pipe") as container:
            planes: Any = next(container.decode(video=0)).to_ndarray()
    except (av.FFmpegError, StopIteration) as error:
        raise ExportError(
            f"{path}: not a picture; correct it, or take it out of the set"
        ) from error
    return np.ascontiguousarray(planes[0], np.uint8)


def _whole(data: bytes) -> bool:
    """Whether a JPEG or PNG has its end; decoders fill what is missing with grey. What follows the end is no matter."""
    if data.startswith(_PNG):
        return _PNG_END in data
    if not data.startswith(_JPEG):
        return True
    at = 2
    while (
        data[at : at + 1] == b"\xff" and (marker := data[at : at + 2]) != _JPEG_SCAN
    ):  # a preview has its own end
        at += 1 if marker == _FILL else 2 + int.from_bytes(data[at + 2 : at + 4])
    return _JPEG_END in data[at:]


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder and of those in it, by name; nothing hidden, whose name starts with a dot."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)
    return sorted(
        path for path in found if not any(x.startswith(".") for x in path.relative_to(folder).parts)
    )


def evenly(items: Sequence[_Item], most: int) -> list[_Item]:
    """At most `most` of the items, evenly chosen, the first one among them."""
    count = min(most, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def text_of(path: Path) -> str:
    """A text in UTF-8, with or without a byte order mark.

    Raises:
        ExportError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ExportError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeError as error:
        raise ExportError(f"{path}: not UTF-8 ({error}); save it as UTF-8") from error


def lines_of(path: Path) -> list[str]:
    """The lines of a list that are not empty.

    Raises:
        ExportError: as `text_of`.
    """
    return [line.strip() for line in text_of(path).splitlines() if line.strip()]
