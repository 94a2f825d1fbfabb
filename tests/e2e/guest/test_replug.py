"""A camera is unplugged and plugged in again while `vcam run` goes on writing to the loopback
camera.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.guest.test_on_demand import SIZE, shows_bars, until
from tests.e2e.guest.test_v4l2_sink import EXCLUSIVE
from vcam.frame import Frame
from vcam.linux import procfs, v4l2
from vcam.sources import make_source
from vcam.sources.base import Source, SourceRequest

CYCLES = int(os.environ.get("VCAM_REPLUGS", "5"))
"""VCAM_REPLUGS=50 makes a thorough run; the default is for every day."""
pytestmark = pytest.mark.timeout(400 + 15 * CYCLES)
DRIVER = Path("/sys/bus/platform/drivers/vivid")


def unplug() -> None:
    (DRIVER / "unbind").write_text("vivid.0")


def plug_in() -> None:
    (DRIVER / "bind").write_text("vivid.0")


def camera_node() -> str:
    return next(node.path for node in v4l2.list_nodes() if node.driver == "vivid")


@contextmanager
def vcam_run(errors: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [
        sys.executable,
        "-m",
        "vcam",
        "run",
        *("--engine", "selfie", "--threads", "1"),
        "--source",
        "webcam",
        "--sink",
        "virtual",
        "--always-on",
        "--size",
        "{}x{}".format(*SIZE),
        "--effect",
        "none",
    ]
    with errors.open("wb") as file, subprocess.Popen(command, stderr=file) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0


def read(reader: Source) -> Frame:
    frame = reader.read()
    assert frame is not None, "the loopback camera has ended"
    return frame


def is_card(frame: Frame) -> bool:
    return bool(
        np.abs(frame.u.astype(int) - 128).max() <= 2
        and np.abs(frame.v.astype(int) - 128).max() <= 2
    )


def has_recovered(errors: Path, times: int) -> bool:
    return errors.read_text().count("vcam: running") >= times


def test_the_camera_is_back_each_time(tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    seen = set()
    with vcam_run(errors) as process:
        assert until(lambda: v4l2.describe_node(EXCLUSIVE).is_capture)
        with make_source(f"webcam:{EXCLUSIVE}", SourceRequest(SIZE)) as reader:
            assert until(lambda: shows_bars(read(reader)))
            for cycle in range(CYCLES):
                seen.add(camera_node())
                unplug()
                if cycle % 5 == 0:  # long enough for the card
                    assert until(lambda: is_card(read(reader))), errors.read_text()
                plug_in()
                assert until(partial(has_recovered, errors, cycle + 1)), errors.read_text()
                assert until(lambda: shows_bars(read(reader))), errors.read_text()
                assert process.poll() is None
                print(f"cycle {cycle + 1}", flush=True)  # noqa: T201
            assert until(
                lambda: any(f"({process.pid})" in held for held in procfs.holders(camera_node()))
            )
    told = errors.read_text()
    assert told.count("vcam: no camera: ") >= CYCLES
    print(f"{CYCLES} cycles, nodes {sorted(seen)}, {told.count('no camera')} times told")  # noqa: T201
    print("\n".join(told.splitlines()[:6]))  # noqa: T201


def test_sigterm_ends_a_run_without_a_camera(tmp_path: Path) -> None:
    unplug()
    try:
        with vcam_run(tmp_path / "errors"):
            assert until(lambda: "vcam: no camera: no camera" in (tmp_path / "errors").read_text())
            threading.Event().wait(1)
    finally:
        plug_in()
