"""How a run is: each of its threads says how it is itself, and the most serious of that is the
state of the run.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

STARTING = "starting"
RUNNING = "running"
IDLE = "idle"
WAITING = "waiting"
EFFECT_FAILED = "effect failed"
NO_CAMERA = "no camera"
NO_ENGINE = "no engine"
NO_SINK = "no sink"

_LEAST_FIRST = (RUNNING, WAITING, STARTING, IDLE, EFFECT_FAILED, NO_CAMERA, NO_ENGINE, NO_SINK)
_HEALTHY = (RUNNING, WAITING, STARTING, IDLE)


@dataclass(frozen=True, slots=True)
class State:
    """How a run is at one moment.

    name: one of
        "starting"       no picture has come yet, and nothing is wrong
        "running"        pictures come in and go out
        "idle"           nobody looks, so the camera is off
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
