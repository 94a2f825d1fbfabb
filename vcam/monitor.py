"""The condition of a run: states reported by its threads, counters and timings.

The run's threads write; any thread may read. The run's state is the most serious of its threads'.
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
"""Number of latest events in percentiles (about one minute at 30 frames per second)."""


@dataclass(frozen=True, slots=True)
class State:
    """The condition of a run at one moment.

    name: one of
        "starting"       no picture has arrived yet, and nothing is wrong
        "running"        pictures arrive and leave
        "idle"           no program is watching, so the camera is off
        "paused"         a card is shown at the user's request; a camera is off
        "waiting"        no new picture for a while: the engine is busy, or the camera is silent
        "effect failed"  an effect fails
        "no camera"      the source does not open or broke off; retrying
        "no engine"      the engine failed; retrying
        "no sink"        the virtual camera is gone; retrying until it returns
    reason: one line of explanation; empty if the name says everything.
    """

    name: str = STARTING
    reason: str = ""

    @property
    def healthy(self) -> bool:
        """Whether no part has failed."""
        return self.name in _HEALTHY

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}" if self.reason else self.name


class StateBoard:
    """Collects the states of a run's stages. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._said: dict[str, State] = {}

    def say(self, stage: str, name: str, reason: str = "") -> None:
        """Report the state of `stage` ("capture", "infer", "compose"); `name` is one of those
        listed in `State`.
        """
        with self._lock:
            self._said[stage] = State(name, reason)

    @property
    def now(self) -> State:
        """The most serious current state of all stages; "starting" before any report."""
        with self._lock:
            return max(
                self._said.values(),
                key=lambda state: _LEAST_FIRST.index(state.name),
                default=State(),
            )


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Percentiles of durations in milliseconds; zeros without measurements."""

    p50_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0

    @classmethod
    def of_ns(cls, durations_ns: list[int]) -> Percentiles:
        """Compute percentiles by linear interpolation (NumPy's default)."""
        if not durations_ns:
            return cls()
        p50, p95, p99 = np.percentile(np.asarray(durations_ns, np.float64) / 1e6, (50, 95, 99))
        return cls(float(p50), float(p95), float(p99))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Statistics of a run up to one moment.

    frames: composed frames that reached the sink. repeated: how often the last picture or the card
        was sent again.
    fps: sent frames per second over the last few seconds. latency: from capture to the end of
        `sink.send`.
    stages: durations of work by stage, without waiting. drops: frames lost, by cause. state: the
        current state.
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
        """Return it as JSON values."""
        return asdict(self)


class Stats:
    """Collects statistics; every method may be called from any thread.

    Attributes:
        board: the states of the threads.
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
        """Time one piece of work of the stage `name`; not recorded if it raises."""
        start_ns = time.monotonic_ns()
        yield
        self.add(name, time.monotonic_ns() - start_ns)

    def add(self, name: str, duration_ns: int) -> None:
        """Record a duration of the stage `name`."""
        with self._lock:
            self._stages.setdefault(name, deque(maxlen=_WINDOW)).append(duration_ns)

    def sent(self, t_capture_ns: int) -> None:
        """Record that a composed frame has just reached the sink."""
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
        """Record that the last picture, or the card, was sent for want of a new one."""
        with self._lock:
            self._repeated += 1

    def set_drops(self, cause: str, count: int) -> None:
        """Set the number of frames lost so far by `cause`."""
        with self._lock:
            self._drops[cause] = count

    def snapshot(self) -> Snapshot:
        """Return a consistent copy of all values."""
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
