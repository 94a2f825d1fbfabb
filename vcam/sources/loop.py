"""A file that repeats endlessly."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Self

from vcam.frame import Frame
from vcam.sources.base import Source


class LoopSource:
    """Delivers the frames of a file repeatedly, with continuous times; see
    `vcam.sources.base.Source`.

    Args:
        make_source: returns the file's source, not opened yet; called for each round.
    """

    def __init__(self, make_source: Callable[[], Source]) -> None:
        self._make_source = make_source
        self._source = make_source()
        self._stop = threading.Event()
        self._index = 0
        self._offset_ns = self._end_ns = 0
        self.live, self.damage, self.starts_s = False, "", 0.0
        self.frames: int | None = None
        self._copy_attributes()

    def _copy_attributes(self) -> None:
        source = self._source
        self.name, self.fps, self.size, self.mode = (
            source.name,
            source.fps,
            source.size,
            source.mode,
        )

    def __enter__(self) -> Self:
        self._source.__enter__()
        self._copy_attributes()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def read(self) -> Frame | None:
        """Return the next frame; None only after `interrupt`, or if a round has no frames."""
        frame = self._source.read()
        if frame is None and not self._stop.is_set():
            self.damage = self.damage or self._source.damage
            self._source.close()
            self._offset_ns = self._end_ns
            self._source = self._make_source()
            self._source.__enter__()
            frame = self._source.read()
        if frame is None:
            return None
        index, self._index = self._index, self._index + 1
        pts_ns = self._offset_ns + frame.pts_ns
        self._end_ns = pts_ns + (frame.duration_ns or round(1e9 / self.fps))
        return replace(frame, index=index, pts_ns=pts_ns)

    def interrupt(self) -> None:
        """Make a blocked or later `read` return None soon."""
        self._stop.set()
        self._source.interrupt()

    def close(self) -> None:
        """Release the file. May be called twice, and without having opened."""
        self._source.close()
