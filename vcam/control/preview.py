"""Preview pictures of a run, as JPEG."""

from __future__ import annotations

import threading
import time

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.colour import small_to_rgb as rgb_of
from vcam.control.tap import Shot, Tap
from vcam.frame import Frame

_QUALITY = 82
_SHARE = 0.05
"""Maximum share of one core, so that a preview hardly affects a call."""
_LEAST_S = 1 / 15
_PATIENCE_S = 2.0
_TINT = np.array((255, 64, 129), np.float32)
"""Colour of the room in the mask view."""

VIEWS = ("after", "before", "mask")


class Preview:
    """Makes JPEGs of the newest picture; pages with the same view share them. Callable from any
    thread.

    Args:
        tap: supplies the pictures.
        width: of the JPEGs, in pixels.
    """

    def __init__(self, tap: Tap, width: int = 640) -> None:
        self._tap, self._width = tap, width
        self._lock = threading.Lock()
        self._made: dict[tuple[int, str], bytes] = {}
        self._cost_s = 0.0

    def after(self, number: int, views: tuple[str, ...]) -> tuple[Shot, list[bytes]] | None:
        """Return the newest shot later than `number` with a JPEG for each of `views`, empty if
        missing.

        None if no picture arrives for two seconds. Call inside `tap.looking()`.
        """
        shot = self._tap.after(number, _PATIENCE_S)
        if shot is None:
            return None
        with self._lock:
            self._made = {key: data for key, data in self._made.items() if key[0] == shot.number}
            start = time.thread_time()
            pictures = [self._jpeg(shot, view) for view in views]
            self._cost_s = max(0.8 * self._cost_s, time.thread_time() - start)
        return shot, pictures

    def pause_s(self) -> float:
        """Time to wait before the next preview, to limit the total cost."""
        return max(_LEAST_S, self._cost_s / _SHARE)

    def _jpeg(self, shot: Shot, view: str) -> bytes:
        key = (shot.number, view)
        if key not in self._made:
            picture = self._picture(shot, view)
            self._made[key] = b"" if picture is None else _encoded(picture)
        return self._made[key]

    def _picture(self, shot: Shot, view: str) -> NDArray[np.uint8] | None:
        if view == "after":
            return _small(shot.sent, self._width)
        if shot.before is None:
            return None
        before = _small(shot.before, self._width)
        if view == "before":
            return before
        if shot.mask is None:
            return None
        size = (before.shape[1], before.shape[0])
        alpha = cv2.resize(shot.mask.full(shot.before.size), size, interpolation=cv2.INTER_AREA)
        share = (1 - alpha.astype(np.float32) / 255)[..., None]
        grey = before.astype(np.float32) @ np.array((0.3, 0.59, 0.11), np.float32)
        room = 0.35 * grey[..., None] + 0.45 * _TINT
        return np.asarray(before * (1 - share) + room * share, np.uint8)


def _small(frame: Frame, width: int) -> NDArray[np.uint8]:
    """Shrink to uint8 [h, w, 3] RGB, at most `width` wide."""
    share = min(1.0, width / frame.size[0])
    size = (
        max(2, round(frame.size[0] * share / 2) * 2),
        max(2, round(frame.size[1] * share / 2) * 2),
    )
    small = Frame.empty(size, frame.matrix)
    for plane, target in zip(frame.planes, small.planes, strict=True):
        cv2.resize(
            plane, (target.shape[1], target.shape[0]), dst=target, interpolation=cv2.INTER_AREA
        )
    return rgb_of(small)


def _encoded(picture: NDArray[np.uint8]) -> bytes:
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()


def png_of(frame: Frame) -> bytes:
    """Encode a full-size picture as PNG."""
    full = Frame(frame.data.copy(), frame.matrix)
    return cv2.imencode(".png", cv2.cvtColor(rgb_of(full), cv2.COLOR_RGB2BGR))[1].tobytes()
