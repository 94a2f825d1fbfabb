"""Still images, as a source and for whoever else needs one."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.errors import SourceError
from vcam.frame import Frame
from vcam.sources.base import SourceRequest
from vcam.sources.common import SourceBase
from vcam.sources.convert import FrameMaker, over_white, rgb_picture
from vcam.sources.fit import pad_to_even
from vcam.sources.inspect_file import is_image, read_head
from vcam.sources.media import Media

_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
_PNG_START, _PNG_END = b"\x89PNG", b"IEND\xaeB`\x82"


class ImageSource(SourceBase):
    """Delivers one image once, or with `request.repeat` again and again. The pixels are shared, not
    copied.

    Args:
        path: any image that OpenCV or FFmpeg reads.
        request: what the pipeline wants; the image's matrix is BT.709 from 720 rows on, else
            BT.601.
    """

    def __init__(self, path: str, request: SourceRequest) -> None:
        super().__init__(Path(path).name, request, frames=None if request.repeat else 1)
        self._path = path
        self._frame: Frame | None = None

    def _open(self) -> None:
        image = pad_to_even(read_image(self._path))
        self._frame = FrameMaker(self._request, name=self._path).make(rgb_picture(image), 0)
        self.size = self._frame.size

    def read(self) -> Frame | None:
        """The image, with the time of this call; None after it, or after `interrupt`."""
        if self._stop.is_set() or self._frame is None or self._index == self.frames:
            return None
        index = self._next_index()
        return replace(
            self._frame,
            t_capture_ns=time.monotonic_ns(),
            index=index,
            pts_ns=self._period_ns(index),
        )

    def close(self) -> None:
        """Forget the image. May be called twice, and without having opened."""
        self._frame = None


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """Read an image at its own size: uint8 [H, W, 3] RGB, 0..255, owned by the caller.

    Grey and palette images become RGB, 16 bits become 8, transparency is laid on white paper, and
    the orientation that a camera noted (EXIF) is applied, though not to images with transparency.

    Raises:
        SourceError: there is no such file, it is no image, or it is damaged.
    """
    head = read_head(str(path))
    if not is_image(str(path), head):
        raise SourceError(f"{path}: not an image; give a PNG, JPEG, WebP, TIFF or BMP file")
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise SourceError(
            f"{path}: cannot be read ({error.strerror}); check the disk, or copy the file"
        ) from error
    if _is_cut_off(data):
        raise SourceError(f"{path}: the image is truncated; copy it again")
    image = _decode(data)
    return _decode_by_ffmpeg(str(path)) if image is None else image


def _is_cut_off(data: bytes) -> bool:
    """Decoders fill up what is missing, or complain on stderr; so look for the end marks first."""
    if data.startswith(_PNG_START):
        return _PNG_END not in data
    return data.startswith(_JPEG_START) and data.rfind(_JPEG_END) < data.rfind(_JPEG_SCAN)


def _decode(data: bytes) -> NDArray[np.uint8] | None:
    """OpenCV's reading as uint8 [H, W, 3] RGB; None where it cannot."""
    raw = np.frombuffer(data, np.uint8)
    try:
        if not data.startswith(_JPEG_START):
            image = cv2.imdecode(raw, cv2.IMREAD_UNCHANGED)
            if (
                image is not None
                and image.ndim == 3
                and image.shape[2] == 4
                and image.dtype in (np.uint8, np.uint16)
            ):
                eight = image if image.dtype == np.uint8 else np.asarray(image, np.uint16) >> 8
                return over_white(np.asarray(eight, np.uint8)[..., [2, 1, 0, 3]])
        image = cv2.imdecode(raw, cv2.IMREAD_COLOR)
    except cv2.error:  # larger than OpenCV allows, or damaged in a way that it did not expect
        return None
    return None if image is None else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _decode_by_ffmpeg(path: str) -> NDArray[np.uint8]:
    media = Media(path, Path(path))
    try:
        media.open()
        picture = next(media.pictures(), None)
        if picture is None:
            raise SourceError(
                f"{path}: the image is damaged, or of an unknown kind; save it as PNG"
            )
        return over_white(np.asarray(picture.to_ndarray(format="rgba", threads=1), np.uint8))
    finally:
        media.close()
