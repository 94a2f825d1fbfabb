"""The interface of all sources."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from vcam.frame import Frame, Matrix, Size


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """The pipeline's requirements of a source.

    size: the frames' size; the picture is cropped to its aspect ratio around the centre, never
        stretched. None: the source's own size, made even by dropping a pixel (a camera: 1280x720 or
        its nearest mode).
    fps: frame rate to request from a camera or a generated source; files keep their own.
    mirror: flip left and right.
    matrix: the required YCbCr coefficients; None: those of the
        source.
    repeat: deliver a still image repeatedly, for sinks with viewers, instead of
        once.
    """

    size: Size | None = None
    fps: float = 30.0
    mirror: bool = False
    matrix: Matrix | None = None
    repeat: bool = False


class Source(Protocol):
    """Delivers frames. One thread opens, reads and closes; any thread may `interrupt`.

    A live source may be entered again after it was closed, and continues to count frames and time.

    Every frame of a source has the same size and matrix, even if the file or camera changes them.

    Attributes:
        name: its name in messages, for instance "/dev/video0" or "clip.mp4".
        live: frames arrive in real time and cannot wait (a camera, a network stream).
        fps: frames per second; known after opening.
        size: of the frames; known after opening.
        frames: their total number, or None if unknown (streams, cameras, generated
            sources).
        damage: after the last frame: one line about unreadable parts; empty: none.
        starts_s: presentation time of the first frame, from the start of its container.
        mode: one line about the requested mode and the driver's answer; empty if not
            applicable.
    """

    name: str
    live: bool
    fps: float
    size: Size
    frames: int | None
    mode: str
    damage: str
    starts_s: float

    def __enter__(self) -> Self:
        """Acquire everything or nothing.

        Raises:
            SourceError: one line with the thing, the reason and the next step.
        """

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""

    def read(self) -> Frame | None:
        """Wait for the next frame; None at the end, and after `interrupt`.

        Raises:
            SourceLost: the camera, file or stream broke off.
        """

    def interrupt(self) -> None:
        """Make a blocked or later `read` return None within 0.5 s. Callable from any thread, also
        repeatedly.
        """

    def close(self) -> None:
        """Release all resources. May be called twice, also if it was never opened."""
