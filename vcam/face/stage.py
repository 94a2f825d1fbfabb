"""The face engine beside the pipeline: it parses at its own rate, and nobody live waits for it."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from vcam.face.lose import FaceFollower
from vcam.face.tracker import FaceParse
from vcam.frame import FaceRegions, Frame
from vcam.matting.pyramid import Pyramid
from vcam.monitor import RUNNING, Stats
from vcam.slot import Policy, Slot, SlotClosed, SlotTimeout


class Tracker(Protocol):
    """Finds and follows the faces of frames; opened, used and closed by one thread."""

    def __enter__(self) -> Self:
        """Open the engines.

        Raises:
            EngineError: one does not load.
        """

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release everything; may be called twice."""

    def follow(self, frame: Frame, pyramid: Pyramid) -> FaceParse:
        """The faces of the next frame.

        Raises:
            EngineError: an engine failed.
        """

    def refresh(self, frame: Frame, pyramid: Pyramid) -> None:
        """What may take longer and serves later frames: called after the faces of this one were
        handed on.

        Raises:
            EngineError: an engine failed.
        """


class FaceStage:
    """The face thread's work and its two ends.

    In a file every frame is parsed, and `faces` waits for the parse of its own frame: each frame
    must be offered once and asked for once, in order. Live, the newest frame wins, and the newest
    parse is carried along to the frame that is shown.

    Args:
        tracker: closed; `parse_all` wants it open.
        live: nobody waits.
        stats: receives the times of "parse" and "follow".

    Attributes:
        has_worked: the tracker has been open.
    """

    def __init__(self, tracker: Tracker, live: bool, stats: Stats) -> None:
        self.tracker, self._live, self._stats = tracker, live, stats
        policy = Policy.NEWEST_WINS if live else Policy.WAIT
        self._offered: Slot[tuple[Frame, Pyramid]] = Slot(policy)
        self._parsed: Slot[FaceParse] = Slot(policy)
        self._newest: FaceParse | None = None
        self._follower = FaceFollower()
        self.has_worked = False

    def parse_all(self, tracker: Tracker) -> None:
        """Parse with the open tracker until closed; for a thread of its own, again after a failure.

        Raises:
            EngineError: the engine failed.
            SlotClosed: the normal end.
        """
        self.has_worked = True
        while True:
            frame, pyramid = self._offered.take()
            with self._stats.stage("parse"):
                parse = tracker.follow(frame, pyramid)
            self._parsed.put(parse)
            with self._stats.stage("regions"):
                tracker.refresh(frame, pyramid)
            self._stats.board.say("face", RUNNING)

    def end(self) -> None:
        """No parse will come any more."""
        self._parsed.close()

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
