"""The loopback writer as far as it goes without a device; tests/e2e has the device."""

from __future__ import annotations

import errno
import os
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.sinks.pictures import quadrants
from vcam.errors import SinkError, SinkLost
from vcam.frame import Matrix
from vcam.linux import videodev2 as kernel
from vcam.linux.v4l2 import LOOPBACK_DRIVER, Node, PixFormat
from vcam.linux.videodev2 import V4L2_CAP_VIDEO_CAPTURE, V4L2_CAP_VIDEO_OUTPUT
from vcam.sinks import SinkRequest
from vcam.sinks.v4l2 import (
    V4l2Sink,
    check_format,
    check_node,
    first_loopback,
    pad_rows,
    write_whole,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="V4L2 is Linux's")

BOTH = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_VIDEO_OUTPUT


def loopback(path: str, caps: int = V4L2_CAP_VIDEO_OUTPUT, card: str = "Dummy") -> Node:
    return Node(path, LOOPBACK_DRIVER, card, "platform:v4l2loopback-000", caps)


def open_files() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


WEBCAM = Node("/dev/video0", "uvcvideo", "Integrated Camera", "usb-1", V4L2_CAP_VIDEO_CAPTURE)
FORBIDDEN = Node(
    "/dev/video1", problem="permission denied; join its group: sudo usermod -aG video $USER"
)


@pytest.mark.parametrize(
    ("nodes", "path"),
    [
        ([WEBCAM, loopback("/dev/video4"), loopback("/dev/video5")], "/dev/video4"),
        ([loopback("/dev/video4", caps=0)], "/dev/video4"),
        ([loopback("/dev/video4"), loopback("/dev/video5", card="vcam")], "/dev/video5"),
        (
            [loopback("/dev/video4", V4L2_CAP_VIDEO_CAPTURE, "vcam"), loopback("/dev/video5")],
            "/dev/video5",
        ),
        ([loopback("/dev/video4", V4L2_CAP_VIDEO_CAPTURE)], "/dev/video4"),
        ([FORBIDDEN, loopback("/dev/video4", BOTH)], "/dev/video4"),
    ],
)
def test_a_free_loopback_is_found_whatever_it_announces(nodes: list[Node], path: str) -> None:
    assert first_loopback(nodes) == path


def test_without_a_loopback_the_command_to_load_one_is_given() -> None:
    command = "sudo modprobe v4l2loopback devices=1 video_nr=10 card_label=vcam exclusive_caps=1"
    with pytest.raises(SinkError) as caught:
        first_loopback([WEBCAM])
    message = str(caught.value)
    assert f"`{command}` (package v4l2loopback-dkms)" in message
    assert "--sink out.mp4" in message
    assert "\n" not in message


def test_a_loopback_is_chosen_by_its_label() -> None:
    nodes = [
        loopback("/dev/video1", card="vcam"),
        loopback("/dev/video2", card="second"),
        loopback("/dev/video3"),
    ]
    assert first_loopback(nodes, "second") == "/dev/video2"
    twins = [
        loopback("/dev/video4", V4L2_CAP_VIDEO_CAPTURE, "twin"),
        loopback("/dev/video5", card="twin"),
    ]
    assert first_loopback([*nodes, *twins], "twin") == "/dev/video5", "the free one"
    with pytest.raises(
        SinkError, match="no virtual camera is labelled 'third', only 'vcam', 'second', 'Dummy'; "
    ):
        first_loopback(nodes, "third")
    with pytest.raises(SinkError, match="no virtual camera: load one with"):
        first_loopback([WEBCAM], "third")


def test_nodes_that_may_not_be_opened_are_named() -> None:
    with pytest.raises(SinkError, match=r"/dev/video1: permission denied.*usermod -aG video"):
        first_loopback([WEBCAM, FORBIDDEN])


def test_a_camera_is_not_written_to() -> None:
    with pytest.raises(
        SinkError, match=r"/dev/video0 is 'Integrated Camera' \(driver uvcvideo\), not a virtual"
    ):
        check_node(WEBCAM)


def test_a_loopback_that_somebody_may_have_left_is_taken() -> None:
    check_node(loopback("/dev/video987", V4L2_CAP_VIDEO_CAPTURE))
    check_node(loopback("/dev/video987", 0))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/dev/null", "not a video device"),
        ("/dev/video987", "no such device; load one with `sudo modprobe v4l2loopback"),
        (str(Path(__file__)), "not a video device"),
        (str(Path(__file__).parent), "not a video device"),
    ],
)
def test_what_is_no_device_is_refused(path: str, words: str) -> None:
    before = open_files()
    sink = V4l2Sink(path, SinkRequest())
    with pytest.raises(SinkError) as caught:
        sink.__enter__()
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)
    assert open_files() == before
    sink.close()
    sink.close()


def test_what_the_driver_gives_is_obeyed() -> None:
    assert check_format(PixFormat("YU12", 640, 360, 640, 345600), "/dev/video10") == 640
    assert check_format(PixFormat("YU12", 640, 360, 0, 345600), "/dev/video10") == 640
    assert check_format(PixFormat("YU12", 636, 360, 640, 348160), "/dev/video10") == 640


