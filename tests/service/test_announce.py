"""What systemd and `vcam status` hear of a run."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from vcam.linux.systemd import Notifier
from vcam.monitor import Snapshot, State, Stats
from vcam.service.announce import Announcer, announced
from vcam.service.instances import Instance, list_instances
from vcam.sources import make_source
from vcam.sources.base import SourceRequest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="systemd is a matter of Linux")

SOURCE = make_source("pattern", SourceRequest())
RUNNING = State("running")
NOTHING_YET = replace(Stats().snapshot(), state=State("starting"))


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Heard:
    """A systemd that remembers what it is told."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.address)
        self.socket.setblocking(False)

    def take(self) -> list[str]:
        """The lines since the last call."""
        lines: list[str] = []
        while True:
            try:
                lines += self.socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return lines


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Heard]:
    heard = Heard(tmp_path / "notify")
    with heard.socket:
        yield heard


def sent(frames: int, repeated: int = 0, state: State = RUNNING) -> Snapshot:
    return replace(NOTHING_YET, frames=frames, repeated=repeated, state=state)


def test_the_watchdog_is_fed_while_pictures_go_out_and_no_longer(
    tmp_path: Path, systemd: Heard
) -> None:
    clock = Clock()
    with Instance(tmp_path) as instance, Notifier(systemd.address) as notifier:
        announcer = Announcer(instance, notifier, clock=clock)

        def hear(now: Snapshot) -> list[str]:
            clock.now_s += 1
            announcer.update(SOURCE, now, {})
            return systemd.take()

        assert hear(NOTHING_YET) == ["STATUS=starting, 0 fps"]
        assert hear(sent(0, 1)) == [
            "STATUS=running, 0 fps",
            "READY=1",
            "WATCHDOG=1",
        ]  # a card is a picture
        assert hear(sent(30, 1)) == ["STATUS=running, 0 fps", "WATCHDOG=1"]
        assert hear(sent(30, 2)) == ["STATUS=running, 0 fps", "WATCHDOG=1"]
        assert hear(sent(30, 2)) == ["STATUS=running, 0 fps"]  # it hangs
        gone = State("no sink", "/dev/video10 is gone")
        assert hear(sent(30, 2, gone)) == [
            "STATUS=no sink: /dev/video10 is gone, 0 fps",
            "WATCHDOG=1",
        ]


def test_it_is_said_about_once_a_second_to_both(tmp_path: Path, systemd: Heard) -> None:
    clock = Clock()
    with Instance(tmp_path) as instance, Notifier(systemd.address) as notifier:
        announcer = Announcer(instance, notifier, clock=clock)
        for tick in range(10):
            clock.now_s = tick * 0.2
            announcer.update(
                SOURCE, sent(tick + 1, state=State("no camera", "unplugged")), {"sink": "null"}
            )
        assert len([line for line in systemd.take() if line.startswith("STATUS")]) == 2
        (record,) = list_instances(tmp_path)
    told = {name: record[name] for name in ("pid", "source", "sink", "state", "reason", "frames")}
    assert told == {
        "pid": os.getpid(),
        "source": "pattern",
        "sink": "null",
        "state": "no camera",
        "reason": "unplugged",
        "frames": 6,
    }


def test_at_the_end_systemd_hears_of_it_and_the_file_is_gone(
    tmp_path: Path, systemd: Heard
) -> None:
    folder = tmp_path / "vcam"
    with announced(folder, systemd.address) as announcer:
        announcer.update(SOURCE, sent(1), {})
        assert len(list_instances(folder)) == 1
        assert "STOPPING=1" not in systemd.take()
    assert systemd.take() == ["STOPPING=1"]
    assert list(folder.iterdir()) == []
