"""Ctrl-C, SIGTERM and SIGHUP: stop in order, within a limited time.

Python runs signal handlers between two steps of the main thread, which may be in a library for a
long time. So the signal number is also sent to a separate thread, which asks the run to stop, and
ends the process if that takes too long.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from vcam import files
from vcam.cli import terminal

_PATIENCE_S = 2.0
"""Maximum seconds from the first signal to the end of the process."""
_RECORDING_PATIENCE_S = 10.0
"""The same while a recording is being finished, which would otherwise be lost."""
_LOOK_S = 0.05


class Stopped(BaseException):
    """Raised in the main thread by a signal if there is no run to stop."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.status = 128 + number


class _Signals:
    def __init__(self) -> None:
        self.first: int | None = None
        self.stop: Callable[[], None] | None = None
        self.ended = threading.Event()
        self._in, self._out = socket.socketpair()

    def install(self) -> None:
        self._in.setblocking(False)
        self._out.setblocking(True)
        numbers = [signal.SIGINT, signal.SIGTERM]
        hangup = getattr(signal, "SIGHUP", None)
        if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:  # not nohup(1)
            numbers.append(hangup)
        for number in numbers:
            signal.signal(number, self._handle)
        signal.set_wakeup_fd(self._in.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._listen, name="signals", daemon=True).start()

    def _handle(self, number: int, _: FrameType | None) -> None:
        """Runs in the main thread, some time after the signal."""
        if self.stop is None:
            raise Stopped(number)

    def _listen(self) -> None:
        while number := self._out.recv(1):
            if self.first is not None:  # the second time: at once
                self._end(number[0], 0.0)
            self.first = number[0]
            if self.stop is not None:
                self.stop()
            threading.Thread(target=self._watch, name="deadline", daemon=True).start()

    def _watch(self) -> None:
        """End the process if it does not end by itself in time."""
        start_s = time.monotonic()
        while not self.ended.wait(_LOOK_S):
            passed_s = time.monotonic() - start_s
            patience_s = _RECORDING_PATIENCE_S if files.is_recording() else _PATIENCE_S
            if passed_s > patience_s:
                self._end(self.first or signal.SIGTERM, _RECORDING_PATIENCE_S)

    def _end(self, number: int, patience_s: float) -> None:
        files.discard_all(patience_s)
        terminal.restore()
        terminal.drain(0.2)
        os._exit(128 + number)


_signals: _Signals | None = None


def install() -> None:
    """Handle signals from now on; call once, in the main thread."""
    global _signals  # noqa: PLW0603 - a process has one set of handlers
    if _signals is None:
        _signals = _Signals()
        with suppress(ValueError):  # not the main thread of its host program
            _signals.install()


@contextmanager
def stopped_by(stop: Callable[[], None]) -> Iterator[None]:
    """While the block runs, the first signal calls `stop`, in a separate thread."""
    if _signals is None:
        yield
        return
    _signals.stop = stop
    if _signals.first is not None:  # it came just before
        stop()
    try:
        yield
    finally:
        _signals.stop = None


def ended() -> None:
    """Declare that the process is about to end by itself."""
    if _signals is not None:
        _signals.ended.set()


def came() -> bool:
    """Whether a signal was received."""
    return _signals is not None and _signals.first is not None
