"""Write frames as pictures: a folder of PNG files, or one picture."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam import pictures
from vcam.colour import to_rgb
from vcam.errors import SinkError, SinkLost
from vcam.files import (
    Draft,
    DraftFolder,
    finishing,
    is_same_file,
    reason,
    remove_leftovers,
    write_whole,
)
from vcam.frame import Frame, Matrix, Size
from vcam.sinks.base import SinkRequest

_OPTIONS = {
    ".png": (cv2.IMWRITE_PNG_COMPRESSION, 3),
    ".jpg": (cv2.IMWRITE_JPEG_QUALITY, 95),
    ".jpeg": (cv2.IMWRITE_JPEG_QUALITY, 95),
    ".webp": (cv2.IMWRITE_WEBP_QUALITY, 95),
}
_log = logging.getLogger(__name__)
_FRAME_NAME = re.compile(r"frame_\d{6,}\.png")


class PngFolderSink:
    """A folder of frame_000000.png, frame_000001.png and so on; with transparency if the frames
    have it.

    Files are complete or absent. With `overwrite`, frames of an earlier run that this one did not
    replace are removed at the end, so that the folder contains one sequence.

    Args:
        target: the folder; created with its parents if missing.
        request: uses `overwrite`.
    """

    def __init__(self, target: str, request: SinkRequest) -> None:
        self.name = target
        self.live = False
        self.size: Size | None = None
        self.matrix: Matrix | None = None
        self.alpha = True
        self._folder = Path(target)
        self._request = request
        self.written = ""
        self._count = 0
        self._open = False
        self._created = False
        self._draft: DraftFolder | None = None

    def replaces(self, path: Path) -> bool:
        """Whether it is a frame of an earlier run; see `Replacing`."""
        return self._folder.is_dir() and any(is_same_file(old, path) for old in self._earlier())

    def __enter__(self) -> Self:
        """Create the folder.

        Raises:
            SinkError: it contains frames that may not be replaced, or is not writable.
        """
        try:
            self._created = not self._folder.exists()
            self._folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self._folder)
            if self._earlier():
                if not self._request.overwrite:
                    raise SinkError(
                        f"{self.name} holds frames already; replace them with --overwrite, or "
                        "choose another folder"
                    )
                self._draft = DraftFolder(self._folder).__enter__()
            with Draft(self._folder / "frame_000000.png", overwrite=True):
                pass  # it can be written to
        except (OSError, ValueError) as error:
            raise SinkError(f"{self.name}: {reason(error)}") from error
        self._count = 0
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
            self._discard()

    def send(self, frame: Frame) -> None:
        """Write one picture.

        Raises:
            SinkLost: it cannot be written.
        """
        if not self._open:
            raise SinkLost(f"{self.name}: not open; start vcam again")
        folder = self._folder if self._draft is None else self._draft.path
        path = folder / f"frame_{self._count:06d}.png"
        try:
            write_whole(path, encode(frame, ".png"), overwrite=False, durable=False)
        except OSError as error:
            self._discard()
            raise SinkLost(f"{self._folder / path.name}: {reason(error)}") from error
        self._count += 1

    def close(self) -> None:
        """Replace the frames of an earlier run by the new ones.

        Raises:
            SinkError: no frame was sent.
        """
        if not self._open:
            return
        self._open = False
        try:
            if self._count and self._draft is not None:
                with finishing:
                    for path in self._draft.path.iterdir():
                        path.replace(self._folder / path.name)
                    for path in self._earlier():
                        path.unlink()
            elif not self._count and self._created:
                self._folder.rmdir()
        except OSError as error:
            raise SinkError(f"{self.name}: {reason(error)}") from error
        finally:
            self._discard()
        if not self._count:
            raise SinkError(
                f"{self.name}: no frame was sent, so there are no pictures; check the source"
            )
        self.written = f"{self._count} pictures"

    def _discard(self) -> None:
        draft, self._draft = self._draft, None
        if draft is not None:
            self._open = False
            draft.discard()


class ImageSink:
    """One picture: the last frame that was sent, written by `close`.

    Attributes:
        written: after `close`: the picture's size.

    Args:
        target: the path; its suffix determines the format, see `vcam.pictures`.
        request: uses `overwrite`.
    """

    def __init__(self, target: str, request: SinkRequest) -> None:
        self.name = target
        self.live = False
        self.size: Size | None = None
        self.matrix: Matrix | None = None
        self._path = Path(target)
        self.alpha = self._path.suffix.lower() in pictures.ALPHA_SUFFIXES
        self._request = request
        self.written = ""
        self._frame: Frame | None = None
        self._is_open = False

    def replaces(self, path: Path) -> bool:
        """Whether it is the output file; see `Replacing`."""
        return is_same_file(self._path, path)

    def __enter__(self) -> Self:
        """Make sure that the file can be written.

        Raises:
            SinkError: it exists and may not be replaced, or its folder is missing or not
                writable.
        """
        try:
            remove_leftovers(self._path.parent)
            with Draft(self._path, self._request.overwrite):
                pass  # it can be written
        except OSError as error:
            raise SinkError(f"{self.name}: {reason(error)}") from error
        self._is_open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._frame, self._is_open = None, False
        self.close()

    def send(self, frame: Frame) -> None:
        """Keep a copy, replacing the previous one.

        Raises:
            SinkLost: the sink is not open.
        """
        if not self._is_open:
            raise SinkLost(f"{self.name}: not open; start vcam again")
        alpha = None if frame.alpha is None else frame.alpha.copy()
        self._frame = replace(frame, data=frame.data.copy(), alpha=alpha)

    def close(self) -> None:
        """Write the picture.

        Raises:
            SinkError: no frame was sent, or the file cannot be written; nothing is left behind.
        """
        if not self._is_open:
            return
        frame, self._frame = self._frame, None
        self._is_open = False
        if frame is None:
            raise SinkError(
                f"{self.name}: no frame was sent, so there is no picture; check the source"
            )
        try:
            content = encode(frame, self._path.suffix.lower(), self._request.strip)
            with finishing:
                write_whole(self._path, content, overwrite=self._request.overwrite)
        except (OSError, ValueError, ImportError) as error:
            raise SinkError(f"{self.name}: {reason(error)}") from error
        picture = frame.picture or pictures.picture_of(frame)
        self.written = "{}x{}".format(*picture.size)
        if lost := pictures.lost(picture, self._path.suffix.lower()):
            _log.warning("%s: left out: %s", self.name, lost)


def encode(frame: Frame, suffix: str, strip: bool = False) -> bytes:
    """Encode a frame as the content of a picture file; see `vcam.pictures.encode`.

    Args:
        frame: its `picture`, if it has one, else I420 with its alpha.
        suffix: of the file.
        strip: leave out EXIF and the colour profile.

    Raises:
        OSError, ValueError: the format cannot represent the picture.
    """
    if frame.picture is not None or suffix not in _OPTIONS:
        return pictures.encode(frame.picture or pictures.picture_of(frame), suffix, strip)
    image: NDArray[np.uint8] = to_rgb(frame)[..., ::-1]
    if frame.alpha is not None and suffix in pictures.ALPHA_SUFFIXES:
        image = np.dstack([image, frame.alpha])
    _done, data = cv2.imencode(suffix, np.ascontiguousarray(image), _OPTIONS[suffix])
    return data.tobytes()
