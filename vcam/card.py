"""The picture that is shown when there is nothing else that may be shown."""

from __future__ import annotations

import cv2

from vcam.frame import Frame, Matrix, Size

_GREY_LUMA = 40
_TEXT_LUMA = 160
_NEUTRAL_CHROMA = 128


def make_card(size: Size, matrix: Matrix, text: str) -> Frame:
    """A dark grey frame with one line of text in the middle, made without any camera picture."""
    card = Frame.empty(size, matrix)
    card.y[:] = _GREY_LUMA
    card.u[:] = _NEUTRAL_CHROMA
    card.v[:] = _NEUTRAL_CHROMA
    width, height = size
    scale = height / 500
    (text_w, text_h), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    origin = ((width - text_w) // 2, (height + text_h) // 2)
    cv2.putText(card.y, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, _TEXT_LUMA, 1, cv2.LINE_AA)
    return card
