"""The demo, the test pattern and the scripted fake."""

from __future__ import annotations

import hashlib
import threading
import time
from itertools import pairwise

import cv2
import numpy as np
import pytest

from tests.sources.media_files import assert_quadrants
from vcam.colour import to_rgb
from vcam.errors import SourceError, SourceLost
from vcam.frame import Frame, Matrix, Size
from vcam.sources.base import SourceRequest
from vcam.sources.demo import DemoSource
from vcam.sources.fake import Block, Deaf, FakeSource, Wait
from vcam.sources.pattern import QUADRANTS, PatternSource, read_counter


def take(source: DemoSource | PatternSource, count: int) -> list[Frame]:
    with source:
        return [frame for frame in (source.read() for _ in range(count)) if frame]


def digest(frames: list[Frame]) -> str:
    return hashlib.sha256(b"".join(frame.data.tobytes() for frame in frames)).hexdigest()


@pytest.mark.parametrize("kind", [DemoSource, PatternSource])
def test_generated_sources_are_endless_and_repeatable(
    kind: type[DemoSource] | type[PatternSource],
) -> None:
    source = kind("", SourceRequest(size=(160, 90), fps=25))
    assert (source.size, source.fps, source.frames, source.live, source.mode) == (
        (160, 90),
        25,
        None,
        False,
        "",
    )
    before = time.monotonic_ns()
    frames = take(source, 5)
    assert [(frame.index, frame.pts_ns) for frame in frames] == [
        (i, i * 40_000_000) for i in range(5)
    ]
    assert {(frame.size, frame.matrix) for frame in frames} == {((160, 90), Matrix.BT601)}
    assert before <= frames[0].t_capture_ns <= frames[4].t_capture_ns <= time.monotonic_ns()
    assert len({digest([frame]) for frame in frames}) == 5
    assert digest(frames) == digest(take(kind("", SourceRequest(size=(160, 90), fps=25)), 5))
    assert kind("", SourceRequest()).size == (1280, 720)


@pytest.mark.parametrize("kind", [DemoSource, PatternSource])
def test_interrupt_ends_generated_sources(kind: type[DemoSource] | type[PatternSource]) -> None:
    with kind("", SourceRequest(size=(64, 36))) as source:
        assert source.read() is not None
        source.interrupt()
        assert source.read() is None
    source.close()


def skin_share(frame: Frame, rows: slice, columns: slice) -> float:
    """How much of a part has the colour of skin (Chai and Ngan 1999: Cb 77..127, Cr 133..173)."""
    u, v = frame.u[rows, columns], frame.v[rows, columns]
    return float(((u > 77) & (u < 127) & (v > 133) & (v < 173)).mean())


@pytest.mark.parametrize("size", [(1280, 720), (640, 480), (360, 640), (240, 240), (1920, 1080)])
def test_the_demo_shows_a_face_in_the_middle_at_any_shape(size: Size) -> None:
    for frame in take(DemoSource("", SourceRequest(size=size)), 3):
        height, width = frame.u.shape
        middle = (
            slice(int(height * 0.3), int(height * 0.45)),
            slice(int(width * 0.43), int(width * 0.53)),
        )
        assert frame.size == size
        assert skin_share(frame, *middle) > 0.7
        assert skin_share(frame, slice(0, height), slice(0, width)) < 0.6
        assert (frame.y.min(), frame.y.max()) >= (16, 200)
        assert frame.y.max() <= 235


def shift(before: Frame, after: Frame) -> float:
    """Pixels that the picture has moved, by phase correlation."""
    (x, y), _ = cv2.phaseCorrelate(before.y.astype(np.float32), after.y.astype(np.float32))
    return float(np.hypot(x, y))


def test_the_demo_moves_slowly_and_smoothly() -> None:
    frames = take(DemoSource("", SourceRequest(size=(320, 180)), noise=False), 150)
    steps = [shift(before, after) for before, after in pairwise(frames)]
    assert max(steps) < 1.5
    assert max(shift(frames[0], frame) for frame in frames[::10]) > 3


def test_the_demo_moves_by_the_clock_not_by_the_frame() -> None:
    slow = take(DemoSource("", SourceRequest(size=(160, 90), fps=10), noise=False), 11)[10]
    fast = take(DemoSource("", SourceRequest(size=(160, 90), fps=30), noise=False), 31)[30]
    assert np.array_equal(slow.data, fast.data)


def test_the_demo_obeys_mirror_and_matrix() -> None:
    plain = take(DemoSource("", SourceRequest(size=(320, 180)), noise=False), 1)[0]
    mirrored = take(DemoSource("", SourceRequest(size=(320, 180), mirror=True), noise=False), 1)[0]
    assert np.abs(cv2.flip(plain.y, 1).astype(int) - mirrored.y).mean() < 1
    assert np.abs(plain.y.astype(int) - mirrored.y).mean() > 20
    other = take(
        DemoSource("", SourceRequest(size=(320, 180), matrix=Matrix.BT709), noise=False), 1
    )[0]
    assert other.matrix is Matrix.BT709
    assert np.abs(to_rgb(other).astype(int) - to_rgb(plain)).mean() < 2


