"""Cameras through FFmpeg's capture devices, without blocking."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING

from vcam.errors import SourceError, SourceLost
from vcam.frame import Size
from vcam.linux import v4l2
from vcam.sources.camera import Shot
from vcam.sources.modes import FFMPEG_NAMES, choose_mode

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

_NO_CAMERA = "plug one in, or type `vcam run --source demo` or `vcam run --source FILE`"
_QUEUE_LENGTH = 32  # maximum number of buffers of V4L2 drivers (VIDEO_MAX_FRAME)
_OPEN_TIMEOUT_S = 10.0
_LIVE = MappingProxyType(
    {
        # AVFMT_FLAG_NONBLOCK of <libavformat/avformat.h>; the option has no name for it
        "fflags": "+4",
        # the rate is known from the driver; do not buffer pictures to measure it
        "fpsprobesize": "0",
    }
)

Options = Mapping[str, str]


class FFmpegCamera:
    """An open capture device of FFmpeg; see `vcam.sources.webcam.Camera`. Belongs to one thread.

    With AVFMT_FLAG_NONBLOCK, v4l2 and dshow return "try again" instead of waiting for a picture;
    avfoundation always does.

    Args:
        path: the camera's name in messages.
        target: FFmpeg's name for the camera.
        device: FFmpeg's name for the interface, "v4l2".
        attempts: options to open it with; the next ones are tried if the driver rejects the
            previous ones.

    Raises:
        SourceError: it cannot be opened.
    """

    def __init__(self, path: str, target: str, device: str, attempts: Iterable[Options]) -> None:
        self.path = path
        self.size: Size = (0, 0)
        self.fps = 0.0
        self.format_name = ""
        self._target = target
        self._device = device
        self._attempts = list(attempts)
        self._container: InputContainer | None = None

    def open(self) -> None:
        """Open it with the first options that the driver accepts, and read back the resulting mode.

        Raises:
            SourceError: it accepts none.
        """
        import av

        for options in self._attempts:
            try:
                self._container = av.open(
                    self._target,
                    format=self._device,
                    options={**_LIVE, **options},
                    timeout=(_OPEN_TIMEOUT_S, None),
                )
                break
            except (av.FFmpegError, OSError, ValueError) as caught:
                error = caught
        else:
            raise SourceError(f"{self.path}: {_explain(error, self.path)}") from error
        self._read_back()

    def _read_back(self) -> None:
        assert self._container is not None
        stream = self._container.streams.video[0]
        context = stream.codec_context
        context.thread_type, context.thread_count = (
            "SLICE",
            1,
        )  # frame threads would delay every frame
        self.size = (context.width, context.height)
        self.fps = float(stream.average_rate or stream.guessed_rate or 0)
        name = context.name if context.name == "mjpeg" else str(context.pix_fmt)
        self.format_name = next(
            (fourcc for fourcc, ffmpeg in FFMPEG_NAMES.items() if ffmpeg == name), name
        )

    def poll(self) -> Shot | None:
        """The newest picture, dropping older ones; None if there is none yet. Never waits.

        Raises:
            SourceLost: the camera is gone.
        """
        import av

        newest, t_capture_ns = None, 0
        for _buffer in range(_QUEUE_LENGTH):
            packet = self._next_packet()
            if packet is None:
                break
            if packet.size:  # the kernel reports lost pictures as empty packets
                newest, t_capture_ns = packet, time.monotonic_ns()
        if newest is None or newest.is_corrupt:
            return None
        try:
            pictures = newest.decode()
        except (
            av.FFmpegError,
            ValueError,
        ):  # half a JPEG, which cameras send occasionally; wait for the next one
            return None
        return Shot(pictures[-1], t_capture_ns) if pictures else None

    def _next_packet(self) -> Packet[VideoStream] | None:
        import av

        assert self._container is not None
        try:
            packet = next(self._container.demux(video=0), None)
        except BlockingIOError:
            return None
        except (av.FFmpegError, OSError) as error:
            text = getattr(error, "strerror", None) or str(error)
            raise SourceLost(
                f"{self.path}: the camera is gone ({text}); plug it in again"
            ) from error
        if packet is None or (
            packet.size == 0 and packet.pts is None
        ):  # empty and without a time: the end
            raise SourceLost(f"{self.path}: the camera has ended; plug it in again")
        return packet

    def close(self) -> None:
        """Release the camera. May be called twice."""
        if self._container is not None:
            self._container.close()
            self._container = None


def open_camera(where: str, size: Size, fps: float) -> FFmpegCamera:
    """Open a camera in the mode that is nearest to `size` and `fps`.

    Args:
        where: "/dev/video2" or "2" on Linux, a device name elsewhere; empty: the first camera.
        size: wanted.
        fps: wanted.

    Raises:
        SourceError: there is no such camera, it is busy, or permission is denied.
    """
    camera = (
        _linux_camera(where, size, fps)
        if sys.platform == "linux"
        else _other_camera(where, size, fps)
    )
    camera.open()
    return camera


def _linux_camera(where: str, size: Size, fps: float) -> FFmpegCamera:
    path = f"/dev/video{where}" if where.isdigit() else where or first_camera(v4l2.list_nodes())
    node = v4l2.describe_node(path)
    if node.problem:
        raise SourceError(f"{path}: {node.problem}")
    if not node.is_capture:
        raise SourceError(
            f"{path}: delivers no pictures ({node.card}); `vcam devices` lists the cameras"
        )
    try:
        mode = choose_mode(v4l2.list_modes(path), size, fps)
    except OSError as error:
        raise SourceError(f"{path}: {v4l2.explain(error, path)}") from error
    if mode is None:
        return FFmpegCamera(path, path, "v4l2", [_options(size, fps), {}])
    options = _options((mode.width, mode.height), mode.fps or fps) | {
        "input_format": FFMPEG_NAMES[mode.fourcc]
    }
    return FFmpegCamera(path, path, "v4l2", [options])


def first_camera(nodes: Iterable[v4l2.Node]) -> str:
    """The path of the first node that is a real camera.

    Raises:
        SourceError: there is none; names a node that could not be queried, if that may be why.
    """
    nodes = list(nodes)
    for node in nodes:
        if node.is_capture and not node.is_loopback:
            return node.path
    for node in nodes:
        if node.problem:
            raise SourceError(f"no camera was found: {node.path}: {node.problem}")
    only = " but virtual ones" if any(node.is_loopback for node in nodes) else ""
    raise SourceError(f"no camera{only} was found; {_NO_CAMERA}")


def _other_camera(where: str, size: Size, fps: float) -> FFmpegCamera:
    device = "dshow" if sys.platform == "win32" else "avfoundation"
    name = where or next(iter(device_names()), "")
    if not name:
        raise SourceError(f"no camera was found; {_NO_CAMERA}")
    target = f"video={name}" if device == "dshow" else f"{name}:none"
    return FFmpegCamera(name, target, device, [_options(size, fps), _options(size, None), {}])


def device_names() -> list[str]:
    """Names of the cameras on Windows and macOS, the default first."""
    import av

    device = "dshow" if sys.platform == "win32" else "avfoundation"
    return [
        info.description if device == "avfoundation" else info.name
        for info in av.enumerate_input_devices(device)
        if "video" in info.media_types
    ]


def _options(size: Size, fps: float | None) -> dict[str, str]:
    options = {"video_size": f"{size[0]}x{size[1]}"}
    if fps:
        options["framerate"] = str(Fraction(fps).limit_denominator(1001))
    return options


def _explain(error: Exception, path: str) -> str:
    import av

    if isinstance(error, av.error.ExitError):
        return f"no picture for {_OPEN_TIMEOUT_S:g} s; unplug the camera and plug it in again"
    if isinstance(error, OSError):
        return v4l2.explain(error, path)
    return (
        f"cannot be opened ({getattr(error, 'strerror', None) or error}); `vcam devices` lists the"
        " cameras"
    )
