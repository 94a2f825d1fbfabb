"""The effect `lips`: change the colour and keep the lighting."""

from __future__ import annotations

import numpy as np

from vcam.colour import ycbcr_of
from vcam.effects.areas import gated, lip_coloured, lips_area
from vcam.effects.face import FaceEffect
from vcam.effects.regions import Patch, add, patch_of, ramp, resized, unit
from vcam.frame import FaceRegions, Frame, Plane

_COVER = 0.75
"""Share of the lips' own colour that is removed at full strength."""
_TONE = 0.6
"""Share of the way from the lips' mean luma to the colour's."""
_LIMIT_LEVELS = 40.0
"""Maximum change of the mean luma."""
_SHINE = (1.5, 2.2)
"""Luma relative to the lips' mean: highlights above the second value stay white; at least this
many levels above that mean, because dark lips have soft highlights all over."""
_SHINE_LEVELS = (40.0, 90.0)


class Lips(FaceEffect):
    """Tints lips. color: (R, G, B) 0..255; strength 0..1."""

    def __init__(self, color: tuple[int, int, int], strength: float) -> None:
        super().__init__(strength)
        self._color = color

    def change(self, face: FaceRegions, strength: float, out: Frame) -> None:
        area = lips_area(face, out.size)
        if area is None:
            return
        patch = patch_of(out, area.box)
        mask = gated(area.mask, lip_coloured(face, out, area.box))
        tint(patch, mask, ycbcr_of(self._color, out.matrix), strength, patch)


def tint(
    patch: Patch, mask: Plane, color: tuple[int, int, int], strength: float, out: Patch
) -> None:
    """Tint the masked pixels with a colour as bright as they are.

    Chroma scales with luma, as under brighter light, so shadows and creases stay. Highlights keep
    the colour of the light.

    Args:
        patch: the lips.
        mask: uint8 [h, w], 0..255, of the luma plane.
        color: (Y, Cb, Cr), limited range.
        strength: 0..1.
        out: receives the planes; may be `patch`.
    """
    light = patch.y.astype(np.float32) - 16
    sure = mask > 127
    if not sure.any():
        return
    mean = max(float(light[sure].mean()), 8)
    matt, shiny = (
        max(share * mean, mean + levels)
        for share, levels in zip(_SHINE, _SHINE_LEVELS, strict=True)
    )
    weight = unit(mask) * ramp(light, shiny, matt) * np.float32(strength)
    shift = float(np.clip(_TONE * (color[0] - 16 - mean), -_LIMIT_LEVELS, _LIMIT_LEVELS))
    half, light_half = resized(weight, patch.u), resized(light, patch.u)
    shade = np.clip(
        light_half / np.float32(mean) * np.float32((mean + shift) / max(color[0] - 16, 24)), 0.3, 1
    )
    for plane, level, target in ((patch.u, color[1], out.u), (patch.v, color[2], out.v)):
        wanted = np.float32(level - 128) * shade + 128
        add(plane, half * np.float32(_COVER) * (wanted - plane), target)
    add(patch.y, weight * np.float32(shift / mean) * light, out.y)
