"""The effect `eyes`: another colour of the iris, and nothing else of the eye."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vcam.effects.face import FaceEffect
from vcam.effects.regions import Float, Patch, above, add, patch_of, ramp, region_box, region_mask, resized, unit
from vcam.frame import FaceClass, FaceRegions, Frame, Plane, ycbcr_of

EYES = (FaceClass.LEFT_EYE, FaceClass.RIGHT_EYE)
_WORK_PX = 32
"""Width of an eye on which its iris is looked for."""
_IRIS_SHARE = 0.2
"""Radius of the iris as a share of the eye's width: 11.7 mm across in an opening of about 30 mm."""
_CONTRAST = (8.0, 20.0)
"""Levels that the white must be brighter than the iris: below the first, no iris was found."""
_LEAST_WIDTH_PX = 8
"""Narrower eyes are left alone."""
_COVER = 0.9
_TONE = 0.3
"""Shares of the way to the colour's chroma and luma, at full strength."""
_LIMIT_LEVELS = 24.0
"""Most that the iris's mean luma moves."""


@dataclass(frozen=True, slots=True)
class Iris:
    """A circle in a patch's luma pixels (centres at +0.5), the mean luma inside it and of the white around it.

    sure: 0..1.
    """

    x: float
    y: float
    radius: float
    dark: float
    white: float
    sure: float


class Eyes(FaceEffect):
    """Recolours irises. color: (R, G, B) 0..255; strength 0..1."""

    def __init__(self, color: tuple[int, int, int], strength: float = 0.6) -> None:
        super().__init__(strength)
        self._color = color

    def change(self, face: FaceRegions, strength: float, out: Frame) -> None:
        for eye in EYES:
            box = region_box(face, [eye], out.size, margin=0.1)
            if box is None:
                continue
            patch, mask = patch_of(out, box), region_mask(face, [eye], box)
            iris = find_iris(patch.y, mask)
            if iris is not None:
                recolor(patch, mask, iris, ycbcr_of(self._color, out.matrix), strength, patch)


