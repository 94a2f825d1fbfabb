"""Reuse the memory of finished frames."""

from __future__ import annotations

import sys

import numpy as np

from vcam.frame import Frame, Plane

_KEPT = 4
"""One frame being sent, one that may be repeated, and two between the effects of one frame."""


class FramePool:
    """Makes frames, in memory that is no longer in use if possible. Used by one thread.

    Ownership: a frame from the pool is like any other. Its receiver may keep it, or one of its
    planes, for as long as they like, in any thread, and need not return it. The pool keeps one
    reference to the memory of the last few frames and reuses a piece only when no other reference
    is left: then no frame, plane or buffer of another library uses it.
    """

    def __init__(self) -> None:
        self._pieces: list[Plane] = [np.empty((3, 2), np.uint8)]
        self._alone = self._references(0)
        self._pieces.clear()

    def like(self, frame: Frame) -> Frame:
        """Make an uninitialised frame with the size, matrix and times of `frame`."""
        data = self._piece(frame.data.shape)
        return Frame(data, frame.matrix, frame.t_capture_ns, frame.index, pts_ns=frame.pts_ns)

    def _piece(self, shape: tuple[int, ...]) -> Plane:
        for index in range(len(self._pieces)):
            if self._pieces[index].shape == shape and self._references(index) == self._alone:
                return self._pieces[index]
        if len(self._pieces) == _KEPT:
            del self._pieces[0]
        self._pieces.append(np.empty(shape, np.uint8))
        return self._pieces[-1]

    def _references(self, index: int) -> int:
        return sys.getrefcount(self._pieces[index])
