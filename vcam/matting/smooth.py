"""Temporal smoothing of mattes: steady in still areas, immediate where the picture moves."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.frame import Matte, Plane
from vcam.matting.pyramid import resized

_STILL = 0.3
"""Weight of a new matte where neither it nor the picture changed."""
_DISAGREEMENT_GAIN = 2.5
"""A matte that differs by (1 - _STILL) / gain = 0.28 of full scale replaces the old one."""
NOISE_LEVELS = 5.0
"""Luma differences up to this, after a 5x5 mean, are camera noise."""
_MOTION_LEVELS = 8.0
"""Luma differences this far above the noise are motion."""


class MatteSmoother:
    """Blends each matte with earlier ones, pixel by pixel.

    The weight of the new matte grows with its difference from the old one and with the change of
    the picture there. A moving outline is therefore never mixed with its old position (no trail),
    while a jittering outline becomes steady.
    """

    def __init__(self) -> None:
        self._alpha: NDArray[np.float32] | None = None
        self._shown: Plane | None = None
        self._luma: Plane | None = None

    def reset(self) -> None:
        """Forget earlier mattes."""
        self._alpha = self._shown = self._luma = None

    def smooth(self, matte: Matte, luma: Plane) -> Matte:
        """Return the smoothed matte, at the size of `luma`.

        Args:
            matte: the new one, of any size; it is not modified.
            luma: uint8 [h, w], the shrunk luma of the matte's frame.
        """
        new = resized(matte.alpha, luma)
        blurred = np.asarray(cv2.blur(luma, (5, 5)), np.uint8)
        alpha, shown, old_luma = self._alpha, self._shown, self._luma
        self._luma = blurred
        if alpha is None or shown is None or old_luma is None or shown.shape != new.shape:
            self._alpha, self._shown = new.astype(np.float32), new
            return Matte(new)
        weight = _weight(_difference(new, shown), _difference(blurred, old_luma))
        change = new.astype(np.float32)
        change -= alpha
        alpha += cv2.multiply(change, weight.astype(np.float32), dst=change, scale=1 / 255)
        self._shown = np.asarray(cv2.convertScaleAbs(alpha), np.uint8)  # rounded; never negative
        return Matte(self._shown)


def _weight(disagreement: Plane, moved: Plane) -> Plane:
    """Weight of the new matte, 0..255, from the differences of matte and luma, uint8 [h, w]."""
    still = cv2.convertScaleAbs(disagreement, alpha=_DISAGREEMENT_GAIN, beta=255 * _STILL)
    motion = cv2.addWeighted(
        moved, 255 / _MOTION_LEVELS, moved, 0, -NOISE_LEVELS * 255 / _MOTION_LEVELS
    )
    return np.asarray(cv2.max(still, motion), np.uint8)


def _difference(one: Plane, other: Plane) -> Plane:
    return np.asarray(cv2.absdiff(one, other), np.uint8)
