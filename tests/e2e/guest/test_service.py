"""`vcam service` under a real `systemd --user`: it starts, comes back after a crash and a hang, and
goes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.guest.footage import FPS, PATIENCE_S, SIZE, write_quadrants
from tests.e2e.guest.test_v4l2_sink import EXCLUSIVE

RUNTIME = Path("/run/user/0")
ENVIRON = {**os.environ, "XDG_RUNTIME_DIR": str(RUNTIME), "SYSTEMD_IGNORE_CHROOT": "1"}
"""The guest's root is one; systemctl would do nothing in it."""
pytestmark = pytest.mark.timeout(800)


def call(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, env=ENVIRON, capture_output=True, text=True, check=False)


def vcam(*words: str) -> subprocess.CompletedProcess[str]:
    return call(sys.executable, "-m", "vcam", *words)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[None]:
    """A user's systemd, with a file for its journal."""
    subprocess.run(["mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"], check=True)
    Path("/run/systemd/system").mkdir(
        parents=True
    )  # the sign of a system that was booted with systemd
    RUNTIME.mkdir(parents=True, mode=0o700)
    with (tmp_path / "systemd.log").open("wb") as log:
        systemd = subprocess.Popen(
            ["/lib/systemd/systemd", "--user", "--log-target=console"],
            env=ENVIRON,
            stdout=log,
            stderr=log,
        )
    try:
        in_time(
            lambda: (
                call("systemctl", "--user", "is-system-running").stdout.strip()
                in ("running", "degraded")
            )
        )
        yield
    except BaseException:
        sys.stderr.write((tmp_path / "systemd.log").read_text(errors="replace")[-3000:])
        raise
    finally:
        systemd.terminate()
        systemd.wait(60)


def in_time(is_so: Callable[[], Any]) -> Any:
    """What `is_so` answers, as soon as it is something true."""
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := is_so()):
        assert time.monotonic() < deadline, is_so
        time.sleep(1)
    return answer


def running(other_than: int = 0) -> int:
    """The number of the vcam that shows pictures, by `vcam status`; 0 where there is none but
    `other_than`.
    """
    records = json.loads(vcam("status", "--json").stdout or "[]")
    live = [
        record["pid"]
        for record in records
        if record["state"] == "running" and record["silent_s"] < 5
    ]
    return next((pid for pid in live if pid != other_than), 0)


@pytest.mark.usefixtures("manager")
def test_it_starts_comes_back_after_a_crash_and_a_hang_and_goes(tmp_path: Path) -> None:
    video = write_quadrants(tmp_path / "quadrants.avi")
    options = [
        "--source",
        str(video),
        "--sink",
        EXCLUSIVE,
        "--size",
        f"{SIZE[0]}x{SIZE[1]}",
        "--fps",
        str(FPS),
    ]
    installed = vcam("service", "install", "--", *options)
    assert installed.returncode == 0, installed.stderr
    assert "Active: active (running)" in vcam("service", "status").stdout
    first = in_time(running)
    os.kill(first, signal.SIGKILL)
    second = in_time(lambda: running(first))
    os.kill(second, signal.SIGSTOP)  # hangs: the watchdog ends it
    third = in_time(lambda: running(second))
    assert not Path("/proc", str(second)).exists()
    removed = vcam("service", "uninstall")
    assert removed.returncode == 0, removed.stderr
    assert not Path("/proc", str(third)).exists()
    assert vcam("status").returncode == 3
    gone = vcam("service", "status")
    assert (gone.returncode, "`vcam service install` writes it" in gone.stderr) == (2, True)
