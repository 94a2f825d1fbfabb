"""Soft masks in frame pixels from a face's mesh: lips, eyes, irises, brows, skin.

Outlines are closed splines through points of the mesh, drawn at several times the size and scaled
down for antialiasing. Faces without a mesh get their areas from the parser's planes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.effects.outlines import (
    BROWS,
    EYES,
    IRISES,
    LIPS_INNER,
    LIPS_OUTER,
    MOUTH_CORNERS,
    Outline,
    Points,
    apart,
    area,
    eye_width,
    outline,
    raised_oval,
    smooth_outline,
)
from vcam.effects.regions import (
    is_parsed,
    patch_of,
    plane_mask,
    ramp,
    region_box,
    region_mask,
    skin_tone,
    unit,
)
from vcam.frame import FaceClass, FaceRegions, Frame, Plane, Size
from vcam.geometry import Box

_FINE_PIXELS = 60_000
"""Boxes up to this size are drawn at four times the size, larger ones at twice."""
_LIP_SOFT, _EYE_SOFT, _SKIN_SOFT = 0.012, 0.012, 0.015
"""Standard deviation of a soft edge, as a share of the width of mouth, eye or face."""
_LID = 0.015
"""Distance inside the lids at which an effect ends, as a share of the eye's width."""
_BROW_THICKER = 1.2
_SPARED = 1.1
"""Enlargement of eyes and mouth when they are cut out of the skin."""
_SEEN = (0.6, 0.8)
"""Share of the lips that the parser sees: below the second value something may cover them, and
the face's own colours are checked."""
_RING = (1.12, 1.5)
"""The ring of skin around the mouth, between two enlargements of the lips' outline."""
_REDDER, _CONTRAST = 2.0, 3.0
"""Minimum difference in Cr, and in chroma, between lips and surrounding skin, in levels."""
_LIKE_LIPS = (0.2, 0.55)
"""Position between skin colour (0) and lip colour (1): hands and cups are below the first value."""
_APART, _EVEN = (1.35, 1.7), (3.5, 2.5)
"""If the parser sees no lips: minimum contrast of the mesh's lips, in standard deviations of
chroma, and maximum variation of the ring, in levels. Measured on 20 portraits: nine of ten bare
mouths have a contrast of 1.6 or more; with a hand, a microphone or food in front it is 1.3 or less;
the ring varies by less than 2.2 levels, with food by more than 4.5."""
_DARK = (0.3, 0.45)
"""Luma as a share of the skin's: darker pixels (a microphone, a moustache) are not lips."""
_FEW = 12


@dataclass(frozen=True, slots=True)
class Area:
    """A part of a face. mask: uint8 [box height, box width], 0..255."""

    box: Box
    mask: Plane


def box_around(corners: NDArray[np.float32], size: Size, grow: float = 2.0) -> Box | None:
    """Smallest even box around points with a margin, in frame pixels; None if it is empty."""
    low, high = corners[:, :2].min(axis=0) - grow, corners[:, :2].max(axis=0) + grow
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        return None
    left, top = (int(max(0.0, v)) // 2 * 2 for v in low)
    right, bottom = (
        int(min(float(most), v + 2)) // 2 * 2 for v, most in zip(high, size, strict=True)
    )
    box = Box(top, bottom, left, right)
    return box if bottom > top and right > left else None


def filled(outlines: Iterable[Outline], box: Box, soft_px: float = 0.0) -> Plane:
    """Draw polygons as a mask of a box, with the even-odd rule.

    Args:
        outlines: in frame pixels.
        box: of the mask.
        soft_px: standard deviation of the edge.

    Returns:
        uint8 [h, w], 0..255, a new array.
    """
    width, height = box.right - box.left, box.bottom - box.top
    scale = 4 if width * height <= _FINE_PIXELS else 2
    canvas = np.zeros((height * scale, width * scale), np.uint8)
    cv2.fillPoly(canvas, [_fixed(corners, box, scale) for corners in outlines], 255, shift=4)
    return _shrunk(canvas, (width, height), soft_px)


def _fixed(corners: Outline, box: Box, scale: int) -> NDArray[np.int32]:
    """Convert to sixteenths of a canvas pixel; OpenCV puts pixel centres at whole numbers."""
    place = (corners - (box.left, box.top)) * scale - 0.5
    return np.asarray(np.rint(np.clip(place, -16000, 16000) * 16), np.int32)


def _shrunk(canvas: Plane, size: Size, soft_px: float) -> Plane:
    mask = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA)
    return _softened(mask, soft_px)


