"""A run from a source to a sink: capture -> infer -> compose. No raw picture can leave it.

A frame reaches the sink only through `Composer.compose`, which needs the frame's own matte. If no
new composed frame arrives in time, a live sink gets the last one again, and after a while a card
with the reason.

With a live sink, a live source, an engine that worked before, effects and the sink itself are
reopened after a failure (`vcam.pipeline.reopen`). Only a `VcamError` is recoverable; any other
exception is a bug and ends the run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from vcam.clock import CLOCK, Clock
from vcam.effects import make_effects
from vcam.effects.base import Effect
from vcam.effects.composer import Composer
from vcam.errors import EngineError, MachineError, SinkLost, StageError, UsageError, VcamError
from vcam.face.stage import FaceStage
from vcam.linux.viewers import Readers
from vcam.matting.matter import MatteEngine
from vcam.matting.refine import RefineConfig
from vcam.matting.smooth import MatteSmoother
from vcam.monitor import IDLE, NO_SINK, PAUSED, RUNNING, STARTING, Snapshot, State, Stats
from vcam.pipeline.change import Change, entered
from vcam.pipeline.demand import Demand
from vcam.pipeline.manner import Manner, manner_of
from vcam.pipeline.output import Output, Shown
from vcam.pipeline.reopen import Backoff, Reopening
from vcam.pipeline.stages import Capture, Compose, Face, Infer, Looks, Shared
from vcam.sinks.base import Sink
from vcam.slot import SlotClosed
from vcam.sources.base import Source, SourceRequest

_TICK_S = 0.2

Tick = Callable[[Source, Snapshot], None]


@dataclass(frozen=True, slots=True)
class PipelineConfig:
    """Timing of a pipeline.

    max_frames: stop after this many captured frames.
    duration_s: stop at this time of the source's timeline; from a live source to a live sink:
        this many seconds after the first attempt to open the source.
    card_after_s: how long a live sink repeats the last frame before it shows the card.
    stop_s: maximum time for the threads to end.
    linger_s: how long a camera that is opened on demand stays open after the last reader.
    retry_s, longest_retry_s: see `Backoff`.
    """

    max_frames: int | None = None
    duration_s: float | None = None
    card_after_s: float = 2.0
    stop_s: float = 1.0
    linger_s: float = 5.0
    retry_s: float = 0.25
    longest_retry_s: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of a pipeline, which opens and closes all of them.

    make_source: called with `request`, with size and matrix replaced by the sink's requirements;
        once at the start, and again after each recovery of the sink.
    request: the requested properties of the source.
    matter: the person engine; opened only if an effect needs it.
    effects: in order; at least one.
    refine: refinement of the matte.
    sink: the destination.
    watch: makes the reader watch of a sink, by its name; a source that is `on_demand` (a webcam)
        is open only while there are readers; None: it is always open.
    make_faces: called with (stats, live) if an effect uses faces, as often as `make_source`; None:
        no effect may use faces.
    on_sent: called after everything that is sent; see `vcam.pipeline.output.Shown`.
    """

    make_source: Callable[[SourceRequest], Source]
    request: SourceRequest = field(default_factory=SourceRequest)
    matter: MatteEngine
    effects: Sequence[Effect]
    refine: RefineConfig = field(default_factory=RefineConfig)
    sink: Sink
    watch: Callable[[str], Readers] | None = None
    make_faces: Callable[[Stats, bool], FaceStage] | None = None
    on_sent: Shown | None = None


