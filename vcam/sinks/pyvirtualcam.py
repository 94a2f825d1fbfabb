"""Write frames to a virtual camera through pyvirtualcam: Windows, macOS, and Linux on request."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from vcam.errors import SinkError, SinkLost
from vcam.frame import Frame, Matrix, Size
from vcam.sinks.base import SinkRequest

if TYPE_CHECKING:
    import pyvirtualcam

DEFAULT_SIZE: Size = (1280, 720)


class PyvirtualcamSink:
    """A camera of OBS or Unity Capture (Windows, macOS), or a v4l2loopback device (Linux).

    Args:
        target: the camera's name in pyvirtualcam; empty: the request's, or the first
            one.
        request: its size is used as given; pyvirtualcam cannot negotiate another.
    """

    def __init__(self, target: str, request: SinkRequest) -> None:
        self.name = target or request.name or "virtual camera"
        self.live = True
        self.size: Size | None = None
        self.matrix: Matrix | None = Matrix.BT601
        self.alpha = False
        self._target = target or request.name
        self._request = request
        self._camera: pyvirtualcam.Camera | None = None

    def __enter__(self) -> Self:
        """Open the camera.

        Raises:
            SinkError: pyvirtualcam is not installed, or finds no camera that it can open.
        """
        try:
            import pyvirtualcam
        except ImportError as error:
            raise SinkError(
                f"{self.name}: pyvirtualcam is not installed; `pip install pyvirtualcam`, or write"
                " a file with --sink out.mp4"
            ) from error
        width, height = self._request.size or DEFAULT_SIZE
        device = self._target or None
        try:
            self._camera = pyvirtualcam.Camera(
                width, height, self._request.fps, fmt=pyvirtualcam.PixelFormat.I420, device=device
            )
        except (RuntimeError, ValueError) as error:
            raise SinkError(
                f"{self.name}: {_one_line(error)}; on Windows and macOS install OBS 30 or later and"
                " start its virtual camera once"
            ) from error
        self.name = self._camera.device
        self.size = (width, height)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def send(self, frame: Frame) -> None:
        """Send one frame.

        Raises:
            SinkLost: the camera is closed, or pyvirtualcam refuses the frame.
            ValueError: the frame has not the size and matrix that this sink insists on.
        """
        if self._camera is None:
            raise SinkLost(f"{self.name}: not open; start vcam again")
        if frame.size != self.size or frame.matrix is not self.matrix:
            raise ValueError(
                f"{self.name} takes {self.size} {self.matrix}, not {frame.size} {frame.matrix}"
            )
        try:
            self._camera.send(frame.data.reshape(-1))
        except RuntimeError as error:
            raise SinkLost(
                f"{self.name} no longer takes frames: {_one_line(error)}; start vcam again"
            ) from error

    def close(self) -> None:
        """Free the camera."""
        camera, self._camera = self._camera, None
        self.size = None
        if camera is not None:
            camera.close()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