@pytest.mark.parametrize(
    ("got", "words"),
    [
        (PixFormat("YUYV", 640, 360, 1280, 460800), "is fixed to YUYV 640x360, not YU12"),
        (PixFormat("YU12", 641, 360, 642, 999999), "641x360, which is odd"),
        (PixFormat("YU12", 640, 360, 320, 345600), "320 per row"),
        (PixFormat("YU12", 640, 360, 640, 100), "in 100 bytes"),
    ],
)
def test_a_format_that_cannot_be_written_is_refused(got: PixFormat, words: str) -> None:
    with pytest.raises(SinkError) as caught:
        check_format(got, "/dev/video987")
    assert words in str(caught.value)


def test_rows_are_padded_to_the_stride() -> None:
    frame = quadrants((12, 8))
    out = np.zeros(16 * 8 * 3 // 2, np.uint8)
    pad_rows(frame, out)
    luma, cb, cr = out[:128].reshape(8, 16), out[128:160].reshape(4, 8), out[160:].reshape(4, 8)
    for padded, plane in ((luma, frame.y), (cb, frame.u), (cr, frame.v)):
        np.testing.assert_array_equal(padded[:, : plane.shape[1]], plane)
        assert not padded[:, plane.shape[1] :].any()


def test_a_device_that_takes_everything_gets_everything() -> None:
    frame = quadrants((64, 48))
    reader, writer = os.pipe()
    try:
        write_whole(writer, frame.data, "/dev/video10")
        assert os.read(reader, 100_000) == frame.data.tobytes()
    finally:
        os.close(reader)
        os.close(writer)


def test_a_failing_write_is_a_lost_sink() -> None:
    device = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(
            SinkLost, match=r"/dev/video10 no longer takes frames: No space left.*modprobe"
        ) as caught:
            write_whole(device, quadrants().data, "/dev/video10")
    finally:
        os.close(device)
    assert isinstance(caught.value.__cause__, OSError)


def test_a_short_write_is_a_lost_sink() -> None:
    data = np.zeros((1500, 1000), np.uint8)  # more than a pipe holds
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        with pytest.raises(SinkLost, match=r"/dev/video10 took \d+ of 1500000 bytes"):
            write_whole(writer, data, "/dev/video10")
    finally:
        os.close(reader)
        os.close(writer)


def test_a_closed_sink_takes_no_frames() -> None:
    sink = V4l2Sink("/dev/video10", SinkRequest(size=(64, 48)))
    assert (sink.live, sink.matrix, sink.size, sink.alpha) == (True, Matrix.BT601, None, False)
    with pytest.raises(ValueError, match="takes None"):
        sink.send(quadrants())


def test_opened_again_it_takes_the_device_that_it_had_or_one_of_that_label() -> None:
    sink = V4l2Sink("", SinkRequest())
    nodes = [loopback("/dev/video4", card="vcam"), loopback("/dev/video5", card="second")]
    assert sink._find(nodes) == "/dev/video4"
    sink._last = nodes[1]
    assert sink._find(nodes) == "/dev/video5"
    assert sink._find([nodes[0], loopback("/dev/video6", card="second")]) == "/dev/video6"
    with pytest.raises(SinkError, match="no virtual camera is labelled 'second'"):
        sink._find(nodes[:1])


def test_each_frame_is_written_right_after_its_buffers_were_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver with two buffers; 0.12 forgets that readers have mapped them."""
    events: list[object] = []

    def ioctl(fd: int, number: int, argument: Any, _: bool = True) -> int:
        if number == kernel.VIDIOC_QUERYCAP:
            argument.driver = LOOPBACK_DRIVER.encode()
            argument.capabilities = V4L2_CAP_VIDEO_OUTPUT
        elif number == kernel.VIDIOC_S_FMT:
            argument.fmt.pix.bytesperline = argument.fmt.pix.width
            argument.fmt.pix.sizeimage = argument.fmt.pix.width * argument.fmt.pix.height * 3 // 2
        elif number == kernel.VIDIOC_QUERYBUF:
            if argument.index == 2:
                raise OSError(errno.EINVAL, "no such buffer")
            argument.m.offset = argument.index * 8192
        return 0

    def mapped(fd: int, *_: object, offset: int) -> Any:
        events.append(offset)
        return closing_nothing

    def written(fd: int, data: Any) -> int:
        events.append("frame")
        return write(fd, data)

    closing_nothing, write = BytesIO(), os.write
    monkeypatch.setattr("fcntl.ioctl", ioctl)
    monkeypatch.setattr("mmap.mmap", mapped)
    monkeypatch.setattr("os.write", written)
    device = tmp_path / "video10"
    device.touch()
    with V4l2Sink(str(device), SinkRequest(size=(64, 48))) as sink:
        assert sink.size == (64, 48)
        sink.send(quadrants())
        sink.send(quadrants())
    assert events == [0, 8192, "frame"] * 2
    assert device.read_bytes() == quadrants().data.tobytes() * 2
