"""The pyvirtualcam sink, with a camera back-end of our own registered in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.sinks.pictures import quadrants
from vcam.errors import SinkError, SinkLost
from vcam.frame import Matrix
from vcam.sinks import SinkRequest
from vcam.sinks.pyvirtualcam import PyvirtualcamSink


class MemoryCamera:
    """What pyvirtualcam asks of a back-end, without a device."""

    opened: list[MemoryCamera]

    def __init__(
        self, width: int, height: int, fps: float, fourcc: int, device: str | None, **other: Any
    ) -> None:
        if device == "absent":
            raise RuntimeError("Device absent does not exist.\nSee the documentation.")
        self.size = (width, height)
        self.name = device or "memory"
        self.fourcc = fourcc
        self.frames: list[Any] = []
        self.closed = 0
        self.opened.append(self)

    def send(self, frame: Any) -> None:
        if len(self.frames) == 2:
            raise RuntimeError("camera gone")
        self.frames.append(np.array(frame))

    def close(self) -> None:
        self.closed += 1

    def device(self) -> str:
        return self.name

    def native_fourcc(self) -> int:
        return self.fourcc


@pytest.fixture
def cameras() -> Iterator[list[MemoryCamera]]:
    pyvirtualcam = pytest.importorskip("pyvirtualcam", reason="pip install pyvirtualcam")
    from pyvirtualcam import camera

    MemoryCamera.opened = []
    others = dict(camera.BACKENDS)
    camera.BACKENDS.clear()
    pyvirtualcam.register_backend("memory", MemoryCamera)
    yield MemoryCamera.opened
    camera.BACKENDS.clear()
    camera.BACKENDS.update(others)


def test_frames_arrive_as_they_are(cameras: list[MemoryCamera]) -> None:
    sink = PyvirtualcamSink("", SinkRequest(size=(64, 48)))
    assert (sink.live, sink.matrix, sink.alpha) == (True, Matrix.BT601, False)
    with sink:
        assert (sink.size, sink.name) == ((64, 48), "memory")
        sink.send(quadrants())
    (camera,) = cameras
    assert camera.size == (64, 48)
    np.testing.assert_array_equal(camera.frames[0].reshape(72, 64), quadrants().data)
    sink.close()
    assert camera.closed == 1


def test_a_size_left_open_is_720p(cameras: list[MemoryCamera]) -> None:
    with PyvirtualcamSink("front", SinkRequest()) as sink:
        assert (sink.size, sink.name) == ((1280, 720), "front")


def test_a_camera_that_fails_is_a_lost_sink(cameras: list[MemoryCamera]) -> None:
    with PyvirtualcamSink("", SinkRequest(size=(64, 48))) as sink:
        sink.send(quadrants())
        sink.send(quadrants())
        with pytest.raises(
            SinkLost, match="memory no longer takes frames: camera gone; start vcam again"
        ):
            sink.send(quadrants())
    with pytest.raises(SinkLost, match="not open"):
        sink.send(quadrants())


def test_frames_of_another_kind_are_refused(cameras: list[MemoryCamera]) -> None:
    with PyvirtualcamSink("", SinkRequest(size=(64, 48))) as sink:
        for frame in (quadrants((32, 32)), quadrants(matrix=Matrix.BT709)):
            with pytest.raises(ValueError, match="memory takes"):
                sink.send(frame)


def test_a_camera_that_cannot_be_opened_is_explained_in_one_line(
    cameras: list[MemoryCamera],
) -> None:
    with pytest.raises(
        SinkError, match=r"absent: .*Device absent does not exist. See .*install OBS"
    ):
        PyvirtualcamSink("absent", SinkRequest()).__enter__()
    assert cameras == []


def test_without_pyvirtualcam_the_command_to_install_it_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(SinkError, match=r"`pip install pyvirtualcam`"):
        PyvirtualcamSink("", SinkRequest()).__enter__()
