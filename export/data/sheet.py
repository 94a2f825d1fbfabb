"""Contact sheets: pictures beside each other with what a label or an engine says of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from export.data.files import write_file
from export.data.image import Image, u8
from export.errors import ExportError

COLOURS = (
    (0, 0, 0),
    (0, 160, 0),
    (230, 190, 150),
    (230, 60, 60),
    (230, 120, 60),
    (60, 120, 230),
    (60, 200, 230),
    (220, 60, 180),
    (255, 255, 255),
)
"""Of the classes, RGB; the first two serve for room and person, too."""
_WRONG, _IGNORED = (230, 30, 30), (120, 120, 120)
_TILE_PX, _TEXT_PX, _COLUMNS = 320, 18, 4


def painted(image: Image, classes: Image) -> Image:
    """A picture half covered with the colours of its classes, new: uint8 [H, W, 3] RGB.

    image: uint8 [H, W, 3] RGB. classes: uint8 [H, W]; 0 stays as it is, of 1 or more the colours
    are those of `COLOURS`.
    """
    colours = np.array(COLOURS, np.uint16)[np.minimum(classes, len(COLOURS) - 1)]
    mixed = (image.astype(np.uint16) + colours) // 2
    return np.where((classes > 0)[..., None], mixed, image).astype(np.uint8)


def corrected(image: Image, found: Image, wanted: Image, valid: Image) -> Image:
    """A grey picture with what is wrong in red and what does not count in grey, new.

    image: uint8 [H, W, 3] RGB. found, wanted: uint8 [H, W], classes. valid: uint8 [H, W], 0 or 1.
    """
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    wrong, counts = (found != wanted)[..., None], (valid > 0)[..., None]
    marked = np.where(wrong & counts, np.array(_WRONG, np.uint8), u8(grey))
    return np.where(counts, marked, np.array(_IGNORED, np.uint8)).astype(np.uint8)


def tile(title: str, pictures: Sequence[Image]) -> Image:
    """Pictures of one size beside each other under a title, new: uint8 [h, w, 3] RGB."""
    scale = _TILE_PX / max(pictures[0].shape[:2])
    height, width = (max(1, round(x * scale)) for x in pictures[0].shape[:2])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = [u8(cv2.resize(x, (width, height), interpolation=method)) for x in pictures]
    head = np.full((_TEXT_PX, width * len(small), 3), 255, np.uint8)
    shown = title.encode("ascii", "replace").decode()
    cv2.putText(head, shown, (2, _TEXT_PX - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1)
    return np.vstack([head, np.hstack(small)])


def write_sheet(path: Path, tiles: Sequence[Image]) -> None:
    """Write tiles as one PNG or JPEG, four in a row.

    Raises:
        ExportError: there are no tiles, the name has another ending, or the file cannot be written.
    """
    if not tiles:
        raise ExportError(f"{path}: no pictures to show")
    rows = [tiles[start : start + _COLUMNS] for start in range(0, len(tiles), _COLUMNS)]
    width = max(sum(x.shape[1] for x in row) for row in rows)
    sheet = np.vstack([_row(row, width) for row in rows])
    suffix = path.suffix.lower()
    if suffix not in (".png", ".jpg", ".jpeg"):
        raise ExportError(f"{path}: give a name that ends with .png or .jpg")
    done, data = cv2.imencode(suffix, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    if not done:
        raise ExportError(f"{path}: {sheet.shape[1]}x{sheet.shape[0]} is too large for {suffix}")
    write_file(path, data.tobytes(), 0o644)


def _row(tiles: Iterable[Image], width: int) -> NDArray[np.uint8]:
    tiles = list(tiles)
    height = max(x.shape[0] for x in tiles)
    row = np.full((height, width, 3), 255, np.uint8)
    left = 0
    for picture in tiles:
        row[: picture.shape[0], left : left + picture.shape[1]] = picture
        left += picture.shape[1]
    return row
