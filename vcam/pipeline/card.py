"""The placeholder picture, shown if no composed frame may be shown."""

from __future__ import annotations

import cv2

from vcam.frame import Frame, Matrix, Size
from vcam.monitor import IDLE, PAUSED, State

_GREY_LUMA = 40
_TEXT_LUMA = 160
_NEUTRAL_CHROMA = 128


def make_card(size: Size, matrix: Matrix, *lines: str) -> Frame:
    """Draw lines of text in the middle of a dark grey frame; no camera picture is involved."""
    card = Frame.empty(size, matrix)
    card.y[:] = _GREY_LUMA
    card.u[:] = _NEUTRAL_CHROMA
    card.v[:] = _NEUTRAL_CHROMA
    width, height = size
    for i, line in enumerate(lines):
        scale = height / (500 if i == 0 else 900)
        (text_w, text_h), _ = cv2.getTextSize(line, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        scale *= min(1.0, 0.95 * width / max(text_w, 1))
        (text_w, _), _ = cv2.getTextSize(line, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        origin = ((width - text_w) // 2, (height + text_h) // 2 + i * height // 10)
        cv2.putText(
            card.y, line, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, _TEXT_LUMA, 1, cv2.LINE_AA
        )
    return card


def state_card(size: Size, matrix: Matrix, state: State) -> Frame:
    """The placeholder picture with the state of the run and its reason; advice after ";" is
    dropped.
    """
    if state.name == PAUSED:
        return make_card(size, matrix, "Paused")
    if state.name == IDLE:
        return make_card(size, matrix, "vcam: the camera is off, no program is watching")
    return make_card(size, matrix, f"vcam: {state.name}", state.reason.partition(";")[0])
