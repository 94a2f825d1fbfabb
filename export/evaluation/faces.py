"""Test faces with labels, as a face engine sees them: square, the face in the middle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from export.data.files import evenly, fitted, read_plane
from export.data.image import Image
from export.data.items import LabelledFace
from export.data.manifest import Row, read_face, rows_of
from export.errors import ExportError
from export.evaluation.scenes import cover, test_rooms

_FIRST_FACE_CLASS = 2
_SIDE_OF_FACE = 1.7
_SEED = 21


def test_faces(
    data: Path,
    name: str,
    most: int | None = None,  # noqa: PT028 - no test of pytest
) -> Iterator[LabelledFace]:
    """The test split of a face set, one by one, at its own resolution; at most `most`, evenly chosen.

    Pictures with an alpha of their own, which are rendered, are set before a test room: one per picture, drawn by a
    generator seeded with (21, place among the test pictures), covering the picture with its middle.

    Raises:
        ExportError: the set is missing, damaged or empty.
    """
    rows = rows_of(data / name, "test")
    if not rows:
        raise ExportError(f"{data / name}: no test pictures")
    rooms = [room.image for room in test_rooms(data)] if any(map(_is_render, rows)) else []
    numbered = list(enumerate(rows))
    for index, row in numbered if most is None else evenly(numbered, most):
        face = read_face(row)
        if _is_render(row):
            room = rooms[int(np.random.default_rng([_SEED, index]).integers(len(rooms)))]
            path = data / name / row.notes.alpha
            face = _before(room, face, fitted(path, read_plane(path), face.label.shape))
        yield face


def _is_render(row: Row) -> bool:
    """An alpha beside a picture is that of a render; photographs, whose is elsewhere, have a room."""
    return row.notes.alpha.startswith("alpha/")


def _before(room: Image, face: LabelledFace, alpha: Image) -> LabelledFace:
    height, width = alpha.shape
    weight = alpha.astype(np.float32)[..., None] / 255
    image = np.rint(face.image * weight + cover(room, (height, width)) * (1 - weight)).astype(
        np.uint8
    )
    return LabelledFace(face.name, image, face.label, face.valid, face.notes)


def face_crop(face: LabelledFace) -> LabelledFace | None:
    """The square around the box of classes 2 to 8, its side 1.7 times the height of the box; None without a face.

    Whole pixels, no change of size. Beyond the picture its edge is repeated, and `valid` is 0 there.
    """
    rows = np.flatnonzero((face.label >= _FIRST_FACE_CLASS).any(1))
    columns = np.flatnonzero((face.label >= _FIRST_FACE_CLASS).any(0))
    if not rows.size:
        return None
    side = round(_SIDE_OF_FACE * (int(rows[-1]) + 1 - int(rows[0])))
    top = round((int(rows[0]) + int(rows[-1]) + 1 - side) / 2)
    left = round((int(columns[0]) + int(columns[-1]) + 1 - side) / 2)
    box = (top, left, side)
    image, label = (_cut(x, box, cv2.BORDER_REPLICATE) for x in (face.image, face.label))
    return LabelledFace(
        face.name, image, label, _cut(face.valid, box, cv2.BORDER_CONSTANT), face.notes
    )


def _cut(plane: Image, box: tuple[int, int, int], border: int) -> Image:
    """A new square. box: top, left and side, which may reach beyond the plane."""
    top, left, side = box
    above, beside = max(0, -top), max(0, -left)
    below, beyond = max(0, top + side - plane.shape[0]), max(0, left + side - plane.shape[1])
    padded = cv2.copyMakeBorder(plane, above, below, beside, beyond, border, value=0)
    rows, columns = (
        slice(top + above, top + above + side),
        slice(left + beside, left + beside + side),
    )
    return np.ascontiguousarray(padded[rows, columns], np.uint8)
