"""Colours, sizes and cropping of whatever FFmpeg decodes."""

from __future__ import annotations

from unittest.mock import patch

import av
import cv2
import numpy as np
import pytest

from tests.sources.media_files import (
    LIMITED,
    QUADRANTS,
    SPC,
    assert_quadrants,
    corners,
    picture,
    quadrants,
)
from vcam.colour import change_matrix, from_rgb, to_rgb
from vcam.errors import SourceError
from vcam.frame import Frame, Matrix
from vcam.sources.base import SourceRequest
from vcam.sources.convert import FrameMaker

SIZE = (72, 48)
FORMATS = (
    "yuv420p",
    "yuvj420p",
    "yuv422p",
    "yuvj422p",
    "yuyv422",
    "nv12",
    "yuv444p",
    "rgb24",
    "bgr0",
    "yuv420p10le",
)


@pytest.mark.parametrize("wanted", [None, *Matrix])
@pytest.mark.parametrize("matrix", Matrix)
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_every_pixel_format_keeps_its_colours(
    pix_fmt: str, full: bool, matrix: Matrix, wanted: Matrix | None
) -> None:
    source = picture(quadrants(SIZE), pix_fmt, matrix, full or pix_fmt.startswith("yuvj"))
    frame = FrameMaker(SourceRequest(matrix=wanted)).make(source, 5, 7, 9)
    rgb = pix_fmt in ("rgb24", "bgr0")
    assert frame.matrix is (wanted or (Matrix.BT601 if rgb else matrix))
    assert (frame.size, frame.t_capture_ns, frame.index, frame.pts_ns) == (SIZE, 5, 7, 9)
    assert_quadrants(frame)


@pytest.mark.parametrize("wanted", [None, *Matrix])
@pytest.mark.parametrize("full", [False, True])
def test_grey_stays_grey_in_both_ranges(full: bool, wanted: Matrix | None) -> None:
    source = picture(quadrants(SIZE), "gray", Matrix.BT601, full)
    frame = FrameMaker(SourceRequest(matrix=wanted)).make(source, 0)
    luma = [round(0.299 * r + 0.587 * g + 0.114 * b) for r, g, b in QUADRANTS]
    assert_quadrants(frame, [(value, value, value) for value in luma], within=2)


@pytest.mark.parametrize(("height", "matrix"), [(718, Matrix.BT601), (720, Matrix.BT709)])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "rgb24"])
def test_pictures_without_a_label_are_taken_as_players_take_them(
    pix_fmt: str, height: int, matrix: Matrix
) -> None:
    source = picture(quadrants((64, height)), pix_fmt, matrix, full=False)
    source.colorspace = 0 if pix_fmt == "rgb24" else SPC[None]
    source.color_range = 0
    frame = FrameMaker(SourceRequest()).make(source, 0)
    assert frame.matrix is matrix
    assert_quadrants(frame)


def test_full_range_formats_need_no_label() -> None:
    source = picture(quadrants(SIZE), "yuvj422p", Matrix.BT601, full=True)
    source.color_range = 0
    assert_quadrants(FrameMaker(SourceRequest()).make(source, 0))


def test_pictures_of_a_camera_are_bt601_unless_labelled() -> None:
    source = picture(quadrants((64, 720)), "yuyv422", Matrix.BT601, full=False)
    source.colorspace = SPC[None]
    assert (
        FrameMaker(SourceRequest(), unlabelled=Matrix.BT601).make(source, 0).matrix is Matrix.BT601
    )
    labelled = picture(quadrants((64, 720)), "yuyv422", Matrix.BT709, full=False)
    assert (
        FrameMaker(SourceRequest(), unlabelled=Matrix.BT601).make(labelled, 0).matrix
        is Matrix.BT709
    )


