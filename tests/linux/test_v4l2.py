"""Layouts and numbers of <linux/videodev2.h>, and what happens where there is no video device."""

from __future__ import annotations

import errno
import shutil
import stat
import subprocess
import sys
from ctypes import sizeof
from pathlib import Path

import pytest

from vcam.linux import procfs, v4l2
from vcam.linux import videodev2 as kernel

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="V4L2 is Linux's")


STRUCTURES = [
    kernel.v4l2_capability,
    kernel.v4l2_fmtdesc,
    kernel.v4l2_frmsizeenum,
    kernel.v4l2_frmivalenum,
    kernel.v4l2_format,
    kernel.v4l2_pix_format,
    kernel.v4l2_streamparm,
    kernel.v4l2_outputparm,
    kernel.v4l2_buffer,
    kernel.v4l2_event,
    kernel.v4l2_event_subscription,
]
CONSTANTS = [name for name in vars(kernel) if name.startswith(("V4L2_", "VIDEO_", "VIDIOC_"))]


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_layouts_and_numbers_are_those_of_the_kernel_header(tmp_path: Path) -> None:
    expected, lines = {}, []
    for structure in STRUCTURES:
        expected[structure.__name__] = sizeof(structure)
        lines.append(f"P({structure.__name__}, sizeof(struct {structure.__name__}))")
        for field, *_ in structure._fields_:
            if field.startswith("_"):  # the union has no name in the header
                continue
            place = f"{structure.__name__}.{field}"
            expected[place] = getattr(structure, field).offset
            lines.append(f"P({place}, offsetof(struct {structure.__name__}, {field}))")
    for field in ("discrete", "stepwise"):
        for structure in (kernel.v4l2_frmsizeenum, kernel.v4l2_frmivalenum):
            place = f"{structure.__name__}.{field}"
            expected[place] = getattr(structure, field).offset
            lines.append(f"P({place}, offsetof(struct {structure.__name__}, {field}))")
    for name in CONSTANTS:
        expected[name] = getattr(kernel, name)
        lines.append(f"P({name}, {name})")
    code = tmp_path / "oracle.c"
    code.write_text(
        "#include <stddef.h>\n#include <stdio.h>\n#include <linux/videodev2.h>\n"
        '#define P(name, value) printf("%s %llu\\n", #name, (unsigned long long)(value));\n'
        "int main(void) {\n" + "\n".join(lines) + "\nreturn 0; }\n"
    )
    if subprocess.run(["gcc", code, "-o", tmp_path / "oracle"], check=False).returncode:
        pytest.skip("the kernel's headers are not installed")
    said = subprocess.run([tmp_path / "oracle"], capture_output=True, text=True, check=True).stdout
    found = {name: int(value) for name, value in (line.split() for line in said.splitlines())}
    assert found == expected


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
