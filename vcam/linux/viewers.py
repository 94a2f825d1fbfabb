"""Detect whether a program reads a v4l2loopback camera. Linux only.

Since 0.13 the driver reports it: in the event V4L2_EVENT_PRI_CLIENT_USAGE of v4l2loopback.c, the
first four bytes are a number that is not 0 while a program streams from the device. Older drivers
reject the subscription. With them, programs count that have the device open and its buffers mapped,
which is how pictures are read; a program that only queries the device maps nothing. /proc shows
this for the user's own programs only (to root, for all).
"""

from __future__ import annotations

import ctypes
import os
import select
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from vcam.linux import v4l2
from vcam.linux import videodev2 as kernel
from vcam.linux.procfs import has_mapped, processes_with

_CLIENT_USAGE = kernel.V4L2_EVENT_PRIVATE_START + 0x08E00000 + 1
"""V4L2_EVENT_PRI_CLIENT_USAGE of v4l2loopback 0.13 and later."""

_SUBSCRIBE_AGAIN_S = 30.0
"""After this time, the subscription is renewed, in case an event was lost."""
_LOOK_AGAIN_S = 0.2
_LOOK_UNTOLD_S = 1.0
_LOOK_AT_ALL_S = 5.0

_IN_CLOSE, _IN_OPEN = 0x18, 0x20
_IN_NONBLOCK_CLOEXEC = (
    os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0) if hasattr(os, "O_NONBLOCK") else 0
)


class Readers(Protocol):
    """Reports whether a virtual camera has readers. Used by one thread."""

    def __enter__(self) -> Self:
        """Start watching.

        Raises:
            OSError: the device cannot be watched.
        """

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop watching."""

    def wait(self, timeout_s: float) -> bool:
        """Whether a program reads; waits at most this long for a change.

        Raises:
            OSError: the device is gone.
        """


class FakeReaders:
    """Readers that a test controls."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._reads = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to end."""

    def set(self, reads: bool) -> None:
        """Set whether a program reads; callable from any thread."""
        with self._changed:
            self._reads = reads
            self._changed.notify_all()

    def wait(self, timeout_s: float) -> bool:
        """See `Readers`."""
        with self._changed:
            was = self._reads
            self._changed.wait_for(lambda: self._reads != was, timeout_s)
            return self._reads


class LoopbackReaders:
    """The readers of one v4l2loopback device, from the driver's events if it has them, else from
    /proc.

    Args:
        path: of the device.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._way: ClientUsage | Mappings | None = None

    def __enter__(self) -> Self:
        try:
            self._way = ClientUsage(self._path).open()
        except FileNotFoundError:
            raise
        except OSError:  # EINVAL or ENOTTY: an older driver
            self._way = Mappings(self._path).open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        way, self._way = self._way, None
        if way is not None:
            way.close()

    def wait(self, timeout_s: float) -> bool:
        """See `Readers`."""
        assert self._way is not None
        return self._way.wait(timeout_s)


class ClientUsage:
    """The driver's events, through a file of its own that is not used for pictures."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1
        self._asked_s = 0.0
        self._reads = False

    def open(self) -> Self:
        """Start watching.

        Raises:
            OSError: the driver does not have the event, or the device is gone.
        """
        self._ask()
        return self

    def _ask(self) -> None:
        import fcntl  # not on Windows

        self.close()
        self._fd = v4l2.open_node(self._path)
        try:
            flags = kernel.V4L2_EVENT_SUB_FL_SEND_INITIAL
            wanted = kernel.v4l2_event_subscription(type=_CLIENT_USAGE, flags=flags)
            fcntl.ioctl(self._fd, kernel.VIDIOC_SUBSCRIBE_EVENT, wanted)
        except OSError:
            self.close()
            raise
        self._asked_s = time.monotonic()

    def wait(self, timeout_s: float) -> bool:
        """See `Readers`."""
        if time.monotonic() - self._asked_s > _SUBSCRIBE_AGAIN_S:
            self._ask()
        _, _, urgent = select.select([], [], [self._fd], timeout_s)
        if urgent:
            self._take_events()
        return self._reads

    def _take_events(self) -> None:
        import fcntl

        event = kernel.v4l2_event()
        with suppress(FileNotFoundError):  # ENOENT: no more events
            while True:
                fcntl.ioctl(self._fd, kernel.VIDIOC_DQEVENT, event, True)
                if event.type == _CLIENT_USAGE:
                    self._reads = any(event.u.data[:4])

    def close(self) -> None:
        """Stop watching. May be called twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class Mappings:
    """Programs that have mapped a device's buffers.

    /proc is scanned when inotify(7) reports that the device was opened or closed; once a second if
    this user has no inotify watches left.
    """

    def __init__(self, path: str) -> None:
        self._path = os.path.realpath(path)
        self._fd = -1
        self._openers: list[Path] = []
        self._next_look_s = 0.0

    def open(self) -> Self:
        """Start watching."""
        libc = ctypes.CDLL(None)
        self._fd = libc.inotify_init1(_IN_NONBLOCK_CLOEXEC)
        if (
            self._fd >= 0
            and libc.inotify_add_watch(self._fd, os.fsencode(self._path), _IN_OPEN | _IN_CLOSE) < 0
        ):
            self.close()
        return self

    def wait(self, timeout_s: float) -> bool:
        """See `Readers`."""
        if not os.path.exists(self._path):  # noqa: PTH110  - five times a second
            raise FileNotFoundError(self._path)
        news, _, _ = select.select([self._fd] if self._fd >= 0 else [], [], [], timeout_s)
        now_s = time.monotonic()
        if news:
            os.read(self._fd, 1 << 16)
        if news or now_s >= self._next_look_s:
            self._openers = processes_with(self._path)
            self._next_look_s = now_s + self._pause_s(bool(news))
        return any(has_mapped(process, self._path) for process in self._openers)

    def _pause_s(self, news: bool) -> float:
        """How long to wait before a scan: the event comes shortly before the program has the file,
        and it may pass the file to another.
        """
        if news:
            return _LOOK_AGAIN_S
        if self._fd < 0:
            return _LOOK_UNTOLD_S
        return _LOOK_AT_ALL_S if self._openers else _SUBSCRIBE_AGAIN_S

    def close(self) -> None:
        """Stop watching. May be called twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
