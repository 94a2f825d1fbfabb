"""capture -> infer -> compose: three threads, two slots, and no way out for a raw picture.

A frame reaches the sink only through `Composer.compose`, which takes it together with its own
matte. Where no new composed frame comes in time, a live sink gets the last one again, and after a
while a card that says why.

A live sink outlives failures: a live source, an engine that has worked before, effects and the sink
itself are opened again until they work. What fails for any other reason than a VcamError is a
mistake in the program and ends the run.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial

from vcam.effects.composer import Composer
from vcam.errors import EngineError, SinkError, SinkLost, StageError, VcamError
from vcam.face.stage import FaceStage
from vcam.frame import Frame, Matte
from vcam.linux.viewers import Readers
from vcam.matting.matter import MatteEngine
from vcam.matting.pyramid import Pyramid
from vcam.monitor import (
    EFFECT_FAILED,
    NO_ENGINE,
    NO_SINK,
    RUNNING,
    STARTING,
    Snapshot,
    State,
    Stats,
)
from vcam.pipeline.backoff import Backoff
from vcam.pipeline.demand import Demand
from vcam.pipeline.malloc import keep_freed_memory
from vcam.pipeline.output import Output
from vcam.pipeline.pace import Pace
from vcam.pipeline.supervise import SupervisedEffects, SupervisedSource
from vcam.sinks.base import Sink
from vcam.slot import Policy, Slot, SlotClosed, SlotTimeout
from vcam.sources.base import Source, SourceRequest

_TICK_S = 0.2

Inferred = tuple[Frame, Pyramid | None, Matte | None]
"""A frame with what was computed from it; nothing where no effect looks at the matte."""

Tick = Callable[[Source, Snapshot], None]


@dataclass(frozen=True, slots=True)
class PipelineConfig:
    """How a pipeline behaves in time.

    max_frames: stop after so many captured frames. duration_s: stop at this time of the source's
    own timeline; from a live source to a live sink, so long after it was first to be opened.
    card_after_s: how long a live sink repeats the last frame before it shows the card. stop_s: how
    long the threads may take to end. linger_s: how long after the last reader a camera that is
    opened on demand stays open. retry_s, longest_retry_s: see `Backoff`.
    """

    max_frames: int | None = None
    duration_s: float | None = None
    card_after_s: float = 2.0
    stop_s: float = 1.0
    linger_s: float = 5.0
    retry_s: float = 0.25
    longest_retry_s: float = 2.0

    def backoff(self) -> Backoff:
        """For one thing that may fail."""
        return Backoff(self.retry_s, self.longest_retry_s)


class Pipeline:
    """One run from a source to a sink. Made, run and forgotten; `stop` may be called from any
    thread.

    Args:
        make_source: called with the request, its size and matrix set to what the sink insists on;
            once, and again each time that the sink was lost and found.
        request: what is wanted of the source.
        matter: the person engine; not opened when no effect needs it.
        make_composer: called with (transparent, live), as often as `make_source`.
        sink: where pictures go; opened and closed here.
        stats: filled while running.
        config: see there.
        watch: the readers of a sink, by its name, while which a live source is open; None: it is
            always open.
        make_faces: called with (live), as often as `make_source`; None where no effect looks at
            faces.
    """

    def __init__(
        self,
        make_source: Callable[[SourceRequest], Source],
        request: SourceRequest,
        matter: MatteEngine,
        make_composer: Callable[[bool, bool], Composer],
        sink: Sink,
        stats: Stats,
        config: PipelineConfig | None = None,
        watch: Callable[[str], Readers] | None = None,
        make_faces: Callable[[bool], FaceStage] | None = None,
    ) -> None:
        self._make_source, self._request, self._watch = make_source, request, watch
        self._matter, self._make_composer, self._sink = matter, make_composer, sink
        self._stats = stats
        self._config = config or PipelineConfig()
        self._make_faces = make_faces
        self._stop = threading.Event()
        self._source: Source | None = None
        self._since = _Since()
        self._run: _Run | None = None

    def stop(self) -> None:
        """End the run early but in order: what was captured is still composed and sent. Safe in
        signal handlers.
        """
        self._stop.set()

    def engine(self) -> dict[str, object]:
        """What runs the person engine at the moment. Safe from any thread."""
        return self._matter.about()

    def about(self) -> dict[str, object]:
        """The sink's name and what runs the engine at the moment, for reports. Safe from any
        thread.
        """
        return {"sink": self._sink.name, "engine": self._matter.about()}

    @property
    def damage(self) -> str:
        """After `run`: one line about what of the source could not be read; empty: nothing."""
        return "" if self._source is None else self._source.damage

    @property
    def state(self) -> State:
        """How the run is now; may be read from any thread."""
        return self._stats.board.now

    def run(self, on_tick: Tick | None = None) -> Snapshot:
        """Run until the source ends or `stop` is called; return what happened.

        Args:
            on_tick: called about five times a second and once at the end, in this thread.

        Raises:
            VcamError: the sink or an effect could not be opened, or a file could not be finished.
            StageError: a thread failed; the first failure, with its cause.
        """
        keep_freed_memory()
        backoff = self._config.backoff()
        lost: VcamError | None = None
        while lost is None or not (
            self._stop.is_set() or self._since.is_over(self._config.duration_s)
        ):
            try:
                self._run_once(on_tick, backoff)
                break
            except StageError as error:
                is_stuck = self._run is not None and self._run.is_stuck
                if is_stuck or not (self._sink.live and isinstance(error.__cause__, SinkLost)):
                    raise
                lost = error.__cause__
            except VcamError as error:  # the sink or an effect does not open
                if lost is None:
                    raise
                lost = error
            self._stats.board.say("compose", NO_SINK, str(lost))
            self._wait(backoff.failed(), on_tick)
        return self._stats.snapshot()

    def _run_once(self, on_tick: Tick | None, backoff: Backoff) -> None:
        with ExitStack() as stack:
            sink = stack.enter_context(self._sink)
            backoff.worked()
            request = self._request
            request = replace(
                request, size=sink.size or request.size, matrix=sink.matrix or request.matrix
            )
            source = self._source = self._make_source(request)
            live = source.live or sink.live
            if source.live and sink.live:
                wanted = None
                if self._watch is not None:
                    demand = Demand(self._watch(sink.name), self._config.linger_s)
                    wanted = stack.enter_context(demand).wanted
                source = SupervisedSource(source, self._stats.board, self._config.backoff(), wanted)
            composer = stack.enter_context(self._make_composer(sink.alpha, live))
            faces = self._make_faces(live) if self._make_faces else None
            run = self._run = _Run(
                source,
                self._matter,
                faces,
                composer,
                sink,
                live,
                self._stats,
                self._config,
                self._stop,
                self._since,
            )
            run.work(on_tick)

    def _wait(self, seconds: float, on_tick: Tick | None) -> None:
        """Let time pass while there is no sink."""
        deadline_s = time.monotonic() + seconds
        while (left_s := deadline_s - time.monotonic()) > 0 and not self._stop.is_set():
            if on_tick is not None and self._source is not None:
                on_tick(self._source, self._stats.snapshot())
            self._stop.wait(min(_TICK_S, left_s))


@dataclass(slots=True)
class _Since:
    """When the source was first to be opened; 0 before."""

    at_s: float = 0.0

    def is_over(self, duration_s: float | None) -> bool:
        """Whether a run that may last so long has lasted as long."""
        return (
            duration_s is not None and self.at_s > 0 and time.monotonic() - self.at_s > duration_s
        )


class _Run:
    """The threads and slots of one run; `since` is the same for all runs of a pipeline, which may
    lose its sink.
    """

    def __init__(
        self,
        source: Source,
        matter: MatteEngine,
        faces: FaceStage | None,
        composer: Composer,
        sink: Sink,
        live: bool,
        stats: Stats,
        config: PipelineConfig,
        stop: threading.Event,
        since: _Since,
    ) -> None:
        self._source, self._matter, self._composer, self._sink = source, matter, composer, sink
        self._faces = faces
        self._stats, self._config, self._stop, self._since = stats, config, stop, since
        self._board = stats.board
        self._output = Output(sink, stats, config.card_after_s)
        self._effects = (
            SupervisedEffects(composer, self._board, config.backoff()) if sink.live else None
        )
        policy = Policy.NEWEST_WINS if live else Policy.WAIT
        self._captured: Slot[Frame] = Slot(policy)
        self._inferred: Slot[Inferred] = Slot(policy)
        self._engine_ready = threading.Event()
        self._finished = threading.Event()
        self._ending = threading.Event()
        self._failure: StageError | None = None
        self._failure_lock = threading.Lock()
        stages = [("compose", self._compose), ("infer", self._infer), ("capture", self._capture)]
        if faces is not None:
            stages.insert(1, ("face", lambda: faces.run(self._face_failed)))
            self._face_backoff = config.backoff()
        self._threads = [
            threading.Thread(target=self._guard, args=stage, name=f"vcam-{stage[0]}", daemon=True)
            for stage in stages
        ]

    def work(self, on_tick: Tick | None) -> None:
        """Start the threads, wait for their end or a stop, end them; raise the first failure."""
        for stage in ("capture", "infer", "compose"):
            self._board.say(stage, STARTING)
        for thread in self._threads:
            thread.start()
        try:
            while (
                not self._finished.wait(_TICK_S)
                and not self._stop.is_set()
                and not self._is_time_up()
            ):
                if on_tick is not None:
                    on_tick(self._source, self._stats.snapshot())
        finally:
            self._shut_down()
        if on_tick is not None:
            on_tick(self._source, self._stats.snapshot())
        if self._failure is not None:
            raise self._failure

    def _guard(self, stage: str, work: Callable[[], None]) -> None:
        """Run a thread's work; the first failure is kept for the main thread, and everything is
        woken.
        """
        try:
            work()
        except SlotClosed:
            pass
        except Exception as error:  # noqa: BLE001 - the one place: a thread must not die unheard
            with self._failure_lock:
                self._failure = self._failure or StageError(stage, error)
            self._discard()
            self._finished.set()

    def _discard(self) -> None:
        self._captured.close(discard=True)
        self._inferred.close(discard=True)
        if self._faces is not None:
            self._faces.close(discard=True)

    def _capture(self) -> None:
        while not self._engine_ready.wait(_TICK_S):  # the camera's light comes on last
            if self._ending.is_set() or self._finished.is_set():
                return self._captured.close()
        self._since.at_s = self._since.at_s or time.monotonic()
        with self._source as source:
            paced = self._sink.live and not source.live
            pace = Pace(self._ending)
            for _ in _count(self._config.max_frames):
                if self._ending.is_set():
                    break
                frame = self._read(source)
                if frame is None or self._is_over(frame):
                    break
                self._board.say("capture", RUNNING)
                self._captured.put(pace.wait_until_due(frame) if paced else frame)
                self._stats.set_drops("engine busy", self._captured.dropped)
        return self._captured.close()

    def _is_over(self, frame: Frame) -> bool:
        duration_s = self._config.duration_s
        return duration_s is not None and frame.pts_ns >= round(duration_s * 1e9)

    def _is_time_up(self) -> bool:
        """Whether a live run has lasted as long as it may: its source may bring no frame that
        tells.
        """
        return (
            self._source.live and self._sink.live and self._since.is_over(self._config.duration_s)
        )

    def _read(self, source: Source) -> Frame | None:
        if source.live:  # mostly waiting, which is no work
            return source.read()
        with self._stats.stage("capture"):
            return source.read()

    def _infer(self) -> None:
        if not self._composer.needs_matte:
            self._engine_ready.set()
            while True:
                self._pass_on(None)
        backoff = self._config.backoff()
        while True:
            try:
                with self._matter as matter:
                    self._engine_ready.set()
                    while True:
                        self._pass_on(matter)
                        backoff.worked()
            except EngineError as error:
                if not (self._sink.live and self._matter.has_worked):
                    raise
                self._board.say("infer", NO_ENGINE, str(error))
            if self._ending.wait(backoff.failed()):
                return self._inferred.close()

    def _pass_on(self, matter: MatteEngine | None) -> None:
        try:
            frame = self._captured.take()
        except SlotClosed:
            self._inferred.close()
            if self._faces is not None:
                self._faces.close()
            raise
        inferred: Inferred = (frame, None, None)
        if matter is not None or self._faces is not None:
            with self._stats.stage("infer"):
                pyramid = Pyramid.of(frame)
                if self._faces is not None:
                    self._faces.offer(frame, pyramid)
                inferred = (frame, pyramid, matter.matte(frame, pyramid) if matter else None)
        if matter is not None:
            matter.notice_drops(self._captured.dropped)
        self._board.say("infer", RUNNING)
        self._inferred.put(inferred)
        self._stats.set_drops("compose busy", self._inferred.dropped)

    def _face_failed(self, error: EngineError) -> bool:
        """Whether the face engine is opened again; until then the room is seen to, and faces are
        left alone.
        """
        if not self._sink.live:
            return False
        self._board.say("face", EFFECT_FAILED, str(error))
        self._ending.wait(self._face_backoff.failed())
        return True

    def _compose(self) -> None:
        try:
            self._compose_all()
        except SlotClosed:
            self._output.send_off_card()
        except (
            Exception
        ):  # a mistake in the program: nobody is to take the last picture for a live one
            with suppress(SinkError):
                self._output.send_off_card()
            raise
        finally:
            self._finished.set()

    def _compose_all(self) -> None:
        while True:
            composed = None
            try:
                frame, pyramid, matte = self._inferred.take(
                    self._output.patience_s(self._source.fps)
                )
                faces = (
                    self._faces.faces(frame, pyramid)
                    if self._faces is not None and pyramid is not None
                    else ()
                )
                composed = self._attempt(
                    partial(self._composer.compose, frame, pyramid, matte, faces)
                )
            except SlotTimeout:
                pass
            if composed is None:
                self._output.send_again()
            else:
                self._output.send(composed, frame.t_capture_ns)

    def _attempt(self, compose: Callable[[], Frame]) -> Frame | None:
        return compose() if self._effects is None else self._effects.attempt(compose)

    def _shut_down(self) -> None:
        """Wake everybody and wait a bounded time."""
        self._ending.set()
        self._source.interrupt()
        deadline = time.monotonic() + self._config.stop_s
        for thread in reversed(self._threads):
            thread.join(max(0.0, deadline - time.monotonic()))
        stuck = [thread for thread in self._threads if thread.is_alive()]
        if stuck:
            self._discard()
            for thread in stuck:
                thread.join(_TICK_S / 2)

    @property
    def is_stuck(self) -> bool:
        """After `work`: whether a thread did not end, and may still use what it was given."""
        return any(thread.is_alive() for thread in self._threads)


def _count(limit: int | None) -> Iterable[int]:
    return itertools.count() if limit is None else range(limit)
