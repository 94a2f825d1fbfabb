"""Memory of finished pictures, used again for the next ones."""

from __future__ import annotations

import sys

import numpy as np

from vcam.frame import Frame, Plane

_KEPT = 4
"""One that is sent, one that may be sent again, and two between effects of one picture."""


class FramePool:
    """Makes frames, in memory that nobody uses any more if there is such. Belongs to one thread.

    Who owns what: a frame from here is like any other. Whoever receives it may keep it, or one of
    its planes, for as long as they like, in any thread, and gives nothing back. The pool keeps one
    reference to the memory of the last few frames, and gives a piece out again only when that
    reference is the only one left: then no frame, plane or buffer of another library refers to it.
    """

    def __init__(self) -> None:
        self._pieces: list[Plane] = [np.empty((3, 2), np.uint8)]
        self._alone = self._references(0)
        self._pieces.clear()

    def like(self, frame: Frame) -> Frame:
        """An uninitialised frame with the size, matrix and times of `frame`."""
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
