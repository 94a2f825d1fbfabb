"""While a run lasts: its state for `vcam status`, and signs of life for systemd."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from vcam.linux.systemd import Notifier
from vcam.monitor import NO_SINK, Snapshot
from vcam.service.instances import Instance
from vcam.sources.base import Source


class Announcer:
    """Says how a run is, about once a second. Belongs to the thread that calls `update`.

    systemd hears that the service is ready with the first picture that goes out, a card included,
    and that it is alive as long as pictures go out: a run that hangs is started again. While the
    virtual camera is gone pictures have nowhere to go, and starting again would not bring it back.

    Args:
        instance: where `vcam status` looks.
        notifier: the way to systemd.
        every_s: the least time between two announcements.
        clock: seconds, as `time.monotonic`.
    """

    def __init__(
        self,
        instance: Instance,
        notifier: Notifier,
        every_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._instance, self._notifier = instance, notifier
        self._every_s, self._clock = every_s, clock
        self._due_s = float("-inf")
        self._pictures = 0

    def update(self, source: Source, now: Snapshot, about: Mapping[str, object]) -> None:
        """Say it, if it is time.

        Args:
            source: what pictures come from.
            now: what happened so far.
            about: more about the run, as JSON takes it.
        """
        if self._clock() < self._due_s:
            return
        self._due_s = self._clock() + self._every_s
        told = asdict(now)
        told["state"], told["reason"] = now.state.name, now.state.reason
        self._instance.write({"source": source.name, "mode": source.mode, **about, **told})
        self._tell_systemd(now)

    def _tell_systemd(self, now: Snapshot) -> None:
        lines = [f"STATUS={now.state}, {now.fps:.0f} fps"]
        pictures = now.frames + now.repeated
        if pictures and not self._pictures:
            lines.append("READY=1")
        if pictures > self._pictures or now.state.name == NO_SINK:
            lines.append("WATCHDOG=1")
        self._pictures = pictures
        self._notifier.tell(*lines)


@contextmanager
def announced(folder: Path, systemd: str) -> Iterator[Announcer]:
    """An announcer for as long as the block runs; then the file is removed and systemd hears that
    this ends.

    Args:
        folder: of the files that `vcam status` reads.
        systemd: the value of NOTIFY_SOCKET, or empty.
    """
    with Instance(folder) as instance, Notifier(systemd) as notifier:
        try:
            yield Announcer(instance, notifier)
        finally:
            notifier.tell("STOPPING=1")
