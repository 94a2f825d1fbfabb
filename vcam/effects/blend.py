"""Put the person in front of something."""

from __future__ import annotations

import cv2
import numpy as np

from vcam.frame import Frame, Plane
from vcam.matting.refine import Mask


def blend_person(person: Frame, mask: Mask, out: Frame) -> None:
    """Blend the person over what `out` holds: out = alpha * person + (1 - alpha) * out, each plane
    by itself.

    Args:
        person: the captured frame.
        mask: of that frame.
        out: the room's replacement, of the same size and matrix; changed in place, only inside the
            mask's parts.
    """
    for part in mask.parts:
        alpha, box = part.alpha, part.box
        _blend(box.of(person.y), box.of(out.y), alpha)
        half = (alpha.shape[1] // 2, alpha.shape[0] // 2)
        alpha_half = np.asarray(cv2.resize(alpha, half, interpolation=cv2.INTER_AREA), np.uint8)
        _blend(box.of_chroma(person.u), box.of_chroma(out.u), alpha_half)
        _blend(box.of_chroma(person.v), box.of_chroma(out.v), alpha_half)


def _blend(front: Plane, back: Plane, alpha: Plane) -> None:
    """Exact where alpha is 0 or 255, within one level elsewhere (two roundings)."""
    shown = cv2.multiply(front, alpha, scale=1 / 255)
    hidden = cv2.multiply(back, cv2.bitwise_not(alpha), scale=1 / 255)
    cv2.add(shown, hidden, dst=back)
