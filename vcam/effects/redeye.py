"""The effect `redeye`: darken pupils that a flash turned red."""

from __future__ import annotations

import numpy as np

from vcam.effects.areas import Area, eye_area, filled, iris_circle
from vcam.effects.face import FaceEffect
from vcam.effects.outlines import Points
from vcam.effects.regions import (
    Patch,
    Tone,
    add,
    patch_of,
    ramp,
    resized,
    skin_tone,
    unit,
)
from vcam.frame import FaceRegions, Frame, Plane

_RED_LEVELS = (34.0, 50.0)
"""Cr above grey: lids and tear ducts are below the first value, red pupils above the second."""
_BEYOND_SKIN = (10.0, 22.0)
"""Minimum redness above the surrounding skin, which warm light reddens too."""
_SPOT = (0.02, 0.45)
"""The red spot's share of the eye: smaller is noise, larger is not a pupil."""
_DARKER = 0.45
"""Share of luma that a red pupil loses at full strength."""


class RedEye(FaceEffect):
    """Removes red from pupils; strength 0..1."""

    def __init__(self, strength: float) -> None:
        super().__init__(strength)

    def change(self, face: FaceRegions, strength: float, out: Frame) -> None:
        tone = skin_tone(face, out)
        for side in (0, 1):
            eye = eye_area(face, side, out.size)
            if eye is not None and tone is not None:
                patch = patch_of(out, eye.box)
                pupil = None if face.points is None else _pupil(face.points, side, eye)
                take_red(patch, eye.mask, tone, strength, patch, pupil)


def _pupil(points: Points, side: int, eye: Area) -> Plane:
    """uint8 [h, w], 0..255: the possible area of a pupil, the mesh's iris."""
    x, y, radius = iris_circle(points, side)
    turn = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    circle = np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn)], axis=1)
    return filled([circle.astype(np.float32)], eye.box, 0.1 * radius)


def take_red(
    patch: Patch,
    mask: Plane,
    tone: Tone,
    strength: float,
    out: Patch,
    pupil: Plane | None = None,
) -> None:
    """Make the red spot of an eye grey and darker; without one, no pixel changes.

    Args:
        patch: the eye.
        mask: uint8 [h, w], 0..255, of the luma plane: between the lids.
        tone: the surrounding skin; the spot must be redder than it.
        strength: 0..1.
        out: receives the planes; may be `patch`.
        pupil: uint8 [h, w], 0..255: the possible area; None: anywhere between the lids.
    """
    red = patch.v.astype(np.float32) - 128
    inside = resized(unit(mask), patch.v)
    skin = tone.v - 128
    weight = ramp(
        red,
        max(_RED_LEVELS[0], skin + _BEYOND_SKIN[0]),
        max(_RED_LEVELS[1], skin + _BEYOND_SKIN[1]),
    )
    weight *= inside
    share = float(weight.sum() / max(float(inside.sum()), 1))
    if not _SPOT[0] < share < _SPOT[1]:
        return
    if pupil is not None:
        weight *= resized(unit(pupil), patch.v)
    weight *= np.float32(strength)
    add(patch.v, -weight * red, out.v)
    add(patch.u, weight * (128 - patch.u.astype(np.float32)), out.u)
    add(
        patch.y,
        resized(weight, patch.y) * np.float32(-_DARKER) * (patch.y.astype(np.float32) - 16),
        out.y,
    )
