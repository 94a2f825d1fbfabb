"""A video file: every frame, in order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vcam.errors import SourceError, SourceLost
from vcam.frame import Frame
from vcam.sources.animation import Animation
from vcam.sources.base import SourceRequest
from vcam.sources.common import SourceBase
from vcam.sources.convert import FrameMaker
from vcam.sources.fit import even
from vcam.sources.inspect_file import is_animated_webp, missing_bytes, read_head
from vcam.sources.media import Media, MediaClock

if TYPE_CHECKING:
    from av import VideoFrame


class VideoFile(SourceBase):
    """Reads a video file at the file's own rate.

    All frames have the size of the first one, or the requested size, even if the video's size
    changes. Metadata about the presentation is applied (`vcam.sources.presentation`), transparency
    is laid on white. All frames of a truncated or damaged file that can be decoded are delivered;
    `damage` then describes the loss.

    Args:
        path: the file.
        request: the pipeline's requirements; `fps` is used only if the file has no rate.
    """

    def __init__(self, path: str, request: SourceRequest) -> None:
        super().__init__(Path(path).name, request)
        self._path = path
        self._media: Media | Animation = Media(path, Path(path), fallback_fps=request.fps)
        self._pictures: Iterator[VideoFrame] = iter(())
        self._next: VideoFrame | None = None
        self._maker: FrameMaker | None = None
        self._clock = MediaClock()
        self._end_ns = 0

    def _open(self) -> None:
        if is_animated_webp(read_head(self._path)):
            self._media = Animation(self._path, Path(self._path), self._request.fps)
        self._media.open()
        self.fps, self.frames = self._media.fps, self._media.frames
        self._clock = MediaClock(self._media.longest_still_s)
        self._maker = FrameMaker(self._request, name=self._path)
        self._pictures = self._media.pictures()
        self._next = next(self._pictures, None)
        if self._next is None:
            raise SourceError(
                f"{self._path}: no picture in it can be decoded; check that it plays elsewhere"
            )
        self.starts_s = max(0.0, (self._media.time_s(self._next) or 0.0) - self._media.start_s)
        self.size = self._request.size or even((self._next.width, self._next.height))

    def read(self) -> Frame | None:
        """The next frame; None at the end, and after `interrupt`.

        Raises:
            SourceError: FFmpeg cannot convert a picture.
        """
        picture = self._next
        if self._stop.is_set() or picture is None or self._maker is None:
            return None
        media, index = self._media, self._next_index()
        time_s, duration_s = media.time_s(picture), media.duration_s(picture)
        self._next = self._following()
        if self._next is None:
            duration_s = self._rest_s(time_s) or duration_s
        elif time_s is not None and (next_s := media.time_s(self._next)) is not None:
            # Durations in files are in decoding order.
            until_next_s = next_s - time_s
            duration_s = until_next_s if until_next_s > 0 else duration_s
        period_ns = round(duration_s * 1e9) or self._period_ns()
        pts_ns = self._clock.pts_ns(time_s, period_ns)
        self._end_ns = pts_ns + period_ns
        frame = self._maker.make(picture, time.monotonic_ns(), index, pts_ns, period_ns)
        if self._next is None:
            self.damage = self._damage()
        return frame

    def _following(self) -> VideoFrame | None:
        try:
            return next(self._pictures, None)
        except SourceLost as lost:
            self.damage = str(lost)
            return None

    def _rest_s(self, time_s: float | None) -> float:
        """Duration of the last picture in a container that only gives the total."""
        if not self._media.prolongs_last or time_s is None or self._is_cut_off():
            return 0.0
        return max(0.0, (self._media.end_s or 0.0) - time_s)

    def _is_cut_off(self) -> bool:
        return missing_bytes(self._path) > 0

    def _damage(self) -> str:
        """Damage of the file, known after reading all of it; empty: none."""
        if self.damage:
            return self.damage
        if self._media.damaged:
            count = self._media.damaged
            places = "1 damaged place" if count == 1 else f"{count} damaged places"
            return (
                f"{self._path}: {places}, left out; {self._index} frames can be read; copy it again"
            )
        missing = missing_bytes(self._path)
        if missing and read_head(self._path).startswith(b"GIF8"):  # it announces no length
            return f"{self._path}: truncated after {self._index} frames; copy it again"
        if missing and self._ends_early():
            return (
                f"{self._path}: truncated, {missing} bytes are missing after {self._index} frames;"
                " copy it again"
            )
        return ""

    def _ends_early(self) -> bool:
        """Whether the container declares more pictures than it has."""
        if self.frames is not None and self._index >= self.frames:
            return False
        end_s = self._media.end_s
        came_s = self._media.start_s + self.starts_s + self._end_ns / 1e9
        return end_s is None or came_s < end_s - 1.5 / self.fps

    def close(self) -> None:
        """Release the file. May be called twice, and without having opened."""
        self._pictures, self._next = iter(()), None
        self._media.close()
