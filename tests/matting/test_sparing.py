"""Fewer runs of the engine while nothing moves."""

from __future__ import annotations

import numpy as np

from vcam.backends.fake import FakeBackend
from vcam.frame import Frame, Matrix, Matte
from vcam.matting.matter import Matter
from vcam.matting.pyramid import Pyramid
from vcam.matting.sparing import SparingMatter

SIZE = (640, 360)


def _bright_is_person(image: np.ndarray) -> np.ndarray:
    return np.where(image[..., 1] > 128, 255, 0).astype(np.uint8)


def _frame(left: int, seed: int = 0, size: tuple[int, int] = SIZE) -> Frame:
    """A bright square at `left` before a dark wall, with a camera's noise."""
    frame = Frame.empty(size, Matrix.BT601)
    noise = np.random.default_rng(seed).normal(0, 3, frame.y.shape)
    frame.data[:] = 128
    frame.y[:] = np.clip(60 + noise, 16, 235).astype(np.uint8)
    frame.y[120:240, left : left + 120] += 120
    return frame


def _run(frames: list[Frame]) -> tuple[list[Matte], int]:
    backend = FakeBackend(_bright_is_person)
    with SparingMatter(Matter(backend)) as matter:
        mattes = [matter.matte(frame, Pyramid.of(frame)) for frame in frames]
    return mattes, backend.runs - 1  # one to warm up


def test_while_nothing_moves_every_second_frame_is_computed() -> None:
    mattes, runs = _run([_frame(200, seed) for seed in range(10)])
    assert runs == 5
    assert all(matte.alpha.max() == 255 for matte in mattes)


def test_what_moves_is_computed_in_every_frame_and_does_not_trail() -> None:
    frames = [_frame(100 + 6 * index, index) for index in range(10)]
    mattes, runs = _run(frames)
    assert runs == 10
    for index, matte in enumerate(mattes):
        columns = np.flatnonzero(matte.alpha[32])  # the fake engine has 64 x 64 pixels
        assert abs(columns[0] - (100 + 6 * index) / 10) <= 1


def test_a_hand_that_appears_is_seen_at_once() -> None:
    hand = _frame(200, 1)
    hand.y[20:60, 400:440] += 120
    mattes, runs = _run([_frame(200, 0), hand])
    assert runs == 2
    assert mattes[1].alpha[3:10, 40:44].any()


def test_nothing_is_carried_over_a_reset_or_another_size() -> None:
    backend = FakeBackend(_bright_is_person)
    with SparingMatter(Matter(backend)) as matter:
        for size, reset in (SIZE, False), (SIZE, True), ((480, 360), False):
            frame = _frame(200, size=size)
            if reset:
                matter.reset()
            matter.matte(frame, Pyramid.of(frame))
    assert backend.runs - 1 == 3
