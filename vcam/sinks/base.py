"""What every sink promises."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from vcam.frame import Frame, Matrix, Size


@dataclass(frozen=True, slots=True)
class SinkRequest:
    """What the pipeline wants from a sink.

    size: the frames' size, None where it will be known with the first frame only (files).
    fps: frames per second that will be sent.
    overwrite: a file that exists may be replaced.
    variable_rate: a video file shows each frame at its `Frame.pts_ns`, so that what a camera
        delivered unevenly keeps its real tempo; otherwise frames follow each other at `fps`.
    strip: pictures carry neither EXIF nor a colour profile.
    name: of the virtual camera, as other programs show it; empty: any.
    sound_of: the video file that the pictures are from; its sound is copied into a video file with
        a variable rate. None: there is none.
    """

    size: Size | None = None
    fps: float = 30.0
    overwrite: bool = False
    variable_rate: bool = False
    strip: bool = False
    name: str = ""
    sound_of: Path | None = None


@runtime_checkable
class Replacing(Protocol):
    """What sinks have that write files."""

    def replaces(self, path: Path) -> bool:
        """Whether the file would be gone after a run into this sink, by whatever name it has."""


class Sink(Protocol):
    """Takes composed frames. One thread opens, sends and closes. A live sink may be opened again
    after it was closed.

    Attributes:
        name: how messages call it, for instance "/dev/video10" or "out.mp4".
        live: somebody watches now: frames are sent in real time, and gaps are filled with the last
            one.
        size: the frames' size it insists on, known after opening; None: any (the first frame
            decides).
        matrix: the YCbCr coefficients it insists on; None: any.
        alpha: it keeps `Frame.alpha`, so that a removed background can be transparent.
    """

    name: str
    live: bool
    size: Size | None
    matrix: Matrix | None
    alpha: bool

    def __enter__(self) -> Self:
        """Acquire everything or nothing.

        Raises:
            SinkError: one line with the thing, the reason and the next step.
        """

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close; with an error under way, files that are not complete are removed instead of being
        finished.
        """

    def send(self, frame: Frame) -> None:
        """Take one frame; it is only read, and not kept after the call returns unless copied.

        Raises:
            SinkLost: the device or file no longer takes frames.
        """

    def close(self) -> None:
        """Finish and release everything. May be called twice, and without having opened.

        Raises:
            SinkError: the file could not be finished (disk full); nothing is left under the final
                name.
        """
