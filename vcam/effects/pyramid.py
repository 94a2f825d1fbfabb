"""Smaller copies of a frame, computed once and shared by everything that works on few pixels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vcam.frame import Frame, Plane

_LOW_WIDTH_PX = 500


@dataclass(frozen=True, slots=True)
class LowFrame:
    """A frame shrunk by 2, 4, 8 ... until it is at most 500 pixels wide, all three planes of one size.

    y, u, v: uint8 [h, w], the means of the pixels that they stand for. factor: how many frame pixels one of them
    spans along each axis (exact only where the frame's size divides by it).
    """

    y: Plane
    u: Plane
    v: Plane
    factor: int

    @classmethod
    def of(cls, frame: Frame) -> LowFrame:
        """Shrink `frame`."""
        factor = 2
        while frame.size[0] / factor > _LOW_WIDTH_PX:
            factor *= 2
        return cls(halve(frame.y, factor), halve(frame.u, factor // 2), halve(frame.v, factor // 2), factor)


def halve(plane: Plane, factor: int) -> Plane:
    """Shrink by a power of two in steps of two, each the exact mean of 2x2 pixels (the fastest way OpenCV has)."""
    while factor > 1:
        height, width = plane.shape
        half = (max(1, width // 2), max(1, height // 2))
        plane = np.asarray(cv2.resize(plane, half, interpolation=cv2.INTER_AREA), np.uint8)
        factor //= 2
    return plane
