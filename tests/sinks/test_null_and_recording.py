"""The sinks that keep nothing, or everything."""

from __future__ import annotations

from threading import Thread

import numpy as np
import pytest

from tests.sinks.pictures import quadrants
from vcam.errors import SinkError, SinkLost
from vcam.frame import Matrix
from vcam.sinks import Sink, SinkRequest
from vcam.sinks.null import NullSink
from vcam.sinks.recording import RecordingSink


def test_null_counts() -> None:
    with NullSink("", SinkRequest()) as sink:
        for _ in range(3):
            sink.send(quadrants())
    sink.close()
    assert sink.frames == 3


def test_recording_is_a_sink_and_keeps_copies() -> None:
    sink = RecordingSink(live=True, size=(64, 48), matrix=Matrix.BT601, alpha=True)
    as_sink: Sink = sink
    assert (as_sink.live, as_sink.size, as_sink.matrix, as_sink.alpha) == (
        True,
        (64, 48),
        Matrix.BT601,
        True,
    )
    frame = quadrants(alpha=True, index=7)
    with sink:
        sink.send(frame)
        frame.data[:] = 0
    np.testing.assert_array_equal(sink.frames[0].data, quadrants().data)
    assert sink.frames[0].index == 7
    assert sink.frames[0].alpha is not frame.alpha
    sink.close()
    assert (sink.opened, sink.closed, sink.error) == (1, 1, None)


def test_recording_fails_when_told_to() -> None:
    with RecordingSink(fail_at=1) as sink:
        sink.send(quadrants())
        for _ in range(2):
            with pytest.raises(SinkLost, match="told to fail at frame 1"):
                sink.send(quadrants())
    with pytest.raises(SinkError, match="told not to open"):
        RecordingSink(fail_on_open=True).__enter__()


def test_recording_remembers_the_error_under_way() -> None:
    sink = RecordingSink()
    error = RuntimeError("elsewhere")
    with pytest.raises(RuntimeError, match="elsewhere"), sink:
        raise error
    assert sink.error is error


def test_recording_blocks_until_it_is_closed() -> None:
    sink = RecordingSink(block_at=1).__enter__()
    caught: list[SinkLost] = []

    def send() -> None:
        try:
            for _ in range(2):
                sink.send(quadrants())
        except SinkLost as error:
            caught.append(error)

    thread = Thread(target=send)
    thread.start()
    assert sink.wait_for(1, timeout_s=5)
    assert not sink.wait_for(2, timeout_s=0.05)
    assert thread.is_alive()
    sink.close()
    thread.join(5)
    assert not thread.is_alive()
    assert len(sink.frames) == len(caught) == 1
