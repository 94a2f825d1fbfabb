"""Still images of every kind, and what is said of those that are none."""

from __future__ import annotations

import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.sources.media_files import QUADRANTS, assert_quadrants, quadrants
from vcam.errors import SourceError
from vcam.frame import Matrix
from vcam.sources.base import SourceRequest
from vcam.sources.image import ImageSource, read_image

SIZE = (96, 64)
RGB = quadrants(SIZE)


def save(path: Path, image: np.ndarray, *options: int) -> Path:
    """Write RGB, RGBA or grey by OpenCV."""
    channels = image.shape[2] if image.ndim == 3 else 1
    code = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}.get(channels)
    assert cv2.imwrite(
        str(path), image if code is None else cv2.cvtColor(image, code), list(options)
    )
    return path


def assert_picture(image: np.ndarray, expected: np.ndarray = RGB, within: int = 0) -> None:
    assert image.dtype == np.uint8
    assert image.shape == expected.shape
    inner = np.s_[8:-8:16, 8:-8:16]
    assert np.abs(image[inner].astype(int) - expected[inner]).max() <= within


@pytest.mark.parametrize(
    ("name", "within"),
    [
        ("a.png", 0),
        ("a.bmp", 0),
        ("a.tiff", 0),
        ("a.ppm", 0),
        ("a.jpg", 4),
        ("a.webp", 12),
        ("a.jp2", 4),
        ("a.avif", 8),
    ],
)
def test_formats_are_read_by_content(tmp_path: Path, name: str, within: int) -> None:
    if not cv2.haveImageWriter(name):
        pytest.skip(f"this OpenCV cannot write {name}")
    path = save(tmp_path / name, RGB)
    assert_picture(read_image(path), within=within)
    assert_picture(read_image(str(path.rename(tmp_path / "no-suffix"))), within=within)


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    assert_picture(read_image(save(tmp_path / "deep.png", RGB.astype(np.uint16) * 257)), within=1)
    rgba = np.dstack([RGB, np.full(SIZE[::-1], 255, np.uint8)]).astype(np.uint16) * 257
    assert_picture(read_image(save(tmp_path / "deep-alpha.png", rgba)), within=1)


def test_grey_becomes_rgb(tmp_path: Path) -> None:
    grey = RGB[..., 0]
    expected = np.repeat(grey[..., None], 3, axis=2)
    assert_picture(read_image(save(tmp_path / "grey.png", grey)), expected)
    assert_picture(
        read_image(save(tmp_path / "grey16.png", grey.astype(np.uint16) * 257)), expected, within=1
    )


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    alpha = np.full(SIZE[::-1], 255, np.uint8)
    alpha[:32, :48], alpha[:32, 48:] = 0, 128
    image = read_image(save(tmp_path / "alpha.png", np.dstack([RGB, alpha])))
    expected = RGB.copy()
    expected[:32, :48] = 255
    expected[:32, 48:] = [round((value * 128 + 255 * 127) / 255) for value in QUADRANTS[1]]
    assert_picture(image, expected, within=1)


def test_a_palette_is_resolved(tmp_path: Path) -> None:
    save(tmp_path / "palette.png", RGB[..., ::1], cv2.IMWRITE_PNG_COMPRESSION, 9)
    path = tmp_path / "palette.gif"
    if not cv2.haveImageWriter("a.gif"):
        pytest.skip("this OpenCV cannot write GIF")
    save(path, quadrants(SIZE, [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]))
    corner = read_image(path)[2, 2].astype(int)  # a film as a source, a picture if one is asked for
    assert np.abs(corner - (255, 0, 0)).max() < 8


def _with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """Insert an EXIF segment that holds nothing but the orientation (EXIF 2.32 section 4.6.4)."""
    tiff = (
        b"MM\0*\0\0\0\x08"
        + b"\0\x01"
        + b"\x01\x12\0\x03\0\0\0\x01"
        + bytes([0, orientation, 0, 0])
        + bytes(4)
    )
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, RGB),
        (2, RGB[:, ::-1]),
        (3, RGB[::-1, ::-1]),
        (6, np.rot90(RGB, -1)),
        (8, np.rot90(RGB, 1)),
    ],
)
def test_the_orientation_of_a_camera_is_applied(
    tmp_path: Path, orientation: int, expected: np.ndarray
) -> None:
    path = save(tmp_path / "phone.jpg", RGB)
    path.write_bytes(_with_orientation(path.read_bytes(), orientation))
    assert_picture(read_image(path), expected, within=4)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (3, 5), (97, 65)])
