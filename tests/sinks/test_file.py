"""Video files, read back through PyAV."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest

from tests.sinks.pictures import (
    ALPHAS,
    centres,
    expected,
    noise,
    quadrants,
    send_and_fail,
    send_noise,
)
from vcam.errors import SinkError, SinkLost
from vcam.frame import Frame, Matrix, Plane
from vcam.sinks import SinkRequest
from vcam.sinks.file import FileSink

SUFFIXES = ("mp4", "mkv", "mov", "webm")


def decode(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def planes_of(frame: av.VideoFrame) -> list[Plane]:
    """The planes of any 8-bit planar picture, without padding."""
    return [
        np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, plane.line_size)[
            :, : plane.width
        ]
        for plane in frame.planes
    ]


def assert_colours(frame: av.VideoFrame, matrix: Matrix) -> None:
    for plane, values in zip(planes_of(frame), expected(matrix), strict=False):
        np.testing.assert_allclose(centres(plane), values, atol=3)


def assert_described(frame: av.VideoFrame, matrix: Matrix) -> None:
    """ITU-T H.273: matrix 6 is BT.601, everything else is BT.709; FFmpeg calls limited range 1."""
    assert frame.colorspace == (6 if matrix is Matrix.BT601 else 1)
    assert (frame.color_range, frame.color_primaries, frame.color_trc) == (1, 1, 1)


@pytest.mark.parametrize("matrix", Matrix)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_colours_and_their_description_come_back(
    tmp_path: Path, suffix: str, matrix: Matrix
) -> None:
    path = tmp_path / f"out.{suffix}"
    with FileSink(str(path), SinkRequest(fps=25)) as sink:
        for index in range(5):
            sink.send(quadrants((160, 96), matrix, index=index))
    frames = decode(path)
    assert len(frames) == 5
    for frame in (frames[0], frames[-1]):
        assert frame.format.name == "yuv420p"
        assert_colours(frame, matrix)
        assert_described(frame, matrix)
    assert np.diff([frame.time for frame in frames]) == pytest.approx([0.04] * 4, abs=0.001)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("matrix", Matrix)
def test_webm_keeps_alpha(tmp_path: Path, matrix: Matrix) -> None:
    path = tmp_path / "out.webm"
    sink = FileSink(str(path), SinkRequest())
    assert sink.alpha
    with sink:
        for _ in range(3):
            sink.send(quadrants((160, 96), matrix, alpha=True))
    decoder = av.CodecContext.create("libvpx-vp9", "r")  # FFmpeg's own VP9 decoder leaves alpha out
    assert isinstance(decoder, av.VideoCodecContext)
    with av.open(str(path)) as container:
        frames = [
            frame
            for packet in container.demux(video=0)
            if packet.size
            for frame in decoder.decode(packet)
        ]
    assert len(frames) == 3
    assert frames[-1].format.name == "yuva420p"
    assert_described(decode(path)[-1], matrix)
    assert_colours(frames[-1], matrix)
    np.testing.assert_allclose(centres(planes_of(frames[-1])[3]), ALPHAS, atol=3)


@pytest.mark.parametrize("matrix", Matrix)
def test_mov_keeps_alpha(tmp_path: Path, matrix: Matrix) -> None:
    path = tmp_path / "out.mov"
    sink = FileSink(str(path), SinkRequest())
    assert sink.alpha
    with sink:
        for _ in range(3):
            sink.send(quadrants((160, 96), matrix, alpha=True))
    frames = decode(path)
    assert len(frames) == 3
    frame = frames[-1]
    assert frame.format.name.startswith("yuva444p12")
    assert_described(frame, matrix)
    deep = [
        np.frombuffer(bytes(plane), np.uint16).reshape(96, -1)[:, :160] for plane in frame.planes
    ]
    for plane, values in zip(deep, expected(matrix), strict=False):
        np.testing.assert_allclose(centres((plane >> 4).astype(np.uint8)), values, atol=3)
    np.testing.assert_allclose(centres((deep[3] >> 4).astype(np.uint8)), ALPHAS, atol=3)


def test_mp4_leaves_alpha_out(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    sink = FileSink(str(path), SinkRequest())
    assert not sink.alpha
    with sink:
        sink.send(quadrants(alpha=True))
    assert decode(path)[0].format.name == "yuv420p"


def test_a_later_frame_without_alpha_is_opaque(tmp_path: Path) -> None:
    path = tmp_path / "out.mov"
    with FileSink(str(path), SinkRequest()) as sink:
        sink.send(quadrants(alpha=True))
        sink.send(quadrants())
    alpha = np.frombuffer(bytes(decode(path)[1].planes[3]), np.uint16)
    assert alpha.min() >> 4 == 255


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_variable_rate_keeps_the_tempo(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out.{suffix}"
    times_ms = (0, 40, 80, 500, 520, 519)  # clocks have been seen to step back
    with FileSink(str(path), SinkRequest(fps=25, variable_rate=True)) as sink:
        for time_ms in times_ms:
            sink.send(quadrants(pts_ns=7_000_000_000 + time_ms * 1_000_000))
    frames = decode(path)
    times = [frame.time - frames[0].time for frame in frames]
    assert len(times) == len(times_ms)
    assert times == pytest.approx([time_ms / 1000 for time_ms in times_ms], abs=0.003)
    assert min(np.diff(times)) > 0


def test_a_broken_rate_is_kept_exactly(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with FileSink(str(path), SinkRequest(fps=29.97)) as sink:
        for _ in range(30):
            sink.send(quadrants())
    with av.open(str(path)) as container:
        assert float(container.streams.video[0].average_rate or 0) == pytest.approx(
            29.97, abs=0.001
        )


def test_an_existing_file_is_refused_before_any_work(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_text("precious")
    with pytest.raises(SinkError, match="exists already; replace it with --overwrite"):
        FileSink(str(path), SinkRequest()).__enter__()
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_an_existing_file_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_text("old")
    with FileSink(str(path), SinkRequest(overwrite=True)) as sink:
        sink.send(quadrants())
        assert path.read_text() == "old"
    assert len(decode(path)) == 1


@pytest.mark.parametrize("frames", [0, 3])
def test_an_error_under_way_leaves_nothing(tmp_path: Path, frames: int) -> None:
    with pytest.raises(ZeroDivisionError):
        send_and_fail(FileSink(f"{tmp_path}/out.mp4", SinkRequest()), *[quadrants()] * frames)
    assert list(tmp_path.iterdir()) == []


def test_no_frame_is_an_error_and_no_file(tmp_path: Path) -> None:
    sink = FileSink(f"{tmp_path}/out.mp4", SinkRequest()).__enter__()
    with pytest.raises(SinkError, match="no frame was sent"):
        sink.close()
    sink.close()
    assert list(tmp_path.iterdir()) == []


def test_closing_twice_and_without_opening_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    sink = FileSink(str(path), SinkRequest())
    sink.close()
    with sink:
        sink.send(quadrants())
        sink.close()
        sink.close()
    assert len(decode(path)) == 1
    with pytest.raises(SinkLost, match="not open"):
        sink.send(quadrants())


@pytest.mark.parametrize("other", [quadrants((32, 32)), quadrants(matrix=Matrix.BT709)])
def test_frames_must_stay_alike(tmp_path: Path, other: Frame) -> None:
    with pytest.raises(ValueError, match="the file is"):
        send_and_fail(FileSink(f"{tmp_path}/out.mp4", SinkRequest()), quadrants(), other)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"nowhere.*its folder does not exist; create it first"):
        FileSink(f"{tmp_path}/nowhere/out.mp4", SinkRequest()).__enter__()


def test_a_folder_under_the_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").mkdir()
    with pytest.raises(SinkError, match="is a folder"):
        FileSink(f"{tmp_path}/out.mp4", SinkRequest(overwrite=True)).__enter__()


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)
def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SinkError, match=r"Permission denied; choose a folder"):
        FileSink(f"{tmp_path}/out.mp4", SinkRequest()).__enter__()


@contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """No file of this process may grow beyond the limit; Python turns the signal into EFBIG."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_cannot_grow_is_lost_and_removed(tmp_path: Path, suffix: str) -> None:
    sink = FileSink(f"{tmp_path}/out.{suffix}", SinkRequest()).__enter__()
    with file_size_limit(100_000), pytest.raises(SinkError, match="too large for this disk"):
        send_noise_and_close(sink)
    sink.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_a_trailer_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    sink = FileSink(f"{tmp_path}/out.mp4", SinkRequest()).__enter__()
    sink.send(noise((320, 240), 0))
    with file_size_limit(1000), pytest.raises(SinkError, match="too large for this disk"):
        sink.close()
    assert list(tmp_path.iterdir()) == []


def send_noise_and_close(sink: FileSink) -> None:
    """Matroska holds back up to 5 MB, so its files may fail as late as in `close`."""
    send_noise(sink, 60)
    sink.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 kB."""
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    command = [mount, "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no small disk: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_is_said_and_nothing_stays(small_disk: Path) -> None:
    sink = FileSink(str(small_disk / "out.mp4"), SinkRequest())
    with sink, pytest.raises(SinkLost, match="the disk is full; make room") as caught:
        send_noise(sink, 60)
    cause = caught.value.__cause__
    assert isinstance(cause, OSError)
    assert cause.errno == errno.ENOSPC
    assert list(small_disk.iterdir()) == []
