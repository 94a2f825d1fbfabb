"""The matte as a picture, for films of masks."""

from __future__ import annotations

import cv2
import numpy as np

from vcam.colour import ycbcr_of
from vcam.effects.base import Scene, Stateless
from vcam.frame import Frame, Plane

_BLACK, _SPAN, _GREY = 16, 219, 128  # limited range, ITU-R BT.601-7 section 2.5.3
OVERLAY_COLOR = (40, 220, 90)
"""R, G, B of the overlay on people."""


class MatteFilm(Stateless):
    """Shows people white on black, or coloured in the original picture.

    Args:
        threshold: 0..1: pixels with at least this share of person are white, the others black;
            None: grey values.
        overlay: 0..1: opacity of the colour over people; None: no picture underneath.
    """

    about_room = True

    def __init__(self, threshold: float | None = None, overlay: float | None = None) -> None:
        self._threshold = threshold
        self._overlay = overlay

    def apply(self, scene: Scene) -> Frame:
        frame = scene.frame
        alpha = cut(scene.mask.full(frame.size), self._threshold)
        out = scene.new_frame()
        if self._overlay is None:
            luma = _BLACK + alpha.astype(np.float32) * (_SPAN / 255)
            out.y[:] = np.rint(luma).astype(np.uint8)
            out.u[:] = out.v[:] = _GREY
            return out
        colour = ycbcr_of(OVERLAY_COLOR, frame.matrix)
        half = (frame.size[0] // 2, frame.size[1] // 2)
        small = np.asarray(cv2.resize(alpha, half, interpolation=cv2.INTER_AREA), np.uint8)
        weights = (alpha, small, small)
        for source, target, value, weight in zip(
            frame.planes, out.planes, colour, weights, strict=True
        ):
            share = weight.astype(np.float32) * (self._overlay / 255)
            target[:] = np.rint(source + (value - source.astype(np.float32)) * share)
        return out


def cut(alpha: Plane, threshold: float | None) -> Plane:
    """Binarise: uint8 [H, W], 255 if a value is at least `threshold` (0..1) and above 0, else 0;
    None returns the plane unchanged.
    """
    if threshold is None:
        return alpha
    return np.where(alpha >= max(1, round(threshold * 255)), 255, 0).astype(np.uint8)
