"""The face engine runs beside the pipeline at its own rate; live, no frame waits for it."""

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
    """Detects and tracks faces in frames; opened, used and closed by one thread."""

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
        """Find the faces of the next frame.

        Raises:
            EngineError: an engine failed.
        """

    def refresh(self, frame: Frame, pyramid: Pyramid) -> None:
        """Do slower work for later frames: called after the faces of this frame were passed
        on.

        Raises:
            EngineError: an engine failed.
        """


class FaceStage:
    """The work of the face thread, and both of its interfaces.

    For a file, every frame is parsed, and `faces` waits for the parse of its own frame: each frame
    must be offered and requested exactly once, in order. Live, the newest frame wins, and the
    newest parse is moved to the displayed frame.

    Args:
        tracker: closed; `parse_all` needs it open.
        live: never wait.
        stats: receives the times of "parse" and "follow".

    Attributes:
        has_worked: the tracker was open before.
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
        """Parse with the open tracker until closed; runs in its own thread, again after a failure.

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
        """Declare that there will be no more parses."""
        self._parsed.close()

    def offer(self, frame: Frame, pyramid: Pyramid) -> None:
        """Submit a frame for parsing; live, a later one may replace it.

        Raises:
            SlotClosed: parsing has ended.
        """
        self._offered.put((frame, pyramid))

    def faces(self, frame: Frame, pyramid: Pyramid) -> tuple[FaceRegions, ...]:
        """The faces of a frame that was offered.

        Raises:
            SlotClosed: not live, and parsing has ended.
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
        """Declare that there will be no more frames; `discard` drops pending ones. May be called
        twice.
        """
        self._offered.close(discard)
        if discard:
            self._parsed.close(discard)