def test_any_size_is_read_as_it_is_and_delivered_even(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    path = save(tmp_path / "small.png", np.full((size[1], size[0], 3), QUADRANTS[0], np.uint8))
    assert read_image(path).shape == (size[1], size[0], 3)
    for wanted in (None, (128, 72)):
        with ImageSource(str(path), SourceRequest(size=wanted)) as source:
            frame = source.read()
        assert frame is not None
        assert (
            frame.size == source.size == (wanted or (size[0] + size[0] % 2, size[1] + size[1] % 2))
        )
        assert_quadrants(frame, [QUADRANTS[0]] * 4)


def test_8k(tmp_path: Path) -> None:
    path = save(tmp_path / "8k.jpg", quadrants((7680, 4320)))
    with ImageSource(str(path), SourceRequest(size=(1280, 720))) as source:
        frame = source.read()
    assert frame is not None
    assert frame.matrix is Matrix.BT709
    assert_quadrants(frame)


def test_one_frame_by_default(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", RGB)
    with ImageSource(str(path), SourceRequest()) as source:
        assert (source.name, source.size, source.frames, source.live, source.mode) == (
            "a.png",
            SIZE,
            1,
            False,
            "",
        )
        before = time.monotonic_ns()
        frame = source.read()
        assert frame is not None
        assert frame.t_capture_ns >= before
        assert frame.matrix is Matrix.BT601
        assert_quadrants(frame)
        assert source.read() is None


def test_repeated_at_the_requested_rate(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", RGB)
    with ImageSource(str(path), SourceRequest(repeat=True, fps=25)) as source:
        assert (source.frames, source.fps) == (None, 25)
        frames = [frame for frame in (source.read() for _ in range(4)) if frame]
        assert [(frame.index, frame.pts_ns) for frame in frames] == [
            (i, i * 40_000_000) for i in range(4)
        ]
        assert frames[0].t_capture_ns < frames[3].t_capture_ns
        source.interrupt()
        assert source.read() is None


def test_requests_are_obeyed(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", RGB)
    with ImageSource(
        str(path), SourceRequest(size=(48, 48), mirror=True, matrix=Matrix.BT709)
    ) as source:
        frame = source.read()
    assert frame is not None
    assert (frame.size, frame.matrix) == ((48, 48), Matrix.BT709)
    assert_quadrants(frame, [QUADRANTS[1], QUADRANTS[0], QUADRANTS[3], QUADRANTS[2]])


@pytest.mark.parametrize("share", [0.05, 0.5, 0.98])
@pytest.mark.parametrize("name", ["cut.png", "cut.jpg", "cut.webp"])
def test_a_truncated_image_is_one_line(
    tmp_path: Path, name: str, share: float, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    path = save(tmp_path / name, noise)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(SourceError) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert (
        "copy it again" in str(caught.value)
        or "plays elsewhere" in str(caught.value)
        or "damaged" in str(caught.value)
    )
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.png", b"", r"empty\.png: the file is empty"),
        ("text.png", b"hello", r"text\.png: not an image; give a PNG, JPEG"),
        ("gone.png", None, r"gone\.png: no such file; check the spelling"),
    ],
)
def test_what_is_no_image_is_one_line(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    source = ImageSource(str(path), SourceRequest())
    with pytest.raises(SourceError, match=message), source:
        pass
    source.close()
    with pytest.raises(SourceError, match=r": is a directory; name a file in it"):
        read_image(tmp_path)


def test_a_disk_that_fails_is_explained() -> None:
    path = Path(f"/proc/{os.getpid()}/mem")
    if not path.exists():
        pytest.skip("needs Linux's /proc")
    with pytest.raises(
        SourceError, match=r"mem: cannot be read \(Input/output error\); check the disk"
    ):
        read_image(path)
