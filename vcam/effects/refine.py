"""From the engine's small matte to an alpha plane that follows the picture's own edges."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.frame import Matte, Plane, Size

_RADIUS = 4
"""Window of the guided filter: 2 * 4 + 1 pixels of the low frame."""
_EPSILON = 2.5e-4
"""Variance (luma 0..1) below which an edge is noise: a step of about 3 % of full scale."""
_STRETCH = 0.12
"""What the filter leaves of haze at both ends of 0..1 is cut off by this much."""

_ROOM = 0.02
"""Up to here the engine is sure of the room, and from 1 minus this on of the person."""
_REACH = np.ones((2 * 3 + 1, 2 * 3 + 1), np.uint8)
"""The filter may move the edge by 3 pixels of the low frame; beyond, texture of the room cannot pass for person."""

Float = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of frame pixels, all edges even: [top, bottom) x [left, right)."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def area(self) -> int:
        """Pixels inside."""
        return max(0, self.bottom - self.top) * max(0, self.right - self.left)

    def of(self, plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The view of a full-resolution plane."""
        return plane[self.top : self.bottom, self.left : self.right]

    def of_chroma(self, plane: Plane) -> Plane:
        """The view of a chroma plane of half the resolution."""
        return plane[self.top // 2 : self.bottom // 2, self.left // 2 : self.right // 2]


@dataclass(frozen=True, slots=True)
class Mask:
    """Where the person is, at the frame's resolution.

    box: everything outside it is room. alpha: uint8 [box height, box width], 0 room .. 255 person.
    low: float32 [h, w] of the low frame's size, 0..1, before the refinement, a little generous.
    """

    box: Box
    alpha: Plane
    low: Float

    def full(self, size: Size) -> Plane:
        """The alpha as a new plane uint8 [H, W] of the whole frame."""
        plane = np.zeros((size[1], size[0]), np.uint8)
        self.box.of(plane)[:] = self.alpha
        return plane


@dataclass(frozen=True, slots=True)
class RefineConfig:
    """What the user may change. grow_px: widen (or, negative, narrow) the person; feather_px: soften the edge.

    Both in pixels of the output frame.
    """

    grow_px: float = 0.0
    feather_px: float = 0.0


def refine(matte: Matte, luma: Plane, low_luma: Plane, config: RefineConfig) -> Mask:
    """Upsample a matte along the edges of the luma plane.

    Fast guided filter (He and Sun, "Fast Guided Filter", arXiv 1505.00996): the local linear model
    alpha = a * luma + b is fitted on the low frame and applied at full resolution, only where the person is.

    Args:
        matte: of the same frame.
        luma: uint8 [H, W], the frame's luma plane.
        low_luma: uint8 [h, w], the same shrunk, by a whole factor where the person's box shall be cut out.
        config: the user's wishes.
    """
    size_low = (low_luma.shape[1], low_luma.shape[0])
    small = _grow(matte.alpha, config.grow_px * matte.alpha.shape[1] / luma.shape[1])
    alpha = cv2.resize(small, size_low, interpolation=cv2.INTER_LINEAR).astype(np.float32) * np.float32(1 / 255)
    box, box_low = _boxes(alpha, luma)
    if not box.area:
        return Mask(box, np.zeros((0, 0), np.uint8), alpha)
    rows, columns = slice(box_low.top, box_low.bottom), slice(box_low.left, box_low.right)
    a, b = _guided(low_luma[rows, columns], alpha[rows, columns])
    full = _apply(a, b, box.of(luma))
    if config.feather_px > 0:
        full = _feather(full, config.feather_px)
    return Mask(box, full, alpha)


def _grow(alpha: Plane, radius: float) -> Plane:
    """Widen or narrow by `radius` pixels, fractions by mixing the two nearest whole ones."""
    if not radius:
        return alpha
    whole, rest = divmod(abs(radius), 1)
    morph = cv2.dilate if radius > 0 else cv2.erode
    near, far = (
        morph(alpha, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * r + 1, 2 * r + 1)))
        for r in (int(whole), int(whole) + 1)
    )
    return np.asarray(cv2.addWeighted(near, 1 - rest, far, rest, 0), np.uint8)


def _boxes(alpha: Float, luma: Plane) -> tuple[Box, Box]:
    """The person's extent with a margin for the filter, in frame pixels and in low pixels."""
    height, width = luma.shape
    low_h, low_w = alpha.shape
    factor = height // low_h
    if (low_h * factor, low_w * factor) != (height, width):
        return Box(0, height, 0, width), Box(0, low_h, 0, low_w)
    present = alpha > np.float32(_ROOM)
    rows, columns = np.flatnonzero(present.any(axis=1)), np.flatnonzero(present.any(axis=0))
    if not rows.size:
        return Box(0, 0, 0, 0), Box(0, 0, 0, 0)
    margin = _REACH.shape[0] // 2 + 1
    top, bottom = max(0, int(rows[0]) - margin), min(low_h, int(rows[-1]) + 1 + margin)
    left, right = max(0, int(columns[0]) - margin), min(low_w, int(columns[-1]) + 1 + margin)
    return Box(top * factor, bottom * factor, left * factor, right * factor), Box(top, bottom, left, right)


def _guided(luma: Plane, alpha: Float) -> tuple[Float, Float]:
    """Coefficients a, b (float32 [h, w]) of alpha = a * luma / 255 + b, equations 5, 6 and 8 of the paper.

    Where the engine is sure, and no edge of its own is near, the filter has no say.
    """
    guide = luma.astype(np.float32) * np.float32(1 / 255)
    mean_g, mean_p = _mean(guide), _mean(alpha)
    variance = _mean(guide * guide) - mean_g * mean_g
    covariance = _mean(guide * alpha) - mean_g * mean_p
    a = np.asarray(covariance / (variance + np.float32(_EPSILON)), np.float32)
    b = mean_p - a * mean_g
    a, b = _mean(a), _mean(b)
    room = cv2.dilate(_where(alpha > np.float32(_ROOM)), _REACH) == 0
    person = cv2.erode(_where(alpha > np.float32(1 - _ROOM)), _REACH) > 0
    a[room | person], b[room], b[person] = 0, 0, 1
    return a, b


def _where(condition: NDArray[np.bool_]) -> Plane:
    return condition.view(np.uint8)


def _mean(plane: Float) -> Float:
    window = (2 * _RADIUS + 1, 2 * _RADIUS + 1)
    return np.asarray(cv2.boxFilter(plane, -1, window, borderType=cv2.BORDER_REFLECT), np.float32)


def _apply(a: Float, b: Float, luma: Plane) -> Plane:
    """Compute a * luma / 255 + b, stretched and clipped, as uint8 at the luma's size."""
    size = (luma.shape[1], luma.shape[0])
    gain = np.float32(1 / (1 - 2 * _STRETCH))
    slope = cv2.resize(a * gain, size, interpolation=cv2.INTER_LINEAR)
    offset = cv2.resize((b - np.float32(_STRETCH)) * (gain * np.float32(255)), size, interpolation=cv2.INTER_LINEAR)
    cv2.multiply(luma, slope, dst=slope, dtype=cv2.CV_32F)
    return np.asarray(cv2.add(slope, offset, dtype=cv2.CV_8U), np.uint8)  # rounds and saturates


def _feather(alpha: Plane, radius_px: float) -> Plane:
    size = 2 * max(1, round(radius_px)) + 1
    return np.asarray(cv2.blur(cv2.blur(alpha, (size, size)), (size, size)), np.uint8)
