"""Files and streams as FFmpeg opens them; its errors are translated here, for all sources that use
it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from vcam.errors import SourceError, SourceLost

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

_LONGEST_STILL_NS = 60_000_000_000
_WITHOUT_TIMES = {"avi"}  # has a rate only; what FFmpeg makes of it is wrong with B frames
_TEXT_FORMATS = {"tty"}  # FFmpeg draws text files as pictures


class Media:
    """An open container with a video stream. One thread opens, reads and closes.

    Args:
        name: for messages.
        target: path or URL.
        live: prefer low delay, and go on after pictures that cannot be decoded.
        options: for FFmpeg's demuxer.
        timeouts: seconds to wait while opening, and for each packet; None: for ever.

    Attributes:
        fps: frames per second, `fallback_fps` where the container does not say.
        frames: how many there will be, None if unknown.
    """

    def __init__(
        self,
        name: str,
        target: str,
        live: bool = False,
        options: Mapping[str, str] | None = None,
        timeouts: tuple[float, float] | None = None,
        fallback_fps: float = 30.0,
    ) -> None:
        self.name = name
        self.fps = fallback_fps
        self.frames: int | None = None
        self._target = target
        self._live = live
        self._options = dict(options or {})
        self._timeouts = timeouts
        self._container: InputContainer | None = None

    def open(self) -> None:
        """Open the container and find its video.

        Raises:
            SourceError: it cannot be opened, or shows nothing.
        """
        import av

        try:
            self._container = av.open(self._target, options=self._options, timeout=self._timeouts)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise SourceError(f"{self.name}: {reason(error)}") from error
        stream = self._video()
        stream.thread_type = (
            "SLICE" if self._live else "AUTO"
        )  # frame threads delay the newest frame
        rate = stream.guessed_rate or stream.average_rate
        if rate and 0.1 <= rate <= 1000:
            self.fps = float(rate)
        self.frames = stream.frames or None

    def _video(self) -> VideoStream:
        assert self._container is not None
        streams = self._container.streams.video
        if (
            not streams
            or self._container.format.name in _TEXT_FORMATS
            or streams[0].codec_context is None
        ):
            kind = (
                "it is a text file"
                if self._container.format.name in _TEXT_FORMATS
                else "it holds no video"
            )
            self.close()
            raise SourceError(f"{self.name}: {kind}; give a video or an image")
        return streams[0]

    def pictures(self) -> Iterator[VideoFrame]:
        """Every picture in order.

        Raises:
            SourceLost: reading or decoding failed midway. What fails before the first picture is
                skipped, because recordings and streams may begin between two key frames.
        """
        import av

        assert self._container is not None
        count = 0
        try:
            for packet in self._container.demux(video=0):
                try:
                    pictures = packet.decode()
                except av.error.InvalidDataError:
                    if count and not self._live:
                        raise
                    continue
                count += len(pictures)
                yield from pictures
        except (av.FFmpegError, OSError, ValueError) as error:
            raise SourceLost(
                f"{self.name}: broke off after {count} frames: {reason(error)}"
            ) from error

    def time_s(self, picture: VideoFrame) -> float | None:
        """When the container shows a picture, if it says."""
        if self._container is None or self._container.format.name in _WITHOUT_TIMES:
            return None
        return picture.time

    def close(self) -> None:
        """Release everything. May be called twice, and without having opened."""
        if self._container is not None:
            self._container.close()
            self._container = None


class MediaClock:
    """Makes of a container's timestamps a timeline that begins at 0 and goes on without jumps."""

    def __init__(self) -> None:
        self._last_ns: int | None = None
        self._offset_ns = 0

    def pts_ns(self, time_s: float | None, period_ns: int) -> int:
        """The time of the next picture.

        Args:
            time_s: what the container says, if it does.
            period_ns: how long a picture lasts, for those without a time and those whose time goes
                back or leaps.
        """
        last_ns = self._last_ns
        now_ns = None if time_s is None else round(time_s * 1e9)
        if last_ns is None:
            self._offset_ns = now_ns or 0
            self._last_ns = 0
        elif now_ns is None:
            self._last_ns = last_ns + period_ns
        elif 0 < now_ns - self._offset_ns - last_ns <= _LONGEST_STILL_NS:
            self._last_ns = now_ns - self._offset_ns
        else:  # recordings put end to end
            self._last_ns = last_ns + period_ns
            self._offset_ns = now_ns - self._last_ns
        return self._last_ns or 0


def reason(error: Exception) -> str:
    """Why FFmpeg or the system refused, and the next step; without the name of the thing."""
    import av

    text = getattr(error, "strerror", None) or str(error)
    unreachable = f"{text}; check the address and that the server is running"
    table: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
        (
            av.error.InvalidDataError,
            "it is damaged, or no video or image; check that it plays elsewhere",
        ),
        (
            (av.error.ExitError, TimeoutError),
            "no answer in time; check that it is running and reachable",
        ),
        (PermissionError, "permission denied; check who may read it"),
        (FileNotFoundError, "no such file; check the spelling"),
        (
            (av.error.HTTPError, av.error.HTTPClientError, av.error.HTTPServerError),
            f"the server refused ({text}); check the address",
        ),
        ((ConnectionError, av.error.ProtocolNotFoundError), unreachable),
        (av.error.DecoderNotFoundError, f"{text}; re-encode it, for instance as H.264"),
    )
    found = (words for kind, words in table if isinstance(error, kind))
    return next(found, f"cannot be read ({text}); check that it plays elsewhere")
