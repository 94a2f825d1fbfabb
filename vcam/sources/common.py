"""Common base of the sources."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from vcam.frame import Size
from vcam.sources.base import SourceRequest


class SourceBase:
    """Attributes, opening and interruption of a source; for the interface see
    `vcam.sources.base.Source`.

    A subclass implements `_open` (which may fail halfway), `read` and, if it owns resources,
    `close`. `size` is (0, 0) until it is known.
    """

    def __init__(
        self, name: str, request: SourceRequest, live: bool = False, frames: int | None = None
    ) -> None:
        self.name = name
        self.live = live
        self.fps = request.fps
        self.size: Size = request.size or (0, 0)
        self.frames = frames
        self.mode = ""
        self.damage = ""
        self.starts_s = 0.0
        self._request = request
        self._stop = threading.Event()
        self._index = 0

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> None:
        """Acquire the resources of `read`, and set `fps`, `size` and `frames`."""

    def _next_index(self) -> int:
        """Count one delivered frame."""
        self._index += 1
        return self._index - 1

    def _period_ns(self, count: int = 1) -> int:
        """Duration of `count` frames."""
        return round(count * 1e9 / self.fps)

    def interrupt(self) -> None:
        """Make a blocked or later `read` return None soon."""
        self._stop.set()

    def close(self) -> None:
        """Release everything."""
