"""Small rectangles of a plane, processed in batches, so that work is spent only where needed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.intp]
"""intp [n]."""
_PIECE_BYTES = 32
"""The longest piece that NumPy's `take` copies without a function call."""


@dataclass(frozen=True, slots=True)
class Tiles:
    """Rectangles of one size inside a plane.

    height, width: of each rectangle, in pixels. top, left: intp [n], first rows and columns.
    Rectangles may overlap; `put` then needs the same pixels for both. step: a divisor of `width`
    and of all in `left`; the larger, the faster.
    """

    height: int
    width: int
    top: Index
    left: Index
    step: int = 1
    _places: dict[tuple[int, int], Index] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def none(cls, height: int, width: int) -> Tiles:
        """No tile."""
        nowhere = np.zeros(0, np.intp)
        return cls(height, width, nowhere, nowhere, width)

    def __len__(self) -> int:
        return len(self.top)

    def of(self, plane: NDArray[Any]) -> NDArray[Any]:
        """The pixels, all tiles side by side: [height, n * width] of the plane's type, not to be
        written to.

        plane: [H, W], C-contiguous, which holds all the rectangles.
        """
        if len(self) == 1:
            return plane[self._only]
        pieces, places = self._pieces(plane)
        taken = pieces.take(places).view(plane.dtype)
        return taken.reshape(self.height, len(self) * self.width)

    def put(self, plane: NDArray[Any], pixels: NDArray[Any] | int) -> None:
        """Write pixels [height, n * width], or one value for all, into a plane [H, W] in place."""
        if len(self) == 1:
            plane[self._only] = pixels
            return
        pieces, places = self._pieces(plane)
        if isinstance(pixels, int):
            pixels = np.full(pieces.dtype.itemsize // plane.itemsize, pixels, plane.dtype)
        else:
            pixels = np.ascontiguousarray(pixels, plane.dtype)
        new = pixels.reshape(-1).view(pieces.dtype)
        pieces[places] = new if len(new) == 1 else new.reshape(places.shape)

    def with_border(self, border: int) -> Tiles:
        """The rectangles extended by `border` pixels, in a plane extended by as many."""
        more = 2 * border
        step = math.gcd(self.step, more)
        return Tiles(self.height + more, self.width + more, self.top, self.left, step)

    def enlarged(self, factor: int) -> Tiles:
        """The same rectangles in a plane that is `factor` times as large."""
        return Tiles(
            self.height * factor,
            self.width * factor,
            self.top * factor,
            self.left * factor,
            self.step * factor,
        )

    def of_both_chroma(self, rows: int) -> Tiles:
        """The same rectangles in both chroma planes, one below the other; all edges are even.

        rows: of one chroma plane.
        """
        top, left = self.top // 2, self.left // 2
        return Tiles(
            self.height // 2,
            self.width // 2,
            np.concatenate((top, top + rows)),
            np.concatenate((left, left)),
            max(1, self.step // 2),
        )

    def chosen(self, which: NDArray[np.bool_] | Index) -> Tiles:
        """Those for which `which`, bool [n], is true, or those with the numbers in it."""
        return Tiles(self.height, self.width, self.top[which], self.left[which], self.step)

    @property
    def _only(self) -> tuple[slice, slice]:
        """Where the one tile lies."""
        top, left = int(self.top[0]), int(self.left[0])
        return slice(top, top + self.height), slice(left, left + self.width)

    def _pieces(self, plane: NDArray[Any]) -> tuple[NDArray[Any], Index]:
        """The plane as a row of pieces of equal length, and the numbers of those in the tiles,
        [height, n, pieces in a tile's row].

        Few long pieces are moved several times faster than as many small rectangles.
        """
        columns = plane.shape[1]
        step = math.gcd(self.step, columns, _PIECE_BYTES // plane.itemsize)
        places = self._places.get((columns, step))
        if places is None:
            in_row = columns // step
            first = self.top * in_row + self.left // step
            within = np.arange(self.height)[:, None] * in_row + np.arange(self.width // step)
            places = self._places[columns, step] = first[:, None] + within[:, None]
        return plane.reshape(-1).view(np.dtype((np.void, step * plane.itemsize))), places


@dataclass(frozen=True, slots=True)
class Grid:
    """A plane divided into tiles of one size; the last row and column overlap their neighbours.

    rows, columns: intp, first rows and columns of the tiles. tiles: all, row by row. first: intp
    [n], the index of each tile's first pixel in the flattened plane.
    """

    rows: Index
    columns: Index
    tiles: Tiles
    first: Index

    def boxes(self, which: NDArray[np.bool_]) -> Index:
        """The tiles for which `which`, bool [n], is true, neighbours of a row as one: intp [m, 4],
        top, bottom, left, right of each.

        Long rows of pixels are copied several times faster than as many short ones.
        """
        width = len(self.columns)
        framed = np.zeros((len(self.rows), width + 2), np.int8)
        framed[:, 1:-1] = which.reshape(-1, width)
        ends = np.flatnonzero(np.diff(framed.ravel()))
        row, column = np.divmod(ends, width + 2)
        top, left = self.rows[row[::2]], self.columns[column[::2]]
        right = self.columns[column[1::2] - 1] + self.tiles.width
        return np.stack((top, top + self.tiles.height, left, right), axis=1)


@lru_cache(maxsize=16)
def grid_of(rows: int, columns: int, height: int, width: int) -> Grid:
    """Divide a plane [rows, columns] into tiles, which are smaller if the plane is."""
    height, width = min(height, rows), min(width, columns)
    tops, lefts = _starts(rows, height), _starts(columns, width)
    top, left = np.repeat(tops, len(lefts)), np.tile(lefts, len(tops))
    step = math.gcd(width, int(lefts[-1]))
    return Grid(tops, lefts, Tiles(height, width, top, left, step), top * columns + left)


def _starts(length: int, step: int) -> Index:
    starts = np.arange(0, length - step + 1, step)
    return starts if starts[-1] + step == length else np.append(starts, length - step)
