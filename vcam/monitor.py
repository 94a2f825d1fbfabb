"""How a run is doing: the state that its threads report, its counters and its timings.

The threads write, anybody reads. The most serious state of any thread is the state of the run.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import numpy as np

STARTING = "starting"
RUNNING = "running"
IDLE = "idle"
PAUSED = "paused"
WAITING = "waiting"
EFFECT_FAILED = "effect failed"
NO_CAMERA = "no camera"
NO_ENGINE = "no engine"
NO_SINK = "no sink"

_HEALTHY = (RUNNING, WAITING, STARTING, IDLE, PAUSED)
_LEAST_FIRST = (*_HEALTHY, EFFECT_FAILED, NO_CAMERA, NO_ENGINE, NO_SINK)

_WINDOW = 2048
"""Percentiles speak of this many latest events (about one minute at 30 frames per second)."""


@dataclass(frozen=True, slots=True)
class State:
    """How a run is at one moment.

    name: one of
        "starting"       no picture has come yet, and nothing is wrong
        "running"        pictures come in and go out
        "idle"           nobody looks, so the camera is off
        "paused"         a card goes out, because somebody asked for it; a camera is off
        "waiting"        no new picture for a while: the engine is busy, or the camera is silent
        "effect failed"  an effect cannot do its work
        "no camera"      the source cannot be opened, or broke off; it is tried again
        "no engine"      the engine failed; it is opened again
        "no sink"        the virtual camera is gone; it is opened again when it is back
    reason: one line that says why, empty where the name says it all.
    """

    name: str = STARTING
    reason: str = ""

    @property
    def healthy(self) -> bool:
        """Whether nothing has failed."""
        return self.name in _HEALTHY

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}" if self.reason else self.name


class StateBoard:
    """Where the stages of a run say how they are. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._said: dict[str, State] = {}

    def say(self, stage: str, name: str, reason: str = "") -> None:
        """How `stage` ("capture", "infer", "compose") is from now on; `name` is one of those that
        `State` lists.
        """
        with self._lock:
            self._said[stage] = State(name, reason)

    @property
    def now(self) -> State:
        """The most serious of what the stages said last; "starting" before any of them spoke."""
        with self._lock:
            return max(
                self._said.values(),
                key=lambda state: _LEAST_FIRST.index(state.name),
                default=State(),
            )


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of durations in milliseconds; zeros where nothing was measured."""

    p50_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0

    @classmethod
    def of_ns(cls, durations_ns: list[int]) -> Percentiles:
        """Percentiles by linear interpolation (NumPy's default)."""
        if not durations_ns:
            return cls()
        p50, p95, p99 = np.percentile(np.asarray(durations_ns, np.float64) / 1e6, (50, 95, 99))
        return cls(float(p50), float(p95), float(p99))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What happened so far.

    frames: composed frames that reached the sink. repeated: times the last picture or the card was
        sent again.
    fps: sent frames per second over the last few seconds. latency: from capture to the end of
        `sink.send`.
    stages: durations of the work by stage, waiting left out. drops: frames lost, by cause. state:
        how it is now.
    """

    frames: int
    repeated: int
    seconds: float
    fps: float
    latency: Percentiles
    stages: dict[str, Percentiles]
    drops: dict[str, int]
    state: State = field(default_factory=State)

    def to_dict(self) -> dict[str, object]:
        """As JSON takes it."""
        return asdict(self)


class Stats:
    """Collects; every method may be called from any thread.

    Attributes:
        board: where the threads say how they are.
    """

    def __init__(self) -> None:
        self.board = StateBoard()
        self._lock = threading.Lock()
        self._start_ns = time.monotonic_ns()
        self._frames = 0
        self._repeated = 0
        self._first_ns = self._last_ns = 0
        self._sent_ns: deque[int] = deque(maxlen=_WINDOW)
        self._latency_ns: deque[int] = deque(maxlen=_WINDOW)
        self._stages: dict[str, deque[int]] = {}
        self._drops: Counter[str] = Counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one piece of work of the stage `name`; nothing is recorded when it raises."""
        start_ns = time.monotonic_ns()
        yield
        self.add(name, time.monotonic_ns() - start_ns)

    def add(self, name: str, duration_ns: int) -> None:
        """Record a duration of the stage `name`."""
        with self._lock:
            self._stages.setdefault(name, deque(maxlen=_WINDOW)).append(duration_ns)

    def sent(self, t_capture_ns: int) -> None:
        """A composed frame has just reached the sink."""
        now_ns = time.monotonic_ns()
        with self._lock:
            if not self._frames:
                self._first_ns = t_capture_ns
            self._frames += 1
            self._last_ns = now_ns
            self._sent_ns.append(now_ns)
            self._latency_ns.append(now_ns - t_capture_ns)

    def busy_s(self) -> float:
        """Seconds from the first frame's capture to the last frame's arrival at the sink; 0 without
        frames.
        """
        with self._lock:
            return (self._last_ns - self._first_ns) / 1e9

    def repeated(self) -> None:
        """The last picture, or the card, was sent because no new one came."""
        with self._lock:
            self._repeated += 1

    def set_drops(self, cause: str, count: int) -> None:
        """The number of frames lost by `cause` so far."""
        with self._lock:
            self._drops[cause] = count

    def snapshot(self) -> Snapshot:
        """A consistent copy of everything."""
        now_ns = time.monotonic_ns()
        with self._lock:
            recent = [t for t in self._sent_ns if now_ns - t < 3_000_000_000]
            stages = {name: list(times) for name, times in self._stages.items()}
            frames, repeated, drops = self._frames, self._repeated, dict(self._drops)
            latency = list(self._latency_ns)
        span_ns = recent[-1] - recent[0] if len(recent) > 1 else 0
        return Snapshot(
            frames=frames,
            repeated=repeated,
            seconds=(now_ns - self._start_ns) / 1e9,
            fps=(len(recent) - 1) * 1e9 / span_ns if span_ns else 0.0,
            latency=Percentiles.of_ns(latency),
            stages={name: Percentiles.of_ns(times) for name, times in stages.items()},
            drops={cause: count for cause, count in drops.items() if count},
            state=self.board.now,
        )
