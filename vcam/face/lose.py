"""Follow faces to the displayed frame, and fade them in and out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vcam.face.motion import moved_since
from vcam.face.tracker import FaceParse, ParsedFace
from vcam.frame import FaceRegions, Frame
from vcam.matting.pyramid import Pyramid

_COME_S, _GO_S = 0.25, 0.15
"""Seconds for a face to gain, and to lose, the full strength of an effect."""
_STALE_S = 0.6
"""A parse older than this is not used."""


@dataclass(slots=True)
class _Shown:
    face: ParsedFace
    parse: FaceParse
    presence: float


class FaceFollower:
    """Moves parsed faces to the displayed frame, and fades them in and out. Used by one
    thread.
    """

    def __init__(self) -> None:
        self._shown: dict[int, _Shown] = {}
        self._time_ns: int | None = None

    def update(
        self, parse: FaceParse | None, frame: Frame, pyramid: Pyramid, time_ns: int
    ) -> tuple[FaceRegions, ...]:
        """The faces of a frame.

        Args:
            parse: the newest one; of this frame or an earlier one.
            frame: the displayed frame.
            pyramid: of the same frame.
            time_ns: of the frame, on the parse's clock.
        """
        elapsed_s = np.inf if self._time_ns is None else max(0, time_ns - self._time_ns) / 1e9
        self._time_ns = time_ns
        fresh = parse is not None and time_ns - parse.time_ns < _STALE_S * 1e9
        seen = {face.number: face for face in parse.faces} if parse is not None and fresh else {}
        for number, face in seen.items():
            assert parse is not None
            shown = self._shown.setdefault(number, _Shown(face, parse, 0.0))
            shown.face, shown.parse = face, parse
        faces = []
        for number, shown in list(self._shown.items()):
            regions = self._carried(shown, frame, pyramid)
            wanted = number in seen and regions is not None
            shown.presence += (
                min(elapsed_s / _COME_S, 1 - shown.presence) if wanted else -elapsed_s / _GO_S
            )
            if shown.presence <= 0 and number not in seen:
                del self._shown[number]
            shown.presence = max(shown.presence, 0.0)
            if shown.presence and regions is not None:
                faces.append(replace(regions, presence=shown.presence))
        return tuple(faces)

    @staticmethod
    def _carried(shown: _Shown, frame: Frame, pyramid: Pyramid) -> FaceRegions | None:
        if shown.parse.index == frame.index:
            return shown.face.regions
        return moved_since(shown.face.regions, shown.parse.low, pyramid.low.y, frame.size)
