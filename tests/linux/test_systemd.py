"""sd_notify against a real datagram socket."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from vcam.linux.systemd import Notifier

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="systemd is a matter of Linux")


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "notify") if request.param == "path" else f"@vcam-test-{tmp_path.name}"


def test_every_line_arrives_in_one_datagram(address: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, Notifier(address) as notifier:
        systemd.bind(address.replace("@", "\0"))
        systemd.settimeout(5)
        notifier.tell("READY=1", "STATUS=no camera:\nunplugged")
        assert systemd.recv(4096) == b"READY=1\nSTATUS=no camera: unplugged"
        notifier.tell("WATCHDOG=1")
        assert systemd.recv(4096) == b"WATCHDOG=1"


def test_nobody_listens_and_nobody_minds(address: str) -> None:
    with Notifier(address) as notifier:
        notifier.tell("READY=1")
        notifier.close()
        notifier.tell("READY=1")
    with Notifier("") as notifier:
        notifier.tell("READY=1")


def test_a_listener_that_reads_nothing_does_not_hold_anybody_up(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, Notifier(address) as notifier:
        systemd.bind(address)
        for _ in range(5000):  # far more than its buffer takes
            notifier.tell("WATCHDOG=1")
