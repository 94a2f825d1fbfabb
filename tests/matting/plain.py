"""The refinement and the blend as the papers write them: all of the frame, in floating point.

Slow and simple; what the runtime does in tiles is compared with it.
"""

from __future__ import annotations

import cv2
import numpy as np

from vcam.frame import Frame, Matte, Plane

EPSILON, STRETCH, SURE = 2.5e-4, 0.12, 0.02


def plain_alpha(matte: Matte, luma: Plane, low_luma: Plane) -> Plane:
    """Alpha uint8 [H, W] of a frame: the guided filter, fitted on the low frame, at full size."""
    size_low = low_luma.shape[::-1]
    p = cv2.resize(matte.alpha, size_low, interpolation=cv2.INTER_LINEAR).astype(np.float64) / 255
    g = low_luma.astype(np.float64) / 255
    side = 2 * max(2, round(p.shape[1] / 107)) + 1

    def mean(plane: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(plane, -1, (side, side), borderType=cv2.BORDER_REFLECT)

    a = (mean(g * p) - mean(g) * mean(p)) / (mean(g * g) - mean(g) ** 2 + EPSILON)
    b = mean(p) - a * mean(g)
    a, b = mean(a), mean(b)
    window = np.ones((side, side), np.uint8)
    room = cv2.dilate((p > SURE).astype(np.uint8), window) == 0
    person = cv2.erode((p > 1 - SURE).astype(np.uint8), window) == 1
    a[room | person], b[room], b[person] = 0, 0, 1
    full_a, full_b = (
        cv2.resize(plane, luma.shape[::-1], interpolation=cv2.INTER_LINEAR) for plane in (a, b)
    )
    alpha = (full_a * luma / 255 + full_b - STRETCH) / (1 - 2 * STRETCH)
    return np.rint(np.clip(alpha, 0, 1) * 255).astype(np.uint8)


def plain_blend(person: Frame, alpha: Plane, room: Frame) -> Frame:
    """alpha * person + (1 - alpha) * room; chroma with the mean alpha of 2x2 pixels."""
    out = Frame(np.empty_like(room.data), room.matrix)
    half = alpha.reshape(alpha.shape[0] // 2, 2, -1, 2).mean(axis=(1, 3))
    for shown, hidden, target, share in zip(
        person.planes, room.planes, out.planes, (alpha, half, half), strict=True
    ):
        weight = share / 255
        target[:] = np.rint(weight * shown + (1 - weight) * hidden).astype(np.uint8)
    return out
