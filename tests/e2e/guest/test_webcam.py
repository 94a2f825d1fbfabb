"""The webcam source with real kernel drivers: vivid, which draws colour bars, and a loopback."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.e2e.guest.test_v4l2_sink import EXCLUSIVE, PLAIN, VIVID
from tests.sinks.pictures import centres, expected, quadrants
from vcam.errors import SourceError, SourceLost
from vcam.frame import Frame, Matrix
from vcam.linux import v4l2
from vcam.sinks import SinkRequest
from vcam.sinks.v4l2 import V4l2Sink
from vcam.sources import make_source
from vcam.sources.base import SourceRequest
from vcam.sources.webcam import WebcamSource, list_cameras

PATIENCE_S = 10.0
SMALL = SourceRequest(size=(320, 180))


@pytest.fixture
def silent_camera() -> Iterator[int]:
    """A loopback node whose writer has set a format, and writes when the test does."""
    fd = v4l2.open_node(PLAIN)
    v4l2.set_output_format(fd, "YU12", (320, 180))
    os.write(fd, bytes([100]) * (320 * 180 * 3 // 2))
    yield fd
    os.close(fd)


def test_the_first_camera_is_no_loopback() -> None:
    assert list_cameras()[0] == (VIVID, "vivid")
    with make_source("webcam", SMALL) as source:
        assert source.name == VIVID


@pytest.mark.parametrize("text", ["/dev/video20", "webcam:20", "webcam:/dev/video20"])
def test_frames_come_in_the_mode_that_was_asked_for(text: str) -> None:
    with make_source(text, SMALL) as source:
        assert source.live
        assert (source.size, source.fps, source.frames) == ((320, 180), 30.0, None)
        assert source.mode == "asked for 320x180 at 30 fps, got 320x180 NV12 at 30 fps"
        frames = [source.read() for _ in range(4)]
    found = [frame for frame in frames if frame is not None]
    assert [frame.index for frame in found] == [0, 1, 2, 3]
    assert {frame.size for frame in found} == {(320, 180)}
    times = [frame.t_capture_ns for frame in found]
    assert times == sorted(set(times))
    assert [frame.pts_ns for frame in found] == [time_ns - times[0] for time_ns in times]
    assert found[3].y.std() > 20  # colour bars


def test_old_frames_are_dropped() -> None:
    with make_source(VIVID, SMALL) as source:
        source.read()
        time.sleep(1.0)
        frames = [source.read() for _ in range(10)]
    times_ns = [frame.t_capture_ns for frame in frames if frame is not None]
    assert len(times_ns) == 10
    # what had queued up went with the first; the others had to be waited for, a thirtieth of a
    # second each
    assert times_ns[-1] - times_ns[0] > 200_000_000


def test_a_busy_camera_says_so() -> None:
    with make_source(VIVID, SMALL) as first:
        first.read()
        with (
            pytest.raises(SourceError, match=r"^/dev/video20: Device or resource busy; "),
            make_source(VIVID, SMALL),
        ):
            pass


def test_a_silent_camera_can_be_interrupted(silent_camera: int) -> None:
    with WebcamSource(PLAIN, SMALL) as source:
        with suppress(SourceLost):
            assert source.read() is not None
        timer = threading.Timer(0.5, source.interrupt)
        timer.start()
        started = time.monotonic()
        assert source.read() is None
        assert time.monotonic() - started < 1.5
        timer.join()


def test_a_silent_camera_is_lost_in_time(silent_camera: int) -> None:
    with WebcamSource(PLAIN, SMALL, no_frame_timeout_s=1.0) as source:
        assert source.read() is not None
        os.write(silent_camera, bytes([100]) * (320 * 180 * 3 // 2))
        assert source.read() is not None
        with pytest.raises(SourceLost, match=r"^/dev/video11: no picture for 1 s; unplug"):
            source.read()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (EXCLUSIVE, "^/dev/video10: delivers no pictures"),
        ("/dev/video99", "^/dev/video99: no such device; `vcam devices`"),
        ("/dev/null", "^/dev/null: not a video device"),
    ],
)
def test_what_is_no_camera(path: str, message: str) -> None:
    with pytest.raises(SourceError, match=message), WebcamSource(path, SMALL):
        pass


def test_a_camera_can_be_opened_again() -> None:
    for _ in range(2):
        with make_source("webcam", SMALL) as source:
            assert source.name == VIVID
            assert source.read() is not None


def test_the_colours_of_a_camera_arrive() -> None:
    with V4l2Sink(PLAIN, SinkRequest(SMALL.size)) as sink:
        sink.send(quadrants((320, 180)))
        with make_source(f"webcam:{PLAIN}", SMALL) as source:
            got: list[Frame | None] = []
            reader = threading.Thread(target=lambda: got.append(source.read()))
            reader.start()
            for _ in range(100):
                sink.send(quadrants((320, 180)))
                reader.join(0.05)
                if not reader.is_alive():
                    break
            source.interrupt()
            reader.join(PATIENCE_S)
    assert len(got) == 1
    assert got[0] is not None
    for plane, values in zip(got[0].planes, expected(Matrix.BT601), strict=True):
        assert centres(plane) == pytest.approx(values, abs=3)


def test_a_camera_that_is_unplugged_is_lost() -> None:  # the last one: vivid stays unplugged
    with make_source(VIVID, SMALL) as source:
        source.read()
        subprocess.run(["v4l2-ctl", "-d", VIVID, "-c", "disconnect=1"], check=True)
        with pytest.raises(
            SourceLost,
            match=r"^/dev/video20: the camera is gone \(No such device\); plug it in again",
        ):
            list(iter(source.read, None))
