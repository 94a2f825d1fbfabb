"""Files and streams opened with FFmpeg, whose errors are translated here for all
sources.
"""

from __future__ import annotations

import re
from bisect import insort
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from vcam import limits
from vcam.containers import film_of, open_file, open_stream
from vcam.errors import SourceError, SourceLost
from vcam.limits import LimitError
from vcam.sources.aperture import clean_aperture
from vcam.sources.presentation import Notes, Presenter

if TYPE_CHECKING:
    from av import Packet, VideoCodecContext, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

_WITHOUT_TIMES = {"avi"}  # it counts packets; FFmpeg does not reorder B frames
_TEXT_FORMATS = {"tty"}  # FFmpeg renders text files as pictures
_TS_DISCONT = 0x0200  # AVFMT_TS_DISCONT of <libavformat/avformat.h>
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own decoders drop alpha
_LONGEST_STILL_S = 30 * 3600.0  # dts_error_threshold of FFmpeg's command
_LONGEST_STILL_OF_JOINTS_S = 60.0
"""Concatenated recordings have larger jumps, in containers that allow byte-wise concatenation."""


class Media:
    """An open container with a video stream. One thread opens, reads and closes.

    Pictures are as a player shows them: see `vcam.sources.presentation`. Covers and thumbnails do
    not count as video; of several streams the default one is read, else the largest.

    Args:
        name: for messages.
        target: a file or pipe by its path, or an address as text.
        live: prefer low delay, and continue after pictures that cannot be decoded.
        options: for FFmpeg's demuxer.
        timeouts: seconds to wait for the connection, and for each packet; None: no limit.
        fallback_fps: frame rate if the container has none.

    Attributes:
        fps: frame rate; `fallback_fps` if the container has none.
        frames: their number; None if unknown.
        damaged: number of packets that could not be decoded, from the first picture on.
        longest_still_s: a longer pause counts as a joint between two recordings.
    """

    def __init__(
        self,
        name: str,
        target: Path | str,
        live: bool = False,
        options: Mapping[str, str] | None = None,
        timeouts: tuple[float, float] | None = None,
        fallback_fps: float = 30.0,
    ) -> None:
        self.name = name
        self.fps = fallback_fps
        self.frames: int | None = None
        self.damaged = 0
        self.longest_still_s = _LONGEST_STILL_OF_JOINTS_S
        self._target = target
        self._live = live
        self._options = dict(options or {})
        self._timeouts = timeouts
        self._container: InputContainer | None = None
        self._stream: VideoStream | None = None
        self._decoder: VideoCodecContext | None = None

    def open(self) -> None:
        """Open the container and find its video.

        Raises:
            SourceError: it cannot be opened, or contains no video.
        """
        import av

        try:
            if isinstance(self._target, Path):
                self._container = open_file(self._target, self._options)
            else:
                self._container = open_stream(self._target, self._options, self._timeouts)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise SourceError(f"{self.name}: {reason(error)}") from error
        stream = self._stream = self._video(self._container)
        stream.thread_type = "SLICE" if self._live else "AUTO"  # frame threads delay the newest
        if alpha_decoder := _alpha_decoder(stream):
            self._decoder = cast("VideoCodecContext", av.CodecContext.create(alpha_decoder, "r"))
        rate = stream.guessed_rate or stream.average_rate
        if rate and 0.1 <= rate <= 1000:
            self.fps = float(rate)
        self.frames = stream.frames or None
        if not self._live and not int(self._container.format.flags) & _TS_DISCONT:
            self.longest_still_s = _LONGEST_STILL_S

    def _video(self, container: InputContainer) -> VideoStream:
        is_text = container.format.name in _TEXT_FORMATS
        film = film_of(container)
        if is_text or film is None:
            self.close()
            kind = "it is a text file" if is_text else "it holds no video"
            raise SourceError(f"{self.name}: {kind}; give a video or an image")
        return film

    @property
    def notes(self) -> Notes:
        """Presentation metadata of the open container, valid for all pictures."""
        assert self._stream is not None
        size = (self._stream.codec_context.width, self._stream.codec_context.height)
        target = self._target
        is_file = isinstance(target, Path) and target.is_file()
        crop = clean_aperture(str(target), size) if is_file else None
        return Notes(self._stream.sample_aspect_ratio or Fraction(1), crop)

    @property
    def transfer(self) -> int:
        """H.273 number of the transfer characteristics in the open container."""
        return 0 if self._stream is None else int(self._stream.codec_context.color_trc)

    @property
    def start_s(self) -> float:
        """Start time of the container: its sound may begin before its video."""
        start = None if self._container is None else self._container.start_time
        return 0.0 if start is None else start / 1e6

    @property
    def end_s(self) -> float | None:
        """End time of the video stream, if the container declares it for this stream alone."""
        stream = self._stream
        if stream is None or self._container is None:
            return None
        if stream.duration and stream.time_base:
            return float(((stream.start_time or 0) + stream.duration) * stream.time_base)
        clock = re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", ""))
        return clock and int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3])

    @property
    def prolongs_last(self) -> bool:
        """Whether the last picture is shown until `end_s`, regardless of its own duration."""
        name = "" if self._container is None else self._container.format.name
        return name in _WITHOUT_TIMES or name.startswith("mov")

    @property
    def counts_packets(self) -> bool:
        """Whether times are counts of packets, including empty ones."""
        return self._container is not None and self._container.format.name in _WITHOUT_TIMES

    def pictures(self) -> Iterator[VideoFrame]:
        """Iterate over the pictures in order, as they should be shown.

        Raises:
            SourceLost: reading failed midway. Packets that cannot be decoded are skipped and
                counted in `damaged`, except before the first picture, because recordings and
                streams may begin between two key frames.
        """
        import av

        presenter = Presenter(self.notes, Fraction(1) / Fraction(self.fps).limit_denominator(1001))
        count = 0
        try:
            for picture in self._decoded():
                for shown in presenter.show(picture):
                    count += 1
                    yield shown
            yield from presenter.rest()
        except (av.FFmpegError, OSError, ValueError) as error:
            raise SourceLost(
                f"{self.name}: broke off after {count} frames: {reason(error)}"
            ) from error

    def _decoded(self) -> Iterator[VideoFrame]:
        import av

        assert self._container is not None
        times: list[int] | None = [] if self.counts_packets else None
        count = 0
        for packet in self._container.demux(self._stream):
            if times is not None and packet.size and packet.dts is not None:
                insort(times, packet.dts)
            try:
                pictures = self._decode(packet)
            except av.error.InvalidDataError:
                self.damaged += bool(count)
                continue
            count += len(pictures)
            for picture in pictures:
                if times is not None:
                    picture.pts = times.pop(0) if times else None
                yield picture

    def _decode(self, packet: Packet[Any]) -> list[VideoFrame]:
        if self._decoder is None:
            return packet.decode()
        return self._decoder.decode(packet if packet.size else None)

    def time_s(self, picture: VideoFrame) -> float | None:
        """Presentation time of a picture, if the container has one."""
        return picture.time

    def duration_s(self, picture: VideoFrame) -> float:
        """Duration of a picture; 0 if the container has none."""
        if not picture.duration or not picture.time_base:
            return 0.0
        return max(0.0, float(picture.duration * picture.time_base))

    def close(self) -> None:
        """Release all resources. May be called twice, also if it was never opened."""
        self._decoder = self._stream = None
        if self._container is not None:
            self._container.close()
            self._container = None


