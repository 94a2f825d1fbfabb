"""A source of frames in memory, for benchmarks that exclude
decoding.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from vcam.frame import Frame


class MemorySource:
    """Delivers `frames` in a loop; with `live`, at `fps` in real time, like a camera.

    The pixels are shared, not copied: frames are read only.
    """

    def __init__(self, frames: Sequence[Frame], fps: float = 30.0, live: bool = False) -> None:
        self.name = "memory"
        self.mode = ""
        self.damage = ""
        self.starts_s = 0.0
        self.frames: int | None = None
        self._frames = list(frames)
        self._next = 0
        self._start_ns = 0
        self._interrupted = threading.Event()
        self.fps = fps
        self.live = live
        self.size = self._frames[0].size

    def __enter__(self) -> Self:
        self._start_ns = time.monotonic_ns() - round(self._next * 1e9 / self.fps)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def read(self) -> Frame | None:
        index, self._next = self._next, self._next + 1
        pts_ns = round(index * 1e9 / self.fps)
        wait_ns = self._start_ns + pts_ns - time.monotonic_ns() if self.live else 0
        if self._interrupted.wait(max(0, wait_ns) / 1e9):
            return None
        frame = self._frames[index % len(self._frames)]
        return replace(frame, t_capture_ns=time.monotonic_ns(), index=index, pts_ns=pts_ns)

    def interrupt(self) -> None:
        self._interrupted.set()

    def close(self) -> None:
        """Nothing to release."""
