"""Fit pictures of any size to the requested one: crop around the centre, rotate, mirror; never
stretch.
"""

from __future__ import annotations

import cv2
import numpy as np

from vcam.frame import Frame, Plane, Size
from vcam.geometry import Box


def even(size: Size) -> Size:
    """`size` without its odd last column and row, at least 2x2."""
    return max(2, size[0] & ~1), max(2, size[1] & ~1)


def crop_box(source: Size, target: Size) -> Box:
    """The largest box around the centre of `source` that has the aspect ratio of `target`, within
    one pixel pair.

    Both are (width, height), `source` at least 2x2.
    """
    source_w, source_h = even(source)
    target_w, target_h = target
    width = min(source_w, _nearest_even(source_h * target_w / target_h))
    height = min(source_h, _nearest_even(source_w * target_h / target_w))
    return Box.at((source_w - width) // 2 & ~1, (source_h - height) // 2 & ~1, width, height)


def _nearest_even(value: float) -> int:
    return max(2, round(value / 2) * 2)


def copy_planes(
    planes: tuple[Plane, Plane, Plane], box: Box, into: Frame, mirror: bool = False
) -> None:
    """Copy the part of an I420 picture inside `box` to `into`, whose size is the box's.

    planes: uint8 [H, W], [ceil(H / 2), ceil(W / 2)] twice, any strides; only read.
    """
    for part, target in zip(
        (box.of(planes[0]), box.of_chroma(planes[1]), box.of_chroma(planes[2])),
        into.planes,
        strict=True,
    ):
        if mirror:
            cv2.flip(part, 1, dst=target)
        else:
            np.copyto(target, part)


def rotate(frame: Frame, degrees: int) -> Frame:
    """The picture, turned counterclockwise by a multiple of 90 degrees; a new frame
    without times.
    """
    turns = degrees // 90 % 4
    width, height = frame.size
    out = Frame.empty((height, width) if turns % 2 else (width, height), frame.matrix)
    for source, target in zip(frame.planes, out.planes, strict=True):
        np.copyto(target, np.rot90(source, turns))
    return out