def _alpha_decoder(stream: VideoStream) -> str:
    """The decoder that keeps a WebM's transparency; empty if it has none, or no decoder does."""
    import av
    from av.codec.codec import UnknownCodecError

    name = stream.codec_context.name
    if stream.metadata.get("alpha_mode") != "1" or name not in _ALPHA_DECODERS:
        return ""
    try:
        return av.Codec(_ALPHA_DECODERS[name], "r").name
    except UnknownCodecError:
        return ""


class MediaClock:
    """Converts a container's timestamps to a continuous timeline that begins at 0.

    Args:
        longest_still_s: a longer pause counts as a joint between two recordings.
    """

    def __init__(self, longest_still_s: float = _LONGEST_STILL_OF_JOINTS_S) -> None:
        self._longest_still_ns = longest_still_s * 1e9
        self._last_ns: int | None = None
        self._offset_ns = 0

    def pts_ns(self, time_s: float | None, period_ns: int) -> int:
        """The time of the next picture.

        Args:
            time_s: the container's timestamp, if any.
            period_ns: duration of a picture, for those without a timestamp and those whose
                timestamp decreases or jumps.
        """
        last_ns = self._last_ns
        now_ns = None if time_s is None else round(time_s * 1e9)
        if last_ns is None:
            self._offset_ns = now_ns or 0
            self._last_ns = 0
        elif now_ns is None:
            self._last_ns = last_ns + period_ns
        elif 0 < now_ns - self._offset_ns - last_ns <= self._longest_still_ns:
            self._last_ns = now_ns - self._offset_ns
        else:  # concatenated recordings
            self._last_ns = last_ns + period_ns
            self._offset_ns = now_ns - self._last_ns
        return self._last_ns or 0


def reason(error: Exception) -> str:
    """Explain an error of FFmpeg or the system with the next step; without the file's name."""
    import av

    if isinstance(error, LimitError):
        return str(error)
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
        (
            av.error.ArgumentError,
            f"it is damaged, or has more than {limits.max_pixels() / 1e6:g} megapixels a picture; "
            "check that it plays elsewhere",
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