class Pipeline:
    """One run from a source to a sink; runs once. Every method may be called from any thread.

    `run` runs it in the calling thread. `start`, `wait` and `stop` run it in a thread of its own,
    and so does the pipeline as a context manager, which starts it, and stops it at the end.

    Args:
        parts: its parts.
        config: its timing.
        stats: updated while it runs; None: its own.
        clock: the time source.
    """

    def __init__(
        self,
        parts: Parts,
        config: PipelineConfig | None = None,
        stats: Stats | None = None,
        clock: Clock = CLOCK,
    ) -> None:
        self._parts, self._config = parts, config or PipelineConfig()
        self._stats, self._clock = stats or Stats(), clock
        self._paused = False
        self._stop = threading.Event()
        self._source: Source | None = None
        self._manner: Manner | None = None
        self._since_s = 0.0
        self._run: _Run | None = None
        self._last_run: _Run | None = None
        self._swap = threading.Lock()
        self._thread: threading.Thread | None = None
        self._outcome: Snapshot | BaseException | None = None

    def start(self) -> Self:
        """Run in a thread of its own; `wait` returns the result.

        Raises:
            UsageError: it was already started.
        """
        if self._thread is not None:
            raise UsageError("a pipeline runs once; make another one")
        self._thread = threading.Thread(target=self._run_apart, name="vcam-run", daemon=True)
        self._thread.start()
        return self

    def _run_apart(self) -> None:
        try:
            self._outcome = self.run()
        except BaseException as error:  # noqa: BLE001 - `wait` raises it
            self._outcome = error

    def wait(self, timeout_s: float | None = None) -> Snapshot | None:
        """Wait for the end of a started run.

        Returns:
            The run's statistics; None if it still runs after `timeout_s`.

        Raises:
            UsageError: it was not started.
            VcamError: see `run`.
        """
        if self._thread is None:
            raise UsageError("the pipeline was not started; call start() first")
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            return None
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if error is None:
            self.wait()
        elif self._thread is not None:
            self._thread.join()

    def stop(self) -> None:
        """End the run early but in order: captured frames are still composed and sent. Safe in
        signal handlers.
        """
        self._stop.set()

    def set_effects(
        self, effects: Sequence[str | Effect], refine: RefineConfig | None = None
    ) -> None:
        """Use other effects from the next captured frame on; no frame mixes old and new ones.

        The new effects are opened in the calling thread, while the old ones continue.

        Args:
            effects: text as users write it ("blur:0.8"), or new objects, which the pipeline then
                owns. If none of them handles the room, it is blurred too.
            refine: refinement of the matte; None: unchanged.

        Raises:
            VcamError: an effect or the face engine cannot be opened; the old effects continue.
        """
        self.change(Change(effects=make_effects(effects), refine=refine))

    def change(self, change: Change) -> None:
        """Change parts of the run: all of them, or none if one does not open.

        New parts are opened in the calling thread or one of their own while the old ones continue,
        and take over between two frames. After this returns, no picture of the room is sent if the
        change hides the room, and no picture at all if it pauses the run.

        Raises:
            VcamError: an effect, an engine or the source cannot be opened; nothing has changed.
        """
        with self._swap:
            parts = change.applied(self._parts)
            paused = self._paused if change.paused is None else change.paused
            if self._run is not None:
                self._run.change(change, parts, paused)
            else:
                self._stats.board.say("control", PAUSED if paused else RUNNING)
            self._parts, self._paused = parts, paused

    @property
    def is_live(self) -> bool:
        """Whether the sink may have viewers now."""
        return self._parts.sink.live

    @property
    def state(self) -> State:
        """The current state of the run."""
        return self._stats.board.now

    @property
    def snapshot(self) -> Snapshot:
        """Statistics of the run up to now."""
        return self._stats.snapshot()

    @property
    def has_played_out(self) -> bool:
        """After the run: whether a file ended before its viewers stopped it."""
        return self._manner is not None and self._manner.paced and not self._stop.is_set()

    @property
    def written(self) -> str:
        """After the run: description of what the sink wrote; empty: nothing."""
        return str(getattr(self._parts.sink, "written", ""))

    @property
    def damage(self) -> str:
        """After the run: one line about unreadable parts of the source; empty: none."""
        if self._source is None or (self._manner is not None and self._manner.outlives_source):
            return ""
        return self._source.damage

    def engine(self) -> dict[str, object]:
        """The person engine and backend in use."""
        return self._parts.matter.about()

    def about(self) -> dict[str, object]:
        """The sink's name, and the engine and backend in use, for reports."""
        return {"sink": self._parts.sink.name, "engine": self._parts.matter.about()}

    def run(self, on_tick: Tick | None = None) -> Snapshot:
        """Run until the source ends or `stop` is called; return the statistics.

        Args:
            on_tick: called about five times a second and once at the end, in this thread.

        Raises:
            VcamError: the sink or an effect could not be opened, or a file could not be finished.
            StageError: a thread failed; the first failure, with its cause.
        """
        lost = False

        def outlives(error: VcamError | MachineError) -> bool:
            nonlocal lost
            if isinstance(error, StageError):
                is_stuck = self._last_run is not None and self._last_run.is_stuck
                is_lost = isinstance(error.__cause__, SinkLost)
                lost = self._parts.sink.live and is_lost and not is_stuck
            return lost  # a part that does not open after the sink was lost may open later

        def work(sink: Sink) -> None:
            again.worked()
            self._run_once(sink, on_tick, continues=lost)

        again = Reopening(
            "compose", NO_SINK, self._stats.board, self._new_backoff(), outlives, self._clock
        )
        again.run(self._parts.sink, work, lambda seconds: self._pause(seconds, on_tick))
        return self._stats.snapshot()

    def _run_once(self, sink: Sink, on_tick: Tick | None, continues: bool) -> None:
        parts = self._parts
        request = replace(
            parts.request,
            size=sink.size or parts.request.size,
            matrix=sink.matrix or parts.request.matrix,
        )
        source = self._source = parts.make_source(request)
        manner = self._manner = manner_of(source.live, sink.live)
        with ExitStack() as stack:
            wanted = None
            if sink.live and parts.watch is not None:
                demand = Demand(parts.watch(sink.name), self._config.linger_s, self._clock)
                wanted = stack.enter_context(demand).wanted
            with self._swap:
                run = _Run(self, source, request, sink, manner, wanted, continues)
                self._run = self._last_run = run
            stack.callback(self._close_run, run)
            run.work(on_tick)

    def _close_run(self, run: _Run) -> None:
        with self._swap:
            self._run = None
            run.close()

    def _new_backoff(self) -> Backoff:
        return Backoff(self._config.retry_s, self._config.longest_retry_s, self._clock)

    def _source_opens(self) -> None:
        self._since_s = self._since_s or self._clock.now_s()

    def _is_time_up(self) -> bool:
        """Whether a run from a live source to a live sink has reached its time limit."""
        duration_s = self._config.duration_s
        if duration_s is None or not self._since_s:
            return False
        return self._clock.now_s() - self._since_s > duration_s

    def _pause(self, seconds: float, on_tick: Tick | None) -> bool:
        """Wait while there is no sink; return whether the run should end."""
        deadline_s = self._clock.now_s() + seconds
        while (left_s := deadline_s - self._clock.now_s()) > 0 and not self._stop.is_set():
            if on_tick is not None and self._source is not None:
                on_tick(self._source, self._stats.snapshot())
            self._clock.wait(self._stop, min(_TICK_S, left_s))
        return self._stop.is_set() or self._is_time_up()


