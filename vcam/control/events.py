"""Events of a run, for any number of listeners."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

_ROOM = 256
"""Maximum number of unread events per listener; the oldest are dropped."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    kind: "changed" (desired state), "refused" (a change), "state" (of the run), "settings" (the
        file was read again, or is invalid), "sample" (once a second), "end".
    data: JSON values. at: Unix time in seconds.
    """

    kind: str
    data: dict[str, Any] = field(default_factory=dict)
    at: float = field(default_factory=time.time)


class Events:
    """Iterates over new events and blocks until one comes; ends with the run or with `close`. Any
    thread may close it.
    """

    def __init__(self, board: EventBoard) -> None:
        self._board = board
        self._queue: queue.Queue[Event | None] = queue.Queue(_ROOM)

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        event = self._queue.get()
        if event is None:
            self._queue.put(None)
            raise StopIteration
        return event

    def take(self, timeout_s: float) -> Event | None:
        """The next event; None if none comes in time, or at the end."""
        try:
            return self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def close(self) -> None:
        """Unsubscribe."""
        self._board.forget(self)
        self._offer(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _offer(self, event: Event | None) -> None:
        while True:
            try:
                return self._queue.put_nowait(event)
            except queue.Full:
                with suppress(queue.Empty):
                    self._queue.get_nowait()


class EventBoard:
    """Distributes events; methods may be called from any thread, and do not block."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: list[Events] = []

    def listen(self) -> Events:
        """Subscribe to events from now on."""
        events = Events(self)
        with self._lock:
            self._listeners.append(events)
        return events

    def forget(self, events: Events) -> None:
        """Unsubscribe this listener."""
        with self._lock, suppress(ValueError):
            self._listeners.remove(events)

    def say(self, kind: str, **data: Any) -> None:
        """Publish an event."""
        event = Event(kind, data)
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener._offer(event)

    def end(self) -> None:
        """Declare that there will be no more events."""
        self.say("end")
        with self._lock:
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener._offer(None)
