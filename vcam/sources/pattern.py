"""A test pattern with a readable frame number."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise

import numpy as np

from vcam.colour import ycbcr_of
from vcam.errors import UsageError
from vcam.frame import Frame, Matrix, Size
from vcam.geometry import Box
from vcam.sources.base import SourceRequest
from vcam.sources.common import SourceBase
from vcam.sources.fit import copy_planes

QUADRANTS = ((200, 40, 30), (30, 180, 60), (40, 60, 210), (128, 128, 128))
"""(R, G, B) of the quarters: top left, top right, bottom left, bottom right."""

_COUNTER_BITS = 16
_WHITE, _BLACK = 235, 16


class PatternSource(SourceBase):
    """Colour quadrants, a white bar that moves down, and the frame's number as a row of cells along
    the top.

    Endless; the same index gives the same picture. `mirror` flips the whole picture, including the
    counter.

    Args:
        where: must be empty.
        request: the pipeline's requirements; default size 1280x720, default matrix BT.601.
    """

    def __init__(self, where: str, request: SourceRequest) -> None:
        if where:
            raise UsageError(
                f"pattern:{where}: the source 'pattern' takes no argument; type --source pattern"
            )
        super().__init__("pattern", replace(request, size=request.size or (1280, 720)))
        self._still: Frame | None = None

    def _open(self) -> None:
        self._still = _quadrants(self.size, self._request.matrix or Matrix.BT601)

    def read(self) -> Frame | None:
        """The next frame at once; None after `interrupt`."""
        if self._stop.is_set() or self._still is None:
            return None
        index = self._next_index()
        frame = Frame.empty(
            self.size, self._still.matrix, time.monotonic_ns(), index, self._period_ns(index)
        )
        np.copyto(frame.data, self._still.data)
        _draw_bar(frame, index)
        _draw_counter(frame, index)
        if not self._request.mirror:
            return frame
        mirrored = Frame.empty(frame.size, frame.matrix, frame.t_capture_ns, index, frame.pts_ns)
        copy_planes(frame.planes, Box.at(0, 0, *frame.size), mirrored, mirror=True)
        return mirrored

    def close(self) -> None:
        """Forget the picture. May be called twice, and without having opened."""
        self._still = None


def read_counter(frame: Frame) -> int:
    """Read the number in a pattern's counter, modulo 65536; robust to lossy compression and changes
    of size.
    """
    width, height = frame.size
    row = frame.y[max(1, height // 16) // 2]
    cells = [row[(2 * bit + 1) * width // (2 * _COUNTER_BITS)] for bit in range(_COUNTER_BITS)]
    return sum(1 << bit for bit, luma in enumerate(reversed(cells)) if luma > 128)


def _quadrants(size: Size, matrix: Matrix) -> Frame:
    """Draw the quadrants; edges are between chroma samples, so no pixel has a mixed colour."""
    frame = Frame.empty(size, matrix)
    for which, rgb in enumerate(QUADRANTS):
        for plane, value in zip(frame.planes, ycbcr_of(rgb, matrix), strict=True):
            height, width = frame.u.shape
            scale = plane.shape[0] // height
            x, y = width // 2 * scale, height // 2 * scale
            rows = slice(y, None) if which >= 2 else slice(0, y)
            columns = slice(x, None) if which % 2 else slice(0, x)
            plane[rows, columns] = value
    return frame


def _draw_bar(frame: Frame, index: int) -> None:
    """Draw the bar: a twenty-fourth of the height, one chroma row further down per frame."""
    rows = frame.u.shape[0]
    top = index % rows
    bottom = min(rows, top + max(1, rows // 24))
    frame.y[2 * top : 2 * bottom] = _WHITE
    frame.u[top:bottom] = frame.v[top:bottom] = 128


def _draw_counter(frame: Frame, index: int) -> None:
    """Draw the counter: 16 bits, highest on the left; white is 1."""
    width, height = frame.size
    rows = max(1, height // 16)
    edges = [bit * width // _COUNTER_BITS for bit in range(_COUNTER_BITS + 1)]
    for bit, (left, right) in enumerate(pairwise(edges)):
        frame.y[:rows, left:right] = _WHITE if index >> (_COUNTER_BITS - 1 - bit) & 1 else _BLACK
    frame.u[: (rows + 1) // 2] = frame.v[: (rows + 1) // 2] = 128
