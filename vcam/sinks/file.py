"""Write frames to a video file, through PyAV."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self, cast

import numpy as np

from vcam.errors import SinkError, SinkLost
from vcam.files import Draft, finishing, is_same_file, reason, remove_leftovers
from vcam.frame import Frame, Matrix, Plane, Size
from vcam.sinks.base import SinkRequest
from vcam.sinks.sound import SoundCopy

if TYPE_CHECKING:
    import av
    from av.container import OutputContainer
    from av.video.stream import VideoStream

# ITU-T H.273: matrix coefficients 6 and 1 are BT.601 and BT.709. Primaries and transfer are BT.709
# for both, because cameras and pictures are made for sRGB screens whichever matrix carries them;
# range 1 is FFmpeg's "limited".
_MATRIX = {Matrix.BT601: 6, Matrix.BT709: 1}
_PRIMARIES = 1
_TRANSFER = 1
_LIMITED = 1
_SWSCALE = {Matrix.BT601: "ITU601", Matrix.BT709: "ITU709"}

_FRAME_DURATION = 1 << 8
"""AV_CODEC_FLAG_FRAME_DURATION of <libavcodec/avcodec.h>: the last picture's length is kept."""
_THREADS = 4
_CLOCK_HZ = 90_000
_MATROSKA_CLOCK_HZ = 1000
"""Ticks per second of a file with a variable rate; Matroska and WebM round to milliseconds."""


@dataclass(frozen=True, slots=True)
class _Encoder:
    """One encoder with its options; `bits_per_pixel` is for encoders without constant quality."""

    name: str
    pix_fmt: str = "yuv420p"
    options: Mapping[str, str] = field(default_factory=dict)
    bits_per_pixel: float = 0.0


# The first one that this FFmpeg has is used. PyAV's wheels have libx264; the FFmpeg of some
# distributions does not.
_H264 = (
    _Encoder("libx264", options={"crf": "20", "preset": "veryfast"}),
    _Encoder("libopenh264", bits_per_pixel=0.12),
    _Encoder("mpeg4", bits_per_pixel=0.2),
)
_VP9_OPTIONS = {
    "crf": "24",
    "b": "0",
    "deadline": "realtime",
    "cpu-used": "6",
    "row-mt": "1",
    "lag-in-frames": "0",
}
_VP9 = (_Encoder("libvpx-vp9", options=_VP9_OPTIONS),)
_VP9_ALPHA = (_Encoder("libvpx-vp9", "yuva420p", _VP9_OPTIONS),)
_PRORES_4444 = (
    _Encoder(
        "prores_ks", "yuva444p10le", {"profile": "4444", "alpha_bits": "16", "vendor": "apl0"}
    ),
)
_CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""FFmpeg's names of the formats."""
_WITH_ALPHA = {".webm": _VP9_ALPHA, ".mov": _PRORES_4444}