class _Run:
    """The threads of a pipeline from one opening of the sink until it ends or is lost.

    Raises:
        VcamError: an effect or the face engine cannot be opened.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        source: Source,
        source_request: SourceRequest,
        sink: Sink,
        manner: Manner,
        wanted: threading.Event | None,
        continues: bool,
    ) -> None:
        self._pipeline, self._source, self._sink, self._manner = pipeline, source, sink, manner
        self._smoother = MatteSmoother()
        parts, config, stats = pipeline._parts, pipeline._config, pipeline._stats
        self._stats, self._clock = stats, pipeline._clock
        self._request, self._wanted = source_request, wanted
        effects, refine = parts.effects, parts.refine
        faces = self._new_faces(effects)
        looks = Looks(self._new_composer(effects, refine).__enter__())
        self._shared = Shared(manner, stats, self._clock, pipeline._new_backoff, looks)
        if pipeline._paused:
            self._shared.resumed.clear()
        self._finished = threading.Event()
        self._failure: StageError | None = None
        self._failure_lock = threading.Lock()
        output = Output(sink, stats, config.card_after_s, self._clock, parts.on_sent)
        self._compose = compose = Compose(self._shared, source, output)
        self._infer = infer = Infer(self._shared, parts.matter, continues)
        self._capture = capture = Capture(
            self._shared,
            source,
            wanted,
            config.max_frames,
            config.duration_s,
            pipeline._source_opens,
        )
        self._threads = [
            self._new_thread("compose", compose.run),
            self._new_thread("infer", infer.run),
            self._new_thread("capture", capture.run),
        ]
        if faces is not None:
            self._add_faces(faces, continues)

    def _new_composer(self, effects: Sequence[Effect], refine: RefineConfig) -> Composer:
        return Composer(
            effects,
            refine,
            self._stats,
            transparent=self._sink.alpha,
            live=self._manner.live,
            smoother=self._smoother,
        )

    def _new_faces(self, effects: Sequence[Effect]) -> FaceStage | None:
        make = self._pipeline._parts.make_faces
        if make is None or not any(effect.needs_face for effect in effects):
            return None
        return make(self._stats, self._manner.live)

    def _add_faces(self, faces: FaceStage, continues: bool) -> threading.Thread:
        self._shared.faces = faces
        thread = self._new_thread("face", Face(self._shared, faces, continues).run)
        self._threads.insert(1, thread)
        return thread

    def _new_thread(self, stage: str, work: Callable[[], None]) -> threading.Thread:
        return threading.Thread(
            target=self._guard, args=(stage, work), name=f"vcam-{stage}", daemon=True
        )

    def _guard(self, stage: str, work: Callable[[], None]) -> None:
        """Do a thread's work; keep the first failure for the main thread, and end all waits."""
        try:
            work()
        except SlotClosed:
            pass
        except BaseException as error:  # noqa: BLE001 - no thread may die silently
            with self._failure_lock:
                self._failure = self._failure or StageError(stage, error)
            self._shared.discard()
            self._finished.set()
        finally:
            if stage == "compose":
                self._finished.set()

    def change(self, change: Change, parts: Parts, paused: bool) -> None:
        """See `Pipeline.change`. parts: the parts after the change."""
        shared = self._shared
        with ExitStack() as undo:
            faces = self._new_faces(parts.effects) if shared.faces is None else None
            composer = infer = source = None
            if change.effects is not None or change.refine is not None:
                composer = undo.enter_context(self._new_composer(parts.effects, parts.refine))
            if self._needs_engine(composer or shared.looks.newest, parts.matter):
                infer = self._opened_engine(parts.matter, must=change.matter is not None)
                if infer is not None:
                    undo.callback(infer.over.set)
            if change.make_source is not None:
                source = self._opened_source(change.make_source, parts, paused)
            undo.pop_all()
        with shared.between:
            if infer is not None:
                self._infer.over.set()
                infer.go.set()
                self._infer = infer
            if faces is not None:
                self._add_faces(faces, continues=True).start()
            if composer is not None:
                shared.looks.add(composer)
            shared.flip = parts.request.mirror != self._request.mirror
            if paused:
                shared.resumed.clear()
            else:
                shared.resumed.set()
            self._stats.board.say("control", PAUSED if paused else RUNNING)
            if source is not None:
                self._switch(source)

    def _needs_engine(self, composer: Composer, matter: MatteEngine) -> bool:
        """Whether the change must open an engine: another one, or the first."""
        at_work = self._infer.matter is matter and self._infer.opened.done()
        return composer.needs_matte and not at_work

    def _opened_engine(self, matter: MatteEngine, must: bool) -> Infer | None:
        """Return the next inference stage, with its engine open.

        None if the run's engine does not open, unless it `must`: a card hides the room until the
        engine opens.

        Raises:
            EngineError: it does not open, and it must.
        """
        infer = Infer(self._shared, matter, continues=True, before=self._infer)
        thread = self._new_thread("infer", infer.run)
        kept = [other for other in self._threads[1:] if other.is_alive()]
        self._threads = [self._threads[0], thread, *kept]
        thread.start()
        try:
            infer.opened.result()
        except EngineError:
            if must:
                raise
            return None
        return infer

    def _opened_source(
        self, make: Callable[[SourceRequest], Source], parts: Parts, paused: bool
    ) -> Source:
        """Return the next source, open unless it is not needed because no program is watching.

        Raises:
            SourceError: it does not open, or delivers no picture.
        """
        size = self._request.size or (self._source.size if all(self._source.size) else None)
        source = make(replace(self._request, size=size))
        wanted = self._wanted if getattr(source, "on_demand", False) else None
        is_off = paused or self._stats.board.now.name in (IDLE, PAUSED)
        is_off = is_off or (wanted is not None and not wanted.is_set())
        return source if is_off and source.live else entered(source)

    def _switch(self, source: Source) -> None:
        self._source = self._pipeline._source = source
        self._compose.take_up(source)
        self._capture.switch(source, manner_of(source.live, self._sink.live))

    def work(self, on_tick: Tick | None) -> None:
        """Start the threads, wait for their end or a stop, end them; raise the first failure."""
        pipeline = self._pipeline
        for stage in ("capture", "infer", "compose"):
            self._stats.board.say(stage, STARTING)
        for thread in self._threads:
            thread.start()
        try:
            while not (
                self._finished.wait(_TICK_S)
                or pipeline._stop.is_set()
                or (self._manner.outlives_source and pipeline._is_time_up())
            ):
                if on_tick is not None:
                    on_tick(self._source, self._stats.snapshot())
        finally:
            self._shut_down()
        if on_tick is not None:
            on_tick(self._source, self._stats.snapshot())
        if self._failure is not None:
            raise self._failure

    def _shut_down(self) -> None:
        """End all waits, then wait for the threads for a limited time."""
        self._shared.ending.set()
        self._source.interrupt()
        deadline_s = self._clock.now_s() + self._pipeline._config.stop_s
        for thread in reversed(self._threads):
            thread.join(max(0.0, deadline_s - self._clock.now_s()))
        stuck = [thread for thread in self._threads if thread.is_alive()]
        if stuck:
            self._shared.discard()
            for thread in stuck:
                thread.join(_TICK_S / 2)

    def close(self) -> None:
        """Close the effects; after `work`."""
        self._shared.looks.close()

    @property
    def is_stuck(self) -> bool:
        """After `work`: whether a thread did not end, and may still use the parts."""
        return any(thread.is_alive() for thread in self._threads)
