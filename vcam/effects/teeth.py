"""The effect `teeth`: brighter and less yellow teeth, the rest of the mouth unchanged."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vcam.effects.areas import mouth_area, mouth_opening
from vcam.effects.face import FaceEffect
from vcam.effects.regions import (
    Float,
    Patch,
    Tone,
    add,
    bright_level,
    patch_of,
    ramp,
    resized,
    skin_tone,
    unit,
)
from vcam.frame import FaceClass, FaceRegions, Frame, Plane


@dataclass(frozen=True, slots=True)
class Rule:
    """What counts as tooth: pairs of limits, from not at all to fully.

    redness: Cr / luma relative to the skin's. brightness: luma relative to the brightest teeth's.
    of_skin: luma relative to the skin's.
    """

    redness: tuple[float, float]
    brightness: tuple[float, float]
    of_skin: tuple[float, float] = (-1.0, 0.0)


BY_PARSER = Rule((1.0, 0.7), (0.3, 0.55))
"""Parsers label the whole mouth as teeth: lips, gums and tongue (0.85 and more) must stay, teeth
(0.3 to 0.6) pass. Measured on the 40 labelled smiles of the test set."""
BY_MESH = Rule((1.0, 0.9), (0.4, 0.55), (0.3, 0.45))
"""A mesh excludes the lips, so reddish teeth may pass; pixels darker than shaded skin are the dark
of the mouth.
"""
_BRIGHTER, _LESS_YELLOW, _LESS_RED = 0.4, 0.7, 0.5
"""At full strength: share of the remaining head room, and of the way to neutral grey."""
_OPEN = (0.001, 0.005)
"""Area of visible teeth as a share of the face's: no effect below the first value, full effect from
the second on.
"""
_MESH_OPEN = (0.015, 0.04)
"""Area between the lips divided by the mouth's squared width; a closed mouth has less."""


class Teeth(FaceEffect):
    """Whitens teeth; strength 0..1."""

    def __init__(self, strength: float) -> None:
        super().__init__(strength)

    def change(self, face: FaceRegions, strength: float, out: Frame) -> None:
        area = mouth_area(face, out.size)
        tone = skin_tone(face, out)
        if area is None or tone is None:
            return
        patch = patch_of(out, area.box)
        rule = BY_PARSER if face.points is None else BY_MESH
        whiten(patch, area.mask, tone, strength * _opening(face), patch, rule)


def whiten(
    patch: Patch, mask: Plane, tone: Tone, strength: float, out: Patch, rule: Rule = BY_PARSER
) -> None:
    """Whiten bright, non-red pixels inside the mask.

    Luma rises by a parabola that is zero at black and white: texture stays, highlights do not clip.
    Chroma moves towards grey, never past it.

    Args:
        patch: the mouth.
        mask: uint8 [h, w], 0..255, of the luma plane: where teeth may be.
        tone: the surrounding skin, the reference for "red" under this light.
        strength: 0..1.
        out: receives the planes; may be `patch`.
        rule: limits for this kind of mask.
    """
    gate = tooth_gate(patch, mask, tone, rule)
    if gate is None:
        return
    light = patch.y.astype(np.float32) - 16
    weight = gate * np.float32(strength)
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


def tooth_gate(patch: Patch, mask: Plane, tone: Tone, rule: Rule) -> Float | None:
    """The probability that each pixel is tooth; for the arguments see `whiten`.

    Returns:
        float32 [h, w], 0..1; None if the mask is empty.
    """
    light = patch.y.astype(np.float32) - 16
    sure = light[mask > 127]
    if not sure.size:
        return None
    redness = resized(patch.v.astype(np.float32) - 128, patch.y) / np.maximum(light, np.float32(8))
    skin_light = max(tone.y - 16, 8)
    skin = max(tone.v - 128, 4) / skin_light
    gate = ramp(np.asarray(redness, np.float32), *(share * skin for share in rule.redness))
    bright = max(bright_level(sure), 8)
    gate *= ramp(light, *(share * bright for share in rule.brightness))
    gate *= ramp(light, *(share * skin_light for share in rule.of_skin))
    return np.asarray(np.asarray(cv2.blur(gate, (3, 3)), np.float32) * unit(mask), np.float32)


def _opening(face: FaceRegions) -> float:
    """0..1: fades with the visible area of teeth, or with the mesh's mouth opening."""
    if face.points is not None:
        low, high = _MESH_OPEN
        return float(np.clip((mouth_opening(face.points) - low) / (high - low), 0, 1))
    teeth = float(face.probs[FaceClass.TEETH].sum(dtype=np.int64))
    skin = float(face.probs[FaceClass.SKIN].sum(dtype=np.int64))
    low, high = _OPEN
    return float(np.clip((teeth / max(skin, 1) - low) / (high - low), 0, 1))
