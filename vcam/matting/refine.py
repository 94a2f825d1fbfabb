"""Turn the engine's small matte into an alpha plane that follows the edges of the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.frame import Matte, Plane, Size
from vcam.geometry import Box
from vcam.matting.pyramid import resized
from vcam.matting.tiles import Grid, Index, Tiles, grid_of

_RADIUS_SHARE = 1 / 107
"""Radius of the guided filter's window, as a share of the frame's width: about two pixels of a
224-pixel matte.
"""
_EPSILON = 2.5e-4 * 255**2
"""Variance of luma (0..255) below which an edge is noise: a step of about 3 % of full scale."""
_STRETCH = 0.12 * 255
"""Contrast stretch: alpha below this becomes 0, above 255 minus this becomes 255."""
_GAIN = 255 / (255 - 2 * _STRETCH)

_ROOM = 5
"""Alpha, of 255: up to this certainly room, from 255 minus this certainly person."""
_TILE_PX = (16, 32)
"""Rows and columns of the frame's tiles; each is refined and blended as a whole, or not at all. It
has at least two rows and four columns of the low frame.
"""

_STEPS = 1 << 18
"""Multiplications of a matrix product up to which OpenBLAS uses one thread (SMP_THRESHOLD_MIN and
GEMM_MULTITHREAD_THRESHOLD in its source); intermediate results of this size fit into one core's
cache.
"""

Float = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Mask:
    """The person at the frame's resolution: for each pixel 0 room .. 255 person.

    edge, alpha: the tiles that contain the outline, and their pixels side by side, uint8 [height,
    n * width]. inside: intp [m, 4], boxes that are entirely person: top, bottom, left, right of
    each. The rest is entirely room. All edges are even. low: uint8 [h, w] of the low frame's size,
    the matte before refinement.
    """

    edge: Tiles
    alpha: Plane
    inside: Index
    low: Plane

    @classmethod
    def nobody(cls, low: Plane) -> Mask:
        """A mask without a person. low: uint8 [h, w], zeros of the low frame's size."""
        return cls(Tiles.none(2, 2), np.zeros((2, 0), np.uint8), np.zeros((0, 4), np.intp), low)

    def full(self, size: Size) -> Plane:
        """Return the alpha as a new plane uint8 [H, W] of the whole frame."""
        plane = np.zeros((size[1], size[0]), np.uint8)
        for top, bottom, left, right in self.inside.tolist():
            plane[top:bottom, left:right] = 255
        self.edge.put(plane, self.alpha)
        return plane


@dataclass(frozen=True, slots=True)
class RefineConfig:
    """The user's adjustments, in pixels of the output frame.

    grow_px: widen (or, negative, narrow) the person. feather_px: soften the edge.
    """

    grow_px: float = 0.0
    feather_px: float = 0.0


def refine(matte: Matte, luma: Plane, low_luma: Plane, config: RefineConfig) -> Mask:
    """Upsample a matte along the edges of the luma plane.

    Fast guided filter (He and Sun, "Fast Guided Filter", arXiv 1505.00996): the local linear model
    alpha = a * luma + b is fitted on the low frame, and applied at full resolution in the tiles
    whose alpha depends on luma.

    Args:
        matte: the matte of the frame.
        luma: uint8 [H, W], the frame's luma plane.
        low_luma: uint8 [h, w], the luma plane shrunk. If the factor is not a whole, even number,
            the whole frame is one tile.
        config: the user's adjustments.
    """
    small = _grow(matte.alpha, config.grow_px * matte.alpha.shape[1] / luma.shape[1])
    alpha = resized(small, low_luma)
    model = _guided(low_luma, alpha)
    if (feather := config.feather_px * low_luma.shape[1] / luma.shape[1]) > 0:
        model = _feathered(model, low_luma, feather)
    factor = _whole_factor(luma, low_luma)
    if not factor:
        return _one_tile(model, luma, alpha)
    grid = grid_of(*alpha.shape, max(2, _TILE_PX[0] // factor), max(4, _TILE_PX[1] // factor))
    undecided, person = model.sort(grid)
    tiles = grid.tiles.chosen(undecided)
    edge = tiles.enlarged(factor)
    pixels = _tile_alpha(model, tiles, edge, luma)
    each = pixels.reshape(edge.height, len(edge), edge.width)
    full = each.min(axis=0).min(axis=1, initial=255) == 255
    mixed = np.flatnonzero((each.max(axis=0).max(axis=1, initial=0) > 0) & ~full)
    person[undecided[full]] = True
    pixels = each.take(mixed, axis=1).reshape(edge.height, -1)
    return Mask(edge.chosen(mixed), pixels, grid.boxes(person) * factor, alpha)


def _whole_factor(luma: Plane, low_luma: Plane) -> int:
    """Frame pixels per low pixel; 0 if that is not a whole, even number on both axes."""
    factor = luma.shape[0] // low_luma.shape[0]
    exact = (low_luma.shape[0] * factor, low_luma.shape[1] * factor) == luma.shape
    return factor if exact and factor % 2 == 0 else 0


def _one_tile(model: _Model, luma: Plane, low: Plane) -> Mask:
    """The mask of a frame whose size is not a multiple of its low frame's."""
    slopes, offsets = model.inner
    size = (luma.shape[1], luma.shape[0])
    slope, offset = (
        np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR), np.float32)
        for plane in (
            slopes * np.float32(_GAIN),
            (offsets - np.float32(_STRETCH)) * np.float32(_GAIN),
        )
    )
    height, width = luma.shape
    everything = Tiles(height, width, np.zeros(1, np.intp), np.zeros(1, np.intp))
    alpha = np.empty((height, width), np.uint8)
    _apply(slope, offset, luma, alpha)
    return replace(Mask.nobody(low), edge=everything, alpha=alpha)


