"""A video that comes over the network, or through a pipe."""

from __future__ import annotations

import threading
import time
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vcam.errors import SourceError, SourceLost
from vcam.frame import Frame
from vcam.slot import Policy, Slot, SlotClosed, SlotTimeout
from vcam.sources.base import SourceRequest
from vcam.sources.common import SourceBase
from vcam.sources.convert import FrameMaker
from vcam.sources.media import Media, MediaClock

if TYPE_CHECKING:
    from av import VideoFrame

SCHEMES = ("http", "https", "rtmp", "rtsp", "udp")

_FILE_SUFFIXES = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"}


class StreamSource(SourceBase):
    """Reads a stream in a thread of its own, because FFmpeg can be blocked by a server and not be woken.

    A live stream delivers the newest picture. A pipe, or a video file on a web server (by the suffix of its address),
    is no live stream: it delivers every picture in order.

    Args:
        url: address, or path of a pipe.
        request: what the pipeline wants; `fps` is used only where the stream does not name its own.
        open_timeout_s: how long to wait for the connection and the first picture.
        read_timeout_s: how long to wait for each later picture.
    """

    def __init__(
        self, url: str, request: SourceRequest, open_timeout_s: float = 10.0, read_timeout_s: float = 5.0
    ) -> None:
        live = "://" in url and not _is_file_on_web(url)
        super().__init__(_without_password(url), request, live=live)
        self._open_timeout_s = open_timeout_s
        self._read_timeout_s = read_timeout_s
        options = {"rtsp_flags": "prefer_tcp"} if url.startswith("rtsp:") else {}
        timeouts = (open_timeout_s, read_timeout_s) if "://" in url else None
        self._media = Media(self.name, url, live, options, timeouts, request.fps)
        self._slot: Slot[tuple[VideoFrame, int]] = Slot(Policy.NEWEST_WINS if live else Policy.WAIT)
        self._thread = threading.Thread(target=self._receive, name=f"stream {self.name}", daemon=True)
        self._error: SourceError | None = None
        self._complete = False
        self._first: Frame | None = None
        self._maker: FrameMaker | None = None
        self._clock = MediaClock()

    def _open(self) -> None:
        self._maker = FrameMaker(self._request, name=self.name)
        self._thread.start()
        self._first = self._take(self._open_timeout_s, SourceError)
        if self._first is None:
            raise SourceError(f"{self.name}: it ended without a picture; check that something is sent there")
        self.fps, self.frames, self.size = self._media.fps, self._media.frames, self._first.size

    def read(self) -> Frame | None:
        """The next or, of a live stream, the newest frame; None at the end, and after `interrupt`.

        Raises:
            SourceError: FFmpeg cannot convert a picture.
            SourceLost: the stream broke off, or brought no picture for `read_timeout_s`.
        """
        if self._stop.is_set():
            return None
        frame, self._first = self._first, None
        return frame or self._take(self._read_timeout_s, SourceLost)

    def _take(self, timeout_s: float, failure: type[SourceError]) -> Frame | None:
        assert self._maker is not None
        try:
            picture, t_capture_ns = self._slot.take(timeout_s)
        except SlotTimeout as error:
            text = f"{self.name}: no picture for {timeout_s:g} s; check that it is running and reachable"
            raise failure(text) from error
        except SlotClosed:
            if self._error is not None:
                raise self._error from None
            if not self._complete and not self._stop.is_set():
                raise failure(f"{self.name}: its reader stopped unexpectedly; please report this") from None
            return None
        time_s = t_capture_ns / 1e9 if self.live else self._media.time_s(picture)
        pts_ns = self._clock.pts_ns(time_s, round(1e9 / self._media.fps))
        return self._maker.make(picture, t_capture_ns, self._next_index(), pts_ns)

    def _receive(self) -> None:
        """Runs in the thread: open, decode, hand over."""
        try:
            self._media.open()
            for picture in self._media.pictures():
                self._slot.put((picture, time.monotonic_ns()))
            self._complete = True
        except SlotClosed:
            pass
        except SourceError as error:
            self._error = error
        finally:
            self._media.close()
            self._slot.close()

    def interrupt(self) -> None:
        """Make a blocked or later `read` return None soon."""
        super().interrupt()
        self._slot.close(discard=True)

    def close(self) -> None:
        """Release the stream. A reader that a server keeps waiting ends by itself within the read timeout."""
        self._stop.set()
        self._slot.close(discard=True)
        if self._thread.is_alive():
            self._thread.join(timeout=0.5)


def _is_file_on_web(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and PurePosixPath(parts.path).suffix.lower() in _FILE_SUFFIXES


def _without_password(url: str) -> str:
    """The address as messages may show it."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return parts._replace(netloc=f"{parts.username}:***@{parts.netloc.rpartition('@')[2]}").geturl()
