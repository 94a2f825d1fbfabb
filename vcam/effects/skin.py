"""The effect `skin`: remove blotches and bumps, keep edges and pores."""

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
"""The face is scaled to this height to find blotches; finer detail (pores, single hairs) is
unaffected.
"""
_RADIUS_PX = 5
"""Window of the filter at that scale: about a twelfth of the face, as large as an eye shadow."""
_NOISE_LEVELS = (5.0, 12.0)
"""Standard deviation of luma that the filter treats as a blotch, at strength 0 and 1: wrinkles have
10 to 20 levels, nostrils, glasses and beards more."""
_BLOTCHES = 0.75
"""Share of blotches that is removed at full strength."""
_PORES = 0.3
"""Share of the finest detail that is removed at full strength; at half strength a quarter of it."""
_DARK = (0.35, 0.6)
"""Luma as a share of the skin's: nostrils, frames and beards, below the first value, are kept."""
_RED_LEVELS = 6.0
"""Maximum change of a blotch's chroma."""


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
    """Remove blotches from luma and chroma; local means stay.

    Luma is split into a base that keeps all strong edges (a guided filter with the picture as its
    own guide: He, Sun and Tang, ECCV 2010), blotches (the difference between a shrunk copy and the
    base), and detail finer than that copy.

    Args:
        patch: the face.
        mask: uint8 [h, w], 0..255, of the luma plane: where skin is.
        tone: the skin's mean colour.
        face_px: the face's height in pixels.
        strength: 0..1.
        out: receives the planes; may be `patch`.
    """
    shrink = max(1, round(face_px / _WORK_PX))  # whole factors are several times faster
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
    """Guided filter with the plane as its own guide: flat if the local variance is below
    `variance`, unchanged if it is above.
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
    """Change of chroma towards the mean of the surrounding skin, in levels."""
    side = 2 * max(1, round(face_px / 24)) + 1
    colour = plane.astype(np.float32) - 128
    total = np.asarray(cv2.blur(weight, (side, side)), np.float32)
    around = np.asarray(cv2.blur(colour * weight, (side, side)), np.float32) / np.maximum(
        total, 1e-3
    )
    return np.asarray(np.clip(around - colour, -_RED_LEVELS, _RED_LEVELS) * weight, np.float32)
