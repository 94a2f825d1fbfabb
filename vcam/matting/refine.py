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
from vcam.matting.tiles import Tiles, grid_of

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
_TILE = (4, 8)
"""Size of the low frame's tiles; each is refined and blended as a whole, or not at all."""

_AT_ONCE_PX = 1 << 16
"""Two float32 planes of this size take half a megabyte: they fit into one core's cache."""
_AT_ONCE = 128
"""Number of tiles per batch. OpenBLAS uses one thread for a product of up to 2**18 steps
(SMP_THRESHOLD_MIN and GEMM_MULTITHREAD_THRESHOLD in its source), here 128 * 6 * 10 * 32.
"""

Float = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Mask:
    """The person at the frame's resolution: for each pixel 0 room .. 255 person.

    edge, alpha: the tiles that contain the outline, and their pixels, uint8 [n, height, width].
    inside, person: boxes and tiles that are entirely person. The rest is entirely room. All edges
    are even if the frame's are. low: uint8 [h, w] of the low frame's size, the matte before
    refinement.
    """

    edge: Tiles
    alpha: Plane
    inside: tuple[Box, ...]
    person: Tiles
    low: Plane

    @classmethod
    def nobody(cls, low: Plane) -> Mask:
        """A mask without a person. low: uint8 [h, w], zeros of the low frame's size."""
        none = Tiles.none(2, 2)
        return cls(none, np.zeros((0, 2, 2), np.uint8), (), none, low)

    def full(self, size: Size) -> Plane:
        """Return the alpha as a new plane uint8 [H, W] of the whole frame."""
        plane = np.zeros((size[1], size[0]), np.uint8)
        for box in self.inside:
            box.of(plane).fill(255)
        self.person.put(plane, 255)
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
    a, b = _guided(low_luma, alpha)
    if (feather := config.feather_px * low_luma.shape[1] / luma.shape[1]) > 0:
        a, b = np.zeros_like(a), _soften(a * low_luma + b, feather)
    factor = _whole_factor(luma, low_luma)
    if not factor:
        return _one_tile(a, b, luma, alpha)
    maybe_person, maybe_room = _ends(a, b)
    grid = grid_of(*alpha.shape, *_TILE)
    boxes, person = grid.covering(~maybe_room)
    edge = grid.tiles.chosen(maybe_person & maybe_room)
    tiles = edge.enlarged(factor)
    pixels = _tile_alpha(a, b, edge, luma, factor)
    flat = pixels.reshape(len(tiles), tiles.height * tiles.width)
    all_person = flat.min(axis=1, initial=255) == 255
    mixed = (flat.max(axis=1, initial=0) > 0) & ~all_person
    return Mask(
        tiles.chosen(mixed),
        pixels[mixed],
        tuple(box.enlarged(factor) for box in boxes),
        person.enlarged(factor).and_also(tiles.chosen(all_person)),
        alpha,
    )


def _whole_factor(luma: Plane, low_luma: Plane) -> int:
    """Frame pixels per low pixel; 0 if that is not a whole, even number on both axes."""
    factor = luma.shape[0] // low_luma.shape[0]
    exact = (low_luma.shape[0] * factor, low_luma.shape[1] * factor) == luma.shape
    return factor if exact and factor % 2 == 0 else 0


def _one_tile(a: Float, b: Float, luma: Plane, low: Plane) -> Mask:
    """The mask of a frame whose size is not a multiple of its low frame's."""
    size = (luma.shape[1], luma.shape[0])
    slope, offset = (
        np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR), np.float32)[None]
        for plane in (a * np.float32(_GAIN), (b - np.float32(_STRETCH)) * np.float32(_GAIN))
    )
    height, width = luma.shape
    everything = Tiles(height, width, np.zeros(1, np.intp), np.zeros(1, np.intp))
    alpha = np.empty((1, height, width), np.uint8)
    _apply(slope, offset, luma[None], alpha)
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


