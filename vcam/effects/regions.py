"""Soft masks in frame pixels from the planes of a parsed face."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.effects.outlines import face_height
from vcam.frame import FaceClass, FaceRegions, Frame, Plane, Size
from vcam.geometry import Box

Float = NDArray[np.float32]
_UNSURE, _SURE = 0.2, 0.8
"""A mask is 0 up to the first probability and full from the second on, so low probabilities have no
effect.
"""

_TONE_STEP = 8
_SURE_SKIN = 0.65
_BARE = (50, 280, 101, 330, 205, 425, 151, 9, 108, 337)
"""Points of the mesh on cheeks and forehead."""
_HAIRLINE = 1.2
"""Height of a face, chin to hairline, as a multiple of its mesh's."""


@dataclass(frozen=True, slots=True)
class Patch:
    """The same rectangle of three planes: y uint8 [h, w], u and v uint8 [h / 2, w / 2]; views,
    limited range.
    """

    y: Plane
    u: Plane
    v: Plane


@dataclass(frozen=True, slots=True)
class Tone:
    """The mean colour of a face's skin, limited range."""

    y: float
    u: float
    v: float


def patch_of(frame: Frame, box: Box) -> Patch:
    """The views of a frame inside a box."""
    return Patch(box.of(frame.y), box.of_chroma(frame.u), box.of_chroma(frame.v))


def region_box(
    face: FaceRegions, classes: Iterable[FaceClass], size: Size, margin: float = 0.0
) -> Box | None:
    """Smallest box around some classes, in frame pixels; None if they are not visible.

    Args:
        face: a parsed face.
        classes: combined.
        size: of the frame.
        margin: added on every side, as a share of the region's larger side.
    """
    left, top, width, height = cv2.boundingRect(_together(face, classes))
    if not width:
        return None
    corners = np.array(
        [[left, left + width, left, left + width], [top, top, top + height, top + height], [1] * 4]
    )
    x, y = face.to_frame @ corners
    grow = margin * max(np.ptp(x), np.ptp(y)) + 1
    box = Box(
        _even(max(0, y.min() - grow)),
        _even(min(size[1], y.max() + grow + 1)),
        _even(max(0, x.min() - grow)),
        _even(min(size[0], x.max() + grow + 1)),
    )
    return box if box.bottom > box.top and box.right > box.left else None


def region_mask(
    face: FaceRegions, classes: Iterable[FaceClass], box: Box, shrink: int = 1
) -> Plane:
    """The share of each pixel of a box that belongs to some classes.

    Args:
        face: a parsed face.
        classes: combined.
        box: in frame pixels.
        shrink: 1 for the luma plane, 2 for the chroma planes.

    Returns:
        uint8 [h / shrink, w / shrink], 0..255, a new array.
    """
    return plane_mask(_together(face, classes), face.to_frame, box, shrink)


def plane_mask(plane: Plane, to_frame: NDArray[np.float64], box: Box, shrink: int = 1) -> Plane:
    """Resample a plane of a parse in a box of the frame.

    Args:
        plane: uint8 [h, w], in the pixels of the parse.
        to_frame: maps parse pixels to frame pixels; see `FaceRegions`.
        box: in frame pixels.
        shrink: 1 for the luma plane, 2 for the chroma planes.

    Returns:
        uint8 [box height / shrink, box width / shrink], a new array.
    """
    matrix = to_frame.copy()
    matrix[:, 2] += to_frame[:, :2] @ (0.5, 0.5) - (box.left, box.top)
    matrix /= shrink
    matrix[:, 2] -= 0.5
    size = ((box.right - box.left) // shrink, (box.bottom - box.top) // shrink)
    return np.asarray(cv2.warpAffine(plane, matrix, size, flags=cv2.INTER_LINEAR), np.uint8)


def is_parsed(face: FaceRegions) -> bool:
    """Whether a parser has processed the face."""
    return bool(face.probs[FaceClass.SKIN].any())


def skin_tone(face: FaceRegions, frame: Frame) -> Tone | None:
    """Mean skin colour, on every eighth pixel of the face's planes; before the first parse, at some
    points of the mesh; None if no skin is visible.
    """
    half = _TONE_STEP // 2
    sure = face.probs[FaceClass.SKIN, half::_TONE_STEP, half::_TONE_STEP] > 255 * _SURE_SKIN
    rows, columns = np.nonzero(sure)
    places = np.stack([columns * _TONE_STEP + half, rows * _TONE_STEP + half, np.ones_like(rows)])
    place = face.to_frame @ places
    if not rows.size and face.points is not None:
        place = face.points[list(_BARE), :2].T.astype(np.float64)
    x, y = np.rint(place).astype(np.intp)
    width, height = frame.size
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    if not inside.any():
        return None
    x, y = x[inside], y[inside]
    return Tone(
        *(
            float(p.mean())
            for p in (frame.y[y, x], frame.u[y >> 1, x >> 1], frame.v[y >> 1, x >> 1])
        )
    )


def face_height_px(face: FaceRegions) -> float:
    """Height in frame pixels, chin to hairline; without a mesh, four standard deviations of the
    rows, as for an ellipse.
    """
    if face.points is not None:
        return _HAIRLINE * face_height(face.points)
    moments = cv2.moments(_together(face, tuple(FaceClass)[FaceClass.SKIN :]))
    if not moments["m00"]:
        return 0.0
    scale = float(np.sqrt(abs(np.linalg.det(face.to_frame[:, :2]))))
    return float(4 * np.sqrt(moments["mu02"] / moments["m00"]) * scale)


def ramp(values: Float, low: float, high: float) -> Float:
    """0 up to `low`, 1 from `high` on, linear in between; falling if low is above high. A new
    float32 array.
    """
    return np.asarray(
        np.clip((values - np.float32(low)) * np.float32(1 / (high - low)), 0, 1), np.float32
    )


def bright_level(values: Float) -> float:
    """The 80th percentile (np.percentile takes ten times as long for so few values)."""
    return float(np.sort(values, axis=None)[values.size * 4 // 5])


def above(mask: Plane, level: int) -> Plane:
    """255 where the mask is above the level, else 0."""
    return np.asarray(cv2.threshold(mask, level, 255, cv2.THRESH_BINARY)[1], np.uint8)


def unit(mask: Plane) -> Float:
    """Convert a mask 0..255 to float32 0..1, a new array."""
    return mask.astype(np.float32) * np.float32(1 / 255)


def resized(plane: Float | Plane, like: NDArray[np.uint8]) -> Float:
    """Resize a plane to the size of another, as float32: by area if it shrinks, bilinearly if it
    grows.
    """
    size = (like.shape[1], like.shape[0])
    method = cv2.INTER_AREA if plane.shape[0] > like.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(plane, size, interpolation=method), np.float32)


def add(plane: Plane, change: Float, out: Plane) -> None:
    """Round plane + change to uint8 into `out`, which may be `plane`."""
    cv2.add(plane, change, dst=out, dtype=cv2.CV_8U)


def _together(face: FaceRegions, classes: Iterable[FaceClass]) -> Plane:
    """Sharpened sum of some planes, uint8 [h, w]."""
    first, *others = (face.probs[c] for c in classes)
    total = first
    for plane in others:
        total = np.asarray(cv2.add(total, plane), np.uint8)
    above = cv2.subtract(total, round(255 * _UNSURE))  # type: ignore[call-overload]
    return np.asarray(cv2.convertScaleAbs(above, alpha=1 / (_SURE - _UNSURE)), np.uint8)


def _even(value: float) -> int:
    return int(value) // 2 * 2
