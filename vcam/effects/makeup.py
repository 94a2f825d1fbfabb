"""The effects `brows`, `blush`, `eyeshadow` and `concealer`: colour on areas from the mesh.

Brows use the parser's brows if available. The other effects need a mesh and skip faces without
one.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.colour import ycbcr_of
from vcam.effects.areas import Area, box_around, brow_area, filled, on_skin
from vcam.effects.face import FaceEffect
from vcam.effects.lips import tint
from vcam.effects.outlines import (
    BROWS,
    CHEEKS,
    Outline,
    Points,
    apart,
    eye_width,
    face_height,
    lower_lid,
    outline,
    smooth_outline,
    upper_lid,
    visibility,
)
from vcam.effects.regions import Patch, add, patch_of, ramp, resized, skin_tone, unit
from vcam.frame import FaceRegions, Frame, Size

_APPLES = ((50, 205, 117), (280, 425, 346))
"""Points around the middle of each cheek."""
_BLUSH_WIDTH, _BLUSH_HEIGHT = 0.17, 0.11
"""Standard deviations of blush, along and across the cheek, as shares of the face's width."""
_BLUSH_COVER = 0.55
_BLUSH_RISE_DEGREES = 20.0
"""Slope of the blush towards the ear."""
_SHADOW_REACH = 0.62
"""Share of the way from the lid to the brow's lower edge."""
_SHADOW_COVER = 0.7
_BAG_DEPTH, _BAG_GAP = 0.42, 0.06
"""Start and end of the shadow below the lower lid, in eye widths."""
_BAG_LEVELS = 26.0
"""Maximum brightening of the skin under an eye at full strength."""
_BAG_EVEN = 0.7
_HAIRS = (0.92, 0.6)
"""Luma as a share of the skin's: the transition from skin to hair inside a brow."""
_BARE_SHARE = 0.3
"""Share of the colour that bare skin inside a brow gets."""


class Brows(FaceEffect):
    """Tints brows. color: (R, G, B) 0..255; strength 0..1."""

    def __init__(self, color: tuple[int, int, int], strength: float) -> None:
        super().__init__(strength)
        self._color = color

    def change(self, face: FaceRegions, strength: float, out: Frame) -> None:
        tone = skin_tone(face, out)
        for side in (0, 1):
            area = brow_area(face, side, out.size)
            if area is None or tone is None:
                continue
            patch = patch_of(out, area.box)
            skin = max(tone.y - 16, 8)
            hair = ramp(patch.y.astype(np.float32) - 16, _HAIRS[0] * skin, _HAIRS[1] * skin)
            hair = _BARE_SHARE + (1 - _BARE_SHARE) * np.asarray(cv2.blur(hair, (3, 3)))
            mask = np.rint(area.mask * hair).astype(np.uint8)
            tint(patch, mask, ycbcr_of(self._color, out.matrix), strength, patch)


class Blush(FaceEffect):
    """Colours cheeks. color: (R, G, B) 0..255; strength 0..1."""

    def __init__(self, color: tuple[int, int, int], strength: float) -> None:
        super().__init__(strength)
        self._color = color

    def change(self, face: FaceRegions, strength: float, out: Frame) -> None:
        if face.points is None:
            return
        for side in (0, 1):
            area = cheek_area(face, face.points, side, out.size)
            if area is not None:
                weight = unit(area.mask) * np.float32(strength * _BLUSH_COVER)
                _colour(patch_of(out, area.box), weight, ycbcr_of(self._color, out.matrix))


class EyeShadow(FaceEffect):
    """Colours the upper lids. color: (R, G, B) 0..255; strength 0..1."""

    def __init__(self, color: tuple[int, int, int], strength: float) -> None:
        super().__init__(strength)
        self._color = color

    def change(self, face: FaceRegions, strength: float, out: Frame) -> None:
        if face.points is None:
            return
        color = ycbcr_of(self._color, out.matrix)
        for side in (0, 1):
            area = lid_area(face, face.points, side, out.size)
            if area is not None:
                weight = unit(area.mask) * np.float32(strength * _SHADOW_COVER)
                _colour(patch_of(out, area.box), weight, color, tone=0.35)


class Concealer(FaceEffect):
    """Evens out dark skin under the eyes; strength 0..1."""

    def change(self, face: FaceRegions, strength: float, out: Frame) -> None:
        tone = skin_tone(face, out)
        if face.points is None or tone is None:
            return
        for side in (0, 1):
            area = bag_area(face, face.points, side, out.size)
            if area is None:
                continue
            patch = patch_of(out, area.box)
            weight = unit(area.mask) * np.float32(strength)
            radius = max(1, round(0.15 * eye_width(face.points, side)))
            low = cv2.blur(patch.y, (2 * radius + 1,) * 2).astype(np.float32)
            lift = np.clip(_BAG_EVEN * (np.float32(tone.y) - low), 0, _BAG_LEVELS)
            half = resized(weight, patch.u)
            for plane, level in ((patch.u, tone.u), (patch.v, tone.v)):
                add(plane, half * np.float32(0.5) * (np.float32(level) - plane), plane)
            add(patch.y, weight * lift, patch.y)


