"""The camera is open only while somebody reads the loopback camera."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.guest.test_run import PATIENCE_S, ROOM, SIZE, shows_room_colour
from tests.e2e.guest.test_v4l2_sink import EXCLUSIVE, PLAIN, VIVID
from vcam import v4l2
from vcam.sources import make_source
from vcam.sources.base import SourceRequest

LINGER_S = 5.0


def until(condition: Callable[[], object], patience_s: float = PATIENCE_S) -> bool:
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        threading.Event().wait(0.1)
    return True


def camera_is_open(process: subprocess.Popen[str]) -> bool:
    return any(f"({process.pid})" in holder for holder in v4l2.holders(VIVID))


@contextmanager
def vcam_run(*options: str, label: str = "vcam") -> Iterator[subprocess.Popen[str]]:
    """`vcam run` from the test camera, once its loopback camera can be read; it must end well within two seconds."""
    color = "color:#{:02x}{:02x}{:02x}".format(*ROOM)
    command = [sys.executable, "-m", "vcam.cli", "run", "--source", VIVID, "--size", "{}x{}".format(*SIZE),
               "--effect", color, "--name", label, *options]  # fmt: skip
    node = {"vcam": EXCLUSIVE, "plain": PLAIN}[label]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert until(lambda: any(f"({process.pid})" in holder for holder in v4l2.holders(node)))
        assert until(lambda: v4l2.describe_node(node).is_capture)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
        assert (process.returncode, errors) == (0, "")


def pictures_come(node: str = EXCLUSIVE) -> bool:
    """Read until a picture of the camera comes, as a meeting program does, and stop reading."""
    with make_source(f"webcam:{node}", SourceRequest(SIZE)) as reader:
        return until(lambda: (frame := reader.read()) is not None and shows_room_colour(frame))


def stays(condition: Callable[[], bool], seconds: float) -> bool:
    return not until(lambda: not condition(), seconds)


def test_the_camera_is_opened_for_a_reader_and_closed_after_it() -> None:
    with vcam_run() as process:
        for _ in range(2):
            assert stays(lambda: not camera_is_open(process), 2)
            assert pictures_come()
            assert camera_is_open(process)
            assert until(lambda: not camera_is_open(process), LINGER_S + PATIENCE_S)


def test_a_program_that_only_asks_the_device_what_it_is_opens_no_camera() -> None:
    with vcam_run() as process:
        subprocess.run(["v4l2-ctl", "-d", EXCLUSIVE, "--all"], check=True, stdout=subprocess.DEVNULL)
        with v4l2.opened(EXCLUSIVE) as fd, subprocess.Popen(["sleep", "600"], stdin=fd) as opener:
            assert stays(lambda: not camera_is_open(process), 3)
            opener.kill()


def test_the_camera_stays_open_until_the_last_of_two_readers_has_gone() -> None:
    command = ["v4l2-ctl", "-d", EXCLUSIVE, "--stream-mmap=2", "--stream-count=100000"]
    with vcam_run() as process, subprocess.Popen(command, stderr=subprocess.DEVNULL) as other:
        assert pictures_come()
        assert stays(lambda: camera_is_open(process), LINGER_S + 3)
        other.kill()
        other.wait()
        assert until(lambda: not camera_is_open(process), LINGER_S + PATIENCE_S)


def test_always_on_opens_the_camera_at_once() -> None:
    with vcam_run("--always-on") as process:
        assert until(lambda: camera_is_open(process))


@pytest.mark.parametrize("label", ["plain"])
def test_the_name_chooses_the_loopback_camera(label: str) -> None:
    with vcam_run(label=label):
        assert pictures_come(PLAIN)


def test_an_idle_run_takes_no_time_to_speak_of() -> None:
    with vcam_run() as process:
        assert until(lambda: cpu_ticks(process.pid) > 0)
        threading.Event().wait(5)
        before = cpu_ticks(process.pid)
        threading.Event().wait(20)
        share = (cpu_ticks(process.pid) - before) / 100 / 20
        print(f"idle: {100 * share:.1f} % of an emulated core")  # noqa: T201
        assert share < 0.3  # emulated, ten to twenty times slower


def cpu_ticks(pid: int) -> int:
    """User and system time of a process, in hundredths of a second (proc(5))."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
