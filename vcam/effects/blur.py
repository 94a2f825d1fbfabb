"""Blur the room without including the person."""

from __future__ import annotations

import cv2
import numpy as np

from vcam.frame import Frame, Plane, Size
from vcam.matting.pyramid import LowFrame
from vcam.matting.refine import Float, Mask

_SIGMA_WEAKEST = 0.006
_SIGMA_STRONGEST = 0.05
"""Standard deviation of the Gaussian at strength 0 and 1, as a share of the frame's height."""
_LEAST_WEIGHT = 1e-3
"""Weight of person pixels: almost zero, but keeps the division defined in the middle of the
person.
"""
_WEIGHTS = np.clip(1 - np.arange(256) / 127.5, _LEAST_WEIGHT, 1).astype(np.float32)
"""float32 [256]: a pixel's weight by its alpha."""


def sigma_px(strength: float, height_px: int) -> float:
    """Standard deviation in pixels; exponential in strength, so equal steps look equal."""
    return float(_SIGMA_WEAKEST * (_SIGMA_STRONGEST / _SIGMA_WEAKEST) ** strength * height_px)


def blur_room(low: LowFrame, mask: Mask, sigma: float, out: Frame) -> None:
    """Fill `out` with the blurred room.

    A normalised convolution (Knutsson and Westin, CVPR 1993): blur(w * room) / blur(w) with w = 0
    on the person, so no colour of the person bleeds into the room, and no halo of the old room
    surrounds the person.

    Args:
        low: the shrunk frame.
        mask: the mask of the same frame.
        sigma: standard deviation of the Gaussian, in pixels of the full frame.
        out: receives all three planes.
    """
    weight = cv2.LUT(mask.low, _WEIGHTS)
    shrink, sigma_low = 1, sigma / low.factor
    while sigma_low > 2.5:  # such a strong blur needs fewer pixels
        shrink, sigma_low = shrink * 2, sigma_low / 2
    size = (max(1, low.y.shape[1] // shrink), max(1, low.y.shape[0] // shrink))
    norm = _gauss(_shrunk(weight, size), sigma_low)
    for plane, target in zip((low.y, low.u, low.v), out.planes, strict=True):
        room = _shrunk(cv2.multiply(plane, weight, dtype=cv2.CV_32F), size)
        blurred = cv2.divide(_gauss(room, sigma_low), norm, dtype=cv2.CV_8U)
        _enlarge(np.asarray(blurred, np.uint8), target)


def _shrunk(plane: cv2.typing.MatLike, size: Size) -> cv2.typing.MatLike:
    """Shrink a float32 plane; by area averaging if the factor is a whole number."""
    exact = plane.shape[1] % size[0] == 0 and plane.shape[0] % size[1] == 0
    method = (
        cv2.INTER_AREA if exact else cv2.INTER_LINEAR
    )  # nearly the same, in a fifth of the time
    return cv2.resize(plane, size, interpolation=method)


def _gauss(plane: cv2.typing.MatLike, sigma: float) -> Float:
    return np.asarray(
        cv2.GaussianBlur(plane, (0, 0), max(0.1, sigma), borderType=cv2.BORDER_REFLECT), np.float32
    )


def _enlarge(plane: Plane, target: Plane) -> None:
    cv2.resize(
        plane, (target.shape[1], target.shape[0]), dst=target, interpolation=cv2.INTER_LINEAR
    )
