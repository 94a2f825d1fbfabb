"""A camera and a virtual camera for benchmarks, with the same costs for this program as real
ones.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from types import TracebackType
from typing import Self

from vcam.frame import Frame, Matrix, Size
from vcam.sources.camera import OpenCamera, Shot
from vcam.sources.convert import as_picture

_QUALITY = "3"
"""Quality of FFmpeg's MJPEG encoder, 2 best .. 31: about 100 KB for 720p, as webcams send."""


class RecordedCamera:
    """A `Camera` that sends a recorded MJPEG stream in a loop, in real time.

    Pictures are decoded when they are polled, as with a webcam; missed ones are lost.

    Args:
        pictures: JPEG files, all of one size.
        size: of the pictures.
        fps: the frame rate.
    """

    def __init__(self, pictures: Sequence[bytes], size: Size, fps: float) -> None:
        import av

        self.path = "recorded"
        self.size = size
        self.fps = fps
        self.format_name = "MJPG"
        self._pictures = pictures
        self._decoder = av.VideoCodecContext.create("mjpeg", "r")
        self._decoder.thread_type, self._decoder.thread_count = "SLICE", 1
        self._start_ns = time.monotonic_ns()
        self._sent = -1

    def poll(self) -> Shot | None:
        """The newest picture, if one has become due since the last call."""
        import av

        index = int((time.monotonic_ns() - self._start_ns) * self.fps / 1e9)
        if index <= self._sent:
            return None
        self._sent = index
        t_capture_ns = self._start_ns + round(index * 1e9 / self.fps)
        data = self._pictures[index % len(self._pictures)]
        return Shot(self._decoder.decode(av.Packet(data))[-1], t_capture_ns)

    def close(self) -> None:
        """Nothing to release."""


def record(frames: Sequence[Frame]) -> list[bytes]:
    """Encode frames as JPEG files, as a webcam would send them."""
    import av

    encoder = av.VideoCodecContext.create("mjpeg", "w")
    encoder.width, encoder.height = frames[0].size
    encoder.pix_fmt = "yuvj420p"
    encoder.time_base = Fraction(1, 30)
    encoder.options = {"qmin": _QUALITY, "qmax": _QUALITY}
    packets = []
    for index, frame in enumerate(frames):
        picture = as_picture(frame).reformat(format="yuvj420p", dst_color_range=2)
        picture.pts = index
        packets += encoder.encode(picture)
    return [bytes(packet) for packet in (*packets, *encoder.encode(None))]


def camera_of(frames: Sequence[Frame], fps: float) -> OpenCamera:
    """Return a function that opens a camera that sends these frames in a loop."""
    pictures, size = record(frames), frames[0].size
    return lambda where, wanted_size, wanted_fps: RecordedCamera(pictures, size, fps)


class DeviceSink:
    """Takes frames like a virtual camera: each is copied completely into kernel memory.

    Args:
        size: the size that it requires.

    Attributes:
        frames: number of frames sent.
    """

    def __init__(self, size: Size) -> None:
        self.name = "device in memory"
        self.live = True
        self.size: Size | None = size
        self.matrix: Matrix | None = Matrix.BT601
        self.alpha = False
        self.frames = 0
        self._fd = -1

    def __enter__(self) -> Self:
        if hasattr(os, "memfd_create"):
            self._fd = os.memfd_create("vcam-bench")
        else:
            self._fd, path = tempfile.mkstemp()
            os.unlink(path)  # noqa: PTH108 - a descriptor stays open
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def send(self, frame: Frame) -> None:
        """Write one frame."""
        os.lseek(self._fd, 0, os.SEEK_SET)
        os.write(self._fd, frame.data.data)
        self.frames += 1

    @property
    def descriptor(self) -> int:
        """File descriptor of the memory with the last frame, while it is open."""
        return self._fd

    def close(self) -> None:
        """Release the memory."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