def test_wide_gamut_coefficients_are_converted() -> None:
    weights = np.array([0.2627, 0.6780, 0.0593])  # BT.2020-2, table 4
    rgb = quadrants(SIZE) / 255.0
    luma = rgb @ weights
    cb, cr = (
        (rgb[..., 2] - luma) / (2 - 2 * weights[2]),
        (rgb[..., 0] - luma) / (2 - 2 * weights[0]),
    )
    codes = np.rint(np.stack([luma * 219 + 16, cb * 224 + 128, cr * 224 + 128])).astype(np.uint8)
    source = av.VideoFrame.from_ndarray(np.moveaxis(codes, 0, 0), format="yuv444p")
    source.colorspace, source.color_range = 9, LIMITED
    frame = FrameMaker(SourceRequest()).make(source, 0)
    assert frame.matrix is Matrix.BT709
    assert_quadrants(frame)


def test_transparency_is_laid_on_white() -> None:
    rgba = np.dstack([quadrants(SIZE), np.full(SIZE[::-1], 255, np.uint8)])
    rgba[: SIZE[1] // 2, : SIZE[0] // 2, 3] = 0
    rgba[SIZE[1] // 2 :, : SIZE[0] // 2, 3] = 128
    frame = FrameMaker(SourceRequest()).make(av.VideoFrame.from_ndarray(rgba, format="rgba"), 0)
    half = tuple(round((value * 128 + 255 * 127) / 255) for value in QUADRANTS[2])
    assert_quadrants(frame, [(255, 255, 255), QUADRANTS[1], half, QUADRANTS[3]])  # type: ignore[list-item]


def test_transparency_of_planar_pictures_uses_their_matrix() -> None:
    source = picture(quadrants(SIZE), "yuv444p", Matrix.BT709, full=False)
    planes = [
        np.frombuffer(memoryview(p), np.uint8).reshape(p.height, p.line_size)[:, : p.width]
        for p in source.planes
    ]
    with_alpha = av.VideoFrame(*SIZE, "yuva444p")
    opaque = np.full(SIZE[::-1], 255, np.uint8)
    for plane, rows in zip(with_alpha.planes, [*planes, opaque], strict=True):
        padded = np.zeros((plane.height, plane.line_size), np.uint8)
        padded[:, : plane.width] = rows
        plane.update(padded.tobytes())
    with_alpha.colorspace, with_alpha.color_range = SPC[Matrix.BT709], LIMITED
    assert_quadrants(FrameMaker(SourceRequest()).make(with_alpha, 0))


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj422p", "rgb24"])
@pytest.mark.parametrize("size", [(32, 32), (96, 24), (24, 96), (144, 96), (72, 46)])
def test_another_shape_is_cropped_around_the_centre_and_not_stretched(
    size: tuple[int, int], pix_fmt: str
) -> None:
    yy, xx = np.mgrid[:48, :72]
    disc = (
        np.where(((xx - 35.5) ** 2 + (yy - 23.5) ** 2)[..., None] < 9**2, 255, 0)
        .astype(np.uint8)
        .repeat(3, axis=2)
    )
    source = picture(disc, pix_fmt, Matrix.BT601, full=pix_fmt != "yuv420p")
    frame = FrameMaker(SourceRequest(size=size)).make(source, 0)
    assert frame.size == size
    mask = to_rgb(frame)[..., 1] > 128
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    scale = max(size[0] / 72, size[1] / 48)
    for found, extent in ((rows, size[1]), (columns, size[0])):
        diameter = min(18 * scale, extent)
        assert abs(len(found) - diameter) <= max(2, 0.1 * diameter)
        assert abs(found.mean() + 0.5 - extent / 2) <= 1.5


@pytest.mark.parametrize("source", [(64, 36), (64, 38), (480, 270), (66, 50)])
@pytest.mark.parametrize("size", [(160, 96), (320, 180), (50, 30)])
def test_planes_stay_apart_at_any_height(source: tuple[int, int], size: tuple[int, int]) -> None:
    decoded = av.VideoFrame(*source, "yuv420p")
    for plane, value in zip(decoded.planes, (50, 100, 150), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    frame = FrameMaker(SourceRequest(size=size, matrix=Matrix.BT601)).make(decoded, 0)
    assert [(int(p.min()), int(p.max())) for p in frame.planes] == [
        (50, 50),
        (100, 100),
        (150, 150),
    ]


def test_the_first_picture_settles_size_and_matrix_for_all() -> None:
    maker = FrameMaker(SourceRequest())
    first = maker.make(picture(quadrants(SIZE), "yuv420p", Matrix.BT709, full=False), 0)
    second = maker.make(picture(quadrants((120, 80)), "yuvj420p", Matrix.BT601, full=True), 0)
    assert (first.size, first.matrix) == (second.size, second.matrix) == (SIZE, Matrix.BT709)
    assert_quadrants(second)


def test_odd_sizes_lose_a_pixel() -> None:
    source = picture(quadrants((76, 52)), "yuv444p", Matrix.BT601, full=False)
    odd = source.reformat(width=75, height=51, threads=1)
    for pix_fmt in ("yuv444p", "yuv420p"):
        frame = FrameMaker(SourceRequest()).make(odd.reformat(format=pix_fmt, threads=1), 0)
        assert frame.size == (74, 50)
        assert_quadrants(frame)


def test_mirror_swaps_left_and_right() -> None:
    expected = [QUADRANTS[1], QUADRANTS[0], QUADRANTS[3], QUADRANTS[2]]
    for size in (None, (36, 24), (24, 24)):
        source = picture(quadrants(SIZE), "yuv420p", Matrix.BT601, full=False)
        assert_quadrants(
            FrameMaker(SourceRequest(size=size, mirror=True)).make(source, 0), expected
        )


def test_a_frame_owns_its_memory() -> None:
    maker = FrameMaker(SourceRequest())
    frame = maker.make(picture(quadrants(SIZE), "yuv420p", Matrix.BT601, full=False), 0)
    maker.make(picture(255 - quadrants(SIZE), "yuv420p", Matrix.BT601, full=False), 0)
    assert frame.data.flags.owndata
    assert frame.data.flags.c_contiguous
    assert_quadrants(frame)


def test_a_picture_that_cannot_be_converted_is_named() -> None:
    source = picture(quadrants(SIZE), "yuv444p", Matrix.BT601, full=False)
    source.colorspace = 8  # YCgCo
    with pytest.raises(
        SourceError, match=r"^clip\.mp4: cannot convert 72x48 yuv444p pictures .*re-encode"
    ):
        FrameMaker(SourceRequest(), name="clip.mp4").make(source, 0)


@pytest.mark.parametrize("size", [(1, 6), (6, 1)])
def test_pictures_without_room_for_chroma_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(SourceError, match="too small"):
        FrameMaker(SourceRequest()).make(av.VideoFrame(*size, "yuv420p"), 0)


@pytest.mark.parametrize("matrix", Matrix)
def test_changing_the_matrix_there_and_back_keeps_the_picture(matrix: Matrix) -> None:
    other = Matrix.BT709 if matrix is Matrix.BT601 else Matrix.BT601
    frame = from_rgb(quadrants(SIZE), matrix, 3, 4)
    changed = change_matrix(frame, other)
    assert (changed.matrix, changed.t_capture_ns, changed.index) == (other, 3, 4)
    assert_quadrants(changed, within=2)
    assert np.abs(change_matrix(changed, matrix).data.astype(int) - frame.data).max() <= 2
    assert change_matrix(frame, matrix) is frame


def test_changing_the_matrix_matters() -> None:
    frame = from_rgb(quadrants(SIZE), Matrix.BT601)
    wrong = Frame(frame.data, Matrix.BT709)
    assert np.abs(np.array(corners(wrong)) - np.array(QUADRANTS)).max() > 10


@pytest.mark.parametrize("pix_fmt", ["yuvj420p", "yuvj422p"])
def test_pictures_of_webcams_are_what_ffmpeg_makes_of_them(pix_fmt: str) -> None:
    rng = np.random.default_rng(1)
    noise = cv2.resize(rng.integers(0, 256, (12, 16, 3), np.uint8), (128, 96))
    source = picture(np.asarray(noise, np.uint8), pix_fmt, Matrix.BT601, full=True)
    ours = FrameMaker(SourceRequest()).make(source, 0)
    with patch("vcam.sources.convert._is_jpeg_like", return_value=False) as asked:
        theirs = FrameMaker(SourceRequest()).make(source, 0)
    assert asked.called
    difference = ours.data.astype(int) - theirs.data
    assert np.abs(difference).max() <= 3
    assert np.abs(difference).mean() < 0.5
