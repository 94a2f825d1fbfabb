"""The loopback writer against the real driver, v4l2loopback 0.12.7 in the reference machine."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from tests.sinks.pictures import centres, expected, quadrants
from vcam.errors import SinkError
from vcam.frame import Frame, Matrix, Plane, Size
from vcam.linux import v4l2
from vcam.sinks import SinkRequest, make_sink
from vcam.sinks.v4l2 import V4l2Sink

EXCLUSIVE = "/dev/video10"
PLAIN = "/dev/video11"
VIVID = "/dev/video20"
SIZE = (640, 360)
NODES = pytest.mark.parametrize("path", [EXCLUSIVE, PLAIN])


def read_while_sending(sink: V4l2Sink, frame: Frame, path: Path) -> Plane:
    """Let v4l2-ctl read three frames through the kernel, and return the last: uint8 [H *
    3 / 2, W].
    """
    command = [
        "v4l2-ctl",
        "-d",
        sink.name,
        "--stream-mmap=2",
        "--stream-count=3",
        f"--stream-to={path}",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as reader:
        for _ in range(600):
            sink.send(frame)
            try:
                reader.wait(0.05)
                break
            except subprocess.TimeoutExpired:
                continue
        else:
            reader.kill()
    data = np.fromfile(path, np.uint8)
    assert data.size == 3 * frame.data.size
    return data[-frame.data.size :].reshape(frame.data.shape)


def assert_quadrants_arrive(sink: V4l2Sink, folder: Path, size: Size = SIZE) -> None:
    frame = quadrants(size)
    got = Frame(read_while_sending(sink, frame, folder / "read.yuv"), Matrix.BT601)
    for plane, values in zip(got.planes, expected(Matrix.BT601), strict=True):
        assert centres(plane) == values
    np.testing.assert_array_equal(got.data, frame.data)


def write_plainly(fd: int) -> None:
    """What programs do that only S_FMT and write, such as pyvirtualcam."""
    v4l2.query_capability(fd)
    got = v4l2.set_output_format(fd, "YU12", SIZE)
    os.write(fd, bytes(got.size_image))


@contextmanager
def reader_that_stays(path: str, send: Callable[[], object]) -> Iterator[subprocess.Popen[bytes]]:
    """A program that has read at least one frame and waits for more while the block runs."""
    command = ["v4l2-ctl", "-d", path, "--stream-mmap=2", "--stream-count=100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as reader:
        assert reader.stdout is not None
        try:
            for _ in range(600):
                send()
                if select.select([reader.stdout], [], [], 0.05)[0]:
                    break
            yield reader
        finally:
            reader.kill()


@contextmanager
def held_by_another_program(fd: int) -> Iterator[int]:
    """The file stays open in a process of its own while the block runs; gives its number."""
    with subprocess.Popen(["sleep", "600"], stdin=fd) as holder:
        try:
            yield holder.pid
        finally:
            holder.kill()


@NODES
def test_colours_arrive_and_the_device_can_be_used_again(path: str, tmp_path: Path) -> None:
    for _ in range(3):
        with V4l2Sink(path, SinkRequest(SIZE)) as sink:
            assert sink.size == SIZE
            assert_quadrants_arrive(sink, tmp_path)
        assert v4l2.describe_node(path).is_output
        sink.close()


@NODES
def test_the_device_can_be_used_again_after_a_kill(path: str, tmp_path: Path) -> None:
    program = (
        "from vcam.sinks import make_sink, SinkRequest; from tests.sinks.pictures import"
        f" quadrants\nsink = make_sink({path!r},"
        f" SinkRequest({SIZE})).__enter__()\nsink.send(quadrants({SIZE})); print('sent',"
        " flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"sent\n"
        other.send_signal(signal.SIGKILL)
    with V4l2Sink(path, SinkRequest(SIZE)) as sink:
        assert_quadrants_arrive(sink, tmp_path)


def test_a_device_that_another_program_left_unusable_is_put_right(tmp_path: Path) -> None:
    with v4l2.opened(EXCLUSIVE) as fd:
        write_plainly(fd)
    node = v4l2.describe_node(EXCLUSIVE)
    if node.is_output:
        pytest.skip("this v4l2loopback does not have the fault of 0.12.5 to 0.12.7")
    assert not node.is_capture
    with v4l2.opened(EXCLUSIVE) as fd, pytest.raises(OSError, match="Invalid argument"):
        v4l2.set_output_format(fd, "YU12", SIZE)
    with make_sink("virtual", SinkRequest(SIZE)) as sink:
        assert isinstance(sink, V4l2Sink)
        assert sink.name == EXCLUSIVE
        assert_quadrants_arrive(sink, tmp_path)


def test_the_first_loopback_labelled_vcam_is_found() -> None:
    with make_sink("virtual", SinkRequest(SIZE)) as sink:
        assert (sink.name, sink.size) == (EXCLUSIVE, SIZE)


def test_readers_are_told_rate_and_colours() -> None:
    with V4l2Sink(EXCLUSIVE, SinkRequest(SIZE, fps=15)) as sink:
        sink.send(quadrants(SIZE))
        command = ["v4l2-ctl", "-d", EXCLUSIVE, "--get-parm", "--get-fmt-video"]
        shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "15.000 (15/1)" in shown
    assert "'YU12'" in shown
    assert "ITU-R 601" in shown
    assert "Limited Range" in shown


@NODES
def test_a_size_fixed_by_a_reader_is_obeyed(path: str, tmp_path: Path) -> None:
    first = V4l2Sink(path, SinkRequest(SIZE)).__enter__()
    with reader_that_stays(path, lambda: first.send(quadrants(SIZE))) as reader:
        first.close()
        with suppress(subprocess.TimeoutExpired):
            reader.wait(5)
            pytest.skip(
                "this v4l2loopback, later than 0.13, ends the readers when the writer leaves"
            )
        with V4l2Sink(path, SinkRequest((320, 180))) as sink:
            assert sink.size == SIZE
            sink.send(quadrants(SIZE))
            with pytest.raises(ValueError, match="640, 360"):
                sink.send(quadrants((320, 180)))
    with V4l2Sink(path, SinkRequest((320, 180))) as sink:
        assert sink.size == (320, 180)
        assert_quadrants_arrive(sink, tmp_path, (320, 180))


def test_a_format_fixed_by_a_reader_is_refused_and_the_reader_named() -> None:
    writer = v4l2.open_node(PLAIN)
    data = bytes(v4l2.set_output_format(writer, "YUYV", SIZE).size_image)
    with reader_that_stays(PLAIN, lambda: os.write(writer, data)) as reader:
        os.close(writer)
        sink = V4l2Sink(PLAIN, SinkRequest(SIZE))
        with (
            pytest.raises(
                SinkError, match=rf"fixed to YUYV 640x360, not YU12; .*v4l2-ctl \({reader.pid}\)"
            ),
            sink,
        ):
            pass


def test_a_device_that_another_program_writes_to_is_refused_and_the_program_named() -> None:
    with v4l2.opened(EXCLUSIVE) as writer:
        write_plainly(writer)
        with suppress(
            OSError
        ):  # what OBS does, so that 0.12.7 is in order afterwards; later versions refuse
            v4l2.stream_on_output(writer)
        with held_by_another_program(writer) as number:
            with pytest.raises(
                SinkError, match=rf"written to by another program; .*sleep \({number}\)"
            ):
                V4l2Sink(EXCLUSIVE, SinkRequest(SIZE)).__enter__()
            assert not v4l2.describe_node(EXCLUSIVE).is_output  # nothing was done to it
    assert v4l2.describe_node(EXCLUSIVE).is_output


@NODES
def test_two_vcams_do_not_write_to_one_device(path: str, tmp_path: Path) -> None:
    with V4l2Sink(path, SinkRequest(SIZE)) as sink:
        sink.send(quadrants(SIZE))
        with pytest.raises(SinkError, match=path):
            V4l2Sink(path, SinkRequest(SIZE)).__enter__()
        assert_quadrants_arrive(sink, tmp_path)


def test_a_camera_is_refused() -> None:
    with pytest.raises(
        SinkError, match=rf"{VIVID} is 'vivid' \(driver vivid\), not a virtual camera"
    ):
        V4l2Sink(VIVID, SinkRequest(SIZE)).__enter__()


def test_a_user_without_permission_is_told_about_the_group() -> None:
    os.seteuid(65534)
    try:
        with pytest.raises(
            SinkError, match=rf"{EXCLUSIVE}: permission denied; .*usermod -aG video"
        ):
            V4l2Sink(EXCLUSIVE, SinkRequest(SIZE)).__enter__()
        with pytest.raises(
            SinkError,
            match=r"no virtual camera that can be opened; /dev/video10: permission denied",
        ):
            V4l2Sink("", SinkRequest(SIZE)).__enter__()
        assert [node.card for node in v4l2.list_nodes()][:2] == ["vcam", "plain"]
    finally:
        os.seteuid(0)


def test_nothing_stays_open() -> None:
    before = {path.name for path in Path("/proc/self/fd").iterdir()}
    for path in (EXCLUSIVE, PLAIN):
        with V4l2Sink(path, SinkRequest(SIZE)) as sink:
            sink.send(quadrants(SIZE))
    with pytest.raises(SinkError):
        V4l2Sink(VIVID, SinkRequest(SIZE)).__enter__()
    assert {path.name for path in Path("/proc/self/fd").iterdir()} == before


def test_the_modes_of_a_camera_are_listed() -> None:
    nodes = {node.path: node for node in v4l2.list_nodes()}
    assert list(nodes) == [EXCLUSIVE, PLAIN, VIVID]
    assert [node.is_loopback for node in nodes.values()] == [True, True, False]
    assert nodes[VIVID].is_capture
    modes = v4l2.list_modes(VIVID)
    sizes = {(mode.width, mode.height) for mode in modes if mode.fourcc == "YUYV"}
    assert {(320, 180), (640, 360), (1280, 720)} <= sizes
    assert {
        mode.fps for mode in modes if (mode.fourcc, mode.width, mode.height) == ("YUYV", 640, 360)
    } >= {15.0, 30.0}
