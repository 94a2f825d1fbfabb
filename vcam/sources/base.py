"""What every source promises."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from vcam.frame import Frame, Matrix, Size


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """What the pipeline wants from a source.

    size: the frames' size; the picture is cropped to its aspect ratio around the centre, never
        stretched. None: the source's own size (a camera: 1280x720 or the nearest it has; made even
        by dropping a pixel).
    fps: frames per second wanted from a camera or a generated source; files keep their own.
    mirror: flip left and right.
    matrix: the YCbCr coefficients that the frames must have; None: whatever the source has by
        nature.
    repeat: a still image is delivered again and again, for sinks that somebody watches, instead of
        once.
    """

    size: Size | None = None
    fps: float = 30.0
    mirror: bool = False
    matrix: Matrix | None = None
    repeat: bool = False


class Source(Protocol):
    """Delivers frames. One thread opens, reads and closes; any thread may `interrupt`.

    A live source may be entered again after it was closed, and goes on counting frames and time.

    Every frame of one source has the same size and matrix, whatever the file or camera does midway.

    Attributes:
        name: how messages call it, for instance "/dev/video0" or "clip.mp4".
        live: frames come in their own time and cannot wait (a camera, a network stream).
        fps: frames per second; known after opening.
        size: of the frames; known after opening.
        frames: how many there will be, or None where nobody knows (streams, cameras, generated
            sources).
        damage: after the last frame: one line about what could not be read; empty: nothing.
        starts_s: how long after the start of its container the first frame is shown.
        mode: one line about what was asked of the driver and what it gave, empty where that has no
            meaning.
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
        """Make a blocked or later `read` return None soon (within 0.5 s). Called from any thread,
        also twice.
        """

    def close(self) -> None:
        """Release everything. May be called twice, and without having opened."""
