"""A drawn face of which every pixel's class is known, and photographs with labels where they are at
hand.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.data import SHARED, why_absent
from vcam.colour import from_rgb
from vcam.effects import make_effect
from vcam.effects.base import Scene
from vcam.face.fake import planes_of
from vcam.face.parser import Crop
from vcam.frame import FaceClass, FaceRegions, Frame, Matrix, Plane
from vcam.matting.pyramid import Pyramid
from vcam.matting.refine import Mask
from vcam.pictures import pad_to_even
from vcam.sources.image import read_image

DATA = SHARED / "data" / "face" / "real"

ROOM, HAIR, SKIN, BROW, WHITE, IRIS = (
    (70, 90, 120),
    (40, 30, 25),
    (205, 150, 125),
    (70, 50, 40),
    (225, 222, 220),
    (95, 60, 40),
)
LIPS, TEETH, THROAT, TONGUE, RED = (
    (175, 80, 80),
    (215, 205, 165),
    (50, 15, 15),
    (180, 75, 75),
    (215, 30, 40),
)

PAINTS = (
    (ROOM, FaceClass.BACKGROUND),
    (HAIR, FaceClass.PERSON),
    (THROAT, FaceClass.PERSON),
    (TONGUE, FaceClass.PERSON),
    (SKIN, FaceClass.SKIN),
    (BROW, FaceClass.LEFT_BROW),
    (WHITE, FaceClass.LEFT_EYE),
    (IRIS, FaceClass.LEFT_EYE),
    (LIPS, FaceClass.LIPS),
    (TEETH, FaceClass.TEETH),
)
"""The colours of a drawn face and what they mean; left and right cannot be told apart by colour."""


@dataclass(frozen=True, slots=True)
class Face:
    """How to draw one: the middle and the height in pixels; gaze in eye widths; open: the mouth,
    0..1.
    """

    x: float = 160.0
    y: float = 120.0
    height: float = 160.0
    gaze: float = 0.0
    open: float = 1.0
    closed_eyes: bool = False
    red: bool = False


def draw(*faces: Face, size: tuple[int, int] = (320, 240)) -> tuple[NDArray[np.uint8], Plane]:
    """Draw faces on a plain room: uint8 [H, W, 3] RGB, and labels uint8 [H, W]."""
    picture = np.full((size[1], size[0], 3), ROOM, np.uint8)
    labels = np.zeros((size[1], size[0]), np.uint8)
    for face in faces:
        _Pen(picture, labels, face).draw()
    return picture, labels


class _Pen:
    def __init__(self, picture: NDArray[np.uint8], labels: Plane, face: Face) -> None:
        self._picture, self._labels, self._face = picture, labels, face

    def draw(self) -> None:
        face = self._face
        self._ellipse(0, -0.05, 0.42, 0.58, HAIR, FaceClass.PERSON)
        self._ellipse(0, 0, 0.36, 0.5, SKIN, FaceClass.SKIN)
        for side, brow, eye in (
            (-1, FaceClass.LEFT_BROW, FaceClass.LEFT_EYE),
            (1, FaceClass.RIGHT_BROW, FaceClass.RIGHT_EYE),
        ):
            self._ellipse(0.16 * side, -0.2, 0.1, 0.02, BROW, brow)
            if face.closed_eyes:
                continue
            self._ellipse(0.16 * side, -0.1, 0.08, 0.034, WHITE, eye)
            inside = self._labels == eye
            iris = 0.16 * side + 0.16 * face.gaze
            self._ellipse(iris, -0.1, 0.032, 0.032, IRIS, None, inside)
            self._ellipse(iris, -0.1, 0.013, 0.013, RED if face.red else (12, 10, 10), None, inside)
        self._ellipse(0, 0.27, 0.15, 0.05 + 0.05 * face.open, LIPS, FaceClass.LIPS)
        if face.open:
            self._ellipse(0, 0.27, 0.12, 0.06 * face.open, THROAT, FaceClass.PERSON)
            mouth = np.all(self._picture == THROAT, axis=2)
            self._ellipse(0, 0.31, 0.06, 0.02 * face.open, TONGUE, None, mouth)
            self._ellipse(0, 0.25, 0.11, 0.025 * face.open, TEETH, FaceClass.TEETH, mouth)

    def _ellipse(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        colour: tuple[int, int, int],
        label: FaceClass | None,
        inside: NDArray[np.bool_] | None = None,
    ) -> None:
        face, shape = self._face, self._labels.shape
        down = (np.arange(shape[0], dtype=np.float32)[:, None] + 0.5 - face.y) / face.height - y
        across = (np.arange(shape[1], dtype=np.float32) + 0.5 - face.x) / face.height - x
        hit = (across / rx) ** 2 + (down / ry) ** 2 <= 1
        if inside is not None:
            hit &= inside
        self._picture[hit] = colour
        if label is not None:
            self._labels[hit] = label


def regions_of(labels: Plane, presence: float = 1.0) -> FaceRegions:
    """The one face of some labels, as an engine would parse it."""
    rows, columns = np.nonzero(labels >= FaceClass.SKIN)
    side = 2.0 * float(np.ptp(rows) + 1)
    crop = Crop(float(columns.mean()), float(rows.mean()), side)
    probs = planes_of(labels, crop)
    return FaceRegions(probs, crop.to_frame(probs.shape[2]), presence)


def scene_of(frame: Frame, *faces: FaceRegions, time_ns: int = 0) -> Scene:
    """What a face effect sees."""
    return Scene(
        frame, Pyramid.of(frame).low, Mask.nobody(np.zeros((1, 1), np.uint8)), time_ns, faces=faces
    )


def apply(text: str, frame: Frame, *faces: FaceRegions) -> Frame:
    """The frame after one effect."""
    with make_effect(text) as effect:
        return effect.apply(scene_of(frame, *faces))


def photographs(*names: str) -> list[tuple[str, Frame, Plane]]:
    """Test photographs by the beginnings of their names, with their labels.

    Skips the test where they are not at hand.
    """
    if not DATA.is_dir():
        pytest.skip(why_absent(DATA))
    found = sorted(path for name in names for path in (DATA / "images").glob(f"{name}*.jpg"))
    assert found
    result = []
    for path in found:
        labels = cv2.imread(str(DATA / "labels" / f"{path.stem}.png"), cv2.IMREAD_GRAYSCALE)
        frame = from_rgb(pad_to_even(read_image(path)), Matrix.BT601)
        assert labels is not None
        height, width = labels.shape
        even = cv2.copyMakeBorder(labels, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        result.append((path.stem, frame, np.asarray(even, np.uint8)))
    return result


def checked(
    labels: Plane, classes: tuple[FaceClass, ...], shrink: int = 1, inner: int = 0, outer: int = 0
) -> NDArray[np.bool_]:
    """Where labels are one of some classes, narrowed or widened by pixels, at luma or chroma
    resolution.
    """
    chosen = np.zeros(256, np.uint8)
    chosen[list(classes)] = 1
    hit = chosen[labels]
    if inner:
        hit = np.asarray(cv2.erode(hit, np.ones((2 * inner + 1,) * 2, np.uint8)), np.uint8)
    if outer:
        hit = np.asarray(cv2.dilate(hit, np.ones((2 * outer + 1,) * 2, np.uint8)), np.uint8)
    rows, columns = hit.shape[0] // shrink, hit.shape[1] // shrink
    blocks = hit.reshape(rows, shrink, columns, shrink)
    whole = blocks.max(axis=(1, 3)) if outer else blocks.min(axis=(1, 3))
    return np.asarray(whole > 0)