def _softened(mask: cv2.typing.MatLike, soft_px: float) -> Plane:
    soft = mask if soft_px < 0.3 else cv2.GaussianBlur(mask, (0, 0), soft_px)
    return np.asarray(soft, np.uint8)


def enlarged(corners: Outline, scale: float) -> Outline:
    """Scale a polygon around its centre."""
    middle = corners.mean(axis=0)
    return np.asarray(middle + scale * (corners - middle), np.float32)


def _times(mask: Plane, gate: Plane) -> Plane:
    return np.asarray(cv2.multiply(mask, gate, scale=1 / 255), np.uint8)


def lips_area(face: FaceRegions, size: Size) -> Area | None:
    """The lips without the opening between them; None if they are not visible."""
    points = face.points
    if points is None:
        return _parsed_area(face, FaceClass.LIPS, size, without=FaceClass.TEETH)
    outer, inner = (smooth_outline(outline(points, part)) for part in (LIPS_OUTER, LIPS_INNER))
    soft_px = _LIP_SOFT * apart(points, MOUTH_CORNERS)
    box = box_around(outer, size, 2 + 3 * soft_px)
    if box is None:
        return None
    mask = cv2.subtract(filled([outer], box, soft_px), filled([inner], box, soft_px))
    return Area(box, _mouth_gated(face, np.asarray(mask, np.uint8), box))


def mouth_area(face: FaceRegions, size: Size) -> Area | None:
    """The opening between the lips; None if they are closed."""
    points = face.points
    if points is None:
        return _parsed_area(face, FaceClass.TEETH, size)
    inner = smooth_outline(outline(points, LIPS_INNER))
    box = box_around(inner, size)
    if box is None:
        return None
    mask = filled([inner], box, 0.5 * _LIP_SOFT * apart(points, MOUTH_CORNERS))
    return Area(box, _mouth_gated(face, mask, box))


def mouth_opening(points: Points) -> float:
    """Area between the lips divided by the mouth's squared width."""
    return area(outline(points, LIPS_INNER)) / max(apart(points, MOUTH_CORNERS) ** 2, 1e-3)


def _mouth_gated(face: FaceRegions, mask: Plane, box: Box) -> Plane:
    if face.gates is None:
        return mask
    return _times(mask, plane_mask(face.gates.mouth, face.to_frame, box))


def eye_area(face: FaceRegions, side: int, size: Size) -> Area | None:
    """The area between the lids; side: 0 left, 1 right in an upright face; None if not visible."""
    points = face.points
    if points is None:
        which = (FaceClass.LEFT_EYE, FaceClass.RIGHT_EYE)[side]
        return _parsed_area(face, which, size, margin=0.1)
    corners = smooth_outline(outline(points, EYES[side]))
    width = eye_width(points, side)
    box = box_around(corners, size, 2 + 0.1 * width)
    if box is None:
        return None
    shape = (box.right - box.left, box.bottom - box.top)
    scale = 4
    canvas = np.zeros((shape[1] * scale, shape[0] * scale), np.uint8)
    drawn = _fixed(corners, box, scale)
    cv2.fillPoly(canvas, [drawn], 255, shift=4)
    rim = max(1, round(2 * _LID * width * scale))
    cv2.polylines(canvas, [drawn], True, 0, rim, shift=4)
    mask = _shrunk(canvas, shape, _EYE_SOFT * width)
    if face.gates is not None:
        mask = _times(mask, plane_mask(face.gates.eyes, face.to_frame, box))
    return Area(box, mask)


