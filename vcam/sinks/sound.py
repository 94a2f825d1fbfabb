"""Copy the sound of a video file unchanged into another one, in sync with the pictures."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcam.containers import film_of, open_file

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

_log = logging.getLogger(__name__)
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EBADF)


class SoundCopy:
    """Copies every sound track that the new file supports. Used by the sink's thread.

    The offset between pictures and sound is kept: sound that begins before the pictures does so in
    the new file too. Problems with the sound are reported as a warning and do not affect the
    pictures.

    Args:
        path: the old file.
        container: the new file, before the first write.
        name: of the new file, for messages.

    Attributes:
        pictures_start_s: presentation time of the first picture in the new file, in seconds.
    """

    def __init__(self, path: Path, container: OutputContainer, name: str) -> None:
        self.pictures_start_s = Fraction(0)
        self._path, self._output, self._name = path, container, name
        self._input: InputContainer | None = None
        self._packets: Iterator[Packet[Any]] = iter(())
        self._tracks: dict[int, Any] = {}
        self._last_dts: dict[int, int] = {}
        self._pending: list[Packet[Any]] = []
        self._video = -1
        self._start_s = self._seen_s = Fraction(0)
        self._try(self._open)

    def copy_until(self, time_s: Fraction) -> None:
        """Copy the sound before a time of the new file.

        Raises:
            OSError: the new file cannot be written.
        """
        self._try(lambda: self._copy(time_s))

    def finish(self, end_s: Fraction) -> None:
        """Copy the rest: to the end of the pictures, or all of it if every picture of the old file
        was written.

        Args:
            end_s: end of the last picture in the new file.

        Raises:
            OSError: the new file cannot be written.
        """
        self._try(lambda: self._copy_rest(end_s))
        self.close()

    def close(self) -> None:
        """Release the old file. May be called twice."""
        found, self._input = self._input, None
        self._packets, self._pending = iter(()), []
        if found is not None:
            with suppress(OSError):
                found.close()

    def _try(self, step: Callable[[], None]) -> None:
        """Run a step; on an error of the old file or its sound, continue without sound."""
        import av

        try:
            step()
        except (av.FFmpegError, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
                raise
            said = getattr(error, "strerror", None) or str(error)
            _log.warning("%s: its sound cannot be copied any further (%s)", self._path, said)
            self.close()

    def _open(self) -> None:
        found = self._input = open_file(self._path)
        film = film_of(found)
        fitting = [stream for stream in found.streams.audio if self._fits(stream)]
        if film is None or not fitting:
            self.close()
            return
        self._video = film.index
        starts_s = [_start_s(stream) for stream in (film, *fitting)]
        self._start_s = min(starts_s)
        self.pictures_start_s = starts_s[0] - self._start_s
        for stream in fitting:
            self._tracks[stream.index] = self._output.add_stream_from_template(stream)
        self._packets = found.demux([film, *fitting])

    def _fits(self, stream: Any) -> bool:
        context = stream.codec_context
        codec = context.codec.canonical_name if context is not None else "of an unknown kind"
        if codec in self._output.supported_codecs:
            return True
        text = "%s: its sound (%s) is left out, because %s files cannot hold it; .mkv files can"
        _log.warning(text, self._path, codec, Path(self._name).suffix)
        return False

    def _copy(self, until_s: Fraction) -> None:
        pending, self._pending = self._pending, []
        for packet in pending:
            self._take(packet, until_s)
        for packet in () if self._pending else self._packets:
            self._take(packet, until_s)
            if self._pending:
                break

    def _copy_rest(self, end_s: Fraction) -> None:
        self._copy(end_s)
        for packet in self._packets:
            self._take(packet, end_s)
        if self._seen_s < end_s:  # every picture was written
            for packet in self._pending:
                self._mux(packet)

    def _take(self, packet: Packet[Any], until_s: Fraction) -> None:
        if packet.dts is None:  # end of a stream
            return
        time_s = self._time_s(packet)
        if packet.stream.index == self._video:
            self._seen_s = max(self._seen_s, time_s)
        elif time_s < until_s:
            self._mux(packet)
        else:
            self._pending.append(packet)

    def _time_s(self, packet: Packet[Any]) -> Fraction:
        """Presentation time in the new file."""
        ticks = packet.dts if packet.pts is None else packet.pts
        return (ticks or 0) * packet.time_base - self._start_s

    def _mux(self, packet: Packet[Any]) -> None:
        index, shift = packet.stream.index, round(self._start_s / packet.time_base)
        dts = (packet.dts or 0) - shift
        if dts <= self._last_dts.get(index, dts - 1):  # players require increasing times
            return
        self._last_dts[index] = dts
        packet.pts = dts if packet.pts is None else packet.pts - shift
        packet.dts = dts
        packet.stream = self._tracks[index]
        self._output.mux(packet)


def _start_s(stream: Any) -> Fraction:
    """Start time of a stream in its file."""
    return (stream.start_time or 0) * Fraction(stream.time_base)
