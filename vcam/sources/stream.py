"""Video from the network or from a pipe."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vcam.containers import SCHEMES
from vcam.errors import SourceError, SourceLost, UsageError
from vcam.frame import Frame
from vcam.slot import Policy, Slot, SlotClosed, SlotTimeout
from vcam.sources.base import SourceRequest
from vcam.sources.common import SourceBase
from vcam.sources.convert import FrameMaker
from vcam.sources.media import Media, MediaClock

if TYPE_CHECKING:
    from av import VideoFrame

_FILE_SUFFIXES = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"}


class StreamSource(SourceBase):
    """Reads a stream in a separate thread, because a server can block FFmpeg without a way to
    interrupt it.

    A live stream delivers the newest picture. A pipe, or a video file on a web server (recognised
    by its suffix), is not live: every picture is delivered, in order.

    Args:
        url: address, or path of a pipe.
        request: the pipeline's requirements; `fps` is used only if the stream has no rate.
        open_timeout_s: how long to wait for the connection and the first picture.
        read_timeout_s: how long to wait for each later picture.
    """

    def __init__(
        self,
        url: str,
        request: SourceRequest,
        open_timeout_s: float = 10.0,
        read_timeout_s: float = 5.0,
    ) -> None:
        self._is_address = _is_address(url)
        live = self._is_address and not _is_file_on_web(url)
        super().__init__(_without_password(url) if self._is_address else url, request, live=live)
        self._open_timeout_s = open_timeout_s
        self._read_timeout_s = read_timeout_s
        self._url = url
        self._is_open = False
        self._maker: FrameMaker | None = None
        self._clock = MediaClock()
        self._prepare()

    def _prepare(self) -> None:
        """Prepare a connection with its own thread and slot: earlier ones may still be blocked by a
        server.
        """
        options = {"rtsp_flags": "prefer_tcp"} if self._url.lower().startswith("rtsp:") else {}
        timeouts = (self._open_timeout_s, self._read_timeout_s) if self._is_address else None
        target = self._url if self._is_address else Path(self._url)
        self._media = Media(self.name, target, self.live, options, timeouts, self._request.fps)
        self._slot: Slot[tuple[VideoFrame, int]] = Slot(
            Policy.NEWEST_WINS if self.live else Policy.WAIT
        )
        self._thread = threading.Thread(
            target=self._receive,
            args=(self._media, self._slot),
            name=f"stream {self.name}",
            daemon=True,
        )
        self._error: SourceError | None = None
        self._complete = False
        self._first: Frame | None = None

    def _open(self) -> None:
        if self._thread.ident is not None:  # it was open before
            self._prepare()
            if self._stop.is_set():
                self._slot.close()
        self._is_open = True
        self._maker = FrameMaker(self._request, name=self.name)
        self._thread.start()
        self._first = self._take(self._open_timeout_s, SourceError)
        if self._first is None:
            raise SourceError(
                f"{self.name}: it ended without a picture; check that something is sent there"
            )
        self.fps, self.frames, self.size = self._media.fps, self._media.frames, self._first.size

    def read(self) -> Frame | None:
        """The next or, of a live stream, the newest frame; None at the end, and after `interrupt`.

        Raises:
            SourceError: FFmpeg cannot convert a picture.
            SourceLost: the stream broke off, or delivered no picture for `read_timeout_s`.
        """
        if self._stop.is_set() or not self._is_open:
            return None
        frame, self._first = self._first, None
        return frame or self._take(self._read_timeout_s, SourceLost)

    def _take(self, timeout_s: float, failure: type[SourceError]) -> Frame | None:
        assert self._maker is not None
        try:
            picture, t_capture_ns = self._slot.take(timeout_s)
        except SlotTimeout as error:
            text = (
                f"{self.name}: no picture for {timeout_s:g} s; check that it is running and"
                " reachable"
            )
            raise failure(text) from error
        except SlotClosed:
            if self._error is not None:
                raise self._error from None
            if not self._complete and not self._stop.is_set():
                raise failure(
                    f"{self.name}: its reader stopped unexpectedly; please report this"
                ) from None
            return None
        time_s = t_capture_ns / 1e9 if self.live else self._media.time_s(picture)
        pts_ns = self._clock.pts_ns(time_s, round(1e9 / self._media.fps))
        return self._maker.make(picture, t_capture_ns, self._next_index(), pts_ns)

    def _receive(self, media: Media, slot: Slot[tuple[VideoFrame, int]]) -> None:
        """Run in the thread: open, decode, pass pictures on."""
        try:
            media.open()
            if not self.live and slot is self._slot:
                self._clock = MediaClock(media.longest_still_s)
            for picture in media.pictures():
                slot.put((picture, time.monotonic_ns()))
            self._complete = slot is self._slot
        except SlotClosed:
            pass
        except SourceError as error:
            if slot is self._slot:  # else this connection was abandoned
                self._error = error
        finally:
            media.close()
            slot.close()

    def interrupt(self) -> None:
        """Make a blocked or later `read` return None soon."""
        super().interrupt()
        self._slot.close(discard=True)

    def close(self) -> None:
        """Release the stream. A reader that is blocked by a server ends by itself within the read
        timeout.
        """
        self._is_open = False
        self._slot.close(discard=True)
        if self._thread.is_alive():
            self._thread.join(timeout=0.5)


def _is_address(text: str) -> bool:
    """Whether it is a URL rather than the path of a pipe.

    Raises:
        UsageError: it is a URL that cannot be a stream.
    """
    scheme, mark, _ = text.partition("://")
    if not mark or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        return False
    if scheme.lower() not in SCHEMES:
        raise UsageError(
            f"--source {text}: unknown kind of address '{scheme}'; known: {', '.join(SCHEMES)}"
        )
    try:
        has_host = bool(urlsplit(text).netloc)
    except ValueError:
        has_host = False
    if not has_host:
        raise UsageError(f"--source {text}: not an address; write {scheme.lower()}://HOST/PATH")
    return True


def _is_file_on_web(url: str) -> bool:
    parts = urlsplit(url)
    return (
        parts.scheme in ("http", "https")
        and PurePosixPath(parts.path).suffix.lower() in _FILE_SUFFIXES
    )


def _without_password(url: str) -> str:
    """The URL without its password, for messages."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return parts._replace(
        netloc=f"{parts.username or ''}:***@{parts.netloc.rpartition('@')[2]}"
    ).geturl()