def iris_circle(points: Points, side: int) -> tuple[float, float, float]:
    """Centre x, y and radius of an iris in frame pixels."""
    middle, *ring = points[list(IRISES[side]), :2]
    radius = float(np.linalg.norm(np.stack(ring) - middle, axis=1).mean())
    return float(middle[0]), float(middle[1]), radius


def brow_area(face: FaceRegions, side: int, size: Size) -> Area | None:
    """A brow; from the parser, which sees the hairs, if there is a parse."""
    which = (FaceClass.LEFT_BROW, FaceClass.RIGHT_BROW)[side]
    if is_parsed(face) or face.points is None:
        return _parsed_area(face, which, size)
    corners = enlarged(outline(face.points, BROWS[side]), _BROW_THICKER)
    soft_px = 2 * _EYE_SOFT * eye_width(face.points, side)
    box = box_around(corners, size, 2 + 3 * soft_px)
    return None if box is None else Area(box, filled([smooth_outline(corners)], box, soft_px))


def skin_area(face: FaceRegions, size: Size) -> Area | None:
    """The skin of the face without eyes, mouth and brows."""
    points = face.points
    if points is None:
        return _parsed_area(face, FaceClass.SKIN, size)
    oval = raised_oval(points)
    parsed = is_parsed(face)
    box = region_box(face, [FaceClass.SKIN], size) if parsed else box_around(oval, size)
    if box is None:
        return None
    soft_px = _SKIN_SOFT * float(np.ptp(oval[:, 0]))
    if parsed:
        mask = region_mask(face, [FaceClass.SKIN], box)
    else:
        mask = filled([smooth_outline(oval)], box, soft_px)
    parts = [*(outline(points, eye) for eye in EYES), outline(points, LIPS_OUTER)]
    spared = [enlarged(part, _SPARED) for part in parts]
    if not parsed:
        spared += [enlarged(outline(points, brow), _BROW_THICKER) for brow in BROWS]
    for part in spared:
        near = box_around(part, size, 2 + 2 * soft_px)
        inside = None if near is None else _within(near, box)
        if inside is not None:
            target = _cut(mask, box, inside)
            cv2.subtract(target, filled([smooth_outline(part)], inside, 0.5 * soft_px), dst=target)
    return Area(box, mask)


def on_skin(face: FaceRegions, mask: Plane, box: Box) -> Plane:
    """Remove pixels that the parser does not label as skin (hair, glasses, brows, eyes); before the
    first parse, remove those outside the face's oval.
    """
    if is_parsed(face):
        return _times(mask, region_mask(face, [FaceClass.SKIN], box))
    if face.points is None:
        return mask
    return _times(mask, filled([smooth_outline(raised_oval(face.points))], box))


def _within(one: Box, other: Box) -> Box | None:
    box = Box(
        max(one.top, other.top),
        min(one.bottom, other.bottom),
        max(one.left, other.left),
        min(one.right, other.right),
    )
    return box if box.bottom > box.top and box.right > box.left else None


def _cut(mask: Plane, box: Box, inside: Box) -> Plane:
    rows = slice(inside.top - box.top, inside.bottom - box.top)
    return mask[rows, inside.left - box.left : inside.right - box.left]


def _parsed_area(
    face: FaceRegions,
    which: FaceClass,
    size: Size,
    without: FaceClass | None = None,
    margin: float = 0.0,
) -> Area | None:
    box = region_box(face, [which], size, margin)
    if box is None:
        return None
    mask = region_mask(face, [which], box)
    if without is not None:
        mask = np.asarray(cv2.subtract(mask, region_mask(face, [without], box)), np.uint8)
    return Area(box, mask)