def find_iris(luma: Plane, mask: Plane) -> Iris | None:
    """The darkest disc of an iris's size inside an eye.

    Args:
        luma: uint8 [h, w], the eye with a margin.
        mask: uint8 [h, w], 0..255, between the lids.

    Returns:
        None where the eye is closed or too small.
    """
    _, _, width, height = cv2.boundingRect(above(mask, 127))
    if width < _LEAST_WIDTH_PX or height * 8 < width:
        return None
    scale = _WORK_PX / width
    size = (max(4, round(luma.shape[1] * scale)), max(4, round(luma.shape[0] * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = np.asarray(cv2.resize(luma, size, interpolation=method), np.float32)
    inside = unit(np.asarray(cv2.resize(mask, size, interpolation=method), np.uint8))
    inside = np.asarray(cv2.erode(inside, np.ones((3, 3), np.uint8)), np.float32)  # lashes and lid shadows
    lit = small[inside > 0.5]
    if lit.size < 12:
        return None
    small = np.minimum(small, np.float32(np.percentile(lit, 80)))  # reflections count as white
    found = _darkest_disc(small, inside, _IRIS_SHARE * _WORK_PX)
    if found is None:
        return None
    x, y, dark, white = found
    sure = float(np.clip((white - dark - _CONTRAST[0]) / (_CONTRAST[1] - _CONTRAST[0]), 0, 1))
    grow_x, grow_y = luma.shape[1] / size[0], luma.shape[0] / size[1]
    return Iris((x + 0.5) * grow_x, (y + 0.5) * grow_y, _IRIS_SHARE * width, dark, white, sure)


def _darkest_disc(luma: Float, inside: Float, radius: float) -> tuple[float, float, float, float] | None:
    """Centre x and y, mean luma of the disc, and of the ring around it; normalised by what is between the lids."""
    disc = _disc(radius)
    ring = _disc(1.9 * radius)
    pad = (ring.shape[0] - disc.shape[0]) // 2
    ring -= np.pad(disc, pad)

    def mean(kernel: Float) -> tuple[Float, Float]:
        weight = cv2.filter2D(inside, cv2.CV_32F, kernel, borderType=cv2.BORDER_CONSTANT)
        total = cv2.filter2D(inside * luma, cv2.CV_32F, kernel, borderType=cv2.BORDER_CONSTANT)
        return np.asarray(total / np.maximum(weight, 1e-3), np.float32), np.asarray(weight, np.float32)

    (dark, seen), (white, around) = mean(disc), mean(ring)
    full = float(disc.sum())
    score = (
        (white - dark) * np.minimum(seen / np.float32(0.5 * full), 1) * np.minimum(around / np.float32(0.3 * full), 1)
    )
    score[inside < 0.5] = 0
    best = float(score.max())
    if best <= 0:
        return None
    weight = np.maximum(score - np.float32(0.85 * best), 0)  # a mean of the best places trembles less than the best one
    weight /= weight.sum()
    rows, columns = np.indices(weight.shape, np.float32)
    return tuple(float((weight * v).sum()) for v in (columns, rows, dark, white))  # type: ignore[return-value]


def _disc(radius: float) -> Float:
    """float32 [n, n], n odd: 1 inside a circle about the centre, falling to 0 over one pixel."""
    reach = int(np.ceil(radius))
    steps = np.arange(-reach, reach + 1, dtype=np.float32)
    return np.asarray(np.clip(radius + 0.5 - np.hypot(steps, steps[:, None]), 0, 1), np.float32)


def iris_weight(luma: Plane, mask: Plane, iris: Iris) -> Float:
    """float32 [h, w], 0..1: the iris and its pupil, without lids, white and reflections."""
    distance = _distance(luma, iris)
    weight = ramp(distance, 1.25 * iris.radius, iris.radius) * unit(mask)
    bright = iris.dark + 0.55 * (iris.white - iris.dark), iris.dark + 0.9 * (iris.white - iris.dark)
    return np.asarray(weight * ramp(luma.astype(np.float32), bright[1], bright[0]), np.float32)


def _distance(luma: Plane, iris: Iris) -> Float:
    rows, columns = (np.arange(n, dtype=np.float32) + 0.5 for n in luma.shape)
    return np.asarray(np.hypot(columns - np.float32(iris.x), (rows - np.float32(iris.y))[:, None]), np.float32)


def recolor(patch: Patch, mask: Plane, iris: Iris, color: tuple[int, int, int], strength: float, out: Patch) -> None:
    """Give the iris another colour; its pattern of light and dark stays.

    Args:
        patch: the eye.
        mask: uint8 [h, w], 0..255, of the luma plane: between the lids.
        iris: where it is.
        color: (Y, Cb, Cr), limited range.
        strength: 0..1.
        out: receives the planes; may be `patch`.
    """
    weight = iris_weight(patch.y, mask, iris) * np.float32(strength * iris.sure)
    light = patch.y.astype(np.float32) - 16
    target = float(color[0] - 16)
    lift = float(np.clip(_TONE * (target - (iris.dark - 16)), -_LIMIT_LEVELS, _LIMIT_LEVELS))
    outside_pupil = ramp(_distance(patch.y, iris), 0.3 * iris.radius, 0.55 * iris.radius)
    half = resized(weight, patch.u)
    shade = np.clip(resized(light + lift, patch.u) / np.float32(max(target, 24)), 0.3, 1)
    for plane, level, goal in ((patch.u, color[1], out.u), (patch.v, color[2], out.v)):
        wanted = np.float32(level - 128) * shade + 128
        add(plane, half * np.float32(_COVER) * (wanted - plane), goal)
    add(patch.y, weight * outside_pupil * np.float32(lift), out.y)
