"""`vcam run` from a kernel camera to a loopback camera that is read, twice without reloading the
module.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import numpy as np

from tests.e2e.guest.test_v4l2_sink import EXCLUSIVE, VIVID
from vcam.colour import ycbcr_of
from vcam.errors import SourceError
from vcam.frame import Frame, Matrix
from vcam.sources import make_source
from vcam.sources.base import SourceRequest

SIZE = (320, 180)
ROOM = (32, 160, 224)
PATIENCE_S = 90


def first_pictures(count: int) -> list[Frame]:
    """What a meeting program sees of the virtual camera, as soon as there is something."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            with make_source(f"webcam:{EXCLUSIVE}", SourceRequest(SIZE)) as reader:
                frames = [reader.read() for _ in range(count)]
            return [frame for frame in frames if frame is not None]
        except SourceError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def shows_room_colour(frame: Frame) -> bool:
    """Whether most of the picture is the colour that replaces the room."""
    wanted = ycbcr_of(ROOM, Matrix.BT601)
    near = [
        np.abs(p.astype(int) - value) <= 3 for p, value in zip(frame.planes, wanted, strict=True)
    ]
    return bool(near[0].mean() > 0.5 and near[1].mean() > 0.5 and near[2].mean() > 0.5)


def test_a_camera_reaches_the_virtual_camera_and_again_in_a_second_run() -> None:
    command = [
        sys.executable,
        "-m",
        "vcam",
        "run",
        *("--engine", "selfie", "--threads", "1"),
        "--source",
        VIVID,
        "--sink",
        "virtual",
        "--always-on",
        "--size",
        "320x180",
        "--effect",
        "color:#{:02x}{:02x}{:02x}".format(*ROOM),
    ]
    for _ in range(2):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + PATIENCE_S
        shown = False
        while not shown and time.monotonic() < deadline:
            frames = first_pictures(5)
            assert {frame.size for frame in frames} == {SIZE}
            shown = any(shows_room_colour(frame) for frame in frames)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
        assert shown
        assert (process.returncode, errors) == (0, "")
