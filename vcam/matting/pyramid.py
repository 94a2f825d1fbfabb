"""Smaller copies of a frame, computed once and shared by all stages that need few pixels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vcam.frame import Frame, Plane

LOW_WIDTH_PX = 400


@dataclass(frozen=True, slots=True)
class LowFrame:
    """A frame shrunk by a power of two, with three planes of the same size.

    y, u, v: uint8 [h, w], means of frame pixels. factor: frame pixels per pixel along each axis
    (exact only if it divides the frame's size).
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
    """A frame shrunk by 2, 4, 8 ... until it is at most 400 pixels wide; at least one level,
    largest first.
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
        """The smallest level."""
        return self.levels[-1]

    def at_least(self, height: int, width: int) -> LowFrame | None:
        """The smallest level of at least this size; None if only the frame is that large."""
        fitting = [x for x in self.levels if x.y.shape[0] >= height and x.y.shape[1] >= width]
        return fitting[-1] if fitting else None


def halve(plane: Plane) -> Plane:
    """Exact means of 2x2 pixels (OpenCV's fastest way to shrink)."""
    height, width = plane.shape
    half = (max(1, width // 2), max(1, height // 2))
    return np.asarray(cv2.resize(plane, half, interpolation=cv2.INTER_AREA), np.uint8)


def resized(plane: Plane, like: Plane) -> Plane:
    """Resize a plane to the size of another, bilinearly; unchanged if it already has that size."""
    if plane.shape == like.shape:
        return plane
    size = (like.shape[1], like.shape[0])
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR), np.uint8)
