"""Memory of pictures, used again once nobody holds it."""

from __future__ import annotations

import numpy as np
import pytest

from vcam.effects import make_effects
from vcam.effects.composer import Composer
from vcam.effects.matte import MatteFilm
from vcam.effects.pool import FramePool
from vcam.frame import Frame, Matrix, Matte
from vcam.matting.pyramid import Pyramid
from vcam.matting.refine import RefineConfig
from vcam.monitor import Stats

SIZE = (64, 48)


def _frame() -> Frame:
    frame = Frame.empty(SIZE, Matrix.BT709, t_capture_ns=5, index=7, pts_ns=9)
    frame.data[:] = 100
    return frame


def _address(frame: Frame) -> int:
    return int(frame.data.ctypes.data)


def test_a_frame_is_like_the_one_it_is_made_for() -> None:
    made = FramePool().like(_frame())
    assert (made.size, made.matrix, made.index) == (SIZE, Matrix.BT709, 7)
    assert (made.t_capture_ns, made.pts_ns, made.alpha) == (5, 9, None)


def test_memory_is_used_again_when_the_last_holder_lets_go() -> None:
    pool, frame = FramePool(), _frame()
    made = pool.like(frame)
    address = _address(made)
    del made
    assert _address(pool.like(frame)) == address


@pytest.mark.parametrize(
    "part",
    [
        lambda frame: frame,
        lambda frame: frame.data,
        lambda frame: frame.v,
        lambda frame: frame.chroma[3:5, 1:2],
        lambda frame: memoryview(frame.data),
    ],
)
def test_memory_is_left_alone_while_any_part_of_it_is_held(part: object) -> None:
    pool, frame = FramePool(), _frame()
    made = pool.like(frame)
    made.data[:] = 42
    held = part(made)  # type: ignore[operator]
    del made
    for _ in range(9):
        pool.like(frame).data[:] = 1
    seen = held.data if isinstance(held, Frame) else held
    assert (np.asarray(seen) == 42).all()


def test_another_size_gets_its_own_memory() -> None:
    pool = FramePool()
    pool.like(_frame())
    assert pool.like(Frame.empty((32, 20), Matrix.BT601)).size == (32, 20)


@pytest.mark.parametrize("effects", [["blur"], ["color:green", "blur"]])
def test_a_run_that_keeps_the_last_picture_uses_little_memory(effects: list[str]) -> None:
    frame, matte = _frame(), Matte(np.full((16, 16), 90, np.uint8))
    addresses, last = set(), None
    with Composer(
        make_effects(effects), RefineConfig(), Stats(), transparent=False, live=True
    ) as composer:
        for _ in range(20):
            last = composer.compose(frame, Pyramid.of(frame), matte)
            addresses.add(_address(last))
        kept = [composer.compose(frame, Pyramid.of(frame), matte) for _ in range(8)]
    assert last is not None
    assert len(addresses) <= 3
    assert len({_address(each) for each in (*kept, last)}) == 9


def test_no_effect_fills_memory_that_is_in_use() -> None:
    """Every effect of the room makes a new picture, and none writes into the captured one."""
    frame, matte = _frame(), Matte(np.full((16, 16), 90, np.uint8))
    before = frame.data.copy()
    for text in ("blur", "color:green", "remove", "blur:0.1"):
        with Composer(
            make_effects([text]), RefineConfig(), Stats(), transparent=False, live=True
        ) as composer:
            out = composer.compose(frame, Pyramid.of(frame), matte)
        assert not np.shares_memory(out.data, frame.data)
    assert (frame.data == before).all()


@pytest.mark.parametrize("overlay", [None, 0.5])
def test_a_matte_as_a_picture_is_made_in_memory_of_the_pool(overlay: float | None) -> None:
    frame = _frame()
    matte = Matte(np.full((16, 16), 255, np.uint8))
    with Composer(
        [MatteFilm(overlay=overlay)], RefineConfig(), Stats(), transparent=False, live=True
    ) as composer:
        out = composer.compose(frame, Pyramid.of(frame), matte)
    assert out.y.min() > 150 if overlay is None else out.y.std() < 1
