"""Interface of an open camera for `WebcamSource`, and types of functions that open and find one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from vcam.frame import Size

if TYPE_CHECKING:
    from av import VideoFrame


class Shot(NamedTuple):
    """A picture from the camera, and `monotonic_ns` of its arrival."""

    picture: VideoFrame
    t_capture_ns: int


class Camera(Protocol):
    """An open camera. Used by one thread.

    Attributes:
        path: its name in messages.
        size: of its pictures.
        fps: the driver's rate, 0.0 if unknown.
        format_name: pixel format, as users know it: "MJPG", "YUYV".
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
"""Finds a camera that was open before; raises SourceError if it is missing."""
