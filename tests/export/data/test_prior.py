from __future__ import annotations

import numpy as np

from export.data.prior import SHARES, previous

_SIZE = (96, 160)


def _person() -> np.ndarray:
    alpha = np.zeros(_SIZE, np.uint8)
    alpha[30:, 50:110] = 255
    return alpha


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    a, b = one > 127, other > 127
    return float((a & b).sum() / max(1, (a | b).sum()))


def test_a_first_frame_a_frame_before_and_another_scene() -> None:
    truth, rng = _person(), np.random.default_rng(3)
    drawn = [previous(truth, rng) for _ in range(400)]
    assert all(matte.shape == _SIZE and matte.dtype == np.uint8 for matte in drawn)
    empty = [matte for matte in drawn if not matte.any()]
    assert abs(len(empty) / 400 - SHARES["none"]) < 0.07
    close = [matte for matte in drawn if _overlap(matte, truth) > 0.7]
    assert abs(len(close) / 400 - SHARES["before"]) < 0.15
    assert len(empty) + len(close) < 390  # the others must not be believed
    assert (truth == _person()).all()


def test_the_frame_before_is_seldom_the_truth_itself() -> None:
    truth, rng = _person(), np.random.default_rng(4)
    assert not any((previous(truth, rng) == truth).all() for _ in range(100))


def test_somebody_may_have_been_where_nobody_is() -> None:
    rng = np.random.default_rng(5)
    assert any(previous(np.zeros(_SIZE, np.uint8), rng).any() for _ in range(40))