def _grow(alpha: Plane, radius: float) -> Plane:
    """Widen or narrow by `radius` pixels; fractions mix the two nearest whole radii."""
    if not radius:
        return alpha
    whole, rest = divmod(abs(radius), 1)
    morph = cv2.dilate if radius > 0 else cv2.erode
    near, far = (
        morph(alpha, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * r + 1, 2 * r + 1)))
        for r in (int(whole), int(whole) + 1)
    )
    return np.asarray(cv2.addWeighted(near, 1 - rest, far, rest, 0), np.uint8)


@dataclass(frozen=True, slots=True)
class _Model:
    """The local linear model of the guided filter on the low frame: alpha = a * luma + b.

    planes: float32 [2, h + 2, w + 2], a and b with a border of one repeated pixel. sure: uint8
    [h, w], 0 or 255. part: outside of it, a is 0 and b is `sure`.
    """

    planes: Float
    sure: Plane
    part: Box

    @property
    def inner(self) -> Float:
        """float32 [2, h, w], a view: a and b without the border."""
        return self.planes[:, 1:-1, 1:-1]

    def sort(self, grid: Grid) -> tuple[Index, NDArray[np.bool_]]:
        """Numbers of the low frame's tiles that may be mixed, and which, bool [n], are person.

        Alpha is between b and 255 * a + b for any luma. Enlarging mixes each low pixel with its
        neighbours, so they count too.
        """
        a, b = (self.part.of(plane) for plane in self.inner)
        person, room = self.sure.copy(), np.invert(self.sure)
        if a.size:
            end, least = cv2.scaleAdd(a, 255, b), np.float32(255 - _STRETCH - 1e-3)
            np.greater(cv2.max(b, end), np.float32(_STRETCH), out=self.part.of(person))
            np.less(cv2.min(b, end), least, out=self.part.of(room))
        around = _ones(grid.tiles.height + 2, grid.tiles.width + 2)
        has_person, has_room = (
            np.take(cv2.dilate(plane, around, anchor=(1, 1)), grid.first) > 0
            for plane in (person, room)
        )
        return np.flatnonzero(has_person & has_room), ~has_room


def _repeat_edges(planes: Float) -> None:
    """Fill the border of planes [..., h + 2, w + 2] with the pixels next to it."""
    planes[..., 0, :], planes[..., -1, :] = planes[..., 1, :], planes[..., -2, :]
    planes[..., 0], planes[..., -1] = planes[..., 1], planes[..., -2]


def _guided(luma: Plane, alpha: Plane) -> _Model:
    """Coefficients of alpha = a * luma + b: the paper's equations 5, 6, 8.

    Where the engine is certain and none of its own edges is near, they are (0, 0) or (0, 255):
    there the picture has no influence.
    """
    window = _window(alpha)
    near = cv2.dilate(cv2.threshold(alpha, _ROOM, 255, cv2.THRESH_BINARY)[1], window)
    sure = cv2.erode(cv2.threshold(alpha, 254 - _ROOM, 255, cv2.THRESH_BINARY)[1], window)
    undecided = np.asarray(cv2.subtract(near, sure), np.uint8)
    planes = np.zeros((2, alpha.shape[0] + 2, alpha.shape[1] + 2), np.float32)
    a, b = planes[:, 1:-1, 1:-1]
    b[:] = sure
    box = Box.at(*cv2.boundingRect(undecided))
    if box.area:
        reach = len(window) // 2 * 2  # a mean of means reaches twice as far
        top, left = max(0, box.top - reach), max(0, box.left - reach)
        around = np.s_[top : box.bottom + reach, left : box.right + reach]
        fitted = _fit(luma[around], alpha[around], window.shape)
        for plane, found in zip((a, b), fitted, strict=True):
            inside = found[box.top - top :, box.left - left :][: box.height, : box.width]
            cv2.copyTo(inside, box.of(undecided), box.of(plane))
    _repeat_edges(planes)
    return _Model(planes, np.asarray(sure, np.uint8), box)


