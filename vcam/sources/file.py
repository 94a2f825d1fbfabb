"""A video file: every frame, in order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vcam.errors import SourceError, SourceLost
from vcam.frame import Frame
from vcam.sources.base import SourceRequest
from vcam.sources.common import SourceBase
from vcam.sources.convert import FrameMaker
from vcam.sources.inspect_file import missing_bytes, read_head
from vcam.sources.media import Media, MediaClock

if TYPE_CHECKING:
    from av import VideoFrame


class VideoFile(SourceBase):
    """Reads a video file at the file's own rate.

    All frames have the size of the first one, or the requested size, also where the video changes
    its size midway. A rotation in the file is applied, transparency is laid on white. Of a
    truncated or damaged file all frames that can be decoded are delivered before `SourceLost`.

    Args:
        path: the file.
        request: what the pipeline wants; `fps` is used only where the file does not name its own.
    """

    def __init__(self, path: str, request: SourceRequest) -> None:
        super().__init__(Path(path).name, request)
        self._path = path
        self._media = Media(path, path, fallback_fps=request.fps)
        self._pictures: Iterator[VideoFrame] = iter(())
        self._first: Frame | None = None
        self._maker: FrameMaker | None = None
        self._clock = MediaClock()

    def _open(self) -> None:
        read_head(self._path)
        self._media.open()
        self.fps, self.frames = self._media.fps, self._media.frames
        self._maker = FrameMaker(self._request, name=self._path)
        self._pictures = self._media.pictures()
        self._first = self._decode()
        if self._first is None:
            raise SourceError(
                f"{self._path}: no picture in it can be decoded; check that it plays elsewhere"
            )
        self.size = self._first.size

    def read(self) -> Frame | None:
        """The next frame; None at the end, and after `interrupt`.

        Raises:
            SourceError: FFmpeg cannot convert a picture.
            SourceLost: the file is damaged here, or ends before its container says.
        """
        if self._stop.is_set():
            return None
        frame, self._first = self._first or self._decode(), None
        if frame is None and (missing := missing_bytes(self._path)):
            count = self._index
            raise SourceLost(
                f"{self._path}: truncated, {missing} bytes are missing after {count} frames; copy"
                " it again"
            )
        return frame

    def _decode(self) -> Frame | None:
        picture = next(self._pictures, None)
        if picture is None or self._maker is None:
            return None
        pts_ns = self._clock.pts_ns(self._media.time_s(picture), self._period_ns())
        return self._maker.make(picture, time.monotonic_ns(), self._next_index(), pts_ns)

    def close(self) -> None:
        """Release the file. May be called twice, and without having opened."""
        self._pictures, self._first = iter(()), None
        self._media.close()
