"""Layouts and numbers of <linux/videodev2.h>, and what happens where there is no video device."""

from __future__ import annotations

import errno
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from vcam.linux import procfs, v4l2

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="V4L2 is Linux's")


def test_structures_have_the_sizes_of_the_kernel_header() -> None:
    assert v4l2._CAPABILITY.size == 104
    assert v4l2._FMTDESC.size == 64
    assert v4l2._FRMSIZE.size == 44
    assert v4l2._FRMIVAL.size == 52
    assert v4l2._STREAMPARM.size == 204
    assert v4l2._FORMAT.size == (208 if sys.maxsize > 2**32 else 204)


@pytest.mark.skipif(sys.maxsize < 2**32, reason="the numbers are those of 64-bit systems")
def test_requests_have_the_numbers_of_the_kernel_header() -> None:
    assert v4l2.VIDIOC_QUERYCAP == 0x80685600
    assert v4l2.VIDIOC_ENUM_FMT == 0xC0405602
    assert v4l2.VIDIOC_S_FMT == 0xC0D05605
    assert v4l2.VIDIOC_QUERYBUF == 0xC0585609
    assert v4l2.VIDIOC_STREAMON == 0x40045612
    assert v4l2.VIDIOC_S_PARM == 0xC0CC5616
    assert v4l2.VIDIOC_ENUM_FRAMESIZES == 0xC02C564A
    assert v4l2.VIDIOC_ENUM_FRAMEINTERVALS == 0xC034564B


@pytest.mark.parametrize(
    ("name", "code"), [("YU12", 0x32315559), ("MJPG", 0x47504A4D), ("YUYV", 0x56595559)]
)
def test_four_character_codes(name: str, code: int) -> None:
    assert v4l2.fourcc_code(name) == code
    assert v4l2.fourcc_name(code) == name


def test_a_file_that_is_no_video_device_is_described_with_its_problem() -> None:
    node = v4l2.describe_node("/dev/null")
    assert "not a video device" in node.problem
    assert not node.is_loopback
    assert node.caps == 0


def test_a_missing_device_is_described_with_its_problem() -> None:
    assert "no such device" in v4l2.describe_node("/dev/video987").problem


def test_modes_of_a_missing_device_raise() -> None:
    with pytest.raises(FileNotFoundError):
        v4l2.list_modes("/dev/video987")


def test_a_file_without_modes_has_none() -> None:
    assert v4l2.list_modes("/dev/null") == []


def test_every_node_of_this_machine_is_listed() -> None:
    paths = {
        str(path) for path in Path("/dev").glob("video[0-9]*") if stat.S_ISCHR(path.stat().st_mode)
    }
    assert {node.path for node in v4l2.list_nodes()} == paths


def test_holders_names_the_program_that_has_a_file_open(tmp_path: Path) -> None:
    path = tmp_path / "node"
    path.touch()
    with path.open() as file, subprocess.Popen(["sleep", "60"], stdin=file) as other:
        try:
            assert procfs.holders(str(path)) == [f"sleep ({other.pid})"]
            assert f"sleep ({other.pid})" in procfs.held_by(str(path))
        finally:
            other.kill()
    assert procfs.holders(str(path)) == []


def test_the_file_descriptor_does_not_leak() -> None:
    before = {path.name for path in Path("/proc/self/fd").iterdir()}
    v4l2.describe_node("/dev/null")
    v4l2.list_modes("/dev/null")
    assert {path.name for path in Path("/proc/self/fd").iterdir()} == before


def test_a_writer_lock_keeps_a_second_writer_out(tmp_path: Path) -> None:
    path = tmp_path / "node"
    path.touch()
    with v4l2.opened(str(path)) as first, v4l2.opened(str(path)) as second:
        v4l2.lock_writer(first)
        with pytest.raises(BlockingIOError):
            v4l2.lock_writer(second)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(errno.EACCES, "no"), "usermod -aG video"),
        (OSError(errno.ENODEV, "gone"), "no such device"),
        (OSError(errno.ENOTTY, "no"), "not a video device"),
        (OSError(errno.EBUSY, "busy"), "fuser -v /dev/video987"),
        (OSError(errno.EINVAL, "invalid"), "fuser -v /dev/video987"),
        (OSError(errno.EIO, "io"), "Input/output error"),
    ],
)
def test_failures_are_explained_with_a_next_step(error: OSError, words: str) -> None:
    assert words in v4l2.explain(error, "/dev/video987")