def _guided(luma: Plane, alpha: Plane) -> tuple[Float, Float]:
    """Coefficients a, b (float32 [h, w]) of alpha = a * luma + b: the paper's equations 5, 6, 8.

    Where the engine is certain and none of its own edges is near, they are (0, 0) or (0, 255):
    there the picture has no influence.
    """
    window = _window(alpha)
    near = cv2.dilate(cv2.threshold(alpha, _ROOM, 255, cv2.THRESH_BINARY)[1], window)
    sure = cv2.erode(cv2.threshold(alpha, 254 - _ROOM, 255, cv2.THRESH_BINARY)[1], window)
    undecided = cv2.subtract(near, sure)
    a, b = np.zeros(alpha.shape, np.float32), sure.astype(np.float32)
    left, top, width, height = cv2.boundingRect(undecided)
    if not width:
        return a, b
    reach = len(window) // 2 * 2  # a mean of means reaches twice as far
    part = np.s_[
        max(0, top - reach) : top + height + reach, max(0, left - reach) : left + width + reach
    ]

    def mean(plane: Any, out: Any = None, box: Callable[..., Any] = cv2.boxFilter) -> Any:
        return box(plane, cv2.CV_32F, window.shape, dst=out, borderType=cv2.BORDER_REFLECT)

    guide, target = luma[part], alpha[part]
    mean_g, mean_p = mean(guide), mean(target)
    # Working on few planes at a time keeps them in the processor's cache.
    spare = cv2.multiply(guide, target, dtype=cv2.CV_32F)
    slope = mean(spare)
    cv2.subtract(slope, cv2.multiply(mean_g, mean_p, dst=spare), dst=slope)
    variance = mean(guide, spare, cv2.sqrBoxFilter)
    variance -= mean_g * mean_g
    variance += np.float32(_EPSILON)
    cv2.divide(slope, variance, dst=slope)
    offset = cv2.subtract(mean_p, cv2.multiply(slope, mean_g, dst=mean_g), dst=mean_p)
    cv2.copyTo(mean(slope, mean_g), undecided[part], a[part])
    cv2.copyTo(mean(offset, spare), undecided[part], b[part])
    return a, b


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


def _ends(a: Float, b: Float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which tiles of the low frame, bool [n], may contain person, and which may contain room.

    Alpha is between b and 255 * a + b for any luma. Enlarging mixes each low pixel with its
    neighbours, so they count too.
    """
    other_end = np.asarray(cv2.scaleAdd(a, 255, b), np.float32)
    person = np.maximum(b, other_end) > np.float32(_STRETCH)
    room = np.minimum(b, other_end) < np.float32(255 - _STRETCH - 1e-3)
    grid = grid_of(*a.shape, *_TILE)
    around = _ones(grid.tiles.height + 2, grid.tiles.width + 2)

    def any_of(which: NDArray[np.bool_]) -> NDArray[np.bool_]:
        grown = cv2.dilate(which.view(np.uint8), around, anchor=(1, 1))
        return np.asarray(np.take(grown, grid.first) > 0)

    return any_of(person), any_of(room)


def _tile_alpha(a: Float, b: Float, tiles: Tiles, luma: Plane, factor: int) -> Plane:
    """Alpha of some tiles of the low frame: uint8 [n, height * factor, width * factor].

    Gives the same numbers as a bilinear `cv2.resize` of a and b, by two matrix products per tile.
    Tiles are processed in small batches, so intermediate results stay in the processor's cache and
    NumPy's BLAS starts no threads.
    """
    around = Tiles(tiles.height + 2, tiles.width + 2, tiles.top, tiles.left)
    low = np.stack(
        [around.of(cv2.copyMakeBorder(plane, 1, 1, 1, 1, cv2.BORDER_REPLICATE)) for plane in (a, b)]
    )
    low[1] -= np.float32(_STRETCH)
    down, across = _bilinear(tiles.height, factor), _bilinear(tiles.width, factor).T
    down = down * np.float32(_GAIN)
    large = tiles.enlarged(factor)
    alpha = np.empty((len(tiles), large.height, large.width), np.uint8)
    step = max(1, min(_AT_ONCE, _AT_ONCE_PX // (large.height * large.width)))
    for start in range(0, len(tiles), step):
        some = slice(start, start + step)
        rows = low[:, some].reshape(2, -1, around.width)
        wide = np.matmul(rows, across).reshape(2, -1, around.height, large.width)
        slope, offset = np.matmul(down, wide)
        _apply(slope, offset, large.chosen(some).of(luma), alpha[some])
    return alpha


@lru_cache(maxsize=16)
def _bilinear(length: int, factor: int) -> Float:
    """float32 [length * factor, length + 2]: weights of a tile's pixels and their neighbours."""
    position = (np.arange(length * factor) + 0.5) / factor + 0.5
    distance = np.abs(position[:, None] - np.arange(length + 2))
    return np.asarray(np.maximum(1 - distance, 0), np.float32)


def _apply(slope: Float, offset: Float, luma: Plane, out: Plane) -> None:
    """Write the rounded slope * luma + offset, all [n, height, width], to `out`, uint8.

    Overwrites `slope`.
    """
    flat = (-1, luma.shape[2])
    alpha = slope.reshape(flat)
    cv2.multiply(luma.reshape(flat), alpha, dst=alpha, dtype=cv2.CV_32F)
    cv2.add(alpha, offset.reshape(flat), dst=out.reshape(flat), dtype=cv2.CV_8U)


def _soften(plane: Float, radius: float) -> Float:
    """Apply two box filters of `radius` pixels of the low frame."""
    size = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.blur(cv2.blur(plane, (size, size)), (size, size)), np.float32)
