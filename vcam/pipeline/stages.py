r"""The stages of one run, each in a thread of its own: capture, infer, face, compose.

    capture --captured--> infer --inferred--> compose --> sink
                            \--> face -------------/

The arrows are slots for one item. Each frame is computed and composed for one composer, the newest
one when it is computed; so effects change between two frames.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace

from vcam.clock import Clock
from vcam.effects.composer import Composer
from vcam.errors import (
    EngineError,
    MachineError,
    MatteMissing,
    SinkError,
    SourceError,
    SourceLost,
    VcamError,
)
from vcam.face.stage import FaceStage
from vcam.frame import Frame, Matte
from vcam.matting.matter import MatteEngine
from vcam.matting.pyramid import Pyramid
from vcam.monitor import (
    EFFECT_FAILED,
    IDLE,
    NO_CAMERA,
    NO_ENGINE,
    RUNNING,
    STARTING,
    Stats,
)
from vcam.pipeline.change import flipped
from vcam.pipeline.manner import Manner
from vcam.pipeline.output import Output
from vcam.pipeline.pace import Pace
from vcam.pipeline.reopen import Backoff, Reopening
from vcam.slot import Policy, Slot, SlotClosed, SlotTimeout
from vcam.sources.base import Source

_LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class Captured:
    """A frame, with the number of times the source had been opened before it."""

    frame: Frame
    opening: int


@dataclass(frozen=True, slots=True)
class Inferred:
    """A frame with its results, for the composer they were computed for.

    Raises:
        MatteMissing: the composer needs a matte, and there is none.
    """

    frame: Frame
    opening: int
    composer: Composer
    pyramid: Pyramid | None = None
    matte: Matte | None = None

    def __post_init__(self) -> None:
        if self.composer.needs_matte and (self.matte is None or self.pyramid is None):
            raise MatteMissing


class Looks:
    """The open composers of a run: the current one and its successors.

    Any thread may call `add`.
    """

    def __init__(self, first: Composer) -> None:
        self._lock = threading.Lock()
        self._open = [first]

    @property
    def newest(self) -> Composer:
        """The composer for which new frames are computed."""
        with self._lock:
            return self._open[-1]

    def add(self, composer: Composer) -> None:
        """Replace the composer from the next frame on. It is open already, and is closed here
        later.
        """
        with self._lock:
            self._open.append(composer)

    def use(self, composer: Composer) -> None:
        """Close the predecessors of `composer`; called by the compose thread."""
        with self._lock:
            at = self._open.index(composer)
            old, self._open = self._open[:at], self._open[at:]
        for other in old:
            other.__exit__(None, None, None)

    def close(self) -> None:
        """Close all composers; `newest` stays the same."""
        with self._lock:
            old, self._open = self._open, self._open[-1:]
        for composer in old:
            composer.__exit__(None, None, None)


@dataclass(slots=True)
class Shared:
    """State shared by the stages of a run.

    engine_ready: the source may open, so the camera's light comes on last. ending: the run should
    end. between: held while a frame is composed and sent, so that changes happen between frames.
    resumed: cleared while the run is paused: a card is shown, and a live source is closed. flip:
    mirror the source.
    """

    manner: Manner
    stats: Stats
    clock: Clock
    new_backoff: Callable[[], Backoff]
    looks: Looks
    engine_ready: threading.Event = field(default_factory=threading.Event)
    ending: threading.Event = field(default_factory=threading.Event)
    between: threading.Lock = field(default_factory=threading.Lock)
    resumed: threading.Event = field(default_factory=threading.Event)
    flip: bool = False
    faces: FaceStage | None = None
    captured: Slot[Captured] = field(init=False)
    inferred: Slot[Inferred] = field(init=False)

    def __post_init__(self) -> None:
        policy = Policy.NEWEST_WINS if self.manner.live else Policy.WAIT
        self.captured, self.inferred = Slot(policy), Slot(policy)
        self.resumed.set()

    def pause(self, seconds: float) -> bool:
        """Wait this many seconds; return whether the run is ending."""
        return self.clock.wait(self.ending, seconds)

    def reopening(
        self, stage: str, state: str, outlives: Callable[[VcamError | MachineError], bool]
    ) -> Reopening:
        """Make a Reopening for one part of this run."""
        return Reopening(stage, state, self.stats.board, self.new_backoff(), outlives, self.clock)

    def discard(self) -> None:
        """End all waits; frames between stages are lost."""
        self.captured.close(discard=True)
        self.inferred.close(discard=True)
        if self.faces is not None:
            self.faces.close(discard=True)


class Capture:
    """Reads the source into `captured`.

    Args:
        shared: of the run.
        source: opened and closed here.
        wanted: set while an on-demand source should be open; None: always.
        max_frames: stop after this many frames; None: no limit.
        duration_s: stop at this time of the source's timeline; None: no limit.
        on_open: called before the source is opened.
    """

    def __init__(
        self,
        shared: Shared,
        source: Source,
        wanted: threading.Event | None,
        max_frames: int | None,
        duration_s: float | None,
        on_open: Callable[[], None],
    ) -> None:
        self._shared, self._source, self._wanted, self._on_open = shared, source, wanted, on_open
        self._board = shared.stats.board
        self._end_ns = None if duration_s is None else round(duration_s * 1e9)
        self._numbers: Iterator[int] = (
            itertools.count() if max_frames is None else iter(range(max_frames))
        )
        self._opening = self._count = self._first = 0
        self._done = False
        self._next: tuple[Source, Manner] | None = None
        self._take_up(source, shared.manner)

    def _take_up(self, source: Source, manner: Manner) -> None:
        shared, outlives = self._shared, manner.outlives_source
        self._source, self._manner = source, manner
        self._pace = Pace(shared.ending, shared.clock)
        self._first = self._count
        self._again = shared.reopening(
            "capture",
            NO_CAMERA,
            lambda error: outlives and isinstance(error, SourceError | MachineError),
        )

    def switch(self, source: Source, manner: Manner) -> None:
        """Continue with another source, in its mode; close the old one. Safe from any thread."""
        self._next = source, manner
        self._source.interrupt()

    def run(self) -> None:
        """Read until the source or the run ends.

        Raises:
            SourceError: the source failed and is not reopened.
            SlotClosed: another stage has failed.
        """
        shared = self._shared
        while not shared.clock.wait(shared.engine_ready, _LOOK_S):
            if shared.ending.is_set():
                return shared.captured.close()
        self._on_open()
        self._board.say("capture", STARTING)
        while not self._done and not shared.ending.is_set():
            if self._next is not None:
                following, self._next = self._next, None
                self._take_up(*following)
                self._board.say("capture", STARTING)
            if self._is_wanted():
                self._again.run(self._source, self._read_all, self._pause)
        return shared.captured.close()

    def _pause(self, seconds: float) -> bool:
        """Wait this many seconds; return whether to give up the source."""
        deadline_s = self._shared.clock.now_s() + seconds
        while (left_s := deadline_s - self._shared.clock.now_s()) > 0 and not self._is_left():
            if self._shared.pause(min(_LOOK_S, left_s)):
                break
        return self._is_left()

    def _is_left(self) -> bool:
        return self._next is not None or self._shared.ending.is_set()

    def _holds(self) -> threading.Event | None:
        """The event that must be set before the source may open; None if it may open now."""
        if self._manner.outlives_source:
            wanted = self._wanted if getattr(self._source, "on_demand", False) else None
            for event in (self._shared.resumed, wanted):
                if event is not None and not event.is_set():
                    return event
        return None

    def _is_wanted(self) -> bool:
        """Wait until the source is needed; False if it is given up first."""
        event = self._holds()
        if event is None:
            return True
        self._board.say("capture", IDLE)
        while event is not None and not self._is_left():
            self._shared.clock.wait(event, _LOOK_S)
            event = self._holds()
        if event is None:
            self._board.say("capture", STARTING)
        return event is None

    def _read_all(self, source: Source) -> None:
        """Pass frames on until the source or the run ends, or the source is not needed."""
        shared = self._shared
        self._opening += 1
        while self._holds() is None and self._next is None:
            self._done = shared.ending.is_set() or next(self._numbers, None) is None
            frame = None if self._done else self._read(source)
            if frame is None and self._next is not None:
                return
            if frame is None and self._manner.outlives_source and not self._is_over():
                raise SourceLost(f"{source.name}: it has ended")
            if frame is None or (self._end_ns is not None and frame.pts_ns >= self._end_ns):
                self._done = True
                return
            self._again.worked()
            self._board.say("capture", RUNNING)
            frame = self._own(frame)
            due = self._pace.wait_until_due(frame) if self._manner.paced else frame
            shared.captured.put(Captured(due, self._opening))
            shared.stats.set_drops("engine busy", shared.captured.dropped)

    def _own(self, frame: Frame) -> Frame:
        """Renumber the frame for this run: no number repeats, even if sources change."""
        if self._first:
            frame = replace(frame, index=frame.index + self._first)
        self._count = max(self._count, frame.index + 1)
        return flipped(frame) if self._shared.flip else frame

    def _is_over(self) -> bool:
        return self._done or self._shared.ending.is_set()

    def _read(self, source: Source) -> Frame | None:
        if source.live:  # mostly waiting, not work
            return source.read()
        with self._shared.stats.stage("capture"):
            return source.read()


class Infer:
    """Computes mattes: from `captured` to `inferred`, and offers frames to the face stage.

    Args:
        shared: of the run.
        matter: opened when a composer first needs a matte.
        continues: the run continues an earlier one; an engine that does not open is retried.
        before: processes frames until `go`; it has another engine, or none open.

    Attributes:
        matter: the engine.
        opened: done once the engine is open; failed if it was to replace another.
        go: set when this stage should take over.
        over: set when another stage has taken over.
        left: set when this stage accepts no more frames.
    """

    def __init__(
        self, shared: Shared, matter: MatteEngine, continues: bool, before: Infer | None = None
    ) -> None:
        self.opened: Future[None] = Future()
        self.go, self.over, self.left = threading.Event(), threading.Event(), threading.Event()
        self.matter = matter
        self._shared, self._before = shared, before
        self._continues = continues
        self._held: Captured | None = None
        self._opening = 0
        self._again = shared.reopening("infer", NO_ENGINE, self._outlives)

    def _outlives(self, error: VcamError | MachineError) -> bool:
        return (
            self._shared.manner.outlives
            and isinstance(error, EngineError | MachineError)
            and (self._before is None or self.opened.done())
            and (self._continues or self.matter.has_worked)
        )

    def run(self) -> None:
        """Work until `captured` is closed, or another has taken over.

        Raises:
            EngineError: the engine failed and is not reopened.
            SlotClosed: the normal end.
        """
        shared = self._shared
        try:
            if self._before is None and not shared.looks.newest.needs_matte:
                self._continues = True
                shared.engine_ready.set()
                self._pass_all(None)
            if not self.over.is_set():
                self._again.run(self.matter, self._pass_all, self._pause)
        except Exception as error:
            if self._before is None or self.opened.done():
                raise
            self.over.set()
            self.opened.set_exception(error)
        finally:
            self.left.set()
            if not self.over.is_set():
                shared.inferred.close()
                if shared.faces is not None:
                    shared.faces.close()

    def _pause(self, seconds: float) -> bool:
        return self._shared.pause(seconds) or self.over.is_set()

    def _is_due(self) -> bool:
        """Report that the engine is open, then wait for permission to process frames; False if
        none.
        """
        if not self.opened.done():
            self.opened.set_result(None)
        for event in (self.go, self._before.left) if self._before is not None else ():
            while not self._shared.clock.wait(event, 0.05):
                if self.over.is_set() or self._shared.ending.is_set():
                    return False
        return True

    def _pass_all(self, matter: MatteEngine | None) -> None:
        """Pass frames on; without an engine only until a composer needs one."""
        shared = self._shared
        if matter is not None and not self._is_due():
            return
        shared.engine_ready.set()
        while not self.over.is_set():
            captured = self._held = self._held or shared.captured.take()
            composer = shared.looks.newest
            if composer.needs_matte and matter is None:
                return
            self._held = None
            if not shared.resumed.is_set():
                continue  # paused: nothing is shown, so nothing needs computing
            shared.inferred.put(self._infer(captured, composer, matter))
            shared.stats.board.say("infer", RUNNING)
            shared.stats.set_drops("compose busy", shared.inferred.dropped)
            if matter is not None:
                matter.notice_drops(shared.captured.dropped)
                self._again.worked()

    def _infer(
        self, captured: Captured, composer: Composer, matter: MatteEngine | None
    ) -> Inferred:
        frame, opening = captured.frame, captured.opening
        if matter is not None and opening != self._opening:
            matter.reset()
        self._opening = opening
        if not (composer.needs_matte or composer.needs_face):
            return Inferred(frame, opening, composer)
        with self._shared.stats.stage("infer"):
            pyramid = Pyramid.of(frame)
            if composer.needs_face and self._shared.faces is not None:
                self._shared.faces.offer(frame, pyramid)
            matte = matter.matte(frame, pyramid) if matter and composer.needs_matte else None
        return Inferred(frame, opening, composer, pyramid, matte)


class Face:
    """Parses faces, separately from the main path.

    Args:
        shared: of the run.
        faces: the face stage.
        continues: the run continues an earlier one; an engine that does not open is retried.
    """

    def __init__(self, shared: Shared, faces: FaceStage, continues: bool) -> None:
        self._shared, self._faces, self._continues = shared, faces, continues
        self._again = shared.reopening("face", EFFECT_FAILED, self._outlives)

    def _outlives(self, error: VcamError | MachineError) -> bool:
        return (
            self._shared.manner.outlives
            and isinstance(error, EngineError | MachineError)
            and (self._continues or self._faces.has_worked)
        )

    def run(self) -> None:
        """Parse until no more frames come.

        Raises:
            EngineError: the engine failed and is not reopened.
            SlotClosed: the normal end.
        """
        try:
            self._again.run(self._faces.tracker, self._faces.parse_all, self._shared.pause)
        finally:
            self._faces.end()


class Compose:
    """Composes frames and sends them; sends the last picture or a card if none arrives in time.

    Args:
        shared: of the run.
        source: gives the frame rate.
        output: sends to the sink.
    """

    def __init__(self, shared: Shared, source: Source, output: Output) -> None:
        self._shared, self._source, self._output = shared, source, output
        self._opening = 0
        self._shows_room = False
        self._composer: Composer | None = None
        self._again = self._new_reopening()

    def _new_reopening(self) -> Reopening:
        return self._shared.reopening(
            "compose", EFFECT_FAILED, lambda _: self._shared.manner.outlives
        )

    def run(self) -> None:
        """Work until `inferred` is closed and empty.

        Raises:
            VcamError: an effect failed and is not reopened, or the sink failed.
            MatteMissing: a bug; the frame is not sent.
        """
        try:
            self._compose_all()
        except SlotClosed:
            self._output.send_off_card()
        except BaseException:  # a bug: the last picture must not look live
            with suppress(SinkError):
                self._output.send_off_card()
            raise

    def _compose_all(self) -> None:
        while True:
            inferred = None
            with suppress(SlotTimeout):
                patience_s = self._output.patience_s(self._source.fps)
                inferred = self._shared.inferred.take(patience_s)
            with self._shared.between:
                self._show(inferred)

    def take_up(self, source: Source) -> None:
        """Adapt to another source."""
        self._source = source

    def _show(self, inferred: Inferred | None) -> None:
        """Send the frame; if it may not be shown, the last one again or a card."""
        resumed = self._shared.resumed.is_set()
        hides = self._shared.looks.newest.needs_matte
        composed = None
        if inferred is not None and resumed and (inferred.composer.needs_matte or not hides):
            composed = self._compose(inferred)
        if inferred is None or composed is None:
            return self._output.send_again(not resumed or (hides and self._shows_room))
        self._shows_room = not inferred.composer.needs_matte
        return self._output.send(composed, inferred.frame, inferred.composer.mask)

    def _compose(self, inferred: Inferred) -> Frame | None:
        """The composed frame; None if an effect failed."""
        composer = inferred.composer
        if composer is not self._composer:
            self._shared.looks.use(composer)
            self._composer, self._again = composer, self._new_reopening()
        if inferred.opening != self._opening:
            composer.forget()
            self._opening = inferred.opening
        frame, pyramid, faces = inferred.frame, inferred.pyramid, self._shared.faces
        found = (
            faces.faces(frame, pyramid)
            if composer.needs_face and faces is not None and pyramid is not None
            else ()
        )
        return self._again.attempt(
            composer, lambda: composer.compose(frame, pyramid, inferred.matte, found)
        )
