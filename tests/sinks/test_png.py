"""Pictures, read back with OpenCV."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.sinks.pictures import ALPHAS, QUADRANTS, centres, noise, quadrants, send_and_fail
from tests.sinks.test_file import file_size_limit, small_disk  # noqa: F401  - a fixture
from vcam.errors import SinkError, SinkLost
from vcam.frame import Matrix
from vcam.sinks import SinkRequest
from vcam.sinks.png import ImageSink, PngFolderSink


def assert_picture(path: Path, *, alpha: bool, atol: int = 3) -> None:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None
    channels = [centres(channel.astype(np.uint8)) for channel in np.moveaxis(image, -1, 0)]
    if alpha:
        assert channels.pop() == list(ALPHAS)
    for channel, colour in zip(channels[::-1], np.transpose(QUADRANTS), strict=True):
        visible = (
            np.array(ALPHAS) > 0 if alpha else slice(None)
        )  # WebP forgets the colour of what is transparent
        np.testing.assert_allclose(np.array(channel)[visible], colour[visible], atol=atol)


@pytest.mark.parametrize("matrix", Matrix)
@pytest.mark.parametrize("alpha", [False, True])
def test_a_folder_of_pictures_comes_back(tmp_path: Path, matrix: Matrix, alpha: bool) -> None:
    folder = tmp_path / "deep" / "frames"
    with PngFolderSink(str(folder), SinkRequest()) as sink:
        assert sink.alpha
        for _ in range(3):
            sink.send(quadrants(matrix=matrix, alpha=alpha))
    assert sorted(path.name for path in folder.iterdir()) == [
        f"frame_{number:06d}.png" for number in range(3)
    ]
    assert_picture(folder / "frame_000002.png", alpha=alpha)


def test_frames_of_an_earlier_run_are_refused(tmp_path: Path) -> None:
    (tmp_path / "frame_000007.png").write_text("precious")
    with pytest.raises(SinkError, match="holds frames already; replace them with --overwrite"):
        PngFolderSink(str(tmp_path), SinkRequest()).__enter__()
    assert (tmp_path / "frame_000007.png").read_text() == "precious"


def test_overwriting_leaves_one_sequence_and_other_files(tmp_path: Path) -> None:
    for name in ("frame_000000.png", "frame_000007.png", "holiday.png"):
        (tmp_path / name).write_text("old")
    with PngFolderSink(str(tmp_path), SinkRequest(overwrite=True)) as sink:
        sink.send(quadrants())
        assert (tmp_path / "frame_000007.png").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["frame_000000.png", "holiday.png"]
    assert_picture(tmp_path / "frame_000000.png", alpha=False)


def test_a_run_that_fails_leaves_the_earlier_frames(tmp_path: Path) -> None:
    names = [f"frame_{number:06d}.png" for number in range(3)]
    for name in names:
        (tmp_path / name).write_text("old")
    with pytest.raises(ZeroDivisionError):
        send_and_fail(PngFolderSink(str(tmp_path), SinkRequest(overwrite=True)), quadrants())
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert {path.read_text() for path in tmp_path.iterdir()} == {"old"}


def test_no_frame_is_an_error_and_no_folder(tmp_path: Path) -> None:
    sink = PngFolderSink(f"{tmp_path}/frames", SinkRequest()).__enter__()
    with pytest.raises(SinkError, match="no frame was sent"):
        sink.close()
    sink.close()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "frames").touch()
    with pytest.raises(SinkError, match="frames"):
        PngFolderSink(f"{tmp_path}/frames", SinkRequest()).__enter__()


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_a_picture_that_cannot_be_written_is_lost_and_those_before_stay(tmp_path: Path) -> None:
    with PngFolderSink(str(tmp_path), SinkRequest()) as sink:
        sink.send(quadrants())
        with (
            file_size_limit(10),
            pytest.raises(SinkLost, match=r"frame_000001\.png: the file has become too large"),
        ):
            sink.send(quadrants())
    assert [path.name for path in tmp_path.iterdir()] == ["frame_000000.png"]


def test_a_folder_that_disappears_is_lost(tmp_path: Path) -> None:
    sink = PngFolderSink(f"{tmp_path}/frames", SinkRequest()).__enter__()
    shutil.rmtree(tmp_path / "frames")
    with pytest.raises(SinkLost, match="its folder does not exist"):
        sink.send(quadrants())


@pytest.mark.parametrize(
    ("name", "alpha", "atol"),
    [("a.png", True, 3), ("a.webp", True, 6), ("a.jpg", False, 6), ("a.JPEG", False, 6)],
)
def test_one_picture_is_the_last_frame(tmp_path: Path, name: str, alpha: bool, atol: int) -> None:
    path = tmp_path / name
    sink = ImageSink(str(path), SinkRequest())
    assert sink.alpha is alpha
    with sink:
        reused = quadrants(alpha=True)
        reused.data[:] = 128
        sink.send(reused)
        last = quadrants(alpha=True)
        sink.send(last)
        last.data[:] = 0  # the sink has its own copy
    assert_picture(path, alpha=alpha, atol=atol)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_one_picture_is_not_written_on_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        send_and_fail(ImageSink(f"{tmp_path}/a.png", SinkRequest()), quadrants())
    assert list(tmp_path.iterdir()) == []


def test_one_picture_needs_a_frame(tmp_path: Path) -> None:
    sink = ImageSink(f"{tmp_path}/a.png", SinkRequest()).__enter__()
    with pytest.raises(SinkError, match="no frame was sent"):
        sink.close()
    with pytest.raises(SinkLost, match="not open"):
        sink.send(quadrants())
    assert list(tmp_path.iterdir()) == []


def test_one_picture_is_not_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("precious")
    with pytest.raises(SinkError, match="--overwrite"):
        ImageSink(f"{tmp_path}/a.png", SinkRequest()).__enter__()
    with ImageSink(f"{tmp_path}/a.png", SinkRequest(overwrite=True)) as sink:
        sink.send(quadrants())
    assert_picture(tmp_path / "a.png", alpha=False)


def test_a_full_disk_is_said_and_no_picture_stays(small_disk: Path) -> None:  # noqa: F811
    (small_disk / "filler").write_bytes(os.urandom(196_000))
    sink = ImageSink(str(small_disk / "a.png"), SinkRequest()).__enter__()
    sink.send(noise((320, 240), seed=0))
    with pytest.raises(SinkError, match="the disk is full; make room"):
        sink.close()
    assert [path.name for path in small_disk.iterdir()] == ["filler"]