def lip_coloured(face: FaceRegions, frame: Frame, box: Box) -> NDArray[np.float32] | None:
    """How closely each pixel matches the colour of these lips rather than the skin around them.

    Needed only if the parser does not see the whole mouth, because something may cover it.

    Args:
        face: its parts in the coordinates of `frame`.
        frame: the picture before any effect changed this mouth.
        box: the area to judge.

    Returns:
        float32 [h, w], 0..1, for the luma plane; None: no pixel is ruled out.
    """
    if face.points is None or face.gates is None or face.gates.mouth_seen >= _SEEN[1]:
        return None
    doubt = _between(face.gates.mouth_seen, _SEEN[1], _SEEN[0])
    shape = (box.bottom - box.top, box.right - box.left)
    colours = _skin_and_lips(face, face.points, frame)
    if colours is None:
        return np.full(shape, 1 - doubt, np.float32)
    skin, own, sure = colours
    way = own - skin
    patch = patch_of(frame, box)
    chroma = np.stack([patch.u, patch.v], axis=-1).astype(np.float32)
    along = np.asarray((chroma - skin) @ way / float(way @ way), np.float32)
    alike = ramp(np.asarray(cv2.blur(along, (3, 3)), np.float32), *_LIKE_LIPS)
    full = np.asarray(cv2.resize(alike, shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
    tone = skin_tone(face, frame)
    if tone is not None:
        light = patch.y.astype(np.float32) - 16
        full *= ramp(light, *(share * (tone.y - 16) for share in _DARK))
    return np.asarray(1 - doubt * (1 - sure * full), np.float32)


def _skin_and_lips(
    face: FaceRegions, points: Points, frame: Frame
) -> tuple[NDArray[np.float32], NDArray[np.float32], float] | None:
    """(Cb, Cr) of the skin around the mouth and of the lips, and the confidence in them, 0..1; None
    if the two are too similar.
    """
    outer, inner = (smooth_outline(outline(points, part)) for part in (LIPS_OUTER, LIPS_INNER))
    box = box_around(enlarged(outer, _RING[1]), frame.size)
    if box is None:
        return None
    lips = cv2.subtract(filled([outer], box), filled([inner], box))
    ring = filled([enlarged(outer, _RING[1]), enlarged(outer, _RING[0])], box)
    patch = patch_of(frame, box)
    half = (patch.u.shape[1], patch.u.shape[0])
    is_lip, is_ring = (
        np.asarray(cv2.resize(m, half, interpolation=cv2.INTER_AREA)) > 200 for m in (lips, ring)
    )
    tone = skin_tone(face, frame)
    if tone is not None:
        luma = cv2.resize(patch.y, half, interpolation=cv2.INTER_AREA)
        lit = luma > 16 + _DARK[1] * (tone.y - 16)
        is_lip, is_ring = is_lip & lit, is_ring & lit
    parsed = is_lip & (region_mask(face, [FaceClass.LIPS], box, shrink=2) > 200)
    is_seen = bool(parsed.sum() >= _FEW)
    is_lip = parsed if is_seen else is_lip
    if is_lip.sum() < _FEW or is_ring.sum() < _FEW:
        return None
    chroma = np.stack([patch.u, patch.v], axis=-1).astype(np.float32)
    skin, own = (np.median(chroma[where], axis=0) for where in (is_ring, is_lip))
    way = own - skin
    if way[1] < _REDDER or np.hypot(*way) < _CONTRAST:
        return None
    inside, around = ((chroma[where] - skin) @ way for where in (is_lip, is_ring))
    spread = np.sqrt((inside.var() + around.var()) / 2) + np.hypot(*way)
    apart_by = float((inside.mean() - around.mean()) / spread)
    even = float(chroma[is_ring].std(axis=0).mean())
    sure = 1.0 if is_seen else _between(apart_by, *_APART) * _between(even, *_EVEN)
    return np.asarray(skin, np.float32), np.asarray(own, np.float32), sure


def _between(value: float, low: float, high: float) -> float:
    """0 up to `low`, 1 from `high` on, linear in between; falling if low is above high."""
    return float(np.clip((value - low) / (high - low), 0, 1))


def gated(mask: Plane, gate: NDArray[np.float32] | None) -> Plane:
    """Multiply a mask by a gate, if there is one."""
    if gate is None:
        return mask
    return np.asarray(np.rint(unit(mask) * gate * 255), np.uint8)
