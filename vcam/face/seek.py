"""Search: detectors look for faces in squares of the frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import ceil, pi

import numpy as np

from vcam.face.networks import Detection, Detector, merged
from vcam.face.parser import Crop
from vcam.frame import Frame, Size
from vcam.matting.pyramid import Pyramid

_SEARCH_S, _LOOK_ROUND_S = 0.25, 1.0
"""Seconds between searches of live frames while a face is missing, and of any frames for more or
larger faces."""
_SEEK_S = 3.0
"""Seconds during which a lost face counts as missing if others are in view."""
_FAR_EVERY = 4
"""The far-range detector, which takes twice as long, runs in every fourth search, or if its last
run was a second ago.
"""
_QUARTER = pi / 2
_SQUARE_TOLERANCE = 1.05
_OVERLAP = 0.5
"""Overlap of neighbouring squares, as a share of their side, so that one of them contains a face in
the middle of 16:9."""
_SUPPRESS = 0.3
"""Boxes with a larger intersection over union show the same face."""


class Seeker:
    """Searches for faces when due. Used by one thread, like its detectors.

    Args:
        near: detects faces from an eighth of the frame's height.
        far: detects faces from a sixteenth.
        live: search at most four times a second; else in every frame while no face is tracked, and
            in the first one as thoroughly as in a photograph.
    """

    def __init__(self, near: Detector, far: Detector, live: bool) -> None:
        self._near, self._far, self._live = near, far, live
        self._looked_ns: int | None = None
        self._lost_ns: int | None = None
        self._tries = 0

    def lost(self, time_ns: int) -> None:
        """Record that a face was lost; the search is more frequent for some seconds."""
        self._lost_ns = time_ns

    def is_due(self, time_ns: int, followed: int, wanted: int) -> bool:
        """Whether to search now. followed: tracked faces; wanted: maximum number."""
        is_lost = self._lost_ns is not None and 0 <= time_ns - self._lost_ns < _SEEK_S * 1e9
        misses_one = not followed or (is_lost and followed < wanted)
        every_ns = (_LOOK_ROUND_S if not misses_one else _SEARCH_S if self._live else 0) * 1e9
        return self._looked_ns is None or not 0 <= time_ns - self._looked_ns < every_ns

    def look(self, frame: Frame, pyramid: Pyramid, time_ns: int) -> list[Detection]:
        """Detect the faces of a frame, best first.

        Raises:
            EngineError: a detector failed.
        """
        before_ns, self._looked_ns = self._looked_ns, time_ns
        if before_ns is None and not self._live:
            return look_everywhere(self._near, self._far, frame, pyramid)
        is_rare = before_ns is not None and time_ns - before_ns >= _LOOK_ROUND_S * 1e9
        self._tries += 1
        upright = squares(frame.size)
        found = _look(self._near, frame, pyramid, upright)
        if is_rare or self._tries % _FAR_EVERY == 0:
            found += _look(self._far, frame, pyramid, upright)
        if not found:
            turn = _QUARTER if self._tries % 2 else -_QUARTER
            found = _look(self._near, frame, pyramid, turned(upright, turn))
        return apart(found)


def look_everywhere(
    near: Detector, far: Detector, frame: Frame, pyramid: Pyramid
) -> list[Detection]:
    """Detect the faces of a photograph, at all sizes and rotations: takes a tenth of a second.

    Raises:
        EngineError: a detector failed.
    """
    whole = Crop(frame.size[0] / 2, frame.size[1] / 2, max(frame.size))
    wide, small = squares(frame.size), squares(frame.size, 0.5)
    found = []
    for turn in (0.0, _QUARTER, -_QUARTER, 2 * _QUARTER):
        found += _look(near, frame, pyramid, turned([whole, *wide, *small], turn))
        found += _look(far, frame, pyramid, turned([*wide, *small], turn))
    return apart(found)


def squares(size: Size, share: float = 1.0) -> list[Crop]:
    """Overlapping squares that cover a frame: as high as its shorter side, or a share of it, in
    which case they overlap by half.
    """
    side = share * min(size)
    along, down = (_places(length, side) for length in size)
    return [Crop(float(x), float(y), side) for y in down for x in along]


def _places(length: int, side: float) -> Sequence[float]:
    if length <= side * _SQUARE_TOLERANCE:
        return [length / 2]
    step = (1 - _OVERLAP) * side
    count = 1 + ceil((length - side) / step - 0.01)
    return list(np.linspace(side / 2, length - side / 2, count))


def turned(crops: Iterable[Crop], angle: float) -> list[Crop]:
    """The same squares, rotated; angle in radians."""
    return [Crop(c.x, c.y, c.side, angle) for c in crops]


def _look(
    detector: Detector, frame: Frame, pyramid: Pyramid, windows: Iterable[Crop]
) -> list[Detection]:
    return [face for window in windows for face in merged(detector.detect(frame, pyramid, window))]


def apart(detections: Iterable[Detection]) -> list[Detection]:
    """The best detection of each face, best face first."""
    kept: list[Detection] = []
    for one in sorted(detections, key=lambda d: -d.score):
        if not any(one.overlap(other) > _SUPPRESS for other in kept):
            kept.append(one)
    return kept


def by_size(detections: Iterable[Detection]) -> Iterator[Detection]:
    """Sort detections, largest first."""
    return iter(sorted(detections, key=lambda d: -max(d.width, d.height)))
