"""Temporal smoothing of mattes: still where the picture is still, immediate where it moves."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.frame import Matte, Plane

_STILL = 0.3
"""Share of a new matte that is taken where neither it nor the picture changed."""
_DISAGREEMENT_GAIN = 2.5
"""A matte that differs by (1 - _STILL) / gain = 0.28 of full scale is taken at once."""
_NOISE_LEVELS = 5.0
"""Luma differences up to this are camera noise, after a 5x5 mean."""
_MOTION_LEVELS = 8.0
"""Luma differences this far above the noise are motion."""


class MatteSmoother:
    """Blends each matte with the ones before it, pixel by pixel.

    The weight of the new matte grows with how much it disagrees with the old one and with how much
    the picture changed there, so an outline that moves is never mixed with where it was (no trail),
    while an outline that merely trembles comes to rest.
    """

    def __init__(self) -> None:
        self._alpha: NDArray[np.float32] | None = None
        self._luma: Plane | None = None

    def reset(self) -> None:
        """Forget the past."""
        self._alpha = self._luma = None

    def smooth(self, matte: Matte, luma: Plane) -> Matte:
        """The smoothed matte.

        Args:
            matte: the new one; it is not changed.
            luma: uint8 [h', w'] of any size, the luma of the matte's own frame.
        """
        new = matte.alpha.astype(np.float32)
        size = (new.shape[1], new.shape[0])
        small = np.asarray(
            cv2.blur(cv2.resize(luma, size, interpolation=cv2.INTER_LINEAR), (5, 5)), np.uint8
        )
        old, old_luma = self._alpha, self._luma
        if old is None or old_luma is None or old.shape != new.shape:
            self._alpha, self._luma = new, small
            return matte
        change = new - old
        old += _weight(change, cv2.absdiff(small, old_luma)) * change
        self._luma = small
        return Matte(np.rint(old).astype(np.uint8))


def _weight(change: NDArray[np.float32], moved: cv2.typing.MatLike) -> NDArray[np.float32]:
    """The share of the new matte, 0..1; change: new minus old matte, -255..255; moved: luma
    difference, 0..255.
    """
    disagreement = np.abs(change) * np.float32(_DISAGREEMENT_GAIN / 255)
    motion = (moved.astype(np.float32) - np.float32(_NOISE_LEVELS)) * np.float32(1 / _MOTION_LEVELS)
    weight: NDArray[np.float32] = np.clip(
        np.maximum(disagreement + np.float32(_STILL), motion), 0, 1
    )
    return weight
