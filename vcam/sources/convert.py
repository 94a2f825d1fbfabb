"""Convert decoded pictures to frames of one size, one matrix, limited range."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.colour import change_matrix
from vcam.errors import SourceError
from vcam.frame import Frame, Matrix, Plane, Size
from vcam.geometry import Box
from vcam.pictures import over_white
from vcam.sources.base import SourceRequest
from vcam.sources.fit import copy_planes, crop_box, even

if TYPE_CHECKING:
    from av import VideoFrame

# Numbers of <libavutil/pixfmt.h>: AVCOL_RANGE_* and AVCOL_SPC_*.
_LIMITED, _FULL = 1, 2
_SPC_BT709, _SPC_SMPTE170M = 1, 6
_SPC_UNLABELLED = {0, 2, 3}  # RGB (nonsense for other pictures), unspecified, reserved
_SPC_601 = {4, 5, _SPC_SMPTE170M}  # FCC, BT.470BG
_CHROMA_RANGE = 224 / 255, 128 - 128 * 224 / 255  # factor and offset, BT.601-7 section 2.5.3
_SMALLEST_PX = 4  # swscale cannot scale a chroma plane of one row or column
_HD_HEIGHT_PX = 720  # players take unlabelled pictures of this height and more as BT.709


class FrameMaker:
    """Converts decoded pictures; the first one determines the size and matrix of all.

    Used by the thread that reads. A picture that already fits is only
    copied.

    Args:
        request: the pipeline's requirements.
        unlabelled: the matrix of pictures without a label; None: by height, as in
            players.
        name: the source's name in messages.

    Attributes:
        size: of the frames; None before the first.
        matrix: of the frames; None before the first.
    """

    def __init__(
        self, request: SourceRequest, unlabelled: Matrix | None = None, name: str = "source"
    ) -> None:
        from av.video.reformatter import VideoReformatter

        self.size = request.size
        self.matrix = request.matrix
        self._name = name
        self._mirror = request.mirror
        self._unlabelled = unlabelled
        self._to_i420 = VideoReformatter()
        self._scale = VideoReformatter()

    def make(
        self,
        picture: VideoFrame,
        t_capture_ns: int,
        index: int = 0,
        pts_ns: int = 0,
        duration_ns: int = 0,
    ) -> Frame:
        """Convert one picture, already in its final orientation; the frame owns its memory.

        Raises:
            SourceError: FFmpeg cannot convert the picture.
        """
        import av

        try:
            return replace(
                self._make(picture),
                t_capture_ns=t_capture_ns,
                index=index,
                pts_ns=pts_ns,
                duration_ns=duration_ns,
            )
        except (av.FFmpegError, ValueError) as error:
            what = f"{picture.width}x{picture.height} {picture.format.name}"
            text = (
                f"{self._name}: cannot convert {what} pictures ({error}); re-encode the video as"
                " yuv420p"
            )
            raise SourceError(text) from error

    def _make(self, picture: VideoFrame) -> Frame:
        if min(picture.width, picture.height) < 2:
            raise ValueError("too small")
        native = self._native(picture)
        picture = self._without_specials(picture, native)
        shape = (picture.width, picture.height)
        self.size = self.size or even(shape)
        self.matrix = self.matrix or native
        box = crop_box(shape, self.size)
        frame = Frame.empty(self.size, native)
        if shape == self.size and not self._mirror and _is_jpeg_like(picture):
            _limit_range(picture, frame)
        else:
            copy_planes(
                self._fitted(picture, native, box, self.size),
                Box.at(0, 0, *self.size),
                frame,
                self._mirror,
            )
        return change_matrix(frame, self.matrix)

    def _native(self, picture: VideoFrame) -> Matrix:
        """The matrix that needs the least conversion: the picture's own, or the nearest possible
        one.
        """
        if picture.format.is_rgb:
            return self.matrix or default_matrix(self.size or (picture.width, picture.height))
        if picture.colorspace in _SPC_UNLABELLED:
            return self._unlabelled or default_matrix((picture.width, picture.height))
        return Matrix.BT601 if picture.colorspace in _SPC_601 else Matrix.BT709

    def _without_specials(self, picture: VideoFrame, native: Matrix) -> VideoFrame:
        """Replace pictures that swscale would convert wrongly; return others
        unchanged.
        """
        if picture.format.has_palette or any(part.is_alpha for part in picture.format.components):
            rgba = self._convert(picture, native, format_name="rgba")
            return rgb_picture(
                np.asarray(over_white(np.asarray(rgba.to_ndarray(), np.uint8)), np.uint8)
            )
        if (
            picture.format.name == "gray" and picture.color_range == _LIMITED
        ):  # swscale treats grey as full range
            frame = Frame.empty(even((picture.width, picture.height)), native)
            frame.data.fill(128)
            height, width = frame.y.shape
            np.copyto(frame.y, _plane(picture, 0)[:height, :width])
            return as_picture(frame)
        return picture

    def _fitted(
        self, picture: VideoFrame, native: Matrix, box: Box, size: Size
    ) -> tuple[Plane, Plane, Plane]:
        """Planes of exactly `size`, valid until the next call."""
        if (box.width, box.height) == (picture.width, picture.height):
            return _planes(self._convert(picture, native, size))
        planes = _planes(self._convert(picture, native))
        if (box.width, box.height) == size:
            return _cut(planes, box)
        if min(box.width, box.height) < _SMALLEST_PX:
            y, u, v = (
                np.repeat(np.repeat(part, 4, axis=0), 4, axis=1) for part in _cut(planes, box)
            )
            box = Box.at(0, 0, 4 * box.width, 4 * box.height)
            planes = y, u, v
        part = Frame.empty((box.width, box.height), native)
        copy_planes(planes, box, part)
        return _planes(
            self._scale.reformat(as_picture(part), width=size[0], height=size[1], threads=1)
        )

    def _convert(
        self,
        picture: VideoFrame,
        native: Matrix,
        size: Size | None = None,
        format_name: str = "yuv420p",
    ) -> VideoFrame:
        """Convert to yuv420p in limited range, or to rgba; unchanged if it already is."""
        from av.video.reformatter import ColorRange, Colorspace, Interpolation

        wanted = Colorspace.ITU601 if native is Matrix.BT601 else Colorspace.ITU709
        as_labelled = picture.format.is_rgb or picture.colorspace not in _SPC_UNLABELLED | _SPC_601
        rgb = format_name == "rgba"
        return self._to_i420.reformat(
            picture,
            width=size[0] if size else None,
            height=size[1] if size else None,
            format=format_name,
            src_colorspace=None if as_labelled else wanted,
            dst_colorspace=None if rgb else wanted,
            src_color_range=_range(picture),
            dst_color_range=None if rgb else ColorRange.MPEG,
            interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND,
            threads=1,  # its own thread pool costs more than the work (PyAV issue 2200)
        )


def default_matrix(size: Size) -> Matrix:
    """The matrix that players assume for unlabelled pictures of this size."""
    return Matrix.BT709 if size[1] >= _HD_HEIGHT_PX else Matrix.BT601


def rgb_picture(image: NDArray[np.uint8]) -> VideoFrame:
    """Copy uint8 [H, W, 3] RGB, full range, to a picture for FrameMaker."""
    from av import VideoFrame

    return VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")


def _range(picture: VideoFrame) -> int | None:
    """AVCOL_RANGE of a picture; None if its format implies it, as swscale knows for yuvj
    formats.
    """
    if picture.color_range in (_LIMITED, _FULL):
        return int(picture.color_range)
    if picture.format.is_rgb or picture.format.name.startswith("gray"):
        return None
    return _LIMITED


def _is_jpeg_like(picture: VideoFrame) -> bool:
    """Whether only its range, and the rows of its chroma, differ from a frame's, as of a webcam."""
    name = picture.format.name
    return (
        name.removeprefix("yuvj").removeprefix("yuv") in ("420p", "422p")
        and (picture.color_range == _FULL or (name.startswith("yuvj") and not picture.color_range))
        and picture.colorspace in _SPC_UNLABELLED | _SPC_601 | {_SPC_BT709}
    )


