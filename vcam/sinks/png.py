"""Frames into pictures: a folder of PNG files, or one picture."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.colour import to_rgb
from vcam.errors import SinkError, SinkLost
from vcam.frame import Frame, Matrix, Size
from vcam.sinks.base import SinkRequest
from vcam.sinks.target import claim, discard, reason, write_whole

_OPTIONS = {
    ".png": (cv2.IMWRITE_PNG_COMPRESSION, 3),
    ".jpg": (cv2.IMWRITE_JPEG_QUALITY, 95),
    ".jpeg": (cv2.IMWRITE_JPEG_QUALITY, 95),
    ".webp": (cv2.IMWRITE_WEBP_QUALITY, 95),
}
_FRAME_NAME = re.compile(r"frame_\d{6,}\.png")


class PngFolderSink:
    """A folder of frame_000000.png, frame_000001.png and so on; with transparency where the frames
    have it.

    Every file is complete or not there. With `overwrite`, frames of an earlier run that this one
    did not replace are removed in the end, so that the folder holds one sequence.

    Args:
        target: the folder; it is created, and its parents too.
        request: `overwrite` is obeyed.
    """

    def __init__(self, target: str, request: SinkRequest) -> None:
        self.name = target
        self.live = False
        self.size: Size | None = None
        self.matrix: Matrix | None = None
        self.alpha = True
        self._folder = Path(target)
        self._request = request
        self._count = 0
        self._open = False
        self._created = False

    def __enter__(self) -> Self:
        """Create the folder.

        Raises:
            SinkError: it holds frames that may not be replaced, or cannot be created or written to.
        """
        try:
            self._created = not self._folder.exists()
            self._folder.mkdir(parents=True, exist_ok=True)
            if self._earlier() and not self._request.overwrite:
                raise SinkError(
                    f"{self.name} holds frames already; replace them with --overwrite, or choose"
                    " another folder"
                )
            discard(claim(self._folder / "frame_000000.png", overwrite=True))
        except OSError as error:
            raise SinkError(f"{self.name}: {reason(error)}") from error
        self._open = True
        return self

    def _earlier(self) -> list[Path]:
        """The frames in the folder that this run has not written."""
        found = [path for path in self._folder.iterdir() if _FRAME_NAME.fullmatch(path.name)]
        return [path for path in found if int(path.stem[6:]) >= self._count]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self._open = False

    def send(self, frame: Frame) -> None:
        """Write one picture.

        Raises:
            SinkLost: it cannot be written.
        """
        if not self._open:
            raise SinkLost(f"{self.name}: not open; start vcam again")
        path = self._folder / f"frame_{self._count:06d}.png"
        try:
            write_whole(path, encode(frame, ".png"))
        except OSError as error:
            raise SinkLost(f"{path}: {reason(error)}") from error
        self._count += 1

    def close(self) -> None:
        """Remove what is left of an earlier run.

        Raises:
            SinkError: no frame was sent.
        """
        if not self._open:
            return
        self._open = False
        try:
            if self._count:
                for path in self._earlier():
                    path.unlink()
            elif self._created:
                self._folder.rmdir()
        except OSError as error:
            raise SinkError(f"{self.name}: {reason(error)}") from error
        if not self._count:
            raise SinkError(
                f"{self.name}: no frame was sent, so there are no pictures; check the source"
            )


class ImageSink:
    """One picture: the last frame that was sent, written by `close`.

    Args:
        target: the path, ending in .png, .jpg, .jpeg or .webp; .png and .webp keep transparency.
        request: `overwrite` is obeyed.
    """

    def __init__(self, target: str, request: SinkRequest) -> None:
        self.name = target
        self.live = False
        self.size: Size | None = None
        self.matrix: Matrix | None = None
        self._path = Path(target)
        self.alpha = self._path.suffix.lower() in (".png", ".webp")
        self._request = request
        self._frame: Frame | None = None
        self._partial: Path | None = None

    def __enter__(self) -> Self:
        """Make sure that the file can be written.

        Raises:
            SinkError: it exists and may not be replaced, or its folder is missing or may not be
                written to.
        """
        self._partial = claim(self._path, self._request.overwrite)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._frame = None
            self._forget()
        self.close()

    def send(self, frame: Frame) -> None:
        """Keep a copy in place of the one before.

        Raises:
            SinkLost: the sink is not open.
        """
        if self._partial is None:
            raise SinkLost(f"{self.name}: not open; start vcam again")
        alpha = None if frame.alpha is None else frame.alpha.copy()
        self._frame = replace(frame, data=frame.data.copy(), alpha=alpha)

    def close(self) -> None:
        """Write the picture.

        Raises:
            SinkError: no frame was sent, or the file cannot be written; nothing is left.
        """
        if self._partial is None:
            return
        frame, self._frame = self._frame, None
        self._forget()
        if frame is None:
            raise SinkError(
                f"{self.name}: no frame was sent, so there is no picture; check the source"
            )
        try:
            write_whole(self._path, encode(frame, self._path.suffix.lower()))
        except OSError as error:
            raise SinkError(f"{self.name}: {reason(error)}") from error

    def _forget(self) -> None:
        if self._partial is not None:
            discard(self._partial)
        self._partial = None


def encode(frame: Frame, suffix: str) -> bytes:
    """A frame as the content of a picture file.

    Args:
        frame: I420; its alpha is kept where the format has one.
        suffix: ".png", ".jpg", ".jpeg" or ".webp".
    """
    image: NDArray[np.uint8] = to_rgb(frame)[..., ::-1]
    if frame.alpha is not None and suffix in (".png", ".webp"):
        image = np.dstack([image, frame.alpha])
    _done, data = cv2.imencode(suffix, np.ascontiguousarray(image), _OPTIONS[suffix])
    return data.tobytes()
