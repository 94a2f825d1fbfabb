"""An open camera, as `WebcamSource` sees it, and how it is opened and found again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from vcam.frame import Size

if TYPE_CHECKING:
    from av import VideoFrame


class Shot(NamedTuple):
    """A picture as the camera gave it, and `monotonic_ns` of its arrival."""

    picture: VideoFrame
    t_capture_ns: int


class Camera(Protocol):
    """An open camera. Belongs to one thread.

    Attributes:
        path: what messages call it.
        size: of its pictures.
        fps: what the driver says, 0.0 where it does not.
        format_name: of its pictures, as users know it: "MJPG", "YUYV".
    """

    path: str
    size: Size
    fps: float
    format_name: str

    def poll(self) -> Shot | None:
        """The newest picture, dropping older ones; None if there is none yet. Never waits.

        Raises:
            SourceError: FFmpeg cannot convert a picture.
            SourceLost: the camera is gone.
        """

    def close(self) -> None:
        """Release the camera. May be called twice."""


OpenCamera = Callable[[str, Size, float], Camera]
"""Opens a camera by its name (empty: the first one) near a size and rate; raises SourceError."""

Find = Callable[[], str]
"""Where a camera is that was open before; raises SourceError where it is not there."""