def _fit(guide: Plane, target: Plane, window: tuple[int, ...]) -> tuple[Float, Float]:
    """Mean slope and mean offset, float32 [h, w], of the lines fitted in each pixel's windows."""

    def mean(plane: Any, out: Any = None, box: Callable[..., Any] = cv2.boxFilter) -> Any:
        return box(plane, cv2.CV_32F, window, dst=out, borderType=cv2.BORDER_REFLECT)

    # Working on few planes at a time keeps them in the processor's cache.
    slope = mean(np.multiply(guide, target, dtype=np.uint16))
    mean_g, mean_p = mean(guide), mean(target)
    spare = np.multiply(mean_g, mean_p)
    slope -= spare
    variance = mean(guide, spare, cv2.sqrBoxFilter)
    square = np.multiply(mean_g, mean_g)
    square -= np.float32(_EPSILON)
    variance -= square
    slope /= variance
    mean_p -= np.multiply(slope, mean_g, out=mean_g)
    return mean(slope, mean_g), mean(mean_p, variance)


def _feathered(model: _Model, low_luma: Plane, radius: float) -> _Model:
    """A model whose alpha is softened by `radius` low pixels and does not depend on the luma."""
    a, b = model.inner
    planes = np.zeros_like(model.planes)
    soft = planes[1, 1:-1, 1:-1]
    soft[:] = _soften(a * low_luma + b, radius)
    _repeat_edges(planes)
    return _Model(planes, np.zeros_like(low_luma), Box(0, soft.shape[0], 0, soft.shape[1]))


def _window(alpha: Plane) -> Plane:
    """The filter's window on the low frame, as ones.

    Its size also limits how far the filter may move an edge: further away, texture of the room
    cannot be mistaken for person.
    """
    size = 2 * max(2, round(alpha.shape[1] * _RADIUS_SHARE)) + 1
    return _ones(size, size)


@lru_cache(maxsize=16)
def _ones(rows: int, columns: int) -> Plane:
    return np.ones((rows, columns), np.uint8)


def _tile_alpha(model: _Model, low_tiles: Tiles, tiles: Tiles, luma: Plane) -> Plane:
    """Alpha of some tiles, side by side: uint8 [height, n * width].

    Gives the same numbers as a bilinear `cv2.resize` of a and b, by two matrix products for a few
    tiles at a time.

    Args:
        model: the model on the low frame.
        low_tiles: tiles of the low frame.
        tiles: the same tiles of the frame.
        luma: uint8 [H, W], the frame's luma.
    """
    around = low_tiles.with_border(1)
    low = np.stack([around.of(plane) for plane in model.planes])
    low[1] -= np.float32(_STRETCH)
    low = low.reshape(2, around.height, len(tiles), around.width)
    down, across = _enlarging(around.height, tiles.height, around.width, tiles.width)
    pixels = tiles.of(luma)
    alpha = np.empty((tiles.height, len(tiles) * tiles.width), np.uint8)
    step = max(1, _STEPS // (tiles.width * around.height * max(2 * around.width, tiles.height)))
    for start in range(0, len(tiles), step):
        some = low[:, :, start : start + step].reshape(-1, around.width)
        wide = np.matmul(some, across).reshape(2, around.height, -1)
        slope, offset = np.matmul(down, wide)
        part = np.s_[:, start * tiles.width : start * tiles.width + slope.shape[1]]
        _apply(slope, offset, pixels[part], alpha[part])
    return alpha


@lru_cache(maxsize=16)
def _enlarging(rows: int, height: int, columns: int, width: int) -> tuple[Float, Float]:
    """What makes the low pixels in and around a tile [rows, columns] those of a tile [height,
    width], stretched: factors to the left and to the right of them.
    """
    down, across = _bilinear(rows, height), _bilinear(columns, width)
    return down * np.float32(_GAIN), np.ascontiguousarray(across.T)


def _bilinear(low: int, length: int) -> Float:
    """float32 [length, low]: weights of a tile's low pixels and their neighbours, `low` in all."""
    position = (np.arange(length) + 0.5) * (low - 2) / length + 0.5
    distance = np.abs(position[:, None] - np.arange(low))
    return np.asarray(np.maximum(1 - distance, 0), np.float32)


def _apply(slope: Float, offset: Float, luma: Plane, out: Plane) -> None:
    """Write the rounded slope * luma + offset, all [height, width], to `out`, uint8.

    Overwrites `slope`.
    """
    cv2.multiply(luma, slope, dst=slope, dtype=cv2.CV_32F)
    cv2.add(slope, offset, dst=out, dtype=cv2.CV_8U)


def _soften(plane: Float, radius: float) -> Float:
    """Apply two box filters of `radius` pixels of the low frame."""
    size = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.blur(cv2.blur(plane, (size, size)), (size, size)), np.float32)
