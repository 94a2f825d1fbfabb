"""Small rectangles of a plane, processed in batches, so that work is spent only where needed."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from vcam.frame import Plane
from vcam.geometry import Box

Index = NDArray[np.intp]
"""intp [n]."""
_BANDS = 8
"""Number of bands: the boxes of eight cover most of a head-and-shoulders outline."""


@dataclass(frozen=True, slots=True)
class Tiles:
    """Rectangles of one size inside a plane.

    height, width: of each rectangle, in pixels. top, left: intp [n], first rows and columns.
    Rectangles may overlap; `put` then needs the same pixels for both.
    """

    height: int
    width: int
    top: Index
    left: Index

    @classmethod
    def none(cls, height: int, width: int) -> Tiles:
        """No tile."""
        nowhere = np.zeros(0, np.intp)
        return cls(height, width, nowhere, nowhere)

    def __len__(self) -> int:
        return len(self.top)

    def of(self, plane: NDArray[Any]) -> NDArray[Any]:
        """Return the pixels, a new array [n, height, width] of the plane's type.

        plane: [H, W], which contains all rectangles.
        """
        return np.asarray(_windows(plane, self.height, self.width)[self.top, self.left])

    def put(self, plane: Plane, pixels: Plane | int) -> None:
        """Write pixels [n, height, width], or one value for all, into a plane [H, W] in place."""
        _windows(plane, self.height, self.width)[self.top, self.left] = pixels

    def copy(self, source: Plane, target: Plane) -> None:
        """Copy the rectangles' pixels from one plane to another of the same size."""
        self.put(target, self.of(source))

    def and_also(self, other: Tiles) -> Tiles:
        """These tiles and others of the same size."""
        top, left = np.concatenate((self.top, other.top)), np.concatenate((self.left, other.left))
        return Tiles(self.height, self.width, top, left)

    def enlarged(self, factor: int) -> Tiles:
        """The same rectangles in a plane that is `factor` times as large."""
        return Tiles(
            self.height * factor, self.width * factor, self.top * factor, self.left * factor
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
        )

    def chosen(self, which: NDArray[np.bool_] | slice) -> Tiles:
        """Select tiles by `which`, bool [n], or by a slice."""
        return Tiles(self.height, self.width, self.top[which], self.left[which])


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

    def covering(self, which: NDArray[np.bool_]) -> tuple[tuple[Box, ...], Tiles]:
        """The tiles for which `which`, bool [n], is true, as a few large boxes and remaining tiles.

        Large boxes are copied several times faster than many small ones.
        """
        left_over = which.reshape(len(self.rows), len(self.columns)).copy()
        rows = [row.tobytes() for row in left_over]
        used = [index for index, row in enumerate(rows) if any(row)]
        boxes = []
        for first, last in _bands(used):
            start, stop = _common_run(rows[first : last + 1])
            if start < stop:
                left_over[first : last + 1, start:stop] = False
                bottom = self.rows[last] + self.tiles.height
                right = self.columns[stop - 1] + self.tiles.width
                boxes.append(
                    Box(int(self.rows[first]), int(bottom), int(self.columns[start]), int(right))
                )
        return tuple(boxes), self.tiles.chosen(left_over.ravel())


@lru_cache(maxsize=16)
def grid_of(rows: int, columns: int, height: int, width: int) -> Grid:
    """Divide a plane [rows, columns] into tiles, which are smaller if the plane is."""
    height, width = min(height, rows), min(width, columns)
    tops, lefts = _starts(rows, height), _starts(columns, width)
    top, left = np.repeat(tops, len(lefts)), np.tile(lefts, len(tops))
    return Grid(tops, lefts, Tiles(height, width, top, left), top * columns + left)


def _bands(rows: list[int]) -> Iterator[tuple[int, int]]:
    """First and last of at most _BANDS groups of rows."""
    count = min(_BANDS, len(rows))
    for index in range(count):
        group = rows[index * len(rows) // count : (index + 1) * len(rows) // count]
        yield group[0], group[-1]


def _common_run(rows: list[bytes]) -> tuple[int, int]:
    """Start and end of the longest run of columns that are 1 in all rows; equal numbers if there
    is none.
    """
    together = reduce(operator.and_, (int.from_bytes(row) for row in rows))
    values = together.to_bytes(len(rows[0]))
    longest = max(values.split(b"\0"), key=len)
    start = values.index(longest)
    return start, start + len(longest)


def _starts(length: int, step: int) -> Index:
    starts = np.arange(0, length - step + 1, step)
    return starts if starts[-1] + step == length else np.append(starts, length - step)


def _windows(plane: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """A view [y, x, height, width] of a plane: every rectangle of that size, by its first pixel.

    `sliding_window_view` does the same but is forty times slower.
    """
    down, across = plane.strides
    shape = (plane.shape[0] - height + 1, plane.shape[1] - width + 1, height, width)
    return as_strided(plane, shape, (down, across, down, across))
