"""Pictures to measure on: test photos, and cut-out people pasted into test rooms in one fixed way."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from export.data.files import evenly, pictures_in, read_image
from export.data.geometry import extent
from export.data.image import Image
from export.data.items import Labelled
from export.data.manifest import read_set
from export.errors import ExportError

_WHOLE_PX = 100_000
_FRAME = (360, 640)
_SEED = 20
_PHOTO_PX = 512
_VIEWS = (
    (512, 0, 0),
    (448, 0, 0),
    (448, 64, 64),
    (384, 0, 64),
    (384, 128, 0),
    (320, 0, 96),
    (320, 96, 160),
    (256, 0, 96),
)
"""Side, top and left of square views, pixels of the photo."""


def test_set(
    data: Path,
    name: str,
    most: int | None = None,  # noqa: PT028 - no test of pytest
) -> list[Labelled]:
    """The test split of a set at its own resolution; at most `most` of it, evenly chosen.

    Raises:
        ExportError: the set is missing, damaged or empty.
    """
    items = read_set(data / name, "test", _WHOLE_PX, most=most)
    if not items:
        raise ExportError(f"{data / name}: no test pictures")
    return items


def test_rooms(data: Path) -> list[Labelled]:
    """The test views and photos of rooms without people."""
    return [*test_set(data, "backgrounds"), *test_set(data, "backgrounds_rooms")]


def composited(data: Path) -> Iterator[Labelled]:
    """Every test cut-out once, as a webcam shows a person at a desk: 640x360, cut by the lower edge.

    Per cut-out one generator seeded with (20, its place in the manifest) draws the room, the height of the person, 60
    to 95 % of the frame (uniform), and the horizontal offset (normal, 8 % of the width). The room covers the frame
    and keeps its shape; the person keeps its shape, the lower end of the cut-out lies on the lower edge of the frame.
    No change of colour, no blur, no compression. The label is the pasted alpha.
    """
    rooms = test_rooms(data)
    for index, person in enumerate(test_set(data, "person/cutouts")):
        rng = np.random.default_rng([_SEED, index])
        room = cover(rooms[int(rng.integers(len(rooms)))].image, _FRAME)
        yield paste(person, room, height_share=rng.uniform(0.60, 0.95), offset=rng.normal(0, 0.08))


def cover(image: Image, size: tuple[int, int]) -> Image:
    """The middle of uint8 [H, W, 3] enlarged or shrunk to cover `size` (height, width)."""
    height, width = size
    scale = max(height / image.shape[0], width / image.shape[1])
    scaled = (max(width, round(image.shape[1] * scale)), max(height, round(image.shape[0] * scale)))
    large = cv2.resize(
        image, scaled, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    top, left = (scaled[1] - height) // 2, (scaled[0] - width) // 2
    return np.asarray(large[top : top + height, left : left + width], np.uint8)


def paste(person: Labelled, room: Image, height_share: float, offset: float) -> Labelled:
    """A cut-out before a room of uint8 [360, 640, 3], its lower end on the lower edge, with its alpha as the label.

    height_share: of the frame's height; offset: of the person's middle from that of the frame, share of the width.
    """
    height, width = _FRAME
    top, bottom, left, right = extent(person.alpha)
    scale = height_share * height / (bottom - top)
    size = (
        max(1, round(person.image.shape[1] * scale)),
        max(1, round(person.image.shape[0] * scale)),
    )
    shrink = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    colour, matte = (
        cv2.resize(x, size, interpolation=shrink) for x in (person.image, person.alpha)
    )
    x = round(width * (0.5 + offset) - (left + right) / 2 * scale)
    y = round(height - bottom * scale)
    shift = np.array([[1, 0, x], [0, 1, y]], np.float64)
    colour, matte = (
        cv2.warpAffine(p, shift, (width, height), flags=cv2.INTER_NEAREST) for p in (colour, matte)
    )
    weight = matte.astype(np.float32)[..., None] / 255
    image = np.rint(colour * weight + room * (1 - weight)).astype(np.uint8)
    return Labelled(
        person.name, image, np.asarray(matte, np.uint8), np.ones((height, width), np.uint8)
    )


def pictures(folder: Path, size: tuple[int, int], most: int) -> Image:
    """At most `most` pictures of a folder, evenly chosen by name: uint8 [N, H, W, 3] RGB, stretched to `size`.

    Raises:
        ExportError: the folder has no pictures, or one cannot be read.
    """
    paths = pictures_in(folder)
    if not paths:
        raise ExportError(f"{folder}: no .jpg or .png pictures")
    return np.stack([_picture(path, size) for path in evenly(paths, most)])


def own_pictures(size: tuple[int, int], most: int) -> Image:
    """At most 16 views of the photo that ships with the runtime: uint8 [N, H, W, 3] RGB of `size`.

    Half of them are mirrored; they show the person whole and cut, large and small.
    """
    photo = importlib.resources.files("vcam.sources").joinpath("astronaut.jpg")
    with importlib.resources.as_file(photo) as path:
        image = _picture(path, (_PHOTO_PX, _PHOTO_PX))
    views = [image[top : top + side, left : left + side] for side, top, left in _VIEWS]
    both = [np.ascontiguousarray(x) for view in views for x in (view, view[:, ::-1])]
    return np.stack([fit(view, size) for view in both[:most]])


def _picture(path: Path, size: tuple[int, int]) -> Image:
    return fit(read_image(path), size)


Box = tuple[slice, slice]
"""Rows and columns of an engine's input that show the picture."""
_BESIDE = {"letterbox": 128, "corner": 0}


def placed(image: Image, size: tuple[int, int], how: str) -> tuple[Image, Box]:
    """A picture in an input of `size` (height, width): uint8 [height, width, 3], new, and where in it.

    how: "stretch" to all of it; with its shape kept, "letterbox" in the middle with grey (128)
    beside it, or "corner" at the top left with black.
    """
    if how == "stretch":
        return fit(image, size), (slice(0, size[0]), slice(0, size[1]))
    scale = min(size[0] / image.shape[0], size[1] / image.shape[1])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    middle = how == "letterbox"
    top, left = ((size[0] - height) // 2, (size[1] - width) // 2) if middle else (0, 0)
    box = (slice(top, top + height), slice(left, left + width))
    whole = np.full((*size, 3), _BESIDE[how], np.uint8)
    whole[box] = fit(image, (height, width))
    return whole, box


def fit(image: Image, size: tuple[int, int]) -> Image:
    """Stretch uint8 [H, W, 3] to `size` (height, width), averaging where it shrinks."""
    shrinks = size[0] < image.shape[0] and size[1] < image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size[::-1], interpolation=method), np.uint8)
