"""The files of a set: pictures, their labels, lists; and writing what is made of them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from PIL import Image as Pil
from PIL import ImageOps, UnidentifiedImageError

from export.data.image import Image
from export.errors import ExportError
from vcam.files import write_whole

_Item = TypeVar("_Item")
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_ASPECT_TOLERANCE = 0.01
_BITS_16 = ("I;16", "I;16B", "I;16L", "I;16N")
_DAMAGED = (OSError, ValueError, SyntaxError, Pil.DecompressionBombError)
"""What Pillow raises for files that are cut short, damaged or far too large."""


def write_file(path: Path, content: bytes | str, mode: int | None = None) -> None:
    """Write a file completely or not at all; see `vcam.files.write_whole`.

    Raises:
        ExportError: it cannot be written.
    """
    try:
        write_whole(path, content, mode)
    except OSError as error:
        raise ExportError(f"{path}: cannot be written ({error.strerror})") from error


def read_image(path: Path, size: tuple[int, int] | None = None) -> Image:
    """uint8 [H, W, 3] RGB, turned as its EXIF orientation says. size: height and width of its
    label, which it takes.

    Where only the picture as it is stored has the aspect ratio of the label, it is not turned.

    Raises:
        ExportError: there is no picture, it is cut short, or its aspect ratio is not that of the
            label.
    """
    stored = _decoded(path)
    turned = ImageOps.exif_transpose(stored)
    image = _colours(turned)
    if size and not _alike(image, size):
        unturned = _colours(stored)
        image = unturned if _alike(unturned, size) else image
    return fitted(path, image, size) if size else image


def read_plane(path: Path) -> Image:
    """uint8 [H, W], values as in the file, in the orientation in which it is stored; of a palette,
    the indices.

    Raises:
        ExportError: there is no picture, it is cut short, its colours differ or it is partly
            transparent, so that it is no mask, or it has values above 255.
    """
    picture = _decoded(path)
    if picture.mode in ("LA", "PA", "RGBA") and picture.getextrema()[-1] != (255, 255):
        raise ExportError(f"{path}: partly transparent, so not a mask; save it with one channel")
    if picture.mode == "1":
        picture = picture.convert("L")
    plane = np.asarray(picture)
    if plane.ndim == 3:
        colours = plane[..., : 1 if picture.mode in ("LA", "PA") else 3]
        if (colours != colours[..., :1]).any():
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


def _decoded(path: Path) -> Pil.Image:
    """The picture in a file, in memory."""
    check(path)
    try:
        with warnings.catch_warnings(), Pil.open(path) as picture:
            warnings.simplefilter("ignore", Pil.DecompressionBombWarning)
            picture.load()
            return picture
    except UnidentifiedImageError as error:
        raise ExportError(
            f"{path}: not a picture; correct it, or take it out of the set"
        ) from error
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.strerror:
            raise ExportError(f"{path}: cannot be read ({error.strerror})") from error
        raise ExportError(
            f"{path}: cut short or damaged ({error}); get it again, or take its picture out of "
            "the set"
        ) from error


def _colours(picture: Pil.Image) -> Image:
    """uint8 [H, W, 3] RGB; of 16 bits the upper 8."""
    if picture.mode in _BITS_16 or picture.mode == "I":
        grey = (np.asarray(picture).astype(np.uint32) >> 8).astype(np.uint8)
        return np.stack([grey] * 3, axis=-1)
    return np.array(picture.convert("RGB"), np.uint8)


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder and of those in it, by name; nothing hidden, whose name starts with
    a dot.
    """
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
