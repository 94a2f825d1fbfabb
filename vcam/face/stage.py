"""The face engine beside the pipeline: it parses at its own rate, and nobody live waits for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from vcam.errors import EngineError
from vcam.face.motion import moved_since
from vcam.face.tracker import FaceParse, FaceTracker, ParsedFace
from vcam.frame import FaceRegions, Frame
from vcam.matting.pyramid import Pyramid
from vcam.monitor import RUNNING, Stats
from vcam.slot import Policy, Slot, SlotClosed, SlotTimeout

_COME_S, _GO_S = 0.25, 0.15
"""How long a face takes to get, and to lose, the whole of an effect."""
_STALE_S = 0.6
"""A parse older than this says nothing about now."""


class FaceStage:
    """The face thread's work and its two ends.

    In a file every frame is parsed, and `faces` waits for the parse of its own frame: each frame
    must be offered once and asked for once, in order. Live, the newest frame wins, and the newest
    parse is carried along to the frame that is shown.

    Args:
        tracker: opened by `run`.
        live: nobody waits.
        stats: receives the times of "parse" and "follow".
    """

    def __init__(self, tracker: FaceTracker, live: bool, stats: Stats) -> None:
        self._tracker, self._live, self._stats = tracker, live, stats
        policy = Policy.NEWEST_WINS if live else Policy.WAIT
        self._offered: Slot[tuple[Frame, Pyramid]] = Slot(policy)
        self._parsed: Slot[FaceParse] = Slot(policy)
        self._newest: FaceParse | None = None
        self._follower = FaceFollower()
        self._has_worked = False

    def run(self, again: Callable[[EngineError], bool]) -> None:
        """Parse until closed; for a thread of its own.

        Args:
            again: asked after a failure of an engine that has worked; whether to open it once more.

        Raises:
            EngineError: the engine does not load, or failed, and is not opened again.
            SlotClosed: the normal end.
        """
        try:
            while True:
                try:
                    self._parse()
                except EngineError as error:
                    if not (self._has_worked and again(error)):
                        raise
        finally:
            self._parsed.close()

    def _parse(self) -> None:
        with self._tracker as tracker:
            self._has_worked = True
            while True:
                frame, pyramid = self._offered.take()
                with self._stats.stage("parse"):
                    parse = tracker.follow(frame, pyramid)
                self._parsed.put(parse)
                self._stats.board.say("face", RUNNING)

    def offer(self, frame: Frame, pyramid: Pyramid) -> None:
        """Have a frame parsed, or live perhaps a later one.

        Raises:
            SlotClosed: nobody will parse any more.
        """
        self._offered.put((frame, pyramid))

    def faces(self, frame: Frame, pyramid: Pyramid) -> tuple[FaceRegions, ...]:
        """The faces of a frame that was offered.

        Raises:
            SlotClosed: not live, and no parse will come any more.
        """
        try:
            self._newest = self._parsed.take(0 if self._live else None)
        except SlotTimeout:
            pass
        except SlotClosed:
            if not self._live:
                raise
        with self._stats.stage("follow"):
            time_ns = frame.t_capture_ns if self._live else frame.pts_ns
            return self._follower.update(self._newest, frame, pyramid, time_ns)

    def close(self, discard: bool = False) -> None:
        """No frame will come any more; with `discard` nothing of what came matters. May be called
        twice.
        """
        self._offered.close(discard)
        if discard:
            self._parsed.close(discard)


@dataclass(slots=True)
class _Shown:
    face: ParsedFace
    parse: FaceParse
    presence: float


class FaceFollower:
    """Carries parsed faces along to the frame that is shown, and fades them in and out. Belongs to
    one thread.
    """

    def __init__(self) -> None:
        self._shown: dict[int, _Shown] = {}
        self._time_ns: int | None = None

    def update(
        self, parse: FaceParse | None, frame: Frame, pyramid: Pyramid, time_ns: int
    ) -> tuple[FaceRegions, ...]:
        """The faces of a frame.

        Args:
            parse: the newest; of this frame or an earlier one.
            frame: the one that is shown.
            pyramid: of this very frame.
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
