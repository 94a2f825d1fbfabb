"""Publish a run's state for `vcam status`, and report to systemd that it is alive."""

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
    """Publishes the state of a run about once a second. Used by the thread that calls `update`.

    systemd is notified that the service is ready when the first picture, or card, is sent, and that
    it is alive while pictures are sent, so a hanging run is restarted. While the virtual camera is
    gone, the run counts as alive, because a restart would not bring the camera back.

    Args:
        instance: the file that `vcam status` reads.
        notifier: sends to systemd.
        every_s: minimum interval between announcements.
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
        """Publish the state if it is due.

        Args:
            source: the source of pictures.
            now: the statistics.
            about: more about the run, as JSON values.
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
    """Provide an announcer while the block runs; then remove the file and notify systemd of the
    end.

    Args:
        folder: the folder of files that `vcam status` reads.
        systemd: the value of NOTIFY_SOCKET, or empty.
    """
    with Instance(folder) as instance, Notifier(systemd) as notifier:
        try:
            yield Announcer(instance, notifier)
        finally:
            notifier.tell("STOPPING=1")
