"""From the engine's small matte to an alpha plane that follows the picture's own edges."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.frame import Matte, Plane, Size

_RADIUS_SHARE = 1 / 107
"""Radius of the guided filter's window, as a share of the frame's width: about two pixels of a
224-pixel matte.
"""
_EPSILON = 2.5e-4
"""Variance (luma 0..1) below which an edge is noise: a step of about 3 % of full scale."""
_STRETCH = 0.12
"""What the filter leaves of haze at both ends of 0..1 is cut off by this much."""

_ROOM = 0.02
"""Up to here the engine is sure of the room, and from 1 minus this on of the person."""
_BANDS = 4
"""Of a head and shoulders, four bands leave out half of the box around both."""

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
class Part:
    """A piece of a mask. alpha: uint8 [box height, box width], 0 room .. 255 person."""

    box: Box
    alpha: Plane


@dataclass(frozen=True, slots=True)
class Mask:
    """Where the person is, at the frame's resolution.

    parts: do not overlap; everything outside them is room. low: float32 [h, w] of the low frame's
    size, 0..1, before the refinement.
    """

    parts: tuple[Part, ...]
    low: Float

    def full(self, size: Size) -> Plane:
        """The alpha as a new plane uint8 [H, W] of the whole frame."""
        plane = np.zeros((size[1], size[0]), np.uint8)
        for part in self.parts:
            part.box.of(plane)[:] = part.alpha
        return plane


@dataclass(frozen=True, slots=True)
class RefineConfig:
    """What the user may change. grow_px: widen (or, negative, narrow) the person; feather_px:
    soften the edge.

    Both in pixels of the output frame.
    """

    grow_px: float = 0.0
    feather_px: float = 0.0


def refine(matte: Matte, luma: Plane, low_luma: Plane, config: RefineConfig) -> Mask:
    """Upsample a matte along the edges of the luma plane.

    Fast guided filter (He and Sun, "Fast Guided Filter", arXiv 1505.00996): the local linear model
    alpha = a * luma + b is fitted on the low frame and applied at full resolution, only where the
    person is.

    Args:
        matte: of the same frame.
        luma: uint8 [H, W], the frame's luma plane.
        low_luma: uint8 [h, w], the same shrunk, by a whole factor where the person's box shall be
            cut out.
        config: the user's wishes.
    """
    size_low = (low_luma.shape[1], low_luma.shape[0])
    small = _grow(matte.alpha, config.grow_px * matte.alpha.shape[1] / luma.shape[1])
    alpha = cv2.resize(small, size_low, interpolation=cv2.INTER_LINEAR).astype(
        np.float32
    ) * np.float32(1 / 255)
    factor = _whole_factor(luma, low_luma)
    feather = config.feather_px * low_luma.shape[1] / luma.shape[1]
    boxes = _bands(alpha, feather) if factor else [Box(0, alpha.shape[0], 0, alpha.shape[1])]
    if not boxes:
        return Mask((), alpha)
    a, b = _guided(low_luma, alpha, boxes[0].top, boxes[-1].bottom)
    if feather > 0:
        a, b = np.zeros_like(a), _soften(a * low_luma * np.float32(1 / 255) + b, feather)
    if not factor:
        return Mask((Part(Box(0, luma.shape[0], 0, luma.shape[1]), _apply(a, b, luma)),), alpha)
    return Mask(tuple(_refine_part(a, b, luma, box, factor) for box in boxes), alpha)


def _whole_factor(luma: Plane, low_luma: Plane) -> int:
    """How many frame pixels a low one spans; 0 where that is not a whole, even number along both
    axes.
    """
    factor = luma.shape[0] // low_luma.shape[0]
    exact = (low_luma.shape[0] * factor, low_luma.shape[1] * factor) == luma.shape
    return factor if exact and factor % 2 == 0 else 0


def _refine_part(a: Float, b: Float, luma: Plane, low: Box, factor: int) -> Part:
    """Apply the coefficients inside one box of the low frame, its edges seen from both
    sides alike.
    """
    top, bottom = max(0, low.top - 1), min(a.shape[0], low.bottom + 1)
    left, right = max(0, low.left - 1), min(a.shape[1], low.right + 1)
    wide = Box(top * factor, bottom * factor, left * factor, right * factor)
    box = Box(low.top * factor, low.bottom * factor, low.left * factor, low.right * factor)
    alpha = _apply(a[top:bottom, left:right], b[top:bottom, left:right], wide.of(luma))
    inner = Box(
        box.top - wide.top, box.bottom - wide.top, box.left - wide.left, box.right - wide.left
    )
    return Part(box, inner.of(alpha))


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


def _bands(alpha: Float, feather: float) -> list[Box]:
    """The person's extent in horizontal bands of the low frame, each only as wide as the person is
    there.
    """
    reach = _window(alpha).shape[0] + 2 * math.ceil(2 * feather)
    present = cv2.dilate(_where(alpha > np.float32(_ROOM)), np.ones((reach, reach), np.uint8))
    rows = np.flatnonzero(present.any(axis=1))
    if not rows.size:
        return []
    edges = np.linspace(rows[0], rows[-1] + 1, _BANDS + 1).astype(int)
    boxes = []
    for top, bottom in pairwise(edges.tolist()):
        columns = np.flatnonzero(present[top:bottom].any(axis=0))
        if columns.size:
            boxes.append(Box(top, bottom, int(columns[0]), int(columns[-1]) + 1))
    return boxes


def _guided(luma: Plane, alpha: Float, top: int, bottom: int) -> tuple[Float, Float]:
    """Coefficients a, b (float32 [h, w]) of alpha = a * luma / 255 + b, equations 5, 6 and 8 of the
    paper.

    They are computed in the rows from `top` to `bottom`; zero elsewhere. Where the engine is sure,
    and no edge of its own is near, the filter has no say.
    """
    a, b = np.zeros_like(alpha), np.zeros_like(alpha)
    rows, window = slice(top, bottom), _window(alpha)

    def mean(plane: Float) -> Float:
        return np.asarray(
            cv2.boxFilter(plane, -1, window.shape, borderType=cv2.BORDER_REFLECT), np.float32
        )

    guide, target = luma[rows].astype(np.float32) * np.float32(1 / 255), alpha[rows]
    mean_g, mean_p = mean(guide), mean(target)
    variance = mean(guide * guide) - mean_g * mean_g
    covariance = mean(guide * target) - mean_g * mean_p
    slope = np.asarray(covariance / (variance + np.float32(_EPSILON)), np.float32)
    a[rows], b[rows] = mean(slope), mean(mean_p - slope * mean_g)
    room = cv2.dilate(_where(alpha > np.float32(_ROOM)), window) == 0
    person = cv2.erode(_where(alpha > np.float32(1 - _ROOM)), window) > 0
    a[room | person], b[room], b[person] = 0, 0, 1
    return a, b


def _where(condition: NDArray[np.bool_]) -> Plane:
    return condition.view(np.uint8)


def _window(alpha: Float) -> NDArray[np.uint8]:
    """The filter's window on the low frame, as ones.

    It is also how far the filter may move an edge: beyond, texture of the room cannot pass for
    person.
    """
    size = 2 * max(2, round(alpha.shape[1] * _RADIUS_SHARE)) + 1
    return np.ones((size, size), np.uint8)


def _apply(a: Float, b: Float, luma: Plane) -> Plane:
    """Compute a * luma / 255 + b, stretched and clipped, as uint8 at the luma's size."""
    size = (luma.shape[1], luma.shape[0])
    gain = np.float32(1 / (1 - 2 * _STRETCH))
    slope = cv2.resize(a * gain, size, interpolation=cv2.INTER_LINEAR)
    offset = cv2.resize(
        (b - np.float32(_STRETCH)) * (gain * np.float32(255)), size, interpolation=cv2.INTER_LINEAR
    )
    cv2.multiply(luma, slope, dst=slope, dtype=cv2.CV_32F)
    return np.asarray(cv2.add(slope, offset, dtype=cv2.CV_8U), np.uint8)  # rounds and saturates


def _soften(plane: Float, radius: float) -> Float:
    """Two box filters of `radius` pixels of the low frame."""
    size = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.blur(cv2.blur(plane, (size, size)), (size, size)), np.float32)
