"""The effect `eyes`: recolour the iris and nothing else of the eye."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from vcam.colour import ycbcr_of
from vcam.effects.areas import Area, eye_area, iris_circle
from vcam.effects.face import FaceEffect
from vcam.effects.outlines import Points, eye_width, openness, visibility
from vcam.effects.regions import (
    Float,
    Patch,
    above,
    add,
    bright_level,
    patch_of,
    ramp,
    resized,
    unit,
)
from vcam.frame import FaceRegions, Frame, Plane

_WORK_PX = 32
"""Width in pixels to which an eye is scaled for the search of its iris."""
_IRIS_SHARE = 0.2
"""Radius of the iris as a share of the eye's width: 11.7 mm across in an opening of about 30 mm."""
_CONTRAST = (8.0, 20.0)
"""Brightness of the white above the iris, in levels: below the first value there is no iris."""
_LEAST_WIDTH_PX = 8
"""Narrower eyes are not changed."""
_COVER = 0.9
_TONE = 0.3
"""Shares of the way to the colour's chroma and luma, at full strength."""
_BRIGHT = (0.9, 0.55)
"""Position between the iris's luma (0) and the white's (1): pixels above the first value (white,
reflections) are not changed.
"""
_LIMIT_LEVELS = 24.0
"""Maximum change of the iris's mean luma."""
_LIMBUS = (0.9, 1.06)
"""Share of the mesh's iris circle: full effect inside the first, none outside the second."""


@dataclass(frozen=True, slots=True)
class Iris:
    """A circle in the luma pixels of a patch (centres at +0.5), with the mean luma inside it and of
    the surrounding white.

    sure: confidence, 0..1. edge: fade-out, from full to no effect, in radii.
    """

    x: float
    y: float
    radius: float
    dark: float
    white: float
    sure: float
    edge: tuple[float, float] = (1.0, 1.25)


class Eyes(FaceEffect):
    """Recolours irises. color: (R, G, B) 0..255; strength 0..1."""

    def __init__(self, color: tuple[int, int, int], strength: float) -> None:
        super().__init__(strength)
        self._color = color

    def change(self, face: FaceRegions, strength: float, out: Frame) -> None:
        color = ycbcr_of(self._color, out.matrix)
        for side in (0, 1):
            eye = eye_area(face, side, out.size)
            if eye is None:
                continue
            patch = patch_of(out, eye.box)
            if face.points is None:
                iris = find_iris(patch.y, eye.mask)
            else:
                iris = mesh_iris(face.points, side, eye, patch.y)
            if iris is not None:
                recolor(patch, eye.mask, iris, color, strength, patch)


def mesh_iris(points: Points, side: int, eye: Area, luma: Plane) -> Iris | None:
    """The iris according to the mesh.

    Args:
        points: the mesh.
        side: 0 left, 1 right.
        eye: the area between the lids.
        luma: uint8 [h, w], of the eye's box.

    Returns:
        None if the eye is shut, too small, turned away, or as bright as its surroundings.
    """
    sure = openness(points, side) * visibility(points, side)
    if not sure or eye_width(points, side) < _LEAST_WIDTH_PX:
        return None
    x, y, radius = iris_circle(points, side)
    x, y = x - eye.box.left, y - eye.box.top
    distance, inside = _distance(luma.shape, x, y), eye.mask > 127
    dark, white = (luma[inside & where] for where in (distance < radius, distance > 1.2 * radius))
    if not dark.size or not white.size:
        return None
    dark_level, white_level = float(np.median(dark)), bright_level(white.astype(np.float32))
    if white_level - dark_level <= _CONTRAST[0]:
        return None
    sure *= min(1.0, (white_level - dark_level - _CONTRAST[0]) / (_CONTRAST[1] - _CONTRAST[0]))
    return Iris(x, y, radius, dark_level, white_level, sure, _LIMBUS)