def test_the_demo_never_shows_a_border() -> None:
    """The window stays inside the photo, whose edges would otherwise be seen as mirror images."""
    source = DemoSource("", SourceRequest(size=(320, 180)))
    corners = np.array([[0, 320, 0, 320], [0, 0, 180, 180], [1, 1, 1, 1]], float)
    for time_s in range(0, 3600, 7):
        inside = source._window(time_s) @ corners
        assert inside.min() >= -0.5
        assert inside.max() <= 512.5


@pytest.mark.parametrize("size", [(64, 36), (320, 180), (322, 182), (1280, 720), (360, 640)])
def test_the_pattern_can_be_read_back(size: Size) -> None:
    for frame in take(PatternSource("", SourceRequest(size=size)), 40):
        assert read_counter(frame) == frame.index
        assert frame.size == size


def test_the_pattern_counts_beyond_the_first_frames() -> None:
    with PatternSource("", SourceRequest(size=(64, 36))) as source:
        source._index = 43_690
        frame = source.read()
    assert frame is not None
    assert read_counter(frame) == 43_690


@pytest.mark.parametrize("matrix", Matrix)
def test_the_pattern_has_the_colours_it_says(matrix: Matrix) -> None:
    frames = take(PatternSource("", SourceRequest(size=(128, 96), matrix=matrix)), 1)
    assert frames[0].matrix is matrix
    assert_quadrants(frames[0], QUADRANTS, within=2)
    mirrored = take(
        PatternSource("", SourceRequest(size=(128, 96), matrix=matrix, mirror=True)), 1
    )[0]
    assert_quadrants(mirrored, [QUADRANTS[1], QUADRANTS[0], QUADRANTS[3], QUADRANTS[2]], within=2)
    assert np.array_equal(mirrored.y, cv2.flip(frames[0].y, 1))


def frame_of(value: int) -> Frame:
    frame = Frame.empty((4, 2), Matrix.BT709)
    frame.data.fill(value)
    return frame


def test_the_fake_follows_its_script() -> None:
    source = FakeSource(
        [frame_of(1), Wait(0.05), frame_of(2), SourceLost("gone"), frame_of(3)], fps=25
    )
    assert (source.size, source.fps, source.frames, source.live) == ((4, 2), 25, 3, False)
    with source:
        first, second = source.read(), source.read()
        assert first is not None
        assert second is not None
        assert [(f.y[0, 0], f.index, f.pts_ns, f.matrix) for f in (first, second)] == [
            (1, 0, 0, Matrix.BT709),
            (2, 1, 40_000_000, Matrix.BT709),
        ]
        assert second.t_capture_ns - first.t_capture_ns >= 50_000_000
        with pytest.raises(SourceLost, match="gone"):
            source.read()
        assert source.read() is not None
        assert source.read() is None
    assert (source.opened, source.closed, source.interrupted) == (1, 1, False)


def test_the_fake_blocks_until_interrupted() -> None:
    with FakeSource([Block(), frame_of(1)], live=True) as source:
        threading.Timer(0.1, source.interrupt).start()
        assert source.read() is None
        assert source.interrupted
        assert source.frames is None


def test_a_deaf_fake_does_not_hear_an_interrupt() -> None:
    got: list[Frame | None] = []
    with FakeSource([Deaf(0.5), frame_of(1)]) as source:
        thread = threading.Thread(target=lambda: got.append(source.read()))
        thread.start()
        while len(source._steps) == 2:
            time.sleep(0.001)
        source.interrupt()
        thread.join(timeout=0.1)
        assert thread.is_alive()
        thread.join(timeout=5)
    assert got == [None]


def test_a_fake_that_cannot_be_opened_is_closed() -> None:
    source = FakeSource([], open_error=SourceError("nothing there"))
    with pytest.raises(SourceError, match="nothing there"), source:
        pass
    assert (source.opened, source.closed) == (1, 1)


def test_the_demo_keeps_colour_and_brightness_together() -> None:
    """Chroma that is off by half a sample would be off by twice as much of the picture at half the
    size.
    """
    small = take(DemoSource("", SourceRequest(size=(320, 180)), noise=False), 1)[0]
    large = take(DemoSource("", SourceRequest(size=(640, 360)), noise=False), 1)[0]
    enlarged = cv2.resize(small.v, (320, 180), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    (x, y), _ = cv2.phaseCorrelate(enlarged, large.v.astype(np.float32))
    assert abs(x) < 0.2
    assert abs(y) < 0.2
