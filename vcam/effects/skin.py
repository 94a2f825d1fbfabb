"""The effect `skin`: blotches and bumps go, edges and pores stay."""

from __future__ import annotations

import cv2
import numpy as np

from vcam.effects.areas import skin_area
from vcam.effects.face import FaceEffect
from vcam.effects.regions import (
    Float,
    Patch,
    Tone,
    add,
    face_height_px,
    patch_of,
    ramp,
    resized,
    skin_tone,
    unit,
)
from vcam.frame import FaceRegions, Frame, Plane

_WORK_PX = 120
"""The face's height on which blotches are found; whatever is finer (pores, single hairs) is not
looked at.
"""
_RADIUS_PX = 5
"""Of the filter's window there: about a twelfth of the face, the size of a shadow under an eye."""
_NOISE_LEVELS = (5.0, 12.0)
"""Standard deviation of luma that the filter takes for a blotch, at strength 0 and 1: wrinkles have
10 to 20 levels, nostrils, glasses and beards more."""
_BLOTCHES = 0.75
"""Share of them that goes at full strength."""
_PORES = 0.3
"""Share of the finest detail that goes at full strength; at half strength a quarter of that."""
_DARK = (0.35, 0.6)
"""Luma as a share of the skin's: nostrils, frames and beards below the first are spared."""
_RED_LEVELS = 6.0
"""Most that a blotch's chroma is moved."""


class Skin(FaceEffect):
    """Smooths skin; strength 0..1."""

    def __init__(self, strength: float) -> None:
        super().__init__(strength)

    def change(self, face: FaceRegions, strength: float, out: Frame) -> None:
        area = skin_area(face, out.size)
        tone = skin_tone(face, out)
        if area is None or tone is None:
            return
        patch = patch_of(out, area.box)
        smooth(patch, area.mask, tone, face_height_px(face), strength, patch)


def smooth(
    patch: Patch, mask: Plane, tone: Tone, face_px: float, strength: float, out: Patch
) -> None:
    """Take blotches out of luma and chroma; local means stay.

    Luma is split into a base, which keeps every strong edge (guided filter by the picture itself:
    He, Sun and Tang, ECCV 2010), into blotches, which are what the base leaves of a shrunk copy,
    and into detail finer than that copy.

    Args:
        patch: the face.
        mask: uint8 [h, w], 0..255, of the luma plane: where skin is.
        tone: its mean colour.
        face_px: the face's height in pixels.
        strength: 0..1.
        out: receives the planes; may be `patch`.
    """
    shrink = max(1, round(face_px / _WORK_PX))  # whole numbers shrink several times faster
    size = (max(2, patch.y.shape[1] // shrink), max(2, patch.y.shape[0] // shrink))
    low = np.asarray(cv2.resize(patch.y, size, interpolation=cv2.INTER_AREA), np.float32)
    weight = unit(np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.uint8))
    light = max(tone.y - 16, 8)
    weight *= ramp(low - 16, _DARK[0] * light, _DARK[1] * light)
    softest, strongest = _NOISE_LEVELS
    base = _guided(low, (softest + strength * (strongest - softest)) ** 2)
    finest = weight * np.float32(_PORES * strength**2)
    target = (base - low) * weight * np.float32(_BLOTCHES * strength) + finest * low
    change = resized(target, patch.y)
    cv2.subtract(
        change, cv2.multiply(patch.y, resized(finest, patch.y), dtype=cv2.CV_32F), dst=change
    )
    cv2.multiply(change, unit(mask), dst=change)
    soft = resized(weight, patch.u) * np.float32(strength)
    for plane, target in ((patch.u, out.u), (patch.v, out.v)):
        add(plane, _evened(plane, soft, face_px), target)
    add(patch.y, change, out.y)


def _guided(luma: Float, variance: float) -> Float:
    """The guided filter of a plane by itself: flat where the local variance is below `variance`,
    unchanged above.
    """

    def mean(plane: Float) -> Float:
        side = 2 * _RADIUS_PX + 1
        return np.asarray(
            cv2.boxFilter(plane, -1, (side, side), borderType=cv2.BORDER_REFLECT), np.float32
        )

    average = mean(luma)
    spread = mean(luma * luma) - average * average
    a = np.asarray(np.maximum(spread, 0) / (spread + np.float32(variance)), np.float32)
    return np.asarray(
        mean(a) * luma + mean(np.asarray(average - a * average, np.float32)), np.float32
    )


def _evened(plane: Plane, weight: Float, face_px: float) -> Float:
    """How far chroma moves towards the mean of the skin around it, in levels."""
    side = 2 * max(1, round(face_px / 24)) + 1
    colour = plane.astype(np.float32) - 128
    total = np.asarray(cv2.blur(weight, (side, side)), np.float32)
    around = np.asarray(cv2.blur(colour * weight, (side, side)), np.float32) / np.maximum(
        total, 1e-3
    )
    return np.asarray(np.clip(around - colour, -_RED_LEVELS, _RED_LEVELS) * weight, np.float32)
