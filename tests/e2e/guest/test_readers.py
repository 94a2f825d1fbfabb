"""`vcam run` and programs that read its pictures through the kernel: several, coming and going,
staying.
"""

from __future__ import annotations

import select
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from tests.e2e.guest.footage import (
    FPS,
    PATIENCE_S,
    SIZE,
    room_and_face,
    vcam_run,
    write_person,
    write_quadrants,
)
from tests.e2e.guest.test_run import first_pictures
from tests.e2e.guest.test_v4l2_sink import EXCLUSIVE
from tests.sinks.pictures import centres, expected
from vcam.frame import Frame, Matrix, Size

pytestmark = pytest.mark.timeout(500)
SMALL: Size = (320, 180)


def shows_quadrants(frame: Frame) -> bool:
    """Whether the four colours are there, but for rounding and compression."""
    planes = zip(frame.planes, expected(Matrix.BT601), strict=True)
    return all(np.abs(np.subtract(centres(plane), values)).max() <= 6 for plane, values in planes)


def frames_from(stream: IO[bytes], size: Size = SIZE) -> Iterator[Frame]:
    """What a reader passes on, until it has nothing more for a long time, or ends."""
    width, height = size
    while select.select([stream], [], [], PATIENCE_S)[0]:
        data = stream.read(width * height * 3 // 2)
        if len(data) < width * height * 3 // 2:
            return
        yield Frame(np.frombuffer(data, np.uint8).reshape(height * 3 // 2, width), Matrix.BT601)


@contextmanager
def reader() -> Iterator[IO[bytes]]:
    """v4l2-ctl, which passes on the frames of the virtual camera; it waits while nobody
    takes them.
    """
    command = [
        "v4l2-ctl",
        "-d",
        EXCLUSIVE,
        "--stream-mmap=2",
        "--stream-count=1000000",
        "--stream-to=-",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.kill()


def test_readers_come_and_go_and_share_the_camera(tmp_path: Path) -> None:
    with vcam_run(write_quadrants(tmp_path / "quadrants.avi")):
        command = ["v4l2-ctl", "-d", EXCLUSIVE, "--get-fmt-video", "--get-parm"]
        shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        for words in ("640/360", "'YU12'", "ITU-R 601", "Limited Range", f"{FPS}.000 ({FPS}/1)"):
            assert words in shown
        with reader() as stays:
            assert any(shows_quadrants(frame) for frame in frames_from(stays))
            for _ in range(3):
                with reader() as goes:
                    assert any(shows_quadrants(frame) for frame in frames_from(goes))
            pictures = first_pictures(
                40
            )  # FFmpeg as a second reader, fitted to the size that it wants there
            assert {frame.size for frame in pictures} == {SMALL}
            assert any(
                shows_quadrants(frame) for frame in pictures
            )  # others are cards: the engine is slow here
            assert shows_quadrants(next(frames_from(stays)))


def test_a_reader_that_stays_sees_the_next_run_in_its_size_and_never_the_room(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        with vcam_run(write_quadrants(tmp_path / "quadrants.avi")):
            frames = frames_from(stack.enter_context(reader()))
            assert any(shows_quadrants(frame) for frame in frames)
        with vcam_run(write_person(tmp_path / "person.avi"), size=SMALL):
            shown = 0
            for frame in frames:  # the rest of the first run, the cards of both, and the second run
                room, face = room_and_face(frame.y)
                assert room < 2
                shown += face > 3 and frame.y.mean() > 60 and not shows_quadrants(frame)
                if shown == 3:
                    return
    pytest.fail("the reader did not see the second run")
