"""The camera is open only while somebody reads the loopback camera; and two runs at once."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.e2e.guest.test_v4l2_sink import EXCLUSIVE, PLAIN, VIVID
from vcam.errors import SourceError
from vcam.frame import Frame
from vcam.linux import procfs, v4l2
from vcam.sources import make_source
from vcam.sources.base import SourceRequest

pytestmark = pytest.mark.timeout(500)
SIZE = (320, 180)
PATIENCE_S = 400.0
"""Emulated, and on a machine that may be busy."""


def until(condition: Callable[[], object], patience_s: float = PATIENCE_S) -> bool:
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        threading.Event().wait(0.3)  # looking costs time too
    return True


def stays(condition: Callable[[], bool], seconds: float) -> bool:
    return not until(lambda: not condition(), seconds)


def shows_bars(frame: Frame | None) -> bool:
    """Whether it is a picture of the test camera, which has colours, and not a card, which has
    none.
    """
    return frame is not None and frame.u.std() > 10


def holds(process: subprocess.Popen[str], node: str) -> bool:
    return any(f"({process.pid})" in holder for holder in procfs.holders(node))


def loopback_version() -> tuple[int, ...]:
    """Of the module that is loaded; (0,) of 0.12, which does not say it."""
    file = Path("/sys/module/v4l2loopback/version")
    return (
        tuple(int(part) for part in file.read_text().strip().split(".")) if file.exists() else (0,)
    )


@contextmanager
def vcam_run(node: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """`vcam run` from the test camera, once its loopback camera can be read; SIGTERM must end it in
    order.

    Without an effect, and so without an engine, which is slow where everything is emulated.
    """
    command = [
        sys.executable,
        "-m",
        "vcam",
        "run",
        "--source",
        VIVID,
        "--size",
        "{}x{}".format(*SIZE),
        "--effect",
        "none",
        *options,
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert until(lambda: holds(process, node) and v4l2.describe_node(node).is_capture)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")


@pytest.fixture(scope="module")
def process() -> Iterator[subprocess.Popen[str]]:
    with vcam_run(EXCLUSIVE) as process:
        yield process


def pictures_come(node: str = EXCLUSIVE) -> bool:
    """Read until a picture of the camera comes, as a meeting program does, and stop reading."""

    def come() -> bool:
        with suppress(SourceError), make_source(f"webcam:{node}", SourceRequest(SIZE)) as reader:
            return until(lambda: shows_bars(reader.read()))
        return False  # from 0.14 on the driver refuses readers until the first frame is written

    return until(come)


def test_the_camera_is_opened_for_a_reader_and_closed_after_it(
    process: subprocess.Popen[str],
) -> None:
    for _ in range(2):
        assert stays(lambda: not holds(process, VIVID), 2)
        assert pictures_come()
        assert holds(process, VIVID)
        assert until(lambda: not holds(process, VIVID))


def test_a_program_that_only_asks_the_device_what_it_is_opens_no_camera(
    process: subprocess.Popen[str],
) -> None:
    subprocess.run(["v4l2-ctl", "-d", EXCLUSIVE, "--all"], check=True, stdout=subprocess.DEVNULL)
    with v4l2.opened(EXCLUSIVE) as fd, subprocess.Popen(["sleep", "600"], stdin=fd) as opener:
        assert stays(lambda: not holds(process, VIVID), 3)
        opener.kill()


def test_the_camera_stays_open_until_the_last_of_two_readers_has_gone(
    process: subprocess.Popen[str],
) -> None:
    if loopback_version() >= (0, 13):
        pytest.skip("v4l2loopback 0.13 and later let one program read at a time")
    command = ["v4l2-ctl", "-d", EXCLUSIVE, "--stream-mmap=2", "--stream-count=100000"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as other:
        assert pictures_come()
        assert stays(lambda: holds(process, VIVID), 8)
        other.kill()
        other.wait()
        assert until(lambda: not holds(process, VIVID))


def test_an_idle_run_takes_no_time_to_speak_of(process: subprocess.Popen[str]) -> None:
    assert until(lambda: not holds(process, VIVID))
    threading.Event().wait(2)
    before = cpu_ticks(process.pid)
    threading.Event().wait(10)
    share = (cpu_ticks(process.pid) - before) / 100 / 10
    print(f"idle: {100 * share:.1f} % of an emulated core")  # noqa: T201
    assert share < 0.8  # emulated, and what the machine does for others counts too


def cpu_ticks(pid: int) -> int:
    """User and system time of a process, in hundredths of a second (proc(5))."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_second_run_by_name_and_always_on(process: subprocess.Popen[str]) -> None:
    with vcam_run(PLAIN, "--name", "plain", "--always-on") as second:
        assert until(lambda: holds(second, VIVID))
        threading.Event().wait(
            5
        )  # with exclusive_caps=0 nothing shows whether it is written to yet
        assert pictures_come(PLAIN)
        assert not holds(process, VIVID)
        assert process.poll() is None
