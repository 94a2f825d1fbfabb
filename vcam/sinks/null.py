"""A sink that discards frames, for measurements and trials."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from vcam.frame import Frame, Matrix, Size
from vcam.sinks.base import SinkRequest


class NullSink:
    """Counts frames.

    Attributes:
        frames: number of frames sent.
    """

    def __init__(self, target: str, request: SinkRequest) -> None:
        self.name = "null"
        self.live = False
        self.size: Size | None = None
        self.matrix: Matrix | None = None
        self.alpha = False
        self.frames = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def send(self, frame: Frame) -> None:
        """Count one frame."""
        self.frames += 1

    def close(self) -> None:
        """Nothing to release."""


class PageSink(NullSink):
    """Shown on the page only: behaves like a virtual camera, but no program can read it."""

    def __init__(self, target: str, request: SinkRequest) -> None:
        super().__init__(target, request)
        self.name, self.live = "page", True
