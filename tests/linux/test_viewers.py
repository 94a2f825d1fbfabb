"""Who reads a device: what /proc and inotify show, with a plain file in the place of the device."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from vcam.linux import procfs
from vcam.linux import viewers as readers
from vcam.linux.viewers import LoopbackReaders, Mappings
from vcam.pipeline.demand import Demand

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="V4L2 is Linux's")

PROGRAM = """
import mmap, sys
file = open(sys.argv[1], "r+b")
mapped = mmap.mmap(file.fileno(), 0) if sys.argv[2] == "map" else None
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def node(tmp_path: Path) -> Path:
    path = tmp_path / "video10"
    path.write_bytes(bytes(4096))
    return path


@contextmanager
def program(node: Path, does: str) -> Iterator[int]:
    """Another program that has the file open, and mapped if it `does` "map"."""
    command = [sys.executable, "-c", PROGRAM, str(node), does]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.communicate(b"\n")


def heard(watch: Mappings | LoopbackReaders, wanted: bool, patience_s: float = 5.0) -> bool:
    deadline = time.monotonic() + patience_s
    while watch.wait(0.05) is not wanted:
        if time.monotonic() > deadline:
            return False
    return True


def test_the_event_has_the_number_of_the_driver() -> None:
    assert readers._CLIENT_USAGE == 0x10E00001


@pytest.mark.parametrize("told", [True, False], ids=["inotify", "without inotify"])
def test_a_program_that_maps_the_device_reads_it(node: Path, told: bool) -> None:
    with closing(Mappings(str(node)).open()) as watch:
        if not told:  # as where the user has no watches left
            watch.close()
        assert not watch.wait(0)
        for _ in range(2):
            with program(node, "map"):
                assert heard(watch, True)
            assert heard(watch, False)


def test_a_program_that_only_has_it_open_does_not_read_it(node: Path) -> None:
    with LoopbackReaders(str(node)) as watch, program(node, "open"):
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            assert not watch.wait(0.05)


def test_this_program_itself_does_not_count(node: Path) -> None:
    with node.open("r+b"), LoopbackReaders(str(node)) as watch:
        assert not watch.wait(0.3)
        assert str(os.getpid()) not in [
            process.name for process in procfs.processes_with(str(node))
        ]


def test_a_device_that_is_gone_is_told(node: Path) -> None:
    with LoopbackReaders(str(node)) as watch:
        node.unlink()
        with pytest.raises(FileNotFoundError):
            watch.wait(0.1)
    with pytest.raises(FileNotFoundError), LoopbackReaders(str(node)):
        pass


def test_watching_leaves_nothing_open(node: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        with LoopbackReaders(str(node)) as watch:
            watch.wait(0)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_demand_follows_the_readers(node: Path) -> None:
    with Demand(LoopbackReaders(str(node)), linger_s=0.2) as demand:
        assert not demand.wanted.wait(0.3)
        with program(node, "map"):
            assert demand.wanted.wait(5)
        deadline = time.monotonic() + 5
        while demand.wanted.is_set() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not demand.wanted.is_set()
