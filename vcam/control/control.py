"""The layer between requests for changes (page, command line, settings file, Python) and the
pipeline.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self

from vcam.control.events import EventBoard, Events
from vcam.control.tap import Shot, Tap
from vcam.control.wanted import Changes, Wanted, Worn, changed
from vcam.effects import build_effect
from vcam.effects.base import Effect
from vcam.errors import SinkError, UsageError, VcamError
from vcam.frame import Frame
from vcam.matting.matter import MatteEngine
from vcam.matting.refine import RefineConfig
from vcam.monitor import Snapshot, State
from vcam.pipeline.change import Change, Shared
from vcam.pipeline.pipeline import Pipeline
from vcam.sources.base import Source, SourceRequest

_KEPT_S = 60
"""Number of samples that are kept, one per second."""
_SNAPSHOT_S = 5.0
_CARD_S = 2.0
"""For how long a snapshot waits while a card is sent that the run did not ask for: a camera that
opens again sends one."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One second of a run. at: Unix time. latency_ms: median. cpu: processor seconds per second,
    all threads.
    """

    at: float
    fps: float
    latency_ms: float
    drops: int
    cpu: float
    state: str


@dataclass(frozen=True, slots=True)
class Parts:
    """Functions that make the parts of a run from user text; they raise VcamError."""

    matter: Callable[[str], MatteEngine]
    source: Callable[[str, SourceRequest], Source]


class Control:
    """Changes a run between two frames. Every method may be called from any thread.

    As a context manager, it runs the pipeline in a separate thread until the block ends.

    Args:
        pipeline: the pipeline; running or not yet started.
        wanted: the initial state.
        effects: the pipeline's initial effects, made from `wanted.effects`, in order.
        parts: makes other parts.
        tap: receives the pipeline's pictures.
    """

    def __init__(
        self, pipeline: Pipeline, wanted: Wanted, effects: Sequence[Effect], parts: Parts, tap: Tap
    ) -> None:
        self.tap = tap
        self.board = EventBoard()
        self._pipeline, self._parts = pipeline, parts
        self._lock = threading.Lock()
        self._wanted = wanted
        self._effects = list(zip(wanted.effects, effects, strict=True))
        self._state = State()
        self._samples: deque[Sample] = deque(maxlen=_KEPT_S)
        self._second = _Second()
        self._settings_error = ""
        self._thread: threading.Thread | None = None
        self._outcome: Snapshot | BaseException | None = None

    def __enter__(self) -> Self:
        """Start the run in a separate thread."""
        self._thread = threading.Thread(target=self._run, name="vcam-run", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it and wait for its end.

        Raises:
            VcamError: the failure of the run, unless another exception is propagating.
        """
        self.stop()
        if error is None:
            self.wait()
        elif self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            self._outcome = self._pipeline.run(lambda _, now: self.tick(now))
        except BaseException as error:  # noqa: BLE001 - `wait` raises it
            self._outcome = error
        self.board.end()

    def wait(self, timeout_s: float | None = None) -> Snapshot | None:
        """Wait for the end of a run that was started here; see `Pipeline.wait`."""
        if self._thread is None:
            raise UsageError("the run was not started; use it as a context: `with run:`")
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            return None
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome

    @property
    def wanted(self) -> Wanted:
        """The desired state of the run."""
        return self._wanted

    def set(self, key: str | Changes, value: object = None) -> Wanted:
        """Change one setting, `set("blur.strength", 0.7)`, or several at once with a mapping.

        Returns when the change is in effect: every frame captured from now on has all of it. If the
        change hides the room, no picture of the room is sent any more.

        Raises:
            UsageError: a key is unknown or a value invalid.
            VcamError: a new part does not open. Nothing has changed then.
        """
        changes: Mapping[str, object] = {key: value} if isinstance(key, str) else key
        with self._lock:
            try:
                wanted = changed(self._wanted, changes)
                self._reach(wanted)
            except VcamError as error:
                self.board.say(
                    "refused", error=str(error), changes={k: str(v) for k, v in changes.items()}
                )
                raise
        self.board.say("changed", **wanted.to_dict())
        return wanted

    def toggle(self, key: str) -> Wanted:
        """Toggle an effect, "mirror" or "paused"; see `set`."""
        now = self._wanted
        on = getattr(now, key) if key in ("mirror", "paused") else key in now.ids()
        return self.set(key, not on)

    def events(self) -> Events:
        """Subscribe to events from now on; the iterator blocks."""
        return self.board.listen()

    def snapshot(self) -> Frame:
        """Return the next picture that is sent to the sink; a card only if the run is paused, or if
        nothing else is sent for two seconds.

        Raises:
            SinkError: none is sent within five seconds.
        """

        def is_wanted(shot: Shot) -> bool:
            return shot.before is not None or self._wanted.paused

        with self.tap.looking():
            shot = self.tap.after(self.tap.newest(), _SNAPSHOT_S)
            if shot is not None and not is_wanted(shot):
                shot = self.tap.after(shot.number, _CARD_S, is_wanted) or shot
        if shot is None:
            raise SinkError(f"no picture was sent within {_SNAPSHOT_S:g} s; see `vcam status`")
        return shot.sent

    def stop(self) -> None:
        """Stop the run."""
        self._pipeline.stop()

    def about(self) -> dict[str, Any]:
        """Describe the current state of the run as JSON values."""
        return {
            "wanted": self._wanted.to_dict(),
            "state": asdict(self._pipeline.state),
            "healthy": self._pipeline.state.healthy,
            "settings_error": self._settings_error,
            "samples": [asdict(sample) for sample in list(self._samples)],
            **self._pipeline.about(),
        }

    def say_settings(self, error: str = "", changes: Sequence[str] = ()) -> None:
        """Report that the settings file was read again: its error, or the changes."""
        self._settings_error = error
        self.board.say("settings", error=error, changes=list(changes))

    @property
    def settings_error(self) -> str:
        """The error of the settings file; empty if there is none."""
        return self._settings_error

    def tick(self, now: Snapshot) -> None:
        """Record the statistics; called by the pipeline's ticks."""
        if now.state != self._state:
            self._state = now.state
            self.board.say("state", **asdict(now.state))
        sample = self._second.sample(now)
        if sample is not None:
            self._samples.append(sample)
            self.board.say("sample", **asdict(sample))

    def _reach(self, wanted: Wanted) -> None:
        old = self._wanted
        effects = self._made(wanted.effects) if wanted.effects != old.effects else self._effects
        refine = RefineConfig(wanted.grow, wanted.feather)
        matter = self._parts.matter(wanted.engine) if wanted.engine != old.engine else None
        source = wanted.source

        def make_source(request: SourceRequest) -> Source:
            return self._parts.source(source, request)

        self._pipeline.change(
            Change(
                effects=[effect for _, effect in effects] if effects is not self._effects else None,
                refine=refine if refine != RefineConfig(old.grow, old.feather) else None,
                matter=matter,
                make_source=make_source if source != old.source else None,
                mirror=wanted.mirror,
                paused=wanted.paused,
            )
        )
        self._wanted, self._effects = wanted, effects

    def _made(self, chain: Sequence[Worn]) -> list[tuple[Worn, Effect]]:
        """Make the effects of a chain; unchanged ones are the same objects as before."""
        left = list(self._effects)
        made = []
        for worn in chain:
            same = next((pair for pair in left if pair[0] == worn), None)
            if same is not None:
                left.remove(same)
            made.append(same or (worn, made_effect(worn)))
        return made


def made_effect(worn: Worn) -> Effect:
    """Make the effect, not opened yet, so that later chains can share it.

    Raises:
        UsageError: a value is invalid.
    """
    return Shared(build_effect(worn.name, worn.values))


class _Second:
    """Makes one sample per second."""

    def __init__(self) -> None:
        self._at_s = time.monotonic()
        self._cpu_s = time.process_time()
        self._frames = self._drops = 0

    def sample(self, now: Snapshot) -> Sample | None:
        at_s = time.monotonic()
        passed_s = at_s - self._at_s
        if passed_s < 1:
            return None
        cpu_s, drops = time.process_time(), sum(now.drops.values())
        sample = Sample(
            time.time(),
            (now.frames - self._frames) / passed_s,
            now.latency.p50_ms,
            max(0, drops - self._drops),
            (cpu_s - self._cpu_s) / passed_s,
            now.state.name,
        )
        self._at_s, self._cpu_s, self._frames, self._drops = at_s, cpu_s, now.frames, drops
        return sample
