"""Smaller copies of a frame, computed once and shared by everything that works on few pixels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vcam.frame import Frame, Plane

LOW_WIDTH_PX = 400


@dataclass(frozen=True, slots=True)
class LowFrame:
    """A frame shrunk by a power of two, all three planes of one size.

    y, u, v: uint8 [h, w], the means of the pixels that they stand for. factor: how many frame
    pixels one of them spans along each axis (exact only where the frame's size divides by it).
    """

    y: Plane
    u: Plane
    v: Plane
    factor: int

    @property
    def planes(self) -> tuple[Plane, Plane, Plane]:
        """Luma, Cb and Cr."""
        return self.y, self.u, self.v


@dataclass(frozen=True, slots=True)
class Pyramid:
    """A frame shrunk by 2, 4, 8 ... until it is at most 400 pixels wide; never empty, the largest
    first.
    """

    levels: tuple[LowFrame, ...]

    @classmethod
    def of(cls, frame: Frame) -> Pyramid:
        """Shrink `frame`. The first level shares its chroma planes."""
        level = LowFrame(halve(frame.y), frame.u, frame.v, 2)
        levels = [level]
        while frame.size[0] / level.factor > LOW_WIDTH_PX:
            level = LowFrame(halve(level.y), halve(level.u), halve(level.v), 2 * level.factor)
            levels.append(level)
        return cls(tuple(levels))

    @property
    def low(self) -> LowFrame:
        """The smallest."""
        return self.levels[-1]

    def at_least(self, height: int, width: int) -> LowFrame | None:
        """The smallest level that is no smaller than this; None where only the frame itself is."""
        fitting = [x for x in self.levels if x.y.shape[0] >= height and x.y.shape[1] >= width]
        return fitting[-1] if fitting else None


def halve(plane: Plane) -> Plane:
    """The exact means of 2x2 pixels (the fastest way of shrinking that OpenCV has)."""
    height, width = plane.shape
    half = (max(1, width // 2), max(1, height // 2))
    return np.asarray(cv2.resize(plane, half, interpolation=cv2.INTER_AREA), np.uint8)


def resized(plane: Plane, like: Plane) -> Plane:
    """A plane at the size of another one, bilinearly; itself where it has that size."""
    if plane.shape == like.shape:
        return plane
    size = (like.shape[1], like.shape[0])
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR), np.uint8)
