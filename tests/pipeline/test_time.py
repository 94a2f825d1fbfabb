"""What depends on the time, by a clock that the test sets: the pace of a file, cards, demand."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from tests.helpers import SIZE, SetClock, frame_of
from vcam.frame import Frame, Matrix
from vcam.linux.viewers import FakeReaders
from vcam.monitor import RUNNING, State, Stats
from vcam.pipeline.demand import Demand
from vcam.pipeline.output import Output
from vcam.pipeline.pace import Pace
from vcam.sinks.recording import RecordingSink


def _at(pts_s: float) -> Frame:
    return replace(frame_of(), pts_ns=round(pts_s * 1e9))


def test_frames_of_a_file_are_held_back_until_they_are_due() -> None:
    clock = SetClock()
    pace = Pace(threading.Event(), clock)
    due = []
    for pts_s in (0.0, 0.04, 0.08, 0.2):
        frame = pace.wait_until_due(_at(pts_s))
        due.append(round(frame.t_capture_ns / 1e9 - 100, 6))
        clock.s += 0.01  # what else there is to do
    assert due == [0.0, 0.04, 0.08, 0.2]


def test_after_a_long_sleep_nothing_is_rushed() -> None:
    clock = SetClock()
    pace = Pace(threading.Event(), clock)
    pace.wait_until_due(_at(0.0))
    clock.s += 3600
    clock.waits.clear()
    for pts_s in (0.04, 0.08, 0.12):
        pace.wait_until_due(_at(pts_s))
    assert clock.waits == pytest.approx([0.0, 0.04, 0.04])


def test_a_run_that_is_a_little_late_catches_up() -> None:
    clock = SetClock()
    pace = Pace(threading.Event(), clock)
    pace.wait_until_due(_at(0.0))
    clock.s += 0.1
    clock.waits.clear()
    for pts_s in (0.04, 0.08, 0.12):
        pace.wait_until_due(_at(pts_s))
    assert clock.waits == pytest.approx([0.0, 0.0, 0.02])


def test_the_last_picture_stays_for_a_while_and_then_a_card_says_why() -> None:
    clock, stats = SetClock(), Stats()
    sink = RecordingSink(live=True, size=SIZE, matrix=Matrix.BT601)
    picture = frame_of()
    with sink:
        output = Output(sink, stats, card_after_s=2.0, clock=clock)
        stats.board.say("capture", RUNNING)
        output.send(picture, picture)
        shown = []
        for _ in range(4):
            clock.s += 0.9
            output.send_again()
            shown.append(bool(np.array_equal(sink.frames[-1].data, picture.data)))
    assert shown == [True, True, False, False]
    assert stats.board.now == State("waiting", "no new picture comes")


def test_the_camera_stays_wanted_for_a_while_after_the_last_reader() -> None:
    clock = SetClock()
    demand = Demand(FakeReaders(), linger_s=5.0, clock=clock)
    wanted = []
    for reads in (False, True, False, False, True, False, False):
        clock.s += 3.0
        demand.heard(reads)
        wanted.append(demand.wanted.is_set())
    assert wanted == [False, True, True, False, True, True, False]
