"""What `vcam run` says while it runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vcam.cli.display import Status
from vcam.monitor import State, Stats
from vcam.sources.fake import FakeSource

AWAY = State("no camera", "C920: the camera is gone; plug it in again")


def test_trouble_and_its_end_are_told_once_where_no_terminal_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    snapshot, source = Stats().snapshot(), FakeSource([])
    states = [
        State("starting"),
        State("running"),
        AWAY,
        AWAY,
        State("no camera", "busy"),
        State("starting"),
        State("running"),
        State("running"),
        State("idle"),
        State("running"),
    ]
    with Status("virtual", None) as status:
        for state in states:
            status.update(source, replace(snapshot, state=state))
    assert capsys.readouterr().err.splitlines() == [
        "vcam: no camera: C920: the camera is gone; plug it in again",
        "vcam: no camera: busy",
        "vcam: running",
    ]


def test_the_line_tells_the_state_until_it_runs() -> None:
    status, snapshot = Status("virtual", None), Stats().snapshot()
    assert status._line(replace(snapshot, state=State("idle")), None) == "virtual: idle"
    assert "fps" in status._line(replace(snapshot, state=State("running")), None)
