"""Anatomical rules: one mouth, and one eye and one brow on each side."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.frame import FaceClass, Plane

_HALF = 127
_PAIRS = ((FaceClass.LEFT_EYE, FaceClass.RIGHT_EYE), (FaceClass.LEFT_BROW, FaceClass.RIGHT_BROW))
_MOUTH = (FaceClass.LIPS, FaceClass.TEETH)
_SECOND_SHARE, _BESIDE_WIDTHS = 0.2, 1.5
"""A second piece of a mouth: minimum area relative to the first, and maximum distance in mouth
widths.
"""


def tidy(probs: NDArray[np.uint8]) -> None:
    """Fix anatomically impossible parses in place: specks become skin, left and right are assigned
    by x position, edges are smoothed.

    A mouth may be in two pieces, separated by a microphone or a finger.

    Engines confuse left and right in turned or mirrored faces, and label the white of an eye as
    teeth.

    Args:
        probs: uint8 [C, h, w], a plane per FaceClass, of one face.
    """
    mouths = _mouth_pieces(_pieces(_sum(probs, *_MOUTH), 2))
    if mouths:
        whole = np.asarray(np.maximum.reduce(mouths), np.uint8)
        for which in _MOUTH:
            _keep(probs, which, whole)
    for left, right in _PAIRS:
        both = _sum(probs, left, right)
        found = [
            piece
            for piece in _pieces(both, 2)
            if not mouths or _middle(piece)[1] < _middle(mouths[0])[1]
        ]
        sides = sorted(found, key=lambda piece: _middle(piece)[0])
        if len(sides) == 1:
            first = cv2.mean(probs[left], sides[0])[0] >= cv2.mean(probs[right], sides[0])[0]
            sides = [sides[0], np.zeros_like(both)] if first else [np.zeros_like(both), sides[0]]
        if len(sides) == 2:
            for which, side in ((left, sides[0]), (right, sides[1])):
                probs[which] = cv2.bitwise_and(both, side)
            rest = cv2.subtract(both, cv2.add(probs[left], probs[right]))
            cv2.add(probs[FaceClass.SKIN], rest, dst=probs[FaceClass.SKIN])
    for plane in probs[
        FaceClass.SKIN :
    ]:  # an engine's edges have steps, which become visible when enlarged
        cv2.GaussianBlur(plane, (3, 3), 0, dst=plane)


def _sum(probs: NDArray[np.uint8], one: int, other: int) -> Plane:
    return np.asarray(cv2.add(probs[one], probs[other]), np.uint8)


def _pieces(plane: Plane, count: int) -> list[Plane]:
    """Masks 255 or 0 of the largest connected pieces, with a margin; largest first."""
    sure = cv2.threshold(plane, _HALF, 255, cv2.THRESH_BINARY)[1]
    _, labels, stats, _ = cv2.connectedComponentsWithStats(sure)
    order = np.argsort(-stats[1:, cv2.CC_STAT_AREA])[:count] + 1
    margin = np.ones((7, 7), np.uint8)
    return [
        np.asarray(cv2.dilate((labels == which).astype(np.uint8) * 255, margin), np.uint8)
        for which in order
    ]


def _mouth_pieces(pieces: list[Plane]) -> list[Plane]:
    """The largest piece, and a second one beside it that is not much smaller."""
    if len(pieces) < 2 or cv2.countNonZero(pieces[1]) < _SECOND_SHARE * cv2.countNonZero(pieces[0]):
        return pieces[:1]
    _, _, width, height = cv2.boundingRect(pieces[0])
    (x, y), (other_x, other_y) = map(_middle, pieces)
    is_beside = abs(other_x - x) < _BESIDE_WIDTHS * width and abs(other_y - y) < height
    return pieces if is_beside else pieces[:1]


def _middle(mask: Plane) -> tuple[float, float]:
    left, top, width, height = cv2.boundingRect(mask)
    return left + width / 2, top + height / 2


def _keep(probs: NDArray[np.uint8], which: int, mask: Plane) -> None:
    """Relabel a class outside a mask as skin."""
    kept = np.asarray(cv2.bitwise_and(probs[which], mask), np.uint8)
    cv2.add(probs[FaceClass.SKIN], cv2.subtract(probs[which], kept), dst=probs[FaceClass.SKIN])
    probs[which] = kept
