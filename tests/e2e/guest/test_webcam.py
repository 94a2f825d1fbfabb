"""Capture from real kernel drivers: vivid, which draws colour bars, and a loopback that somebody writes to."""

from __future__ import annotations

import subprocess
import time
from threading import Thread

import pytest

from tests.e2e.guest.test_v4l2_sink import EXCLUSIVE, PLAIN, SIZE, VIVID
from tests.sinks.pictures import centres, expected, quadrants
from vcam.errors import SourceError, SourceLost
from vcam.frame import Frame, Matrix
from vcam.sinks import SinkRequest
from vcam.sinks.v4l2 import V4l2Sink
from vcam.sources import make_source
from vcam.sources.base import Source, SourceRequest

PATIENCE_S = 10.0


def read_all(source: Source) -> None:
    """Read until there is no more, or something fails."""
    while source.read() is not None:
        pass


def test_a_camera_delivers_frames_in_the_size_asked_for() -> None:
    with make_source(f"webcam:{VIVID}", SourceRequest(SIZE, fps=15)) as source:
        frames = [source.read() for _ in range(3)]
    assert source.live
    assert source.name == VIVID
    for index, frame in enumerate(frames):
        assert frame is not None
        assert (frame.size, frame.matrix, frame.index) == (SIZE, Matrix.BT601, index)
        assert frame.y.std() > 20  # colour bars, not a blank picture
        assert frame.u.std() > 20
    assert frames[2] is not None
    assert 0 < time.monotonic_ns() - frames[2].t_capture_ns < PATIENCE_S * 1e9


def test_a_camera_can_be_opened_again() -> None:
    for _ in range(2):
        with make_source("webcam", SourceRequest(SIZE)) as source:
            assert source.name == VIVID
            assert source.read() is not None


def test_the_colours_of_a_camera_arrive() -> None:
    with V4l2Sink(PLAIN, SinkRequest(SIZE)) as sink:
        sink.send(quadrants(SIZE))
        with make_source(f"webcam:{PLAIN}", SourceRequest(SIZE)) as source:
            got: list[Frame | None] = []
            reader = Thread(target=lambda: got.append(source.read()))
            reader.start()
            for _ in range(100):
                sink.send(quadrants(SIZE))
                reader.join(0.05)
                if not reader.is_alive():
                    break
            source.interrupt()
            reader.join(PATIENCE_S)
    assert len(got) == 1
    assert got[0] is not None
    for plane, values in zip(got[0].planes, expected(Matrix.BT601), strict=True):
        assert centres(plane) == pytest.approx(values, abs=3)


def test_a_read_that_waits_for_a_silent_camera_can_be_interrupted() -> None:
    with V4l2Sink(PLAIN, SinkRequest(SIZE)) as sink:
        sink.send(quadrants(SIZE))
        with make_source(f"webcam:{PLAIN}", SourceRequest(SIZE)) as source:
            reader = Thread(target=read_all, args=(source,))
            reader.start()
            reader.join(1.0)
            assert reader.is_alive()
            start = time.monotonic()
            source.interrupt()
            reader.join(PATIENCE_S)
            assert not reader.is_alive()
            assert time.monotonic() - start < 2.0  # 0.5 s is promised, on a machine that is not emulated


def test_a_loopback_that_nobody_writes_to_is_no_camera() -> None:
    with pytest.raises(SourceError, match=rf"{EXCLUSIVE}: delivers no pictures"):
        make_source(f"webcam:{EXCLUSIVE}", SourceRequest(SIZE)).__enter__()


def test_a_camera_that_is_unplugged_is_lost() -> None:  # the last one: vivid stays unplugged
    with make_source(f"webcam:{VIVID}", SourceRequest(SIZE)) as source:
        assert source.read() is not None
        subprocess.run(["v4l2-ctl", "-d", VIVID, "--set-ctrl", "disconnect=1"], check=True)
        with pytest.raises(SourceLost, match=rf"{VIVID}: the camera is gone"):
            read_all(source)
