"""capture -> infer -> compose: three threads, two slots, and no way out for a raw picture.

A frame reaches the sink only through `Composer.compose`, which takes it together with its own matte. Where no new
composed frame comes in time, a live sink gets the last one again, and after a while a card.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from vcam.card import make_card
from vcam.effects.composer import Composer
from vcam.effects.pyramid import Pyramid
from vcam.errors import StageError
from vcam.face.stage import FaceStage
from vcam.frame import Frame, Matrix, Matte
from vcam.matting import Matter
from vcam.memory import keep_freed_memory
from vcam.sinks.base import Sink
from vcam.slot import Policy, Slot, SlotClosed, SlotTimeout
from vcam.sources.base import Source, SourceRequest
from vcam.stats import Snapshot, Stats

_TICK_S = 0.2
_WAITING_CARD = "vcam: waiting for a picture"
_OFF_CARD = "vcam is off"
_LATE_NS = 1_000_000_000

Inferred = tuple[Frame, Pyramid | None, Matte | None]
"""A frame with what was computed from it; nothing where no effect looks at the matte."""


@dataclass(frozen=True, slots=True)
class PipelineConfig:
    """How a pipeline behaves in time.

    max_frames: stop after so many captured frames. duration_s: stop at this time of the source's own timeline.
    card_after_s: how long a live sink repeats the last frame before
    it shows the card. stop_s: how long the threads may take to end.
    """

    max_frames: int | None = None
    duration_s: float | None = None
    card_after_s: float = 2.0
    stop_s: float = 1.5


class Pipeline:
    """One run from a source to a sink. Made, run and forgotten; `stop` may be called from any thread.

    Args:
        make_source: called once with the request, its size and matrix set to what the sink insists on.
        request: what is wanted of the source.
        matter: the person engine; not opened when no effect needs it.
        make_composer: called once with (transparent, live).
        sink: where pictures go; opened and closed here.
        stats: filled while running.
        config: see there.
        make_faces: called once with (live); None where no effect looks at faces.
    """

    def __init__(
        self,
        make_source: Callable[[SourceRequest], Source],
        request: SourceRequest,
        matter: Matter,
        make_composer: Callable[[bool, bool], Composer],
        sink: Sink,
        stats: Stats,
        config: PipelineConfig | None = None,
        make_faces: Callable[[bool], FaceStage] | None = None,
    ) -> None:
        self._make_source, self._request = make_source, request
        self._matter, self._make_composer, self._sink = matter, make_composer, sink
        self._stats = stats
        self._config = config or PipelineConfig()
        self._make_faces = make_faces
        self._stop = threading.Event()

    def stop(self) -> None:
        """End the run early but in order: what was captured is still composed and sent. Safe in signal handlers."""
        self._stop.set()

    def run(self, on_tick: Callable[[Source, Snapshot], None] | None = None) -> Snapshot:
        """Run until the source ends or `stop` is called; return what happened.

        Args:
            on_tick: called about five times a second and once at the end, in this thread.

        Raises:
            VcamError: the sink or an effect could not be opened, or a file could not be finished.
            StageError: a thread failed; the first failure, with its cause.
        """
        keep_freed_memory()
        with self._sink as sink:
            request = self._request
            request = replace(request, size=sink.size or request.size, matrix=sink.matrix or request.matrix)
            source = self._make_source(request)
            live = source.live or sink.live
            with self._make_composer(sink.alpha, live) as composer:
                faces = self._make_faces(live) if self._make_faces else None
                run = _Run(source, self._matter, faces, composer, sink, live, self._stats, self._config, self._stop)
                run.work(on_tick)
        return self._stats.snapshot()


class _Run:
    """The threads and slots of one run."""

    def __init__(
        self,
        source: Source,
        matter: Matter,
        faces: FaceStage | None,
        composer: Composer,
        sink: Sink,
        live: bool,
        stats: Stats,
        config: PipelineConfig,
        stop: threading.Event,
    ) -> None:
        self._source, self._matter, self._composer, self._sink = source, matter, composer, sink
        self._faces = faces
        self._stats, self._config, self._stop = stats, config, stop
        policy = Policy.NEWEST_WINS if live else Policy.WAIT
        self._captured: Slot[Frame] = Slot(policy)
        self._inferred: Slot[Inferred] = Slot(policy)
        self._engine_ready = threading.Event()
        self._finished = threading.Event()
        self._failure: StageError | None = None
        self._failure_lock = threading.Lock()
        stages = [("compose", self._compose), ("infer", self._infer), ("capture", self._capture)]
        if faces is not None:
            stages.insert(1, ("face", faces.run))
        self._threads = [
            threading.Thread(target=self._guard, args=stage, name=f"vcam-{stage[0]}", daemon=True) for stage in stages
        ]

    def work(self, on_tick: Callable[[Source, Snapshot], None] | None) -> None:
        """Start the threads, wait for their end or a stop, end them; raise the first failure."""
        for thread in self._threads:
            thread.start()
        try:
            while not self._finished.wait(_TICK_S) and not self._stop.is_set():
                if on_tick is not None:
                    on_tick(self._source, self._stats.snapshot())
        finally:
            self._shut_down()
        if on_tick is not None:
            on_tick(self._source, self._stats.snapshot())
        if self._failure is not None:
            raise self._failure

    def _guard(self, stage: str, work: Callable[[], None]) -> None:
        """Run a thread's work; the first failure is kept for the main thread, and everything is woken."""
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
            if self._stop.is_set() or self._finished.is_set():
                return self._captured.close()
        with self._source as source:
            paced = self._sink.live and not source.live
            clock = _Clock(self._stop)
            for _ in _count(self._config.max_frames):
                if self._stop.is_set():
                    break
                frame = self._read(source)
                if frame is None or self._is_over(frame):
                    break
                self._captured.put(clock.wait_until_due(frame) if paced else frame)
                self._stats.set_drops("engine busy", self._captured.dropped)
        return self._captured.close()

    def _is_over(self, frame: Frame) -> bool:
        duration_s = self._config.duration_s
        return duration_s is not None and frame.pts_ns >= round(duration_s * 1e9)

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
        with self._matter as matter:
            self._engine_ready.set()
            while True:
                self._pass_on(matter)

    def _pass_on(self, matter: Matter | None) -> None:
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
        self._inferred.put(inferred)
        self._stats.set_drops("compose busy", self._inferred.dropped)

    def _compose(self) -> None:
        try:
            self._compose_all()
        except SlotClosed:
            if self._sink.live:  # what a virtual camera goes on showing
                self._sink.send(self._make_card(_OFF_CARD))
        finally:
            self._finished.set()

    def _compose_all(self) -> None:
        last: Frame | None = None
        last_ns = 0
        while True:
            try:
                frame, pyramid, matte = self._inferred.take(self._patience_s(last is not None))
            except SlotTimeout:
                if time.monotonic_ns() - last_ns > self._config.card_after_s * 1e9:
                    last = None
                last = self._send_again(last)
                continue
            faces = self._faces.faces(frame, pyramid) if self._faces is not None and pyramid is not None else ()
            last = self._composer.compose(frame, pyramid, matte, faces)
            last_ns = time.monotonic_ns()
            with self._stats.stage("send"):
                self._sink.send(last)
            self._stats.sent(frame.t_capture_ns)

    def _patience_s(self, running: bool) -> float | None:
        """How long compose waits for a new frame before a live sink gets the last one, or the card, again."""
        if not self._sink.live:
            return None
        return (2.0 if running else 1.0) / self._source.fps

    def _send_again(self, last: Frame | None) -> Frame:
        """Send the last picture, or the card where there is none that may still be shown."""
        shown = last or self._make_card(_WAITING_CARD)
        self._sink.send(shown)
        self._stats.repeated()
        return shown

    def _make_card(self, text: str) -> Frame:
        return make_card(self._sink.size or (1280, 720), self._sink.matrix or Matrix.BT601, text)

    def _shut_down(self) -> None:
        """Wake everybody and wait a bounded time."""
        self._source.interrupt()
        if self._failure is not None:
            self._stop.set()
        deadline = time.monotonic() + self._config.stop_s
        for thread in reversed(self._threads):
            thread.join(max(0.0, deadline - time.monotonic()))
        stuck = [thread for thread in self._threads if thread.is_alive()]
        if stuck:
            self._discard()
            for thread in stuck:
                thread.join(_TICK_S)


class _Clock:
    """Lets frames of a file pass in real time."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._start_ns = 0

    def wait_until_due(self, frame: Frame) -> Frame:
        """Wait; return the frame with the time at which it became due as its capture time."""
        now_ns = time.monotonic_ns()
        if not self._start_ns or now_ns - self._start_ns - frame.pts_ns > _LATE_NS:
            self._start_ns = now_ns - frame.pts_ns  # the first frame, or after a long sleep: no rush to catch up
        due_ns = self._start_ns + frame.pts_ns
        self._stop.wait(max(0, due_ns - now_ns) / 1e9)
        return replace(frame, t_capture_ns=time.monotonic_ns())


def _count(limit: int | None) -> Iterable[int]:
    return itertools.count() if limit is None else range(limit)