def _limit_range(picture: VideoFrame, into: Frame) -> None:
    """Write a picture that `_is_jpeg_like` to a frame of its size, in limited range.

    OpenCV takes a quarter of swscale's time.
    """
    y, u, v = _planes(picture)
    cv2.convertScaleAbs(y, dst=into.y, alpha=219 / 255, beta=16)
    share, offset = _CHROMA_RANGE
    for part, target in ((u, into.u), (v, into.v)):
        if picture.format.name.endswith("420p"):
            cv2.convertScaleAbs(part, dst=target, alpha=share, beta=offset)
        else:  # the mean of two rows
            cv2.addWeighted(part[::2], share / 2, part[1::2], share / 2, offset, dst=target)


def _plane(picture: VideoFrame, which: int) -> Plane:
    """uint8 [H, W], a view of a plane without its line padding."""
    plane = picture.planes[which]
    flat = np.frombuffer(memoryview(plane), np.uint8)
    return flat.reshape(-1, plane.line_size)[: plane.height, : plane.width]


def _planes(picture: VideoFrame) -> tuple[Plane, Plane, Plane]:
    """Views of a yuv420p picture's planes; they keep it alive."""
    return _plane(picture, 0), _plane(picture, 1), _plane(picture, 2)


def _cut(planes: tuple[Plane, Plane, Plane], box: Box) -> tuple[Plane, Plane, Plane]:
    return box.of(planes[0]), box.of_chroma(planes[1]), box.of_chroma(planes[2])


def as_picture(frame: Frame) -> VideoFrame:
    """Wrap a frame as a picture that shares its memory; a copy if the height is not a multiple of
    four (required by PyAV 18).
    """
    from av import VideoFrame

    wrap = VideoFrame.from_ndarray if frame.size[1] % 4 else VideoFrame.from_numpy_buffer
    picture = wrap(frame.data, format="yuv420p")
    picture.color_range = _LIMITED
    picture.colorspace = _SPC_BT709 if frame.matrix is Matrix.BT709 else _SPC_SMPTE170M
    return picture