def find_iris(luma: Plane, mask: Plane) -> Iris | None:
    """Find the darkest disc of an iris's size inside an eye.

    Args:
        luma: uint8 [h, w], the eye with a margin.
        mask: uint8 [h, w], 0..255, between the lids.

    Returns:
        None if the eye is closed or too small.
    """
    _, _, width, height = cv2.boundingRect(above(mask, 127))
    if width < _LEAST_WIDTH_PX or height * 8 < width:
        return None
    scale = _WORK_PX / width
    size = (max(4, round(luma.shape[1] * scale)), max(4, round(luma.shape[0] * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = np.asarray(cv2.resize(luma, size, interpolation=method), np.float32)
    inside = unit(np.asarray(cv2.resize(mask, size, interpolation=method), np.uint8))
    inside = np.asarray(
        cv2.erode(inside, np.ones((3, 3), np.uint8)), np.float32
    )  # lashes and lid shadows
    lit = small[inside > 0.5]
    if lit.size < 12:
        return None
    small = np.minimum(small, np.float32(bright_level(lit)))  # reflections count as white
    x, y = _darkest_place(small, inside, _IRIS_SHARE * _WORK_PX)
    grow_x, grow_y = luma.shape[1] / size[0], luma.shape[0] / size[1]
    distance = _distance(small.shape, x, y)
    dark, white = small[(distance < 5) & (inside > 0.5)], small[(distance > 8) & (inside > 0.5)]
    if not dark.size or not white.size or white.mean() - dark.mean() <= _CONTRAST[0]:
        return None
    dark_mean, white_mean = float(dark.mean()), float(white.mean())
    sure = min(1.0, (white_mean - dark_mean - _CONTRAST[0]) / (_CONTRAST[1] - _CONTRAST[0]))
    return Iris(x * grow_x, y * grow_y, _IRIS_SHARE * width, dark_mean, white_mean, sure)


def _darkest_place(luma: Float, inside: Float, radius: float) -> tuple[float, float]:
    """Locate a dark blob of that radius, in pixels with their centres at +0.5.

    Uses the difference of two Gaussian means over the pixels between the lids. The best places are
    averaged, which is more stable than the best one alone.
    """
    planes = np.stack([inside * luma, inside])
    near_total, near = _gaussian(planes, 0.6 * radius)
    far_total, far = _gaussian(planes, 1.8 * radius)
    contrast = far_total / np.maximum(far, 1e-3) - near_total / np.maximum(near, 1e-3)
    score = contrast * np.minimum(near * 2, 1) * (inside > 0.5)
    weight = np.maximum(score - np.float32(0.85) * score.max(), 0)
    weight /= max(float(weight.sum()), 1e-6)
    x = float((weight.sum(axis=0) * (np.arange(weight.shape[1]) + 0.5)).sum())
    y = float((weight.sum(axis=1) * (np.arange(weight.shape[0]) + 0.5)).sum())
    return x, y


def _gaussian(planes: Float, sigma: float) -> Float:
    """Smooth float32 [n, h, w] with zero padding; as matrix products, which are faster than
    convolutions for so few pixels.
    """
    return np.asarray(
        _bell(planes.shape[1], sigma) @ planes @ _bell(planes.shape[2], sigma), np.float32
    )


@lru_cache(maxsize=64)
def _bell(count: int, sigma: float) -> Float:
    """float32 [count, count]: the weight of pixel j in the smoothed pixel i."""
    steps = np.arange(count)
    weights = np.exp(-((steps[:, None] - steps) ** 2) / (2 * sigma**2)) / (
        sigma * np.sqrt(2 * np.pi)
    )
    return np.asarray(weights, np.float32)


def _distance(shape: tuple[int, ...], x: float, y: float) -> Float:
    """Distance of each pixel from (x, y), float32 of that shape."""
    down = np.arange(shape[0], dtype=np.float32) - np.float32(y - 0.5)
    across = np.arange(shape[1], dtype=np.float32) - np.float32(x - 0.5)
    return np.asarray(np.sqrt(across * across + (down * down)[:, None]), np.float32)


def recolor(
    patch: Patch, mask: Plane, iris: Iris, color: tuple[int, int, int], strength: float, out: Patch
) -> None:
    """Recolour the iris; its pattern of light and dark stays.

    Args:
        patch: the eye.
        mask: uint8 [h, w], 0..255, of the luma plane: between the lids.
        iris: its position.
        color: (Y, Cb, Cr), limited range.
        strength: 0..1.
        out: receives the planes; may be `patch`.
    """
    light = patch.y.astype(np.float32) - 16
    distance = _distance(light.shape, iris.x, iris.y)
    full, none = (share * iris.radius for share in iris.edge)
    weight = ramp(distance, none, full) * unit(mask)
    brightest, bright = (iris.dark - 16 + share * (iris.white - iris.dark) for share in _BRIGHT)
    weight *= ramp(light, brightest, bright) * np.float32(strength * iris.sure)
    target = float(color[0] - 16)
    lift = float(np.clip(_TONE * (target - (iris.dark - 16)), -_LIMIT_LEVELS, _LIMIT_LEVELS))
    outside_pupil = ramp(distance, 0.3 * iris.radius, 0.55 * iris.radius)
    half = resized(weight, patch.u)
    shade = np.clip(resized(light + lift, patch.u) / np.float32(max(target, 24)), 0.3, 1)
    for plane, level, goal in ((patch.u, color[1], out.u), (patch.v, color[2], out.v)):
        wanted = np.float32(level - 128) * shade + 128
        add(plane, half * np.float32(_COVER) * (wanted - plane), goal)
    add(patch.y, weight * outside_pupil * np.float32(lift), out.y)