def cheek_area(face: FaceRegions, points: Points, side: int, size: Size) -> Area | None:
    """A soft oval on a cheek that rises towards the ear; side: 0 left, 1 right."""
    middle = points[list(_APPLES[side]), :2].mean(axis=0)
    width = apart(points, CHEEKS)
    across = points[CHEEKS[1], :2] - points[CHEEKS[0], :2]
    level = float(np.arctan2(across[1], across[0]))
    rise = np.radians(_BLUSH_RISE_DEGREES)
    angle = level + (rise if side == 0 else -rise)
    near = float(np.linalg.norm(middle - points[CHEEKS[side], :2])) / max(0.27 * width, 1e-3)
    along, down = _BLUSH_WIDTH * width * min(1.0, near), _BLUSH_HEIGHT * width
    reach = 2.2 * max(along, down)
    corners = np.stack([middle - reach, middle + reach])
    box = box_around(corners, size)
    if box is None or along < 0.5:
        return None
    x = np.arange(box.left, box.right, dtype=np.float32) + np.float32(0.5 - middle[0])
    y = np.arange(box.top, box.bottom, dtype=np.float32)[:, None] + np.float32(0.5 - middle[1])
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    u, v = (x * cos + y * sin) / np.float32(along), (y * cos - x * sin) / np.float32(down)
    bell = np.exp(np.float32(-0.5) * (u * u + v * v)) - np.float32(np.exp(-0.5 * 2.2**2))
    mask = np.rint(np.clip(bell, 0, 1) * 255 * visibility(points, side)).astype(np.uint8)
    return Area(box, on_skin(face, mask, box))


def lid_area(face: FaceRegions, points: Points, side: int, size: Size) -> Area | None:
    """The area from the upper lid almost to the brow, fading; side: 0 left, 1 right."""
    lid, brow = upper_lid(points, side), outline(points, BROWS[side])
    width = eye_width(points, side)
    up = _up(points)
    height = float(np.median((brow - lid.mean(axis=0)) @ up))
    if height <= 0 or width < 4:
        return None
    arch = np.sin(np.linspace(0.06, 0.94, len(lid)) * np.pi)[:, None]
    top = lid + up * (_SHADOW_REACH * height * arch)
    corners = np.concatenate([lid, top[::-1]]).astype(np.float32)
    soft_px = 0.07 * width
    return _soft_area(face, corners, points, side, soft_px, size, spare=_eye_outline(points, side))


def bag_area(face: FaceRegions, points: Points, side: int, size: Size) -> Area | None:
    """The area under the lower lid; side: 0 left, 1 right."""
    lid, width = lower_lid(points, side), eye_width(points, side)
    if width < 4:
        return None
    down = -_up(points)
    arch = np.sin(np.linspace(0.08, 0.92, len(lid)) * np.pi)[:, None]
    top = lid + down * (_BAG_GAP * width)
    bottom = lid + down * ((_BAG_GAP + _BAG_DEPTH * arch) * width)
    corners = np.concatenate([top, bottom[::-1]]).astype(np.float32)
    soft_px = 0.06 * width
    return _soft_area(face, corners, points, side, soft_px, size, spare=_eye_outline(points, side))


def _eye_outline(points: Points, side: int) -> Outline:
    return np.concatenate([upper_lid(points, side), lower_lid(points, side)[-2:0:-1]])


def _up(points: Points) -> NDArray[np.float32]:
    """Unit vector towards the forehead, float32 [2]."""
    up = points[10, :2] - points[152, :2]
    return np.asarray(up / max(face_height(points), 1e-3), np.float32)


def _soft_area(
    face: FaceRegions,
    corners: Outline,
    points: Points,
    side: int,
    soft_px: float,
    size: Size,
    spare: Outline,
) -> Area | None:
    """Draw a polygon on the skin with soft edges, excluding the eye itself."""
    box = box_around(corners, size, 2 + 3 * soft_px)
    if box is None:
        return None
    mask = filled([smooth_outline(corners)], box, soft_px)
    eye = filled([smooth_outline(spare)], box, 0.15 * soft_px)
    mask = np.asarray(cv2.subtract(mask, eye), np.uint8)
    shown = np.asarray(cv2.convertScaleAbs(mask, alpha=visibility(points, side)), np.uint8)
    return Area(box, on_skin(face, shown, box))


def _colour(
    patch: Patch, weight: NDArray[np.float32], color: tuple[int, int, int], tone: float = 0.0
) -> None:
    """Move chroma towards a colour as bright as the skin, and luma a share of the way.

    Args:
        patch: changed in place.
        weight: float32 [h, w], 0..1, of the luma plane.
        color: (Y, Cb, Cr), limited range.
        tone: share of the way for luma.
    """
    light = patch.y.astype(np.float32) - 16
    target = max(color[0] - 16, 24)
    half = resized(weight, patch.u)
    shade = np.clip(resized(light, patch.u) / np.float32(target), 0.3, 1)
    for plane, level in ((patch.u, color[1]), (patch.v, color[2])):
        wanted = np.float32(level - 128) * shade + 128
        add(plane, half * (wanted - plane), plane)
    if tone:
        shift = np.clip(np.float32(target) - light, -60, 30)
        add(patch.y, weight * np.float32(tone) * shift, patch.y)