class FileSink:
    """A video file. The first frame decides its size, matrix, and whether it has transparency.

    The codec is H.264 at constant quality; in .webm it is VP9. Frames with alpha become VP9 with
    alpha in .webm and ProRes 4444 in .mov; other formats drop alpha. The file is written under a
    temporary name and renamed by `close`.

    Attributes:
        written: after `close`: description of the file's content.

    Args:
        target: the path; its suffix names the container.
        request: uses `fps`, `overwrite` and `variable_rate`.
    """

    def __init__(self, target: str, request: SinkRequest) -> None:
        self.name = target
        self.live = False
        self.size: Size | None = None
        self.matrix: Matrix | None = None
        self._path = Path(target)
        self.alpha = self._path.suffix.lower() in _WITH_ALPHA
        self._request = request
        self.written = ""
        self._draft: Draft | None = None
        self._writer: _Writer | None = None

    def replaces(self, path: Path) -> bool:
        """Whether it is the output file; see `Replacing`."""
        return is_same_file(self._path, path)

    def __enter__(self) -> Self:
        """Make sure that the file can be written.

        Raises:
            SinkError: it exists and may not be replaced, or its folder is missing or not
                writable.
        """
        try:
            remove_leftovers(self._path.parent)
            self._draft = Draft(self._path, self._request.overwrite).__enter__()
        except OSError as error:
            raise SinkError(f"{self.name}: {reason(error)}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self._abort()

    def send(self, frame: Frame) -> None:
        """Encode one frame.

        Raises:
            SinkError: there is no encoder for this file.
            SinkLost: the file can no longer be written; the incomplete file is removed.
            ValueError: the frame's size or matrix differs from the first one's.
        """
        if self._draft is None:
            raise SinkLost(f"{self.name}: not open; start vcam again")
        import av

        try:
            if self._writer is None:
                self._writer = _Writer(self._draft.file, self._path, frame, self._request)
                self._writer.open()
            self._writer.write(frame)
        except (av.FFmpegError, OSError) as error:
            self._abort()
            raise SinkLost(f"{self.name}: {reason(error)}") from error

    def close(self) -> None:
        """Finish the file and rename it.

        Raises:
            SinkError: no frame was sent, or the file could not be finished; nothing is left.
        """
        draft = self._draft
        if draft is None:
            return
        if self._writer is None:
            self._abort()
            raise SinkError(
                f"{self.name}: no frame was sent, so there is no file; check the source"
            )
        import av

        try:
            with finishing:
                self._writer.finish()
                draft.commit()
            self.written = self._writer.about()
        except (av.FFmpegError, OSError) as error:
            raise SinkError(f"{self.name}: {reason(error)}") from error
        finally:
            self._abort()

    def _abort(self) -> None:
        """Release all resources and remove an unfinished file; does nothing after a successful
        `finish` and rename.
        """
        writer, self._writer = self._writer, None
        draft, self._draft = self._draft, None
        if writer is not None:
            writer.abandon()
        if draft is not None:
            draft.discard()


class _Writer:
    """A container with one video stream, from the first frame to the trailer.

    Args:
        file: open for writing; FFmpeg gets no name.
        path: the final name; the suffix determines the container.
        first: determines size, matrix, transparency and the zero of time.
        request: `fps`, `variable_rate` and `sound_of`.
    """

    def __init__(self, file: BinaryIO, path: Path, first: Frame, request: SinkRequest) -> None:
        self._file, self._path = file, path
        self._sound_of = request.sound_of
        self._sound: SoundCopy | None = None
        self._offset_s = Fraction(0)
        self._suffix = path.suffix.lower()
        self._with_alpha = first.alpha is not None and self._suffix in _WITH_ALPHA
        self._size = first.size
        self._matrix = first.matrix
        self._start_ns = first.pts_ns
        self._rate = Fraction(request.fps).limit_denominator(1001)
        self._variable = request.variable_rate
        clock_hz = _MATROSKA_CLOCK_HZ if self._suffix in (".mkv", ".webm") else _CLOCK_HZ
        self._time_base = Fraction(1, clock_hz) if self._variable else 1 / self._rate
        self._last_pts = -1
        self._end_s = Fraction(0)
        self._count = 0
        self._first_dts: int | None = None
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None

    def open(self) -> None:
        """Choose an encoder and open the container.

        Raises:
            SinkError: this FFmpeg has no encoder for it.
            av.FFmpegError, OSError: it cannot be opened.
        """
        import av

        encoder = _choose(self._suffix, self._with_alpha)
        self._container = av.open(self._file, "w", format=_CONTAINERS[self._suffix])
        self._stream = cast(
            "VideoStream",
            self._container.add_stream(encoder.name, self._rate, options=dict(encoder.options)),
        )
        self._configure(self._stream, encoder)
        if self._sound_of is not None and self._variable:
            self._sound = SoundCopy(self._sound_of, self._container, self._path.name)
            self._offset_s = self._sound.pictures_start_s

    def _configure(self, stream: VideoStream, encoder: _Encoder) -> None:
        from av.codec.context import ThreadType

        stream.width, stream.height = self._size
        stream.pix_fmt = encoder.pix_fmt
        context = stream.codec_context
        context.time_base = self._time_base
        context.flags |= _FRAME_DURATION
        context.thread_count = min(_THREADS, os.cpu_count() or 1)
        context.thread_type = ThreadType.AUTO
        context.colorspace, context.color_range = _MATRIX[self._matrix], _LIMITED
        context.color_primaries, context.color_trc = _PRIMARIES, _TRANSFER
        if encoder.bits_per_pixel:
            pixels = self._size[0] * self._size[1]
            stream.bit_rate = int(pixels * self._rate * Fraction(encoder.bits_per_pixel))

    def write(self, frame: Frame) -> None:
        """Encode one frame.

        Raises:
            ValueError: the frame's size or matrix differs from the first one's.
            av.FFmpegError, OSError: it cannot be encoded or written.
        """
        if frame.size != self._size or frame.matrix is not self._matrix:
            raise ValueError(
                f"the file is {self._size} {self._matrix}, the frame is {frame.size} {frame.matrix}"
            )
        assert self._container is not None
        assert self._stream is not None
        picture = _picture(frame, self._with_alpha)
        if self._with_alpha and self._stream.pix_fmt != "yuva420p":
            same = _SWSCALE[self._matrix]
            picture = picture.reformat(
                format=self._stream.pix_fmt, src_colorspace=same, dst_colorspace=same, threads=1
            )
        _tag(picture, self._matrix)
        picture.pts, picture.time_base = self._pts(frame), self._time_base
        length_s = Fraction(frame.duration_ns, 1_000_000_000) if self._variable else 0
        picture.duration = round((length_s or 1 / self._rate) / self._time_base)
        self._count += 1
        self._end_s = (picture.pts + picture.duration) * self._time_base
        if self._sound is not None:
            self._sound.copy_until(picture.pts * self._time_base)
        packets = self._stream.encode(picture)
        if packets and self._first_dts is None:
            self._first_dts = packets[0].dts
        self._container.mux(packets)

    def _pts(self, frame: Frame) -> int:
        """Timestamp in units of the time base, strictly increasing."""
        pts = self._last_pts + 1
        if self._variable:
            passed = Fraction(frame.pts_ns - self._start_ns, 1_000_000_000) + self._offset_s
            pts = max(pts, round(passed / self._time_base))
        self._last_pts = pts
        return pts

    def about(self) -> str:
        """Describe the content so far."""
        width, height = self._size
        length_s = float(self._end_s - self._offset_s)
        return f"{width}x{height}, {self._count} pictures, {length_s:.1f} s"

    def finish(self) -> None:
        """Write the frames that the encoder still buffers, and the trailer.

        Raises:
            av.FFmpegError, OSError: it cannot be written.
        """
        assert self._container is not None
        assert self._stream is not None
        if self._sound is not None:
            self._sound.finish(self._end_s)
        self._flush(self._container, self._stream)
        container, self._container = self._container, None
        container.close()

    def _flush(self, container: OutputContainer, stream: VideoStream) -> None:
        """Write the frames that the encoder still buffers. MP4 takes the film's length from the
        last packet, which may be a B frame rather than the last picture, so its duration is
        adjusted.
        """
        packets = stream.encode(None)
        if self._suffix in (".mp4", ".mov") and packets and packets[-1].dts is not None:
            last, base = packets[-1], packets[-1].time_base
            first_dts = packets[0].dts if self._first_dts is None else self._first_dts
            passed = (last.dts or 0) - (first_dts or 0)
            end = round(self._end_s / base) - passed
            shown = round(self._offset_s / base)
            last.duration = max(last.duration or 0, end - shown)
        container.mux(packets)

    def abandon(self) -> None:
        """Close without finishing; may be called after `finish`."""
        import av

        if self._sound is not None:
            self._sound.close()
        container, self._container = self._container, None
        if container is not None:
            with suppress(av.FFmpegError, OSError):  # the first failure is the one to report
                container.close()


def _choose(suffix: str, with_alpha: bool) -> _Encoder:
    import av
    from av.codec.codec import UnknownCodecError

    plain = _VP9 if suffix == ".webm" else _H264
    candidates = _WITH_ALPHA[suffix] if with_alpha else plain
    for encoder in candidates:
        with suppress(UnknownCodecError):
            av.Codec(encoder.name, "w")
            return encoder
    names = ", ".join(encoder.name for encoder in candidates)
    raise SinkError(
        f"{suffix} files need one of {names}, which this FFmpeg lacks; install PyAV with `pip"
        " install av`"
    )


def _picture(frame: Frame, with_alpha: bool) -> av.VideoFrame:
    """Convert the frame for PyAV; missing alpha becomes opaque."""
    import av

    width, height = frame.size
    picture = av.VideoFrame(width, height, "yuva420p" if with_alpha else "yuv420p")
    planes: tuple[Plane, ...] = frame.planes
    if with_alpha:
        planes += (np.full((height, width), 255, np.uint8) if frame.alpha is None else frame.alpha,)
    for target, plane in zip(picture.planes, planes, strict=True):
        buffer = cast(bytearray, target)  # it has the buffer protocol, which its stub leaves out
        rows = np.frombuffer(buffer, np.uint8).reshape(target.height, target.line_size)
        rows[:, : target.width] = plane
    return picture


def _tag(picture: av.VideoFrame, matrix: Matrix) -> None:
    """Label the picture's colours: ProRes reads labels from frames, the others from the stream."""
    picture.colorspace, picture.color_range = _MATRIX[matrix], _LIMITED
    picture.color_primaries, picture.color_trc = _PRIMARIES, _TRANSFER
