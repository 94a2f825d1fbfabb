"""The interface of all sinks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from vcam.frame import Frame, Matrix, Size


@dataclass(frozen=True, slots=True)
class SinkRequest:
    """The pipeline's requirements of a sink.

    size: the frames' size; None if it is known only with the first frame (files).
    fps: frame rate.
    overwrite: replace an existing file.
    variable_rate: a video file shows each frame at its `Frame.pts_ns`, so uneven delivery by a
        camera keeps its timing; otherwise frames have a constant rate, `fps`.
    strip: pictures carry neither EXIF nor a colour profile.
    name: of the virtual camera, as other programs display it; empty: any.
    sound_of: the source's video file; its sound is copied into a video file with a variable rate.
        None: there is none.
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
    """Additional interface of sinks that write files."""

    def replaces(self, path: Path) -> bool:
        """Whether a run into this sink would destroy the file, also under another name."""


class Sink(Protocol):
    """Accepts composed frames. One thread opens, sends and closes. A live sink may be opened again
    after it was closed.

    Attributes:
        name: its name in messages, for instance "/dev/video10" or "out.mp4".
        live: it has viewers: frames are sent in real time, and gaps are filled with the last
            one.
        size: the required frame size, known after opening; None: any (the first frame
            decides).
        matrix: the required YCbCr coefficients; None: any.
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
        """Close; after an exception, incomplete files are removed instead of
        finished.
        """

    def send(self, frame: Frame) -> None:
        """Accept one frame, which is only read, and copied if it is needed after the call returns.

        Raises:
            SinkLost: the device or file no longer accepts frames.
        """

    def close(self) -> None:
        """Finish and release all resources. May be called twice, also if it was never opened.

        Raises:
            SinkError: the file could not be finished (disk full); no file has the final
                name.
        """
