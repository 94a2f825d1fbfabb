"""Videos whose way through a camera can be recognised, and `vcam run` playing them."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from tests.e2e.guest.test_v4l2_sink import EXCLUSIVE
from tests.sinks.pictures import QUADRANTS, quadrants
from vcam.frame import Frame, Size
from vcam.linux import v4l2
from vcam.sinks import SinkRequest, make_sink
from vcam.sources import make_source
from vcam.sources.base import SourceRequest

FPS = 5
"""Emulation is slow: few pictures leave it time for browsers."""
SIZE: Size = (640, 360)
ROOM: Size = (120, 240)
"""Width and height of the chequered strips left and right of the person's head in
`write_person`.
"""
_FRAMES = 20
_ROUNDS = 100
PATIENCE_S = 200.0
_STOP_S = 30.0


def moving_quadrants(size: Size) -> list[Frame]:
    """Frames of four colours with a grey bar that moves across the middle, so that no two
    neighbours are alike.
    """
    frames = []
    width, height = size
    for index in range(_FRAMES):
        frame = quadrants(size)
        left = index * (width - width // 8) // _FRAMES
        for shift, plane in zip((0, 1, 1), frame.planes, strict=True):
            plane[
                height * 7 // 16 >> shift : height * 9 // 16 >> shift,
                left >> shift : left + width // 8 >> shift,
            ] = 128
        frames.append(frame)
    return frames


def write_quadrants(path: Path, size: Size = SIZE) -> Path:
    """A video of `moving_quadrants`."""
    _write(path, moving_quadrants(size))
    return path


def shows_quadrants(rgb: NDArray[np.uint8], tolerance: int = 8) -> bool:
    """Whether the middles of the quadrants of uint8 [H, W, 3] have their colours, but for rounding
    and compression.
    """
    height, width = rgb.shape[:2]
    found = [
        rgb[row, column]
        for row in (height // 4, height * 3 // 4)
        for column in (width // 4, width * 3 // 4)
    ]
    return bool(np.abs(np.array(found, np.int16) - np.array(QUADRANTS)).max() <= tolerance)


def write_person(path: Path) -> Path:
    """A video of the demo's person, with a chequered room to the left and right that any blur must
    take away.
    """
    with make_source("demo", SourceRequest(SIZE)) as source:
        frames = [frame for _ in range(_FRAMES) if (frame := source.read()) is not None]
    rows, columns = np.indices(ROOM[::-1])
    chequers = np.where((rows // 4 + columns // 4) % 2, 235, 16)
    for frame in frames:
        for left in (0, SIZE[0] - ROOM[0]):
            frame.y[: ROOM[1], left : left + ROOM[0]] = chequers
    _write(path, frames)
    return path


def _write(path: Path, frames: list[Frame]) -> None:
    """Encode the frames once, each for itself, and write them `_ROUNDS` times, as `vcam run` plays
    a file once.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "mpeg4", rate=FPS, options={"qmin": "1", "qmax": "2", "g": "1"}
        )
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 20_000_000
        pictures = []
        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame.data, "yuv420p")
            picture.pts = index
            pictures += stream.encode(picture)
        data = [bytes(packet) for packet in [*pictures, *stream.encode()]]
        for index in range(_ROUNDS * len(data)):
            packet = av.Packet(data[index % len(data)])
            packet.stream, packet.time_base, packet.is_keyframe = stream, 1 / Fraction(FPS), True
            packet.pts = packet.dts = index
            container.mux(packet)


def roughness(luma: NDArray[np.uint8]) -> float:
    """Mean difference of neighbours in a row: about 55 for the chequers, next to nothing where they
    are blurred.

    luma: uint8 [H, W], or one channel of RGB.
    """
    return float(np.abs(np.diff(luma.astype(np.int16), axis=1)).mean())


def room_and_face(luma: NDArray[np.uint8]) -> tuple[float, float]:
    """The roughness of the chequered strips, the rougher one, and of the face between them.

    luma: uint8 [H, W] of a picture that shows the video of `write_person` at any size.
    """
    height, width = luma.shape
    columns, rows = width * ROOM[0] // SIZE[0] - 4, height * ROOM[1] // SIZE[1] - 4
    room = max(roughness(luma[:rows, :columns]), roughness(luma[:rows, -columns:]))
    return room, roughness(luma[height // 4 : height * 3 // 4, width * 2 // 5 : width * 3 // 5])


@contextmanager
def vcam_run(source: Path, *options: str, size: Size = SIZE) -> Iterator[subprocess.Popen[bytes]]:
    """`vcam run --effect blur` into the virtual camera, there when the block begins; checks its
    end.
    """
    command = [
        sys.executable,
        "-m",
        "vcam",
        "run",
        *("--engine", "selfie", "--threads", "1"),
        "--effect",
        "blur",
        "--source",
        str(source),
        "--sink",
        "virtual",
    ]
    command += ["--size", f"{size[0]}x{size[1]}", "--fps", str(FPS), *options]
    log = source.with_suffix(".log")
    with log.open("wb") as errors:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not v4l2.describe_node(EXCLUSIVE).is_capture:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "vcam run has not begun"
            time.sleep(0.5)
        yield process
        assert process.poll() is None, log.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(_STOP_S) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


@contextmanager
def writing(size: Size = SIZE) -> Iterator[Size]:
    """`moving_quadrants` into the virtual camera from a thread, which starts faster than `vcam
    run`; gives the size.
    """
    stop = threading.Event()
    with make_sink("virtual", SinkRequest(size, FPS)) as sink:
        assert sink.size is not None
        frames = itertools.cycle(moving_quadrants(sink.size))

        def work() -> None:
            while not stop.wait(1 / FPS):
                sink.send(next(frames))

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield sink.size
        finally:
            stop.set()
            thread.join()
