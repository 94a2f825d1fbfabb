"""A parse is made to have one mouth and an eye on each side."""

from __future__ import annotations

import numpy as np

from tests.face.drawing import Face, draw, regions_of
from vcam.face.tidy import tidy
from vcam.frame import FaceClass


def _probs() -> np.ndarray:
    return regions_of(draw(Face())[1]).probs.copy()


def test_a_good_parse_stays_as_it_is() -> None:
    probs = _probs()
    before = probs.copy()
    tidy(probs)
    assert np.abs(probs.astype(int) - before).max() < 70
    assert ((probs > 127) != (before > 127)).mean() < 0.001


def test_left_and_right_go_by_place() -> None:
    good, probs = _probs(), _probs()
    probs[FaceClass.LEFT_EYE], probs[FaceClass.RIGHT_EYE] = (
        good[FaceClass.RIGHT_EYE],
        good[FaceClass.LEFT_EYE],
    )
    half = good[FaceClass.RIGHT_BROW] // 2
    probs[FaceClass.LEFT_BROW] = good[FaceClass.LEFT_BROW] + half
    probs[FaceClass.RIGHT_BROW] = good[FaceClass.RIGHT_BROW] - half
    tidy(probs)
    for which in (
        FaceClass.LEFT_EYE,
        FaceClass.RIGHT_EYE,
        FaceClass.LEFT_BROW,
        FaceClass.RIGHT_BROW,
    ):
        assert np.abs(probs[which].astype(int) - good[which]).max() < 70, which


def test_teeth_in_an_eye_become_skin() -> None:
    good, probs = _probs(), _probs()
    probs[FaceClass.TEETH] = np.maximum(probs[FaceClass.TEETH], good[FaceClass.LEFT_EYE])
    probs[FaceClass.LEFT_EYE] = 0
    tidy(probs)
    assert np.abs(probs[FaceClass.TEETH].astype(int) - good[FaceClass.TEETH]).max() < 70
    eye = good[FaceClass.LEFT_EYE] > 200
    assert probs[FaceClass.SKIN][eye].min() > 200
    assert np.abs(probs[FaceClass.RIGHT_EYE].astype(int) - good[FaceClass.RIGHT_EYE]).max() < 70


def test_a_mouth_that_something_divides_keeps_both_halves() -> None:
    good, probs = _probs(), _probs()
    mouth = (good[FaceClass.LIPS] > 127) | (good[FaceClass.TEETH] > 127)
    columns = np.flatnonzero(mouth.any(axis=0))
    middle = int(columns.mean())
    between = np.zeros(mouth.shape, bool)
    between[:, middle - 6 : middle + 7] = True
    for which in (FaceClass.LIPS, FaceClass.TEETH):
        probs[FaceClass.PERSON][between] = np.maximum(probs[FaceClass.PERSON], probs[which])[
            between
        ]
        probs[which][between] = 0
    before = probs[FaceClass.LIPS] > 200
    tidy(probs)
    for half in (np.s_[:, : middle - 8], np.s_[:, middle + 9 :]):
        assert probs[FaceClass.LIPS][half][before[half]].mean() > 180


def test_a_third_eye_becomes_skin() -> None:
    good, probs = _probs(), _probs()
    rows, columns = np.nonzero(good[FaceClass.LEFT_EYE] > 127)
    spot = np.s_[
        int(rows.min()) - 30 : int(rows.min()) - 24,
        int(columns.mean()) + 28 : int(columns.mean()) + 34,
    ]
    assert good[FaceClass.SKIN][spot].min() > 200
    probs[FaceClass.SKIN][spot], probs[FaceClass.LEFT_EYE][spot] = 0, 255
    tidy(probs)
    assert probs[FaceClass.LEFT_EYE][spot].max() == 0
    assert probs[FaceClass.SKIN][spot].min() > 100


def test_an_eye_below_the_mouth_is_none() -> None:
    probs = _probs()
    probs[FaceClass.LEFT_EYE] = np.roll(probs[FaceClass.LEFT_EYE], 60, axis=0)
    tidy(probs)
    assert probs[FaceClass.RIGHT_EYE].max() > 200
    assert probs[FaceClass.LEFT_EYE].max() == 0
